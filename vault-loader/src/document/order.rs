//! Which hub stands above which, and which link, so that few lines cross and none is long.
//!
//! In: for each link, the hubs that its rows lead to. Out: two orders. A hub is moved to another place as long as that
//! makes the picture better; a link stands at the mean of its hubs. Equal choices keep the model's order, so the result
//! is the same each time.

/// How much a crossing weighs against a line that is longer by one hub.
const CROSSING: usize = 3;

/// Hubs and links from top to bottom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) hubs: Vec<usize>,
    pub(super) links: Vec<usize>,
}

/// Finds the order for so many hubs. `links` has for each link the hubs of its rows.
pub(super) fn find(hub_count: usize, links: &[Vec<usize>]) -> Order {
    let mut best = Found::of((0..hub_count).collect(), links);
    loop {
        let before = best.cost;
        for hub in 0..hub_count {
            best = with_hub_moved(best, hub, links);
        }
        if best.cost == before {
            return best.order;
        }
    }
}

/// The hub at the place that is best for it while all others stay in their order.
fn with_hub_moved(mut best: Found, hub: usize, links: &[Vec<usize>]) -> Found {
    let others: Vec<usize> =
        best.order.hubs.iter().copied().filter(|other| *other != hub).collect();
    for place in 0..=others.len() {
        let mut hubs = others.clone();
        hubs.insert(place, hub);
        let found = Found::of(hubs, links);
        if found.cost < best.cost {
            best = found;
        }
    }
    best
}

struct Found {
    order: Order,
    cost: usize,
}

impl Found {
    fn of(hubs: Vec<usize>, links: &[Vec<usize>]) -> Self {
        let mut place = vec![0; hubs.len()];
        for (at, &hub) in hubs.iter().enumerate() {
            place[hub] = at;
        }
        let order = links_by_mean(&place, links);
        let spans = links.iter().map(|hubs| {
            let places = || hubs.iter().map(|&hub| place[hub]);
            places().max().unwrap_or(0) - places().min().unwrap_or(0)
        });
        let lines = order.iter().map(|&link| links[link].iter().map(|&hub| place[hub]));
        let cost = crossings(lines, hubs.len()) * CROSSING + spans.sum::<usize>();
        Self { order: Order { hubs, links: order }, cost }
    }
}

/// How many lines cross: of two links, the upper one leads to the lower hub. `lines` has the places of the hubs for
/// each link from top to bottom.
fn crossings<L: Iterator<Item = usize>>(lines: impl Iterator<Item = L>, hub_count: usize) -> usize {
    let mut leading = vec![0; hub_count];
    let mut count = 0;
    for places in lines {
        let places: Vec<usize> = places.collect();
        count += places.iter().map(|&at| leading[at + 1..].iter().sum::<usize>()).sum::<usize>();
        places.iter().for_each(|&at| leading[at] += 1);
    }
    count
}

/// The links by the mean place of their hubs.
fn links_by_mean(place: &[usize], links: &[Vec<usize>]) -> Vec<usize> {
    // Sums times the other's count compare like means, without a fraction.
    let sum = |link: usize| links[link].iter().map(|&hub| place[hub]).sum::<usize>();
    let count = |link: usize| links[link].len().max(1);
    let mut order: Vec<usize> = (0..links.len()).collect();
    order.sort_by(|&a, &b| (sum(a) * count(b)).cmp(&(sum(b) * count(a))));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_hubs_is_untangled() {
        let links = [vec![0, 3], vec![3, 1], vec![1, 4], vec![4, 2]];
        let order = find(5, &links);
        let chain = [0, 3, 1, 4, 2];
        let back: Vec<usize> = chain.iter().rev().copied().collect();
        assert!(order.hubs == chain || order.hubs == back, "{order:?}");
        let links: Vec<usize> =
            if order.hubs == chain { vec![0, 1, 2, 3] } else { vec![3, 2, 1, 0] };
        assert_eq!(order.links, links);
    }

    #[test]
    fn what_is_untangled_already_stays() {
        let links = [vec![0, 1], vec![1, 2]];
        assert_eq!(find(3, &links), Order { hubs: vec![0, 1, 2], links: vec![0, 1] });
        assert_eq!(find(0, &[]), Order { hubs: Vec::new(), links: Vec::new() });
    }
}
