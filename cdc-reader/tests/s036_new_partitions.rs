//! A broker that becomes the leader of a new partition between two batches refuses the first one and would take the
//! second one. The reader sends one batch after the other, so no row is lost and none overtakes another one.

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

    /// With one record in a batch. librdkafka would let several batches of a partition be on their way as long as they
    /// hold five records at the most together.
    fn launch(&self) -> Launch {
        let connector =
            Connector::new(&self.source, &self.id).set("producer.override.batch.size", "1");
        Launch::new(&connector, &format!("127.0.0.1:{}", self.leader.port()))
    }

    /// Every row is in Kafka once and in its order, although a batch of them was refused.
    #[track_caller]
    fn check(&self, reader: &Reader) {
        let topic = format!("{}.public.load", self.id);
        let keys: Vec<String> = records(&self.kafka.bootstrap(), &topic)
            .into_iter()
            .map(|record| record.key.unwrap())
            .collect();
        let expected: Vec<String> = (1..=ROWS).map(|id| format!("{{\"id\":{id}}}")).collect();
        assert_eq!(keys, expected);
        assert_eq!(self.leader.refusals(), 1);
        assert!(reader.said("session ended, trying again").is_empty(), "{}", reader.tail());
    }
}

#[test]
fn the_first_rows_of_a_new_topic_are_neither_lost_nor_overtaken_in_a_snapshot() {
    let rig = Rig::start("newsnapshot");
    rig.source.run(&rows(1, ROWS));
    let reader = rig.launch().start();
    reader.wait_for_line("streaming");
    rig.check(&reader);
    reader.stop();
}

#[test]
fn the_first_changes_of_a_new_topic_are_neither_lost_nor_overtaken_in_a_stream() {
    let rig = Rig::start("newstream");
    let reader = rig.launch().start();
    reader.wait_for_line("streaming");
    rig.source.run(&rows(1, ROWS));
    rig.source.wait_until_published(&rig.kafka.bootstrap(), &rig.id);
    rig.check(&reader);
    reader.stop();
}
