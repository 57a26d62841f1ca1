//! Three brokers: what was acknowledged survives the loss of any one of them, also of one with its disk, and nobody may
//! do what was not allowed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use devstack::topics::Topics;
use devstack::{KafkaCluster, KafkaClusterOptions, Right};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};
use rdkafka::{ClientConfig, ClientContext};

const TOPIC: &str = "kept.records";

/// Keeps what came of each record.
#[derive(Default, Clone)]
struct Outcomes(Arc<Mutex<Vec<Result<(), String>>>>);

impl ClientContext for Outcomes {}

impl ProducerContext for Outcomes {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let outcome = result.as_ref().map(drop).map_err(|(error, _)| error.to_string());
        self.0.lock().unwrap().push(outcome);
    }
}

/// Writes a record as a user, with the acknowledgement of all replicas in sync, and gives the answer.
fn write(mut client: ClientConfig, value: &str) -> Result<(), String> {
    client.set("acks", "all").set("message.timeout.ms", "60000");
    let outcomes = Outcomes::default();
    let producer: ThreadedProducer<Outcomes> =
        client.create_with_context(outcomes.clone()).unwrap();
    producer
        .send(BaseRecord::<(), str>::to(TOPIC).payload(value))
        .map_err(|(error, _)| error)
        .unwrap();
    producer.flush(Duration::from_secs(90)).unwrap();
    outcomes.0.lock().unwrap().remove(0)
}

async fn make_topic(client: ClientConfig) -> Result<(), String> {
    let admin: AdminClient<DefaultClientContext> = client.create().unwrap();
    let topic = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(3));
    let made = admin.create_topics(&[topic], &AdminOptions::new()).await.unwrap().remove(0);
    made.map(drop).map_err(|(_, error)| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_broker_after_the_other_is_killed_lost_and_restarted_and_every_record_is_kept() {
    let options = KafkaClusterOptions::default().user("writer", "w").user("stranger", "s");
    let mut cluster = KafkaCluster::start(options).unwrap();
    let writes = Right::to(&["Create", "Write", "Describe"]).topic("kept.").prefixed();
    cluster.allow("writer", &[writes]).unwrap();
    let client = |cluster: &KafkaCluster, user: &str| cluster.client(user).unwrap();

    let refusal = make_topic(client(&cluster, "stranger")).await.unwrap_err();
    assert!(refusal.contains("TopicAuthorizationFailed"), "{refusal}");
    make_topic(client(&cluster, "writer")).await.unwrap();
    write(client(&cluster, "writer"), "all three").unwrap();
    let refusal = write(client(&cluster, "stranger"), "never").unwrap_err();
    assert!(refusal.contains("uthoriz"), "{refusal}");
    let wrong = client(&cluster, "writer").set("sasl.password", "wrong").clone();
    // The same question with the right password is answered, so the password is what is refused.
    for (client, is_let_in) in [(client(&cluster, "writer"), true), (wrong, false)] {
        let consumer: BaseConsumer = client.create().unwrap();
        let seen = consumer.fetch_metadata(None, Duration::from_secs(10)).map(drop);
        assert_eq!(seen.is_ok(), is_let_in, "{seen:?}");
    }

    cluster.kill9(1).unwrap();
    write(client(&cluster, "writer"), "without 1").unwrap();
    cluster.start_again(&[1]).unwrap();
    cluster.wait_until_in_sync().unwrap();

    cluster.kill9(2).unwrap();
    cluster.replace(2).unwrap();
    cluster.wait_until_whole().unwrap();
    // The replaced one and the one that was killed first are enough, for records as for votes.
    cluster.kill9(3).unwrap();
    write(client(&cluster, "writer"), "without 3").unwrap();
    cluster.start_again(&[3]).unwrap();
    cluster.wait_until_in_sync().unwrap();

    let mut back = Vec::new();
    cluster.renew_certificates().unwrap();
    cluster
        .restart_in_turn(|number| {
            back.push(number);
            Ok(())
        })
        .unwrap();
    assert_eq!(back, [1, 2, 3]);
    write(client(&cluster, "writer"), "restarted").unwrap();

    let records = Topics::with(&client(&cluster, "admin")).unwrap().records(TOPIC).unwrap();
    let found: Vec<_> = records.iter().filter_map(|record| record.value.as_deref()).collect();
    assert_eq!(found, ["all three", "without 1", "without 3", "restarted"]);
}
