//! Which of the source's tables are captured.

use crate::catalog::{self, CatalogTable};
use crate::connector::Settings;
use crate::error::SessionError;
use crate::replication::Client;

/// The tables that the connector's filters take, in the order in which a snapshot reads them. Of other tables only the
/// names are read.
pub(crate) fn captured_tables(
    sql: &mut Client,
    settings: &Settings,
) -> Result<Vec<CatalogTable>, SessionError> {
    let mut names = catalog::table_names(sql)?;
    names.retain(|table| settings.tables.captures(&table.schema, &table.name));
    names.sort_by_cached_key(|table| settings.tables.place(&table.schema, &table.name));
    let oids: Vec<u32> = names.iter().map(|table| table.oid).collect();
    let mut tables = catalog::tables(sql, &oids)?;
    catalog::resolve_types(sql, tables.iter_mut().map(|table| &mut table.info))?;
    Ok(tables)
}
