//! Turns a table that the stream announces into the compiled plan for its rows.
//!
//! In: a relation, as pgoutput sends it before the first row of each version of a table. The catalog adds what the
//! relation does not say. Out: the table's plan with its topic, or the decision that the table is not captured.

use std::collections::HashMap;

use super::capture::Capture;
use super::topics::TopicTables;
use crate::catalog::{self, TableHead};
use crate::context::Context;
use crate::envelope::TableInfo;
use crate::error::SessionError;
use crate::one_server::OneServer;
use crate::pgoutput::Relation;
use crate::replication::{Client, Mode, ReplicationError, WaitLimit};

/// A relation as the stream announced it.
enum Announced {
    Captured(Box<Capture>),
    /// Published but not captured.
    Ignored,
}

/// The relations that one stream has announced.
pub(crate) struct Relations<'s> {
    context: &'s Context,
    server: &'s OneServer,
    /// For questions to the catalog.
    sql: &'s mut Client,
    topics: TopicTables,
    announced: HashMap<u32, Announced>,
}

impl<'s> Relations<'s> {
    /// No relation has been announced yet. `tables` are known from the start of the session.
    pub(crate) fn new(
        context: &'s Context,
        server: &'s OneServer,
        sql: &'s mut Client,
        tables: &'s [TableHead],
    ) -> Self {
        let topics = TopicTables::of(&context.connector.settings.topic_prefix, tables);
        Self { context, server, sql, topics, announced: HashMap::new() }
    }

    /// Takes a new version of a table: its plan is compiled anew.
    pub(crate) fn announce(&mut self, relation: &Relation<'_>) -> Result<(), SessionError> {
        let settings = &self.context.connector.settings;
        let announced = if settings.tables.captures(relation.namespace, relation.name) {
            Announced::Captured(Box::new(self.capture(relation)?))
        } else {
            Announced::Ignored
        };
        self.announced.insert(relation.oid, announced);
        Ok(())
    }

    /// The plan of a relation; none when it is not captured.
    pub(crate) fn captured(&self, oid: u32) -> Result<Option<&Capture>, SessionError> {
        match self.announced.get(&oid) {
            Some(Announced::Captured(capture)) => Ok(Some(capture)),
            Some(Announced::Ignored) => Ok(None),
            None => Err(SessionError::UnknownRelation { oid }),
        }
    }

    fn capture(&mut self, relation: &Relation<'_>) -> Result<Capture, SessionError> {
        let capture = Capture::compile(self.context, self.table(relation)?)?;
        let (table, topic) = (capture.plan.table().display(), capture.plan.topic());
        tracing::debug!(table, topic, "table announced");
        let prefix = &self.context.connector.settings.topic_prefix;
        self.topics.add(prefix, relation.namespace, relation.name);
        Ok(capture)
    }

    /// The description of a table by the stream and the catalog together.
    fn table(&mut self, relation: &Relation<'_>) -> Result<TableInfo, SessionError> {
        let known = match catalog::table(self.sql, relation.oid) {
            Ok(known) => known,
            Err(ReplicationError::Io(_) | ReplicationError::Closed) => {
                // The connection for SQL may have been idle for days and be dead, while the stream's connection is
                // alive.
                let database = &self.context.connector.settings.database;
                *self.sql = Client::connect(database, Mode::Sql, WaitLimit::brief())?;
                self.server.check(self.sql)?;
                catalog::table(self.sql, relation.oid)?
            }
            Err(error) => return Err(error.into()),
        };
        let mut table = catalog::merge(relation, known.as_ref());
        catalog::resolve_types(self.sql, [&mut table])?;
        Ok(table)
    }
}
