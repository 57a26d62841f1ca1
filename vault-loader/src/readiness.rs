//! Whether the loader is connected to both servers and makes progress.
//!
//! In: the facts that the stages have reported. Out: yes, or the reason why not, in one line. The decision is
//! [`judge`], which is pure. [`crate::health::HealthCell`] keeps the facts.

use std::time::Duration;

/// How long the brokers may send nothing. While they answer, something comes at least every two seconds: heartbeats and
/// metadata. A broker's restart in a healthy cluster is shorter.
pub const KAFKA_SILENT_MAX: Duration = Duration::from_secs(15);

/// How long the loader may be without an assignment between two assignments. A rebalance is shorter.
const UNASSIGNED_MAX: Duration = Duration::from_secs(15);

/// How long events may wait while nothing is committed and nothing is tried.
const STANDING_MAX: Duration = Duration::from_secs(60);

/// What the loading side says about its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// not loading yet
    Starting,
    /// loading, or waiting for events
    Healthy,
    /// something outside fails and is being retried
    Failing(String),
}

/// What decides whether the loader is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// what the loading side says
    pub work: Health,
    /// why the warehouse did not answer when it was asked last; none when it answered
    pub warehouse_silent: Option<String>,
    /// how long no broker has sent anything
    pub kafka_silent: Duration,
    /// which broker of an assigned partition does not answer, or which partition has no leader
    pub broker_trouble: Option<String>,
    /// whether the group has ever given an assignment, even an empty one
    pub was_assigned: bool,
    /// how long the loader has had no assignment; zero while it has one
    pub unassigned: Duration,
    /// what is wrong with the topics of the model
    pub topics: Option<String>,
    /// how long events have waited while nothing was committed and nothing tried
    pub standing: Duration,
}

/// Whether the loader is connected and makes progress.
///
/// # Errors
/// The reason why not: one line, without values and secrets.
pub fn judge(facts: &Facts) -> Result<(), String> {
    match &facts.work {
        Health::Starting => return Err("starting: the servers have not both answered".to_owned()),
        Health::Failing(reason) => return Err(first_line(reason).to_owned()),
        Health::Healthy => {}
    }
    if let Some(reason) = &facts.warehouse_silent {
        return Err(format!("the warehouse does not answer: {}", first_line(reason)));
    }
    if facts.kafka_silent >= KAFKA_SILENT_MAX {
        let seconds = facts.kafka_silent.as_secs();
        return Err(format!("no Kafka broker has answered for {seconds} s"));
    }
    if let Some(trouble) = &facts.broker_trouble {
        return Err(first_line(trouble).to_owned());
    }
    if let Some(topics) = &facts.topics {
        return Err(first_line(topics).to_owned());
    }
    if !facts.was_assigned {
        return Err("waiting for the consumer group to share out the partitions".to_owned());
    }
    if facts.unassigned >= UNASSIGNED_MAX {
        let seconds = facts.unassigned.as_secs();
        return Err(format!("without partitions of the consumer group for {seconds} s"));
    }
    if facts.standing >= STANDING_MAX {
        let seconds = facts.standing.as_secs();
        return Err(format!("events wait, and nothing was loaded for {seconds} s"));
    }
    Ok(())
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ready() -> Facts {
        Facts {
            work: Health::Healthy,
            warehouse_silent: None,
            kafka_silent: Duration::ZERO,
            broker_trouble: None,
            was_assigned: true,
            unassigned: Duration::ZERO,
            topics: None,
            standing: Duration::ZERO,
        }
    }

    #[track_caller]
    fn check(facts: &Facts, reason: Option<&str>) {
        let judged = judge(facts);
        assert_eq!(judged.as_ref().err().map(String::as_str), reason, "{facts:?}");
    }

    #[test]
    fn a_loader_that_is_connected_is_ready_and_one_that_starts_is_not() {
        check(&ready(), None);
        let starting = Facts { work: Health::Starting, ..ready() };
        check(&starting, Some("starting: the servers have not both answered"));
        let waiting = Facts { was_assigned: false, ..ready() };
        check(&waiting, Some("waiting for the consumer group to share out the partitions"));
    }

    #[test]
    fn what_fails_is_named_by_its_first_line() {
        let failing = Facts { work: Health::Failing("no lock\nand more".to_owned()), ..ready() };
        check(&failing, Some("no lock"));
        let silent = Facts { warehouse_silent: Some("refused\nmore".to_owned()), ..ready() };
        check(&silent, Some("the warehouse does not answer: refused"));
        let broker = Facts { broker_trouble: Some("broker 2 is away".to_owned()), ..ready() };
        check(&broker, Some("broker 2 is away"));
        let topics = Facts { topics: Some("no topic".to_owned()), ..ready() };
        check(&topics, Some("no topic"));
    }

    #[test]
    fn brokers_may_be_silent_for_a_while_only() {
        let silent = |wait| Facts { kafka_silent: wait, ..ready() };
        check(&silent(KAFKA_SILENT_MAX - SECOND), None);
        check(&silent(KAFKA_SILENT_MAX), Some("no Kafka broker has answered for 15 s"));
    }

    #[test]
    fn a_rebalance_is_no_reason_and_a_lost_membership_is_one() {
        let unassigned = |wait| Facts { unassigned: wait, ..ready() };
        check(&unassigned(UNASSIGNED_MAX - SECOND), None);
        check(
            &unassigned(UNASSIGNED_MAX),
            Some("without partitions of the consumer group for 15 s"),
        );
    }

    #[test]
    fn events_that_nobody_loads_are_a_reason_after_a_while() {
        let standing = |wait| Facts { standing: wait, ..ready() };
        check(&standing(STANDING_MAX - SECOND), None);
        check(&standing(STANDING_MAX), Some("events wait, and nothing was loaded for 60 s"));
    }

    #[test]
    fn the_warehouse_is_named_before_kafka() {
        let both = Facts {
            work: Health::Failing("the warehouse is away".to_owned()),
            kafka_silent: 90 * SECOND,
            ..ready()
        };
        check(&both, Some("the warehouse is away"));
    }
}
