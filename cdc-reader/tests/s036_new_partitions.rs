//! A broker that becomes the leader of a new partition between two batches takes the second one and has refused the
//! first one. librdkafka then reports both as delivered. The reader does not believe it, and no row is lost.

use std::collections::BTreeSet;

use devstack::{Kafka, KafkaOptions, shared};

use crate::support::late_leader::LateLeader;
use crate::support::load::rows;
use crate::support::{Connector, Launch, Reader, Source, records, unique};

const ROWS: u64 = 50;

/// The reader, its broker, and what the broker answers for the topic `load`.
struct Rig {
    kafka: Kafka,
    leader: LateLeader,
    source: Source,
    id: String,
}

impl Rig {
    fn start(stem: &str) -> Self {
        let id = unique(stem);
        let port = devstack::free_port().unwrap();
        let leader = LateLeader::of(port, &format!("{id}.public.load"));
        let advertised = format!("PLAINTEXT://127.0.0.1:{}", leader.port());
        let options =
            KafkaOptions::default().port(port).setting("advertised.listeners", &advertised);
        let kafka = Kafka::start(options).unwrap();
        let source = Source::with_load(&shared::stack().postgres15, &id);
        Self { kafka, leader, source, id }
    }

    /// With one record in a batch. librdkafka lets several batches of a partition be on their way as long as they
    /// hold five records at the most together.
    fn launch(&self) -> Launch {
        let connector =
            Connector::new(&self.source, &self.id).set("producer.override.batch.size", "1");
        Launch::new(&connector, &format!("127.0.0.1:{}", self.leader.port()))
    }

    /// Every row is in Kafka, although a batch of them was refused and the one after it taken.
    #[track_caller]
    fn check(&self, reader: &Reader) {
        let topic = format!("{}.public.load", self.id);
        let keys: BTreeSet<String> = records(&self.kafka.bootstrap(), &topic)
            .into_iter()
            .map(|record| record.key.unwrap())
            .collect();
        let expected: BTreeSet<String> = (1..=ROWS).map(|id| format!("{{\"id\":{id}}}")).collect();
        let lost: Vec<&String> = expected.difference(&keys).collect();
        assert!(lost.is_empty(), "{} of {ROWS} rows are lost: {lost:?}", lost.len());
        assert_eq!(self.leader.refusals(), 1);
        let ends = reader.said("session ended, trying again");
        assert_eq!(ends.len(), 1, "{}", reader.tail());
        let reason = ends[0]["error"].as_str().unwrap();
        assert!(reason.contains(&topic) && reason.contains("has not acknowledged"), "{reason}");
    }
}

#[test]
fn a_row_of_a_snapshot_that_is_only_said_to_be_delivered_is_sent_again() {
    let rig = Rig::start("newsnapshot");
    rig.source.run(&rows(1, ROWS));
    let reader = rig.launch().start();
    reader.wait_for_line("streaming");
    rig.check(&reader);
    reader.stop();
}

#[test]
fn a_change_that_is_only_said_to_be_delivered_is_sent_again() {
    let rig = Rig::start("newstream");
    let reader = rig.launch().start();
    reader.wait_for_line("streaming");
    rig.source.run(&rows(1, ROWS));
    rig.source.wait_until_published(&rig.kafka.bootstrap(), &rig.id);
    rig.check(&reader);
    reader.stop();
}
