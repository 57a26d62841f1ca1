//! A network for a cluster that no route of this machine leads to.
//!
//! In: what `ip -4 route show table all` prints. Out: the first three numbers of a /24.

use std::net::Ipv4Addr;

/// Broader routes than this, as those into a company's network, yield to that of a cluster.
const BROADEST: u32 = 12;

/// How many networks are looked at: 10.192.0.0/24 to 10.223.249.0/24.
const NETWORKS: u32 = 32 * 250;

/// The first free network, beginning with one that differs from process to process.
pub(super) fn prefix(routes: &str, pid: u32) -> Option<String> {
    let routes: Vec<(u32, u32)> = routes.lines().filter_map(destination).collect();
    let is_free = |network: &Ipv4Addr| {
        let network = network.to_bits();
        routes.iter().all(|&(other, length)| {
            let common = u32::MAX.checked_shl(32 - length.min(24)).unwrap_or(0);
            (network ^ other) & common != 0
        })
    };
    let [first, second, third, _] = (0..NETWORKS)
        .map(|offset| network(pid.wrapping_add(offset) % NETWORKS))
        .find(is_free)?
        .octets();
    Some(format!("{first}.{second}.{third}"))
}

fn network(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits((10 << 24) + ((192 + number / 250) << 16) + ((number % 250) << 8))
}

/// Where a route leads, and how many bits of that count, unless it is too broad.
fn destination(route: &str) -> Option<(u32, u32)> {
    let kinds = ["unicast", "local", "broadcast", "unreachable", "blackhole", "prohibit"];
    let word = route.split_whitespace().find(|word| !kinds.contains(word))?;
    let (address, length) = word.split_once('/').unwrap_or((word, "32"));
    let (address, length): (Ipv4Addr, u32) = (address.parse().ok()?, length.parse().ok()?);
    (BROADEST..=32).contains(&length).then_some((address.to_bits(), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_free_when_no_route_leads_to_it_or_to_a_part_of_it() {
        let free = |routes: &str| prefix(routes, 251);
        assert_eq!(free(""), Some("10.193.1".to_owned()));
        assert_eq!(free("default via 10.193.1.1 dev eth0"), Some("10.193.1".to_owned()));
        assert_eq!(free("10.0.0.0/8 via 192.0.2.1 dev vpn0"), Some("10.193.1".to_owned()));
        assert_eq!(free("10.193.1.0/24 dev vs9b scope link"), Some("10.193.2".to_owned()));
        assert_eq!(free("local 10.193.1.7 dev eth0 table local"), Some("10.193.2".to_owned()));
        assert_eq!(
            free("10.193.0.0/16 dev br0\n10.194.0.0/24 dev br1"),
            Some("10.194.1".to_owned())
        );
        assert_eq!(free("10.192.0.0/12 dev br0\n10.208.0.0/12 dev br1"), None);
    }
}
