//! A world of one test: a database, topics, a producer, loaders.
//!
//! In: a name. Out: helpers that publish events and wait until the warehouse says they are loaded.

mod events;
mod fenced;
pub(crate) mod queries;
pub(crate) mod values;
mod warehouses;

use std::collections::HashMap;
use std::process::{Command, Output};
use std::time::Duration;

use devstack::shared::{Stack, stack};
use devstack::{Database, Process, ProcessOptions, programs, unique, wait_for_async};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::Header;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use shared::debezium::topic::topic_name;
use tokio_postgres::Client;

pub(crate) use events::{
    Event, airport, booking, create, delete, flight, read, record_key, ticket, truncate, update,
};
pub(crate) use fenced::FencedBroker;
pub(crate) use queries::{fingerprint, rows};
pub(crate) use warehouses::{OwnServer, borrowed};

/// How long anything may take on a busy machine of two cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The shipped model, whose tables all tests use.
pub(crate) const AIRLINE: &str = include_str!("../../../connectors/airline/vault.toml");

/// Publish time of the first event of every test.
const BEGINNING_US: i64 = 1_790_000_000_000_000;

pub(crate) struct World {
    pub(crate) stack: &'static Stack,
    /// where Kafka is
    pub(crate) bootstrap: String,
    pub(crate) source: String,
    /// schema of the tables whose events are published
    pub(crate) schema: String,
    pub(crate) database: Database,
    pub(crate) model: String,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) client: Client,
    producer: FutureProducer,
    published: HashMap<String, i64>,
    /// tables whose events go to a partition by their key, and the number of partitions
    spread: HashMap<&'static str, i32>,
    /// when each change was committed; a change that is published again was committed then
    committed: HashMap<(&'static str, &'static str, i64), i64>,
    clock: i64,
}

fn producer(bootstrap: &str) -> FutureProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("enable.idempotence", "true");
    config.create().unwrap()
}

impl World {
    /// A database with the migrated airline vault, and nothing in it.
    pub(crate) async fn new(name: &str) -> Self {
        Self::with_model(name, str::to_owned).await
    }

    /// The same with topics on another broker than the shared one.
    pub(crate) async fn at(name: &str, bootstrap: &str) -> Self {
        let world = Self::unmigrated_at(name, bootstrap).await;
        world.migrate(&[]);
        world
    }

    /// The same with a model that is changed first.
    pub(crate) async fn with_model(name: &str, change: impl FnOnce(&str) -> String) -> Self {
        let world = Self::unmigrated(name).await;
        world.write_model(&change(&world.model));
        world.migrate(&[]);
        world
    }

    /// An empty database.
    pub(crate) async fn unmigrated(name: &str) -> Self {
        Self::unmigrated_at(name, &stack().kafka_bootstrap).await
    }

    async fn unmigrated_at(name: &str, bootstrap: &str) -> Self {
        let stack = stack();
        let database = unique(&format!("vl_{name}"));
        // Another name than the database's, so that neither can be taken for the other.
        let source = database.replace('_', "-");
        let database = Database::create(&stack.warehouse, &database).unwrap();
        let client = database.connect().await.unwrap();
        let model = AIRLINE.replacen("name = \"airline\"", &format!("name = \"{source}\""), 1);
        let world = Self {
            stack,
            bootstrap: bootstrap.to_owned(),
            source,
            schema: "public".to_owned(),
            database,
            model,
            dir: tempfile::tempdir().unwrap(),
            client,
            producer: producer(bootstrap),
            published: HashMap::new(),
            spread: HashMap::new(),
            committed: HashMap::new(),
            clock: 0,
        };
        world.write_model(&world.model);
        world
    }

    /// Puts a model where the loader's commands read it.
    pub(crate) fn write_model(&self, model: &str) {
        // A loader may read the file at this moment: it sees the old text or the new one.
        let (next, file) = (self.dir.path().join("next.toml"), self.dir.path().join("vault.toml"));
        std::fs::write(&next, model).unwrap();
        std::fs::rename(next, file).unwrap();
    }

