//! The servers of the menu: a primary and its replicas, each in the roles that the menu needs there.
//!
//! In: addresses and roles. Out: servers that connect when they are first asked. On the primary the application's role
//! writes and reads. A replica is read as `read_replica`. An operator's role, where one is given, looks at all of
//! `pg_stat_replication`, pauses replay and sets whom commits wait for.

use std::time::Duration;

use super::report::{Report, Tone};
use super::server::{Server, ServerName, Trace, lock};
use crate::database::Database;

/// What is said where an operator would be needed.
pub(super) const NO_OPERATOR: &str =
    "This needs an operator's role: give the menu BOOKING_OPERATOR_PASSWORD.";

/// A role with its password.
#[derive(Clone)]
pub struct Operator {
    /// The role's name.
    pub user: String,
    /// Its password.
    pub password: String,
}

/// Where the servers are, and how long the menu waits.
pub struct MenuOptions {
    /// The primary, as a role that may write bookings.
    pub primary: Database,
    /// The replicas, as a role that may read.
    pub replicas: Vec<(ServerName, Database)>,
    /// The role that steers replication on all servers.
    pub operator: Option<Operator>,
    /// How long a server may take to answer.
    pub patience: Duration,
    /// How long a commit may wait for replicas.
    pub commit_patience: Duration,
    /// Whether the SQL is shown from the beginning.
    pub show_sql: bool,
}

/// A replica in the roles that the menu takes on it.
pub(super) struct Replica {
    /// Reads.
    pub(super) reader: Server,
    /// Pauses and resumes.
    pub(super) operator: Option<Server>,
    /// Tries to write: the role that may on the primary.
    pub(super) writer: Server,
}

impl Replica {
    pub(super) fn name(&self) -> &ServerName {
        self.reader.name()
    }
}

/// All servers, and how commits are made.
pub(super) struct Fleet {
    pub(super) primary: Server,
    pub(super) operator: Option<Server>,
    pub(super) replicas: Vec<Replica>,
    /// `synchronous_commit` of the menu's transactions.
    pub(super) commit_level: &'static str,
    pub(super) commit_patience: Duration,
    trace: Trace,
}

impl Fleet {
    pub(super) fn new(options: MenuOptions) -> Self {
        let MenuOptions { primary, replicas, operator, patience, commit_patience, .. } = options;
        let trace = Trace::default();
        let server = |name: &ServerName, database: Database| {
            Server::new(name.clone(), database, patience, Trace::clone(&trace))
        };
        let steered = |name: &ServerName, database: &Database| {
            let operator = operator.as_ref()?;
            Some(server(name, database.with_role(&operator.user, &operator.password)))
        };
        let name = ServerName::primary();
        let replicas = replicas
            .into_iter()
            .map(|(name, database)| Replica {
                operator: steered(&name, &database),
                writer: server(&name, database.with_role_of(&primary)),
                reader: server(&name, database),
            })
            .collect();
        Self {
            operator: steered(&name, &primary),
            primary: server(&name, primary),
            replicas,
            commit_level: "on",
            commit_patience,
            trace: Trace::clone(&trace),
        }
    }

    /// The servers that can be read, the primary first.
    pub(super) fn names(&self) -> Vec<ServerName> {
        std::iter::once(self.primary.name())
            .chain(self.replicas.iter().map(Replica::name))
            .cloned()
            .collect()
    }

    /// The names of the replicas.
    pub(super) fn replica_names(&self) -> Vec<ServerName> {
        self.replicas.iter().map(|replica| replica.name().clone()).collect()
    }

    /// Forgets what was sent.
    pub(super) fn forget(&self) {
        lock(&self.trace).clear();
    }

    /// Adds what was sent since [`Fleet::forget`] to a report: each text once, with all the servers that got it.
    pub(super) fn show_sql(&self, report: &mut Report) {
        let sent = std::mem::take(&mut *lock(&self.trace));
        let mut shown: Vec<(String, Vec<ServerName>)> = Vec::new();
        for (server, text) in sent {
            match shown.iter_mut().find(|(known, _)| *known == text) {
                Some((_, servers)) if servers.contains(&server) => {}
                Some((_, servers)) => servers.push(server),
                None => shown.push((text, vec![server])),
            }
        }
        let mut said = String::new();
        for (text, servers) in shown {
            let names: Vec<String> = servers.iter().map(ToString::to_string).collect();
            let places = format!("SQL to {}:", names.join(", "));
            if places != said {
                report.add(Tone::Title, places.clone());
                said = places;
            }
            for line in text.lines() {
                report.add(Tone::Sql, format!("    {line}"));
            }
        }
    }
}
