//! A table that the stream announces, to the compiled plan for its rows.
//!
//! In comes a relation, as pgoutput sends it before the first row of each version of a table. The catalog adds what the relation does
//! not say. Out comes the table's plan with its topic, which exists from then on, or the decision that the table is not captured.

use std::collections::HashMap;
use std::sync::Arc;

use crate::catalog::{self, CatalogTable};
use crate::envelope::{TableInfo, TablePlan};
use crate::pgoutput::Relation;
use crate::pipeline::emit::Capture;
use crate::pipeline::{Context, PipelineError, topics};
use crate::replication::{Client, Mode, ReplicationError, WaitLimit};

/// A relation as the stream announced it.
enum Announced {
    Captured(Box<Capture>),
    /// Published but not captured.
    Ignored,
}

/// The relations that one stream has announced.
pub(in crate::pipeline) struct Relations<'s> {
    context: &'s Context,
    /// For questions to the catalog.
    sql: &'s mut Client,
    /// The tables whose topics were made at the start of the session.
    tables: &'s [CatalogTable],
    announced: HashMap<u32, Announced>,
}

impl<'s> Relations<'s> {
    /// No relation has been announced yet. `tables` have their topics already.
    pub(in crate::pipeline) fn new(
        context: &'s Context,
        sql: &'s mut Client,
        tables: &'s [CatalogTable],
    ) -> Self {
        Self { context, sql, tables, announced: HashMap::new() }
    }

    /// Takes a new version of a table: its plan is compiled anew.
    pub(super) fn announce(&mut self, relation: &Relation<'_>) -> Result<(), PipelineError> {
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
    pub(super) fn captured(&self, oid: u32) -> Result<Option<&Capture>, PipelineError> {
        match self.announced.get(&oid) {
            Some(Announced::Captured(capture)) => Ok(Some(capture)),
            Some(Announced::Ignored) => Ok(None),
            None => Err(PipelineError::UnknownRelation(oid)),
        }
    }

    fn capture(&mut self, relation: &Relation<'_>) -> Result<Capture, PipelineError> {
        let table = self.table(relation)?;
        let plan = TablePlan::new(table, &self.context.plan_options())?;
        tracing::debug!(table = plan.table().display(), topic = plan.topic(), "table announced");
        let is_known = |table: &CatalogTable| {
            table.info.schema == relation.namespace && table.info.name == relation.name
        };
        if !self.tables.iter().any(is_known) {
            topics::create_topic(self.context, plan.topic())?;
        }
        let observer = &self.context.observer;
        observer.topics(&[plan.topic().to_owned()]);
        observer.columns_left_out(&plan.table().display(), plan.left_out());
        Ok(Capture { topic: Arc::from(plan.topic()), plan })
    }

    /// What the stream and the catalog say together about a table.
    fn table(&mut self, relation: &Relation<'_>) -> Result<TableInfo, PipelineError> {
        let known = match catalog::table(self.sql, relation.namespace, relation.name) {
            Ok(known) => known,
            Err(ReplicationError::Io(_) | ReplicationError::Closed) => {
                // The connection for SQL may have been idle for days; the stream's own is alive.
                let database = &self.context.connector.settings.database;
                *self.sql = Client::connect(database, Mode::Sql, WaitLimit::brief())?;
                catalog::table(self.sql, relation.namespace, relation.name)?
            }
            Err(error) => return Err(error.into()),
        };
        let mut table = catalog::merge(relation, known.as_ref());
        catalog::resolve_types(self.sql, [&mut table])?;
        Ok(table)
    }
}
