//! The programs that read the WAL.
//!
//! In: the servers, the work, a slot of its own. Out: what reading it to the end took.
//! Invariant: the clock starts before the program does (for Debezium: before its connector is made, in a worker that
//! runs), and stops when the last event is where the contender puts it: written to its output, or acknowledged by the
//! broker.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use clap::ValueEnum;
use devstack::{Connect, ConnectOptions, Kafka, Postgres, Process, ProcessOptions, client_binary};
use serde::Serialize;

use super::work::{Slot, Work};
use crate::airline::topic as topic_of;
use crate::bench::airline::{self, DATABASE, PASSWORD, PUBLICATION, READER};
use crate::bench::interrupt::{Patience, wait};
use crate::bench::topics::Topics;
use crate::bench::usage::Usage;

/// Debezium's producer and ours: the same batches, the same compression.
const PRODUCER: [(&str, &str); 3] = [
    ("producer.override.compression.type", "lz4"),
    ("producer.override.linger.ms", "10"),
    ("producer.override.batch.size", "1048576"),
];

/// Debezium as far as it goes: larger batches and queues than its defaults, and no idle half second between two
/// batches.
const DEBEZIUM_TUNING: [(&str, &str); 3] =
    [("max.batch.size", "20480"), ("max.queue.size", "81920"), ("poll.interval.ms", "10")];

/// The heap of Debezium's worker.
const DEBEZIUM_HEAP_MIB: u32 = 2048;

/// A contender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Contender {
    /// PostgreSQL's own client over TCP, output thrown away: the measure of all
    RecvlogicalTcp,
    /// The same over the Unix socket
    RecvlogicalUnix,
    /// cdc-reader over TCP, into Kafka
    CdcReaderTcp,
    /// cdc-reader over the Unix socket, into Kafka
    CdcReaderUnix,
    /// The build of --other over TCP, into Kafka
    OtherReaderTcp,
    /// The build of --other over the Unix socket, into Kafka
    OtherReaderUnix,
    /// Debezium over TCP, into Kafka
    Debezium,
}

impl Contender {
    /// What the table calls it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::RecvlogicalTcp => "pg_recvlogical, TCP",
            Self::RecvlogicalUnix => "pg_recvlogical, Unix socket",
            Self::CdcReaderTcp => "cdc-reader, TCP",
            Self::CdcReaderUnix => "cdc-reader, Unix socket",
            Self::OtherReaderTcp => "other cdc-reader, TCP",
            Self::OtherReaderUnix => "other cdc-reader, Unix socket",
            Self::Debezium => "Debezium, TCP",
        }
    }

    /// A word for names of slots and topics.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::RecvlogicalTcp => "recvlogical_tcp",
            Self::RecvlogicalUnix => "recvlogical_unix",
            Self::CdcReaderTcp => "reader_tcp",
            Self::CdcReaderUnix => "reader_unix",
            Self::OtherReaderTcp => "other_tcp",
            Self::OtherReaderUnix => "other_unix",
            Self::Debezium => "debezium",
        }
    }
}

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drained {
    /// Until the last event was where it belongs.
    pub(super) seconds: f64,
    /// Until the first event was in Kafka: what starting took.
    pub(super) first_event_seconds: Option<f64>,
    /// Until the server had heard of it; nothing where that is not waited for.
    pub(super) confirmed_seconds: Option<f64>,
    /// What the program used until then.
    pub(super) usage: Usage,
}

/// Where contenders run.
pub(super) struct Arena<'a> {
    pub(super) source: &'a Postgres,
    pub(super) kafka: &'a Kafka,
    pub(super) connect: Option<&'a Connect>,
    pub(super) topics: &'a Topics,
    pub(super) work: &'a Work,
    /// This build of `cdc-reader`.
    pub(super) reader: &'a Path,
    /// The build that `--other` names.
    pub(super) other_reader: Option<&'a Path>,
    /// Further properties of the connectors; they win over the bench's own.
    pub(super) producer: &'a [(String, String)],
    pub(super) dir: &'a Path,
    pub(super) patience: Patience,
}

/// Starts the worker that Debezium runs in.
pub(super) fn start_connect(kafka: &Kafka, dir: &Path) -> anyhow::Result<Connect> {
    let options = ConnectOptions::new(&kafka.bootstrap())
        .dir(dir.join("connect"))
        .heap_megabytes(DEBEZIUM_HEAP_MIB)
        .quick_start(false);
    Connect::start(options)
}

