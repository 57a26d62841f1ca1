//! A world of one test: a database, topics, a producer, loaders.
//!
//! In goes a name, out come helpers that publish events and wait until the warehouse says they are loaded.

use std::collections::HashMap;
use std::process::{Command, Output};
use std::time::Duration;

use base64::Engine;
use devstack::shared::{Stack, stack};
use devstack::{Process, ProcessOptions, wait_for_async};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

/// How long anything may take on a busy machine of two cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The shipped model, whose tables all tests use.
pub(crate) const AIRLINE: &str = include_str!("../../connectors/airline/vault.toml");

/// Publish time of the first event of every test.
const BEGINNING_US: i64 = 1_790_000_000_000_000;

pub(crate) struct World {
    pub(crate) stack: &'static Stack,
    pub(crate) source: String,
    pub(crate) database: String,
    pub(crate) model: String,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) client: Client,
    producer: FutureProducer,
    published: HashMap<String, i64>,
    clock: i64,
}

/// A row change to be published.
pub(crate) struct Event {
    pub(crate) table: &'static str,
    pub(crate) op: &'static str,
    pub(crate) lsn: i64,
    pub(crate) row: Value,
    pub(crate) partition: i32,
    /// the key that the row had before, as a header tells it
    pub(crate) old_key: Option<Value>,
}

pub(crate) fn create(table: &'static str, lsn: i64, row: Value) -> Event {
    Event { table, op: "c", lsn, row, partition: 0, old_key: None }
}

pub(crate) fn update(table: &'static str, lsn: i64, row: Value) -> Event {
    Event { op: "u", ..create(table, lsn, row) }
}

pub(crate) fn read(table: &'static str, row: Value) -> Event {
    Event { op: "r", ..create(table, 1, row) }
}

pub(crate) fn delete(table: &'static str, lsn: i64, row: Value) -> Event {
    Event { op: "d", ..create(table, lsn, row) }
}

pub(crate) fn truncate(table: &'static str, lsn: i64) -> Event {
    Event { op: "t", ..create(table, lsn, Value::Null) }
}

pub(crate) fn airport(code: &str, city: &str) -> Value {
    json!({"airport_code": code, "airport_name": format!("{city} airport"), "city": city,
           "longitude": 37.5, "latitude": -1.0E-7, "timezone": "Europe/Moscow"})
}

pub(crate) fn ticket(number: &str, passenger: &str, contact: &Value) -> Value {
    json!({"ticket_no": number, "book_ref": "00000F", "passenger_id": passenger,
           "passenger_name": "A NAME", "contact_data": contact})
}

/// `amount` is the unscaled number: 1250 is 12.50.
pub(crate) fn booking(reference: &str, amount: i64) -> Value {
    let bytes = amount.to_be_bytes();
    let amount = base64::engine::general_purpose::STANDARD.encode(bytes);
    json!({"book_ref": reference, "book_date": "2026-01-02T03:04:05.000001Z", "total_amount": amount})
}

pub(crate) fn flight(id: i64, aircraft: &str, status: &str) -> Value {
    json!({"flight_id": id, "flight_no": "PG0001", "scheduled_departure": "2026-01-02T00:00:00Z",
           "scheduled_arrival": "2026-01-02T02:00:00Z", "departure_airport": "SVO", "arrival_airport": "LED",
           "status": status, "aircraft_code": aircraft, "actual_departure": null, "actual_arrival": null})
}

