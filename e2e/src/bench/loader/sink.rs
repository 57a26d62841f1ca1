//! Debezium's JDBC sink as a contender: the same rows into one plain table. It builds no vault.
//!
//! In: the source's segments, a broker. Out: a topic of them with schemas, and what the sink took to write it.
//! Invariant: the worker runs before the clock starts. A load counts only if the last row of each partition is written
//! (again, in repeats) and the table has exactly the source's rows.
//!
//! The sink knows a row's columns only from a schema in each record, which `cdc-reader` does not write. So a real
//! Debezium publishes the same segments, with schemas, to a topic of the same number of partitions before anything is
//! measured, and the worker starts anew afterwards. The sink reads that one topic; its consumer group is new each time.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use devstack::{Connect, ConnectOptions};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::place::Place;
use super::prepared::TABLE;
use super::run::{Measured, Tuning};
use super::scenario::Scenario;
use super::work::{Size, Work};
use crate::airline::topic;
use crate::bench::airline;
use crate::bench::interrupt::wait;
use crate::bench::sql::Sql;
use crate::bench::usage::Usage;

/// Prefix of the topic with schemas, and its connector's name.
const PREFIX: &str = "schemas";

/// The heap of the worker.
const HEAP_MIB: u32 = 2048;

/// How long the broker may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What reads and writes JSON with schemas.
const CONVERTER: &str = "org.apache.kafka.connect.json.JsonConverter";

/// How often a running sink is asked whether it has failed.
const ASK_EVERY: f64 = 1.0;

/// The plain table, with the source's columns and key.
const PLAIN_TABLE: &str = "
CREATE TABLE ticket_flights (
    ticket_no char(13) NOT NULL,
    flight_id integer NOT NULL,
    fare_conditions varchar(10) NOT NULL,
    amount numeric(10, 2) NOT NULL,
    PRIMARY KEY (ticket_no, flight_id)
)";

/// What makes the sink write a row for each key; without it, it would write a row for each event.
const UPSERT: [(&str, &str); 2] = [("insert.mode", "upsert"), ("primary.key.mode", "record_key")];

/// Large batches, one statement for each, and a consumer that fills them.
const TUNING: [(&str, &str); 4] = [
    ("batch.size", "5000"),
    ("dialect.postgres.unnest.insert.enabled", "true"),
    ("consumer.override.max.poll.records", "5000"),
    ("consumer.override.max.partition.fetch.bytes", "16777216"),
];

/// A worker that runs, and a topic for it.
pub(super) struct Sink {
    connect: Connect,
    /// The key of the last row of each partition.
    last_keys: Vec<(String, i64)>,
}

/// The table of one contender.
pub(super) struct PlainTable<'p> {
    place: &'p Place,
    database: String,
    sql: Sql,
}

impl Sink {
    /// Lets Debezium publish the segments, and starts a worker for the sink.
    pub(super) fn prepare(place: &Place, work: Work, partitions: i32) -> anyhow::Result<Self> {
        let options = ConnectOptions::new(&place.kafka.bootstrap())
            .dir(place.dir.path().join("connect"))
            .heap_megabytes(HEAP_MIB)
            .quick_start(false)
            .jdbc_sink(true);
        let mut connect = Connect::start(options)?;
        connect.rest().create(&source(place, partitions)?)?;
        let name = topic(PREFIX, TABLE);
        let ends = wait(place.patience, &format!("{} records of {name}", work.rows), || {
            let ends = place.topics.ends(&name, partitions)?;
            Ok((ends.iter().sum::<i64>() >= i64::try_from(work.rows)?).then_some(ends))
        })?;
        connect.rest().delete(PREFIX)?;
        anyhow::ensure!(
            ends.iter().sum::<i64>() == i64::try_from(work.rows)?,
            "{name} has {ends:?} records"
        );
        let last_keys = last_keys(place, &name, &ends)?;
        // What Debezium needed is no part of the sink's memory.
        connect.stop()?;
        connect.start_again()?;
        Ok(Self { connect, last_keys })
    }

    /// Lets the sink write the topic to a table.
    pub(super) fn load(
        &self,
        table: &PlainTable<'_>,
        tuning: Tuning,
        scenario: Scenario,
        size: Size,
    ) -> anyhow::Result<Measured> {
        let place = table.place;
        let rows_before = table.rows()?;
        let before = table.transactions(&self.last_keys)?;
        let connector = self.connector(table, tuning, scenario);
        let rest = self.connect.rest();
        let pid = self.connect.identity()?.pid;
        let used_before = Usage::of(pid).context("Kafka Connect does not run")?;
        let clock = place.clock(&table.sql)?;
        rest.create(&connector)?;
        let mut first_commit_seconds = None;
        let (name, mut asked) = (connector["name"].as_str().unwrap_or_default(), 0.0);
        wait(place.patience, "the sink to write every row", || {
            if clock.seconds() - asked > ASK_EVERY {
                asked = clock.seconds();
                self.require_running(name)?;
            }
            if first_commit_seconds.is_none() && table.is_written()? {
                first_commit_seconds = Some(clock.seconds());
            }
            let now = table.transactions(&self.last_keys)?;
            let is_newer =
                |key: &(String, i64)| now.contains_key(key) && now.get(key) != before.get(key);
            Ok(self.last_keys.iter().all(is_newer).then_some(()))
        })?;
        let cost = clock.stop()?;
        let usage = Usage::of(pid).context("Kafka Connect has ended")?.since(&used_before);
        rest.delete(name)?;
        let rows = table.rows()?;
        anyhow::ensure!(
            rows == size.events,
            "the table has {rows} rows instead of {}",
            size.events
        );
        let first_commit_seconds = first_commit_seconds.filter(|_| scenario == Scenario::First);
        Ok(Measured { cost, usage, first_commit_seconds, rows: rows - rows_before })
    }