impl Arena<'_> {
    /// Lets one contender read everything.
    pub(super) fn drain(&self, contender: Contender, slot: &Slot<'_>) -> anyhow::Result<Drained> {
        let address = self.source.address();
        let socket = address.socket_dir.display().to_string();
        match contender {
            Contender::RecvlogicalTcp => self.recvlogical(&address.host, slot),
            Contender::RecvlogicalUnix => self.recvlogical(&socket, slot),
            Contender::CdcReaderTcp => self.cdc_reader(self.reader, &address.host, slot),
            Contender::CdcReaderUnix => self.cdc_reader(self.reader, &socket, slot),
            Contender::OtherReaderTcp => self.cdc_reader(self.other()?, &address.host, slot),
            Contender::OtherReaderUnix => self.cdc_reader(self.other()?, &socket, slot),
            Contender::Debezium => self.debezium(slot),
        }
    }

    /// It ends by itself once it has written everything and told the server so.
    fn recvlogical(&self, host: &str, slot: &Slot<'_>) -> anyhow::Result<Drained> {
        let options =
            ProcessOptions::new(client_binary("pg_recvlogical")?, self.dir.join("recvlogical.log"))
                .args(["--start", "--no-loop", "--file=/dev/null", "--fsync-interval=0"])
                .args(["--host", host, "--port", &self.source.port().to_string()])
                .args(["--username", READER, "--dbname", DATABASE, "--slot", &slot.name])
                .args(["--endpos", &self.work.end_lsn])
                .args(["--option", "proto_version=1"])
                .args(["--option", &format!("publication_names={PUBLICATION}")])
                .env("PGPASSWORD", PASSWORD);
        let started = Instant::now();
        let mut process = Process::start(&options)?;
        let pid = process.pid();
        let mut usage = Usage::default();
        let code = wait(self.patience, "pg_recvlogical to end", || {
            // The last look before its end: at most one pause too early.
            usage = Usage::of(pid).unwrap_or(usage);
            process.exit_code()
        })?;
        let seconds = started.elapsed().as_secs_f64();
        anyhow::ensure!(
            code == 0,
            "pg_recvlogical ended with exit code {code}; {}",
            airline::log_end(process.log())
        );
        self.require_confirmed(slot)?;
        Ok(Drained { seconds, first_event_seconds: None, confirmed_seconds: Some(seconds), usage })
    }

    fn other(&self) -> anyhow::Result<&Path> {
        self.other_reader.context("--other does not name another build of cdc-reader")
    }

    fn cdc_reader(&self, program: &Path, host: &str, slot: &Slot<'_>) -> anyhow::Result<Drained> {
        let connector = self.connector(slot, &[("database.hostname", host)])?;
        let started = Instant::now();
        let mut process = airline::start_reader(program, self.kafka, &connector, self.dir)?;
        let first = self
            .wait_for_events(slot, || airline::require_alive(&mut process, "cdc-reader"))
            .with_context(|| airline::log_end(process.log()))?;
        let seconds = started.elapsed().as_secs_f64();
        let usage = Usage::of(process.pid()).context("cdc-reader ended too early")?;
        self.require_confirmed(slot)?;
        let confirmed_seconds = Some(started.elapsed().as_secs_f64());
        airline::end(process, "cdc-reader")?;
        self.require_exact(slot)?;
        let first_event_seconds = Some((first - started).as_secs_f64());
        Ok(Drained { seconds, first_event_seconds, confirmed_seconds, usage })
    }

    fn debezium(&self, slot: &Slot<'_>) -> anyhow::Result<Drained> {
        let connect = self.connect.context("Debezium's worker does not run")?;
        let rest = connect.rest();
        let connector = self.connector(slot, &DEBEZIUM_TUNING)?;
        let name = connector["name"].as_str().context("a connector without a name")?;
        let pid = connect.identity()?.pid;
        let before = Usage::of(pid).context("kafka connect has ended")?;
        let started = Instant::now();
        rest.create(&connector)?;
        let first = self
            .wait_for_events(slot, || {
                anyhow::ensure!(Usage::of(pid).is_some(), "kafka connect has ended");
                Ok(())
            })
            .with_context(|| airline::log_end(&connect.log()))?;
        let seconds = started.elapsed().as_secs_f64();
        let usage = Usage::of(pid).context("kafka connect has ended")?.since(&before);
        rest.delete(name)?;
        self.require_exact(slot)?;
        // It confirms positions of rows, which lie before their commit, and none further until more changes come.
        let first_event_seconds = Some((first - started).as_secs_f64());
        Ok(Drained { seconds, first_event_seconds, confirmed_seconds: None, usage })
    }

    fn connector(
        &self,
        slot: &Slot<'_>,
        changes: &[(&str, &str)],
    ) -> anyhow::Result<serde_json::Value> {
        let own = [
            ("topic.prefix", slot.name.as_str()),
            ("slot.name", &slot.name),
            ("snapshot.mode", "no_data"),
        ];
        let all: Vec<(&str, &str)> = own
            .into_iter()
            .chain(PRODUCER)
            .chain(changes.iter().copied())
            .chain(self.producer.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .collect();
        let mut connector = airline::connector(self.source.address(), &slot.name, &all)?;
        // Every contender makes the same events. Neither Debezium nor an older build of the reader knows the properties
        // that the reader has beside Debezium's.
        if let Some(config) = connector["config"].as_object_mut() {
            config.retain(|property, _| !property.starts_with("vaultstream."));
        }
        Ok(connector)
    }

    /// Waits until everything is in Kafka; returns when the first event was seen there.
    fn wait_for_events(
        &self,
        slot: &Slot<'_>,
        mut alive: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Instant> {
        let topic = topic_of(&slot.name, "ticket_flights");
        let what = format!("{} events in topic {topic}", self.work.events());
        let mut first = None;
        wait(self.patience, &what, || {
            alive()?;
            let events = self.topics.events(&topic)?;
            if events > 0 && first.is_none() {
                first = Some(Instant::now());
            }
            Ok(first.filter(|_| events >= self.work.events()))
        })
    }

    /// The server has heard that all of it was read.
    fn require_confirmed(&self, slot: &Slot<'_>) -> anyhow::Result<()> {
        let what = format!("slot {} to be confirmed to the end", slot.name);
        wait(self.patience, &what, || Ok(slot.is_confirmed(self.work)?.then_some(())))
    }

    /// Nothing has arrived twice.
    fn require_exact(&self, slot: &Slot<'_>) -> anyhow::Result<()> {
        let topic = topic_of(&slot.name, "ticket_flights");
        let events = self.topics.events(&topic)?;
        anyhow::ensure!(
            events == self.work.events(),
            "topic {topic} holds {events} events instead of {}",
            self.work.events()
        );
        Ok(())
    }
}
