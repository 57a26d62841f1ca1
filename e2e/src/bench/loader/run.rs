//! Who is measured, and what a measurement says.
//!
//! Out: contenders by their names on the command line, and figures as they stand in a report.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::place::Cost;
use super::scenario::Scenario;
use crate::bench::usage::Usage;

/// A contender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Contender {
    /// The rows that the loader has written, copied into the same tables: the limit
    Copy,
    /// vault-loader with one writer
    #[value(name = "loader-1")]
    #[serde(rename = "loader-1")]
    OneWriter,
    /// vault-loader with two writers in one process
    #[value(name = "loader-2")]
    #[serde(rename = "loader-2")]
    TwoWriters,
    /// Two processes of vault-loader in one consumer group, with one writer each
    #[value(name = "loader-2-processes")]
    #[serde(rename = "loader-2-processes")]
    TwoProcesses,
    /// Debezium's JDBC sink into a plain table, as it comes
    SinkDefault,
    /// The same with large batches and unnest
    SinkTuned,
}

impl Contender {
    /// In the order of a round.
    pub(super) const ALL: [Self; 6] = [
        Self::Copy,
        Self::OneWriter,
        Self::TwoWriters,
        Self::TwoProcesses,
        Self::SinkDefault,
        Self::SinkTuned,
    ];

    /// What kind it is.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Copy => Kind::Copy,
            Self::OneWriter => Kind::Loader(Team::ONE),
            Self::TwoWriters => Kind::Loader(Team { processes: 1, writers: 2 }),
            Self::TwoProcesses => Kind::Loader(Team { processes: 2, writers: 1 }),
            Self::SinkDefault => Kind::Sink(Tuning::Default),
            Self::SinkTuned => Kind::Sink(Tuning::Large),
        }
    }

    /// What the table calls it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Copy => "bare COPY",
            Self::OneWriter => "vault-loader, 1 writer",
            Self::TwoWriters => "vault-loader, 2 writers",
            Self::TwoProcesses => "vault-loader, 2 processes",
            Self::SinkDefault => "JDBC sink, default",
            Self::SinkTuned => "JDBC sink, tuned",
        }
    }

    /// A word for names of databases and topics.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::OneWriter => "loader1",
            Self::TwoWriters => "loader2",
            Self::TwoProcesses => "loader2p",
            Self::SinkDefault => "sink",
            Self::SinkTuned => "sink_tuned",
        }
    }
}

/// What kind of contender it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Copy,
    Loader(Team),
    Sink(Tuning),
}

/// Who loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Team {
    /// processes of one consumer group
    pub(super) processes: u16,
    /// writers in each of them
    pub(super) writers: u16,
}

impl Team {
    /// One process with one writer.
    pub(super) const ONE: Self = Self { processes: 1, writers: 1 };
}

/// How the sink is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tuning {
    /// As it comes, with upserts.
    Default,
    /// With large batches and one statement for each.
    Large,
}

/// What one load took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Measured {
    /// Time, and what the servers have used.
    #[serde(flatten)]
    pub(super) cost: Cost,
    /// What the program has used.
    pub(super) usage: Usage,
    /// Until the first rows were committed: what starting took. Nothing where there is nothing to start.
    pub(super) first_commit_seconds: Option<f64>,
    /// Rows that the tables have more.
    pub(super) rows: u64,
}

/// One load of one contender in one round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) contender: Contender,
    pub(super) scenario: Scenario,
    pub(super) round: u16,
    /// Changes of rows at the source.
    pub(super) events: u64,
    #[serde(flatten)]
    pub(super) measured: Measured,
}
