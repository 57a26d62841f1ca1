//! The locks that a snapshot holds on its tables.
//!
//! A table must not change between the consistent point and its reading, because a table that was rewritten looks empty
//! in the snapshot, and one with other columns does not fit its plan. The first tables are locked against changes from
//! the beginning to the end. The server has room for a limited number of locks, and a reading takes one for each index
//! as well. So each table is read inside a savepoint, which gives the locks back. A table beyond the first ones is
//! locked when its turn comes, and is then compared with what the snapshot knows of it. When the table has changed, the
//! snapshot begins again.

use crate::catalog::{self, CatalogTable, TableHead};
use crate::context::Context;
use crate::error::{SessionError, TableChange};
use crate::one_server::OneServer;
use crate::replication::{Client, ReplicationError};
use crate::setup_problem::SetupProblem;

/// A snapshot takes this part of the locks that the server has room for, before it reads the first row.
const SHARE: usize = 4;

/// Locks as many of the first tables as may stay locked until the snapshot ends, and returns how many these are.
pub(super) fn lock_first(client: &mut Client, tables: &[TableHead]) -> Result<usize, SessionError> {
    let room = catalog::lock_room(client)? / SHARE;
    // A partitioned table is locked with its partitions, whose number is not known here.
    let count = tables.iter().take(room).take_while(|table| !table.is_partitioned).count();
    match catalog::lock_tables(client, &tables[..count]) {
        Ok(()) => Ok(count),
        Err(error) => Err(named(error, || tables[0].named.display())),
    }
}

/// The locks on one table, from before its reading until after it.
pub(super) struct Reading {
    /// A connection that sees the present, made when the first table needs it.
    present: Option<Client>,
    server: OneServer,
}

impl Reading {
    /// No table is being read.
    pub(super) fn new(server: OneServer) -> Self {
        Self { present: None, server }
    }

    /// Begins the reading of a table that is locked already.
    pub(super) fn begin(client: &mut Client) -> Result<(), ReplicationError> {
        client.query("SAVEPOINT reading").map(drop)
    }

    /// Begins the reading of a table that is not locked yet: locks it, and compares it with what the snapshot knows.
    pub(super) fn begin_with_lock(
        &mut self,
        context: &Context,
        client: &mut Client,
        table: &CatalogTable,
    ) -> Result<(), SessionError> {
        Self::begin(client)?;
        catalog::lock_tables(client, &[table.head()])
            .map_err(|error| named(error, || table.info.display()))?;
        if let Some(rewritten) = catalog::rewritten_below(client, table.oid)? {
            let table = rewritten.display();
            return Err(SessionError::TablesChanged(TableChange::Rewritten { table }));
        }
        let present = match &mut self.present {
            Some(present) => present,
            none => {
                let client = none.insert(self.server.connect(context)?);
                // A change of the table that came just now waits for the snapshot, and this connection would wait for
                // that change.
                client.query("SET lock_timeout = '5s'")?;
                client
            }
        };
        let mut now = catalog::table(present, table.oid)?;
        catalog::resolve_types(present, now.iter_mut().map(|table| &mut table.info))?;
        if now.as_ref() == Some(table) {
            return Ok(());
        }
        Err(SessionError::TablesChanged(TableChange::Altered { table: table.info.display() }))
    }

    /// Gives back the locks that the reading took.
    pub(super) fn end(client: &mut Client) -> Result<(), ReplicationError> {
        client.query("ROLLBACK TO SAVEPOINT reading; RELEASE SAVEPOINT reading").map(drop)
    }
}

/// An error that names the table and the setting when the server has no room for another lock.
pub(super) fn named(error: ReplicationError, table: impl FnOnce() -> String) -> SessionError {
    if error.is_lock_table_full() {
        SessionError::Setup(vec![SetupProblem::TooManyLocks { table: table() }])
    } else {
        error.into()
    }
}