    /// Migrates the warehouse to which these variables lead.
    #[track_caller]
    pub(crate) fn migrate(&self, variables: &[(&str, &str)]) {
        let output = self.command_with(&["migrate"], variables);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn topic(&self, table: &str) -> String {
        topic_name(&self.source, &self.schema, table)
    }

    /// Kafka's administration.
    pub(crate) fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.bootstrap).create().unwrap()
    }

    pub(crate) async fn create_topic(&self, table: &str, partitions: i32) {
        let name = self.topic(table);
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        let created = self.admin().create_topics(&[topic], &AdminOptions::new()).await.unwrap();
        assert!(created[0].is_ok(), "{created:?}");
    }

    /// Lets a topic have so many partitions.
    pub(crate) async fn add_partitions(&self, table: &str, count: usize) {
        let name = self.topic(table);
        let more = rdkafka::admin::NewPartitions::new(&name, count);
        let added = self.admin().create_partitions(&[more], &AdminOptions::new()).await.unwrap();
        assert!(added[0].is_ok(), "{added:?}");
    }

    /// Lets Kafka delete what stands before an offset of partition 0.
    pub(crate) async fn delete_before(&self, table: &str, offset: i64) {
        let mut records = rdkafka::TopicPartitionList::new();
        let offset = rdkafka::Offset::Offset(offset);
        records.add_partition_offset(&self.topic(table), 0, offset).unwrap();
        self.admin().delete_records(&records, &AdminOptions::new()).await.unwrap();
    }

    /// Puts a further model beside the world's, and returns its path.
    pub(crate) fn write_further_model(&self, name: &str, model: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, model).unwrap();
        path.display().to_string()
    }

    /// Variables of the loader; `user` is the superuser, who also is the table's owner here.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let warehouse = &self.stack.warehouse;
        let (user, password) = (&warehouse.user, &warehouse.password);
        [
            ("VAULT_LOADER_MODEL", self.dir.path().join("vault.toml").display().to_string()),
            ("VAULT_LOADER__BOOTSTRAP_SERVERS", self.bootstrap.clone()),
            ("VAULT_LOADER__LISTEN", "127.0.0.1:0".to_owned()),
        ]
        .into_iter()
        .chain(programs::loader_database(warehouse, &self.database.name, user, password))
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    /// Runs the loader's command to its end.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        self.command_with(arguments, &[])
    }

    pub(crate) fn command_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_vault-loader"))
            .args(arguments)
            .envs(self.variables())
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    }

    /// Starts `vault-loader run`.
    pub(crate) fn loader(&self, name: &str) -> Process {
        self.loader_with(name, &[])
    }

    pub(crate) fn loader_with(&self, name: &str, variables: &[(&str, &str)]) -> Process {
        self.loader_arguments(name, &["run"], variables)
    }

    pub(crate) fn loader_arguments(
        &self,
        name: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Process {
        let log = self.dir.path().join(format!("{name}.log"));
        let mut options = ProcessOptions::new(env!("CARGO_BIN_EXE_vault-loader"), log)
            .args(arguments)
            .without_env("RUST_LOG");
        for (key, value) in self.variables() {
            options = options.env(key, value);
        }
        for (key, value) in variables {
            options = options.env(key, value);
        }
        Process::start(&options).unwrap()
    }

    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(format!("{name}.log"))).unwrap_or_default()
    }

    /// The envelope of an event, each published a millisecond after the one before.
    pub(crate) fn envelope(&mut self, event: &Event) -> Value {
        self.clock += 1;
        let ts_us = BEGINNING_US + self.clock * 1000;
        let change = (event.table, event.op, event.lsn);
        let committed_us = *self.committed.entry(change).or_insert(ts_us - 500);
        let (before, after) = match event.op {
            "d" => (event.row.clone(), Value::Null),
            "t" => (Value::Null, Value::Null),
            _ => (Value::Null, event.row.clone()),
        };
        json!({
            "before": before,
            "after": after,
            "source": {
                "version": "3.6.0.Final", "connector": "postgresql", "name": self.source, "ts_ms": committed_us / 1000,
                "snapshot": if event.op == "r" { "true" } else { "false" }, "db": "airline", "sequence": null,
                "ts_us": committed_us, "ts_ns": committed_us * 1000, "schema": self.schema, "table": event.table,
                "txId": event.lsn, "lsn": event.lsn, "xmin": null, "origin": null, "origin_lsn": null
            },
            "transaction": null,
            "op": event.op,
            "ts_ms": ts_us / 1000,
            "ts_us": ts_us,
            "ts_ns": ts_us * 1000
        })
    }

    /// Lets time pass until so many milliseconds behind the world's beginning; the next event is published then.
    pub(crate) fn time_is(&mut self, milliseconds: i64) {
        self.clock = milliseconds - 1;
    }

    /// From now on the source lives another life: what it commits at a known position is another change.
    pub(crate) fn source_goes_back(&mut self) {
        self.committed.clear();
    }

    /// From now on only what is published then has to be loaded.
    pub(crate) fn forget_published(&mut self) {
        self.published.clear();
    }

    /// Makes a topic again with so many partitions. From now on an event of the table goes to a partition by its key.
    /// The clock of publishing begins again, so the same events are published with the same times.
    pub(crate) async fn spread(&mut self, table: &'static str, partitions: i32) {
        self.make_topic_again_with(table, partitions).await;
        // The one before knows how many partitions the topic had.
        self.producer = producer(&self.bootstrap);
        self.spread.insert(table, partitions);
        self.clock = 0;
    }

    /// The partition of an event.
    fn partition_of(&self, event: &Event, key: Option<&str>) -> i32 {
        let Some(&partitions) = self.spread.get(event.table) else { return event.partition };
        let sum = key.unwrap_or_default().bytes().map(i32::from).sum::<i32>();
        sum % partitions
    }

    /// Deletes a topic and makes it again with one partition, with nothing in it.
    pub(crate) async fn make_topic_again(&mut self, table: &str) {
        self.make_topic_again_with(table, 1).await;
    }

    /// Deletes a topic and makes it again with so many partitions, with nothing in it.
    pub(crate) async fn make_topic_again_with(&mut self, table: &str, partitions: i32) {
        let name = self.topic(table);
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let deleted = self.admin().delete_topics(&[name.as_str()], &options).await.unwrap();
        assert!(deleted[0].is_ok(), "{deleted:?}");
        self.published.retain(|place, _| !place.starts_with(&format!("{name} ")));
        wait_for_async(PATIENCE, "the topic to be made again", async || {
            let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
            let made = self.admin().create_topics(&[topic], &options).await.unwrap();
            made[0].is_ok()
        })
        .await;
    }

    /// Publishes an event, and after a delete its tombstone.
    pub(crate) async fn publish(&mut self, event: Event) {
        let value = self.envelope(&event).to_string();
        let key = record_key(&event).map(|key| key.to_string());
        let old_key = event.old_key.as_ref().map(Value::to_string);
        let topic = self.topic(event.table);
        let partition = self.partition_of(&event, key.as_deref());
        let mut record: FutureRecord<'_, str, [u8]> =
            FutureRecord::to(&topic).partition(partition).payload(value.as_bytes());
        record.key = key.as_deref();
        let headers = [("__debezium.oldkey", &old_key), ("__vaultstream.columns", &event.columns)];
        for (key, value) in headers {
            if value.is_some() {
                let headers = record.headers.take().unwrap_or_default();
                record.headers = Some(headers.insert(Header { key, value: value.as_ref() }));
            }
        }
        self.deliver(record).await;
        if event.op == "d" {
            self.send(event.table, partition, key.as_deref(), None).await;
        }
    }

    pub(crate) async fn publish_all(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.publish(event).await;
        }
    }

    /// Publishes raw bytes.
    pub(crate) async fn send(
        &mut self,
        table: &str,
        partition: i32,
        key: Option<&str>,
        value: Option<&[u8]>,
    ) {
        let topic = self.topic(table);
        let mut record: FutureRecord<'_, str, [u8]> = FutureRecord::to(&topic).partition(partition);
        record.key = key;
        record.payload = value;
        self.deliver(record).await;
    }

    async fn deliver(&mut self, record: FutureRecord<'_, str, [u8]>) {
        let place = format!("{} {}", record.topic, record.partition.unwrap());
        self.producer.send(record, PATIENCE).await.unwrap();
        *self.published.entry(place).or_default() += 1;
    }

    /// Records published to partition 0 of a topic.
    pub(crate) fn published_in(&self, topic: &str) -> i64 {
        self.published.get(&format!("{topic} 0")).copied().unwrap_or_default()
    }

    /// Waits until the warehouse's offsets are behind everything published.
    pub(crate) async fn loaded(&self) {
        self.loaded_into(&self.client).await;
    }

    pub(crate) async fn loaded_into(&self, client: &Client) {
        wait_for_async(PATIENCE, "all events to be loaded", async || {
            let rows = client
                .query(
                    "SELECT topic || ' ' || partition, next_offset FROM dwh_control.offsets",
                    &[],
                )
                .await
                .map_err(|err| err.to_string())?;
            let stored: HashMap<String, i64> =
                rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            let behind = self.published.iter().find(|(key, count)| stored.get(*key) != Some(count));
            match behind {
                None => Ok(true),
                Some((key, count)) => {
                    Err(format!("{key} is at {:?} of {count}; {}", stored.get(key), self.logs()))
                }
            }
        })
        .await;
    }

    /// Waits until the next offset of a table's partition is this one.
    pub(crate) async fn loaded_up_to(&self, table: &str, partition: i32, next: i64) {
        let topic = self.topic(table);
        wait_for_async(PATIENCE, "the offset of one table", async || {
            let sql =
                "SELECT next_offset FROM dwh_control.offsets WHERE topic = $1 AND partition = $2";
            let rows = self.client.query(sql, &[&topic, &partition]).await;
            let rows = rows.map_err(|err| err.to_string())?;
            match rows.first().map(|row| row.get::<_, i64>(0)) {
                Some(found) if found == next => Ok(true),
                found => Err(format!("{topic} is at {found:?}, not at {next}; {}", self.logs())),
            }
        })
        .await;
    }

    /// Waits until the warehouse says that a table stands still, for a reason that contains this text.
    pub(crate) async fn paused(&self, table: &str, reason: &str) {
        let topic = self.topic(table);
        wait_for_async(PATIENCE, "a pause", async || {
            let sql = "SELECT reason FROM dwh_control.paused_tables WHERE topic = $1";
            let rows = self.client.query(sql, &[&topic]).await.map_err(|err| err.to_string())?;
            match rows.first().map(|row| row.get::<_, &str>(0)) {
                Some(found) if found.contains(reason) => Ok(true),
                found => Err(format!("{topic} is paused by {found:?}; {}", self.logs())),
            }
        })
        .await;
    }

    /// Waits until a loader has logged this text.
    pub(crate) async fn logged(&self, name: &str, text: &str) {
        wait_for_async(PATIENCE, text, async || {
            let log = self.log(name);
            if log.contains(text) { Ok(true) } else { Err(log) }
        })
        .await;
    }

    fn logs(&self) -> String {
        let files = std::fs::read_dir(self.dir.path()).unwrap().flatten();
        files
            .filter(|file| file.path().extension().is_some_and(|extension| extension == "log"))
            .map(|file| std::fs::read_to_string(file.path()).unwrap_or_default())
            .collect()
    }

    /// All rows of a query, every value as text, `-` for NULL.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        rows(&self.client, sql).await
    }

    #[track_caller]
    pub(crate) fn assert_rows<'a>(
        &'a self,
        sql: &'a str,
        expected: &'a [&'a str],
    ) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let found = self.rows(sql).await;
            assert!(
                found == expected,
                "{caller}: {sql}\n found {found:#?}\n expected {expected:#?}"
            );
        }
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        self.client.query_one(&sql, &[]).await.unwrap().get(0)
    }

    /// Ends a loader in order.
    pub(crate) fn end(&self, loader: &mut Process) {
        loader.terminate();
        let code = loader.wait_exit(PATIENCE).unwrap();
        assert_eq!(code, 0, "{}", self.logs());
    }
}
