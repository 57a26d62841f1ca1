//! What librdkafka's statistics say about the brokers.
//!
//! In: the statistics, and the partitions that this loader has. Out: how long ago a broker last sent anything, which
//! broker of a partition does not answer, and whether the client knows a broker at all. Pure.

use std::time::Duration;

use rdkafka::statistics::{Broker, Statistics};

use crate::readiness::KAFKA_SILENT_MAX;

/// What is known of the brokers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct BrokerFacts {
    /// how long ago a connected broker last sent anything; none when no broker is connected
    pub(super) idle: Option<Duration>,
    /// what is wrong with the broker of a partition
    pub(super) trouble: Option<String>,
    /// whether the client knows no broker, not even those of the configuration
    pub(super) none_known: bool,
}

/// Looks at the brokers. `has` says whether a partition of a topic belongs to this loader.
pub(super) fn look(statistics: &Statistics, has: impl Fn(&str, i32) -> bool) -> BrokerFacts {
    let idle = statistics
        .brokers
        .values()
        .filter(|broker| broker.state == "UP")
        .filter_map(|broker| u64::try_from(broker.rxidle).ok())
        .min()
        .map(Duration::from_micros);
    // The coordinator of the group is a broker of its own here, without an address.
    let none_known = statistics.brokers.values().all(|broker| broker.source == "logical");
    BrokerFacts { idle, trouble: trouble(statistics, has), none_known }
}

/// The first partition, by name and number, whose leader is missing or does not answer.
fn trouble(statistics: &Statistics, has: impl Fn(&str, i32) -> bool) -> Option<String> {
    let mut partitions: Vec<(&str, i32, i32)> = statistics
        .topics
        .iter()
        .flat_map(|(topic, stats)| {
            let of = |(&number, partition): (&i32, &rdkafka::statistics::Partition)| {
                (topic.as_str(), number, partition.leader)
            };
            stats.partitions.iter().map(of)
        })
        .filter(|&(topic, number, _)| has(topic, number))
        .collect();
    partitions.sort_unstable();
    partitions.iter().find_map(|&(topic, number, leader)| {
        if leader < 0 {
            return Some(format!("{topic} partition {number} has no leader"));
        }
        let mut connections = statistics
            .brokers
            .values()
            .filter(|broker| broker.nodeid == leader && broker.source != "logical")
            .peekable();
        let silent = connections.peek().is_some() && connections.all(is_silent);
        silent.then(|| {
            format!("broker {leader}, which has {topic} partition {number}, does not answer")
        })
    })
}

/// Whether a broker is away, or owes an answer, for longer than a healthy one ever is.
fn is_silent(broker: &Broker) -> bool {
    let longer = |micros: i64| u128::try_from(micros).unwrap_or(0) >= KAFKA_SILENT_MAX.as_micros();
    if broker.state == "UP" {
        broker.waitresp_cnt > 0 && longer(broker.rxidle)
    } else {
        longer(broker.stateage)
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::statistics::{Partition, Topic};

    use super::*;

    const SECOND: i64 = 1_000_000;

    fn broker(nodeid: i32, state: &str, waits_for: i64, idle_s: i64) -> Broker {
        Broker {
            nodeid,
            source: "learned".to_owned(),
            state: state.to_owned(),
            stateage: idle_s * SECOND,
            waitresp_cnt: waits_for,
            rxidle: idle_s * SECOND,
            ..Broker::default()
        }
    }

    fn statistics(brokers: Vec<Broker>, leader: i32) -> Statistics {
        let partition = Partition { partition: 0, leader, ..Partition::default() };
        let topic = Topic { partitions: [(0, partition)].into(), ..Topic::default() };
        let brokers = brokers.into_iter().enumerate();
        Statistics {
            brokers: brokers.map(|(place, broker)| (place.to_string(), broker)).collect(),
            topics: [("t".to_owned(), topic)].into(),
            ..Statistics::default()
        }
    }

    fn seen(brokers: Vec<Broker>) -> (Option<u64>, Option<String>) {
        let facts = look(&statistics(brokers, 1), |_, _| true);
        (facts.idle.map(|idle| idle.as_secs()), facts.trouble)
    }

    #[test]
    fn the_broker_that_spoke_last_counts() {
        let found = seen(vec![broker(-1, "UP", 0, 400), broker(1, "UP", 1, 1)]);
        assert_eq!(found, (Some(1), None));
        assert_eq!(seen(vec![broker(1, "DOWN", 0, 2)]), (None, None));
    }

    #[test]
    fn a_client_that_knows_no_broker_is_told_from_one_whose_brokers_are_away() {
        let coordinator = Broker { source: "logical".to_owned(), ..broker(-1, "INIT", 0, 0) };
        let none_known = |brokers| look(&statistics(brokers, -1), |_, _| true).none_known;
        assert!(none_known(vec![coordinator.clone()]));
        assert!(!none_known(vec![coordinator.clone(), broker(1, "DOWN", 0, 400)]));
        let configured = Broker { source: "configured".to_owned(), ..broker(-1, "INIT", 0, 0) };
        assert!(!none_known(vec![coordinator, configured]));
    }

    #[test]
    fn a_leader_that_owes_an_answer_or_is_away_is_named() {
        let named = || Some("broker 1, which has t partition 0, does not answer".to_owned());
        let others = || broker(2, "UP", 1, 0);
        assert_eq!(seen(vec![others(), broker(1, "UP", 1, 16)]), (Some(0), named()));
        assert_eq!(seen(vec![others(), broker(1, "TRY_CONNECT", 0, 16)]), (Some(0), named()));
        // Nothing was asked, because the loader has enough to do.
        assert_eq!(seen(vec![others(), broker(1, "UP", 0, 16)]), (Some(0), None));
    }

    #[test]
    fn a_partition_without_a_leader_is_named_and_others_partitions_do_not_matter() {
        let stats = statistics(vec![broker(1, "UP", 0, 0)], -1);
        let trouble = look(&stats, |_, _| true).trouble;
        assert_eq!(trouble.as_deref(), Some("t partition 0 has no leader"));
        assert_eq!(look(&stats, |_, _| false).trouble, None);
    }
}