/// Connects as the superuser.
pub(crate) async fn connect(stack: &Stack, database: &str) -> Client {
    let options = stack.warehouse.superuser(database);
    let (client, connection) = tokio_postgres::connect(&options, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

impl World {
    /// A database with the migrated airline vault, and nothing in it.
    pub(crate) async fn new(name: &str) -> Self {
        let world = Self::unmigrated(name).await;
        let output = world.command(&["migrate"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        world
    }

    pub(crate) async fn unmigrated(name: &str) -> Self {
        let stack = stack();
        let unique: u32 = std::process::id();
        let source = format!("vl-{name}-{unique}");
        let database = format!("vl_{name}_{unique}");
        stack.warehouse.create_database(&database).unwrap();
        let client = connect(stack, &database).await;
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &stack.kafka_bootstrap)
            .set("enable.idempotence", "true")
            .create()
            .unwrap();
        let model = AIRLINE.replacen("name = \"airline\"", &format!("name = \"{source}\""), 1);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("vault.toml"), &model).unwrap();
        Self {
            stack,
            source,
            database,
            model,
            dir,
            client,
            producer,
            published: HashMap::new(),
            clock: 0,
        }
    }

    pub(crate) fn topic(&self, table: &str) -> String {
        format!("{}.public.{table}", self.source)
    }

    pub(crate) async fn create_topic(&self, table: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.stack.kafka_bootstrap)
            .create()
            .unwrap();
        let name = self.topic(table);
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        let created = admin.create_topics(&[topic], &AdminOptions::new()).await.unwrap();
        assert!(created[0].is_ok(), "{created:?}");
    }

    /// Variables of the loader; `user` is the superuser, who also is the table's owner here.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let warehouse = &self.stack.warehouse;
        [
            ("VAULT_LOADER_MODEL", self.dir.path().join("vault.toml").display().to_string()),
            ("VAULT_LOADER__BOOTSTRAP_SERVERS", self.stack.kafka_bootstrap.clone()),
            ("VAULT_LOADER__DATABASE__HOST", warehouse.host.clone()),
            ("VAULT_LOADER__DATABASE__PORT", warehouse.port.to_string()),
            ("VAULT_LOADER__DATABASE__NAME", self.database.clone()),
            ("VAULT_LOADER__DATABASE__USER", warehouse.user.clone()),
            ("VAULT_LOADER__DATABASE__PASSWORD", warehouse.password.clone()),
            ("VAULT_LOADER__LISTEN", "127.0.0.1:0".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
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
        let (before, after) = match event.op {
            "d" => (event.row.clone(), Value::Null),
            "t" => (Value::Null, Value::Null),
            _ => (Value::Null, event.row.clone()),
        };
        json!({
            "before": before,
            "after": after,
            "source": {
                "version": "3.6.0.Final", "connector": "postgresql", "name": self.source, "ts_ms": ts_us / 1000 - 1,
                "snapshot": if event.op == "r" { "true" } else { "false" }, "db": "airline", "sequence": null,
                "ts_us": ts_us - 500, "ts_ns": (ts_us - 500) * 1000, "schema": "public", "table": event.table,
                "txId": event.lsn, "lsn": event.lsn, "xmin": null, "origin": null, "origin_lsn": null
            },
            "transaction": null,
            "op": event.op,
            "ts_ms": ts_us / 1000,
            "ts_us": ts_us,
            "ts_ns": ts_us * 1000
        })
    }

    /// Publishes an event, and after a delete its tombstone.
    pub(crate) async fn publish(&mut self, event: Event) {
        let value = self.envelope(&event).to_string();
        let key = (event.op != "t").then(|| event.row.to_string());
        let old_key = event.old_key.as_ref().map(Value::to_string);
        let topic = self.topic(event.table);
        let mut record: FutureRecord<'_, str, [u8]> =
            FutureRecord::to(&topic).partition(event.partition).payload(value.as_bytes());
        record.key = key.as_deref();
        record.headers = old_key.as_ref().map(|old| {
            let key = "__debezium.oldkey";
            OwnedHeaders::new().insert(Header { key, value: Some(old) })
        });
        self.deliver(record).await;
        if event.op == "d" {
            self.send(event.table, event.partition, key.as_deref(), None).await;
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

pub(crate) async fn rows(client: &Client, sql: &str) -> Vec<String> {
    let wrapped = format!("SELECT t::text FROM ({sql}) AS t");
    client.query(&wrapped, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// One line for each vault table: its row count and a checksum over all its rows in order.
pub(crate) async fn fingerprint(client: &Client) -> Vec<String> {
    let tables = rows(
        client,
        "SELECT tablename FROM pg_tables WHERE schemaname = 'dwh_detailed' ORDER BY tablename",
    )
    .await;
    let mut lines = Vec::new();
    for table in tables {
        let table = table.trim_matches(['(', ')']);
        let sql = format!(
            "SELECT '{table}', count(*), md5(string_agg(v::text, E'\\n' ORDER BY v::text COLLATE \"C\"))
             FROM dwh_detailed.{table} AS v"
        );
        lines.extend(rows(client, &sql).await);
    }
    lines
}
