//! Columns that satellites have grown because the source's tables got them.

use tokio_postgres::{Client, Error, GenericClient};

use crate::model::GrownColumn;

/// Adds a column to a satellite and stores that it was added. A column that is there already with this type stays.
///
/// # Errors
/// When the satellite's lock is not free within two seconds, or the warehouse does not allow it.
pub(crate) async fn grow_satellite(
    client: &Client,
    grown: &GrownColumn,
    vault_type: &str,
) -> Result<(), Error> {
    let GrownColumn { topic, satellite, column, kind } = grown;
    let sql = "SELECT dwh_control.grow_satellite($1, $2, $3, $4, $5)";
    client.execute(sql, &[topic, satellite, column, kind, &vault_type]).await.map(drop)
}

/// All columns that were grown, in the order of growing.
pub(crate) async fn read_grown(client: &impl GenericClient) -> Result<Vec<GrownColumn>, Error> {
    let sql = "SELECT topic, satellite, column_name, source_type
               FROM dwh_control.grown_columns
               ORDER BY grown_at, satellite, column_name";
    let rows = client.query(sql, &[]).await?;
    let column = |row: &tokio_postgres::Row| GrownColumn {
        topic: row.get(0),
        satellite: row.get(1),
        column: row.get(2),
        kind: row.get(3),
    };
    Ok(rows.iter().map(column).collect())
}
