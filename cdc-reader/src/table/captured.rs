//! Which of the source's tables are captured.

use crate::catalog::{self, CatalogTable};
use crate::connector::Settings;
use crate::error::SessionError;
use crate::replication::Client;

/// The tables that are captured, in the order in which a snapshot reads them.
pub(crate) fn captured_tables(
    sql: &mut Client,
    settings: &Settings,
) -> Result<Vec<CatalogTable>, SessionError> {
    let mut tables = catalog::tables(sql)?;
    tables.retain(|table| settings.tables.captures(&table.info.schema, &table.info.name));
    tables.sort_by_key(|table| settings.tables.place(&table.info.schema, &table.info.name));
    catalog::read_defaults(sql, &mut tables)?;
    catalog::resolve_types(sql, tables.iter_mut().map(|table| &mut table.info))?;
    Ok(tables)
}