    /// An error when the connector's task has ended.
    fn require_running(&self, name: &str) -> anyhow::Result<()> {
        let status = self.connect.rest().status(name)?;
        let task = &status["tasks"][0];
        let trace = task["trace"].as_str().unwrap_or("no trace");
        anyhow::ensure!(task["state"] != "FAILED", "connector {name} has failed: {trace}");
        Ok(())
    }

    fn connector(&self, table: &PlainTable<'_>, tuning: Tuning, scenario: Scenario) -> Value {
        let server = table.place.warehouse.address();
        let url = format!("jdbc:postgresql://{}:{}/{}", server.host, server.port, table.database);
        let mut config = json!({
            "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
            "tasks.max": "1",
            "topics": topic(PREFIX, TABLE),
            "connection.url": url,
            "connection.username": server.user,
            "connection.password": server.password,
            "collection.name.format": TABLE,
            "key.converter": CONVERTER,
            "key.converter.schemas.enable": "true",
            "value.converter": CONVERTER,
            "value.converter.schemas.enable": "true",
            // A new group reads from the beginning.
            "consumer.override.auto.offset.reset": "earliest",
        });
        let tuning: &[(&str, &str)] = if tuning == Tuning::Large { &TUNING } else { &[] };
        for (name, value) in UPSERT.iter().chain(tuning) {
            config[*name] = json!(value);
        }
        json!({ "name": format!("{}-{}", table.database, scenario.title()).replace(' ', "-"), "config": config })
    }
}

/// The connector that publishes the segments with schemas, once.
fn source(place: &Place, partitions: i32) -> anyhow::Result<Value> {
    let partitions = partitions.to_string();
    let changes = [
        ("topic.prefix", PREFIX),
        ("slot.name", PREFIX),
        ("snapshot.mode", "initial_only"),
        ("table.include.list", "public.ticket_flights"),
        ("heartbeat.interval.ms", "0"),
        ("key.converter.schemas.enable", "true"),
        ("value.converter.schemas.enable", "true"),
        ("topic.creation.default.partitions", partitions.as_str()),
        ("topic.creation.default.replication.factor", "1"),
    ];
    let mut connector = airline::connector(place.source.address(), PREFIX, &changes)?;
    // Debezium does not know the properties that our reader has beside its own.
    if let Some(config) = connector["config"].as_object_mut() {
        config.retain(|property, _| !property.starts_with("vaultstream."));
    }
    Ok(connector)
}

/// The key of the last record of each partition that has any.
fn last_keys(place: &Place, name: &str, ends: &[i64]) -> anyhow::Result<Vec<(String, i64)>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", place.kafka.bootstrap())
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .create()
        .context("cannot make a consumer")?;
    let mut list = TopicPartitionList::new();
    for (partition, end) in ends.iter().enumerate().filter(|(_, end)| **end > 0) {
        list.add_partition_offset(name, i32::try_from(partition)?, Offset::Offset(end - 1))?;
    }
    consumer.assign(&list)?;
    let mut keys = BTreeMap::new();
    while keys.len() < list.count() {
        let message = consumer.poll(TIMEOUT).with_context(|| format!("{name} is silent"))??;
        let key: Value = serde_json::from_slice(message.key().context("a record without a key")?)?;
        let (ticket, flight) = (&key["payload"]["ticket_no"], &key["payload"]["flight_id"]);
        let ticket = ticket.as_str().context("a key without a ticket")?.to_owned();
        let flight = flight.as_i64().context("a key without a flight")?;
        keys.insert(message.partition(), (ticket, flight));
    }
    Ok(keys.into_values().collect())
}

impl<'p> PlainTable<'p> {
    /// Makes an empty table in a database of its own.
    pub(super) fn create(place: &'p Place, name: &str) -> anyhow::Result<Self> {
        let (server, database) = (place.warehouse.address(), format!("plain_{name}"));
        server.create_database(&database)?;
        let sql = Sql::connect(&server.superuser(&database))?;
        sql.execute(PLAIN_TABLE)?;
        Ok(Self { place, database, sql })
    }

    fn rows(&self) -> anyhow::Result<u64> {
        let rows: i64 = self.sql.value("SELECT count(*) FROM ticket_flights")?;
        Ok(u64::try_from(rows)?)
    }

    fn is_written(&self) -> anyhow::Result<bool> {
        self.sql.value("SELECT EXISTS (SELECT FROM ticket_flights)")
    }

    /// Which transaction has written each of the rows that are there.
    fn transactions(
        &self,
        keys: &[(String, i64)],
    ) -> anyhow::Result<BTreeMap<(String, i64), String>> {
        let mut found = BTreeMap::new();
        for (ticket, flight) in keys {
            let query = format!(
                "SELECT xmin::text FROM ticket_flights WHERE ticket_no = '{ticket}' AND flight_id = {flight}"
            );
            let transactions = self.sql.values::<String>(&query)?;
            found.extend(transactions.into_iter().map(|by| ((ticket.clone(), *flight), by)));
        }
        Ok(found)
    }

    /// Removes the database.
    pub(super) fn drop(self) -> anyhow::Result<()> {
        let Self { place, database, sql } = self;
        drop(sql);
        Sql::connect(&place.warehouse.address().superuser("postgres"))?
            .execute(&format!("DROP DATABASE {database} WITH (FORCE)"))
    }
}
