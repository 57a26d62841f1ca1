//! The lines from links to hubs, in the channel between the two columns of boxes.
//!
//! In: where each hub's edge is, and at which heights the rows of links lead to it. Out: lines that are level or
//! upright. All lines to one hub share one upright trunk, so the channel has at most one trunk for each hub. Trunks
//! that are not beside each other share a track. No two lines of different hubs lie on each other; where they cross,
//! the level one goes over the upright one.

/// The room between two tracks, and between the outermost tracks and the boxes.
const TRACK: i64 = 14;
const MARGIN: i64 = 26;

/// How far lines of different hubs stay from each other.
const APART: i64 = 8;

/// A hub's edge, and the rows that lead to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terminal {
    /// number of the hub
    pub(super) hub: usize,
    /// upper and lower end of the edge
    pub(super) edge: (i64, i64),
    /// heights of the rows
    pub(super) rows: Vec<i64>,
}

/// All lines to one hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trunk {
    pub(super) hub: usize,
    /// where it meets the hub
    pub(super) hub_y: i64,
    /// where it is upright; counted from the channel's left edge
    pub(super) x: i64,
    /// heights of the rows
    pub(super) rows: Vec<i64>,
}

impl Trunk {
    /// Upper and lower end of the upright part.
    pub(super) fn span(&self) -> (i64, i64) {
        let all = || self.rows.iter().copied().chain([self.hub_y]);
        (all().min().unwrap_or(self.hub_y), all().max().unwrap_or(self.hub_y))
    }

    fn is_straight(&self) -> bool {
        let (top, bottom) = self.span();
        top == bottom
    }

    /// Whether a level line at this height would cross or touch the upright part.
    fn meets(&self, y: i64) -> bool {
        let (top, bottom) = self.span();
        top < bottom && (top - 2..=bottom + 2).contains(&y)
    }

    /// Whether the upright parts of both are beside each other.
    fn is_beside(&self, other: &Self) -> bool {
        let ((top, bottom), (other_top, other_bottom)) = (self.span(), other.span());
        top <= other_bottom + APART && other_top <= bottom + APART
    }
}

/// The lines, and how wide their channel is.
pub(super) fn route(terminals: &[Terminal]) -> (Vec<Trunk>, i64) {
    let mut trunks: Vec<Trunk> = terminals
        .iter()
        .filter(|terminal| !terminal.rows.is_empty())
        .map(|terminal| Trunk {
            hub: terminal.hub,
            hub_y: meeting(terminal, terminals),
            x: 0,
            rows: terminal.rows.clone(),
        })
        .collect();
    let (straight, mut bent): (Vec<Trunk>, Vec<Trunk>) =
        trunks.drain(..).partition(Trunk::is_straight);
    sort(&mut bent);
    let mut tracks: Vec<i64> = Vec::with_capacity(bent.len());
    for (at, trunk) in bent.iter().enumerate() {
        let before = bent[..at].iter().zip(&tracks).filter(|(other, _)| other.is_beside(trunk));
        tracks.push(before.map(|(_, track)| track + 1).max().unwrap_or(0));
    }
    for (trunk, track) in bent.iter_mut().zip(&tracks) {
        trunk.x = MARGIN + TRACK * track;
    }
    let width = 2 * MARGIN + TRACK * tracks.iter().max().copied().unwrap_or(0);
    let mut all = [straight, bent].concat();
    all.sort_by_key(|trunk| trunk.hub);
    (all, width)
}

/// Where the lines meet the hub's edge: at the height of one of its rows, so that a line is straight, or in the middle;
/// and not at the height of a row that leads to another hub.
fn meeting(terminal: &Terminal, all: &[Terminal]) -> i64 {
    let (top, bottom) = (terminal.edge.0 + APART, terminal.edge.1 - APART);
    let middle = (terminal.edge.0 + terminal.edge.1) / 2;
    let foreign =
        || all.iter().filter(|other| other.hub != terminal.hub).flat_map(|other| &other.rows);
    let distance = |y: i64| foreign().map(|row| (row - y).abs()).min().unwrap_or(i64::MAX);
    let mut own: Vec<i64> =
        terminal.rows.iter().copied().filter(|row| (top..=bottom).contains(row)).collect();
    own.sort_by_key(|row| (row - middle).abs());
    let mut elsewhere: Vec<i64> = (top..=bottom).collect();
    elsewhere.sort_by_key(|y| (y - middle).abs());
    let free = own.iter().chain(&elsewhere).copied().find(|&y| distance(y) >= APART);
    // When no height is free, the freest one is taken; the first of equals.
    free.or_else(|| elsewhere.iter().copied().rev().max_by_key(|&y| distance(y))).unwrap_or(middle)
}

/// Orders trunks from left to right, so that few lines cross: each is moved to the place that is best for it, as long
/// as that makes the number of crossings less.
fn sort(trunks: &mut [Trunk]) {
    let costs: Vec<Vec<usize>> = trunks
        .iter()
        .map(|left| trunks.iter().map(|right| crossings(left, right)).collect())
        .collect();
    let mut order: Vec<usize> = (0..trunks.len()).collect();
    let mut is_better = true;
    while is_better {
        is_better = false;
        for trunk in order.clone() {
            let place = order.iter().position(|other| *other == trunk).unwrap_or(0);
            order.remove(place);
            // Crossings of this trunk when it stands before everything, and then behind one more each time.
            let mut cost: usize = order.iter().map(|&other| costs[trunk][other]).sum();
            let mut at_places = vec![cost];
            for &other in &order {
                cost = cost + costs[other][trunk] - costs[trunk][other];
                at_places.push(cost);
            }
            let mut best = place;
            for (at, &cost) in at_places.iter().enumerate() {
                if cost < at_places[best] {
                    best = at;
                    is_better = true;
                }
            }
            order.insert(best, trunk);
        }
    }
    let sorted: Vec<Trunk> = order.iter().map(|&trunk| trunks[trunk].clone()).collect();
    trunks.clone_from_slice(&sorted);
}

/// How often the lines of two trunks cross when one stands to the left of the other.
fn crossings(left: &Trunk, right: &Trunk) -> usize {
    let rows = left.rows.iter().filter(|&&row| right.meets(row)).count();
    rows + usize::from(left.meets(right.hub_y))
}
