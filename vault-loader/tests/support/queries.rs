//! Questions to the vault whose answers several tests look at.

use devstack::vault;
use tokio_postgres::Client;

/// Versions of the airports' cities.
pub(crate) const CITIES: &str = "
    SELECT h.airport_code, s.city, s.source_lsn
    FROM dwh_detailed.sat_airports AS s
    JOIN dwh_detailed.hub_airports AS h USING (hash_key)
    WHERE s.record_source <> 'SYSTEM'
    ORDER BY h.airport_code, s.load_date";

/// When airports came and went.
pub(crate) const STATUS: &str = "
    SELECT h.airport_code, s.op, s.is_deleted
    FROM dwh_detailed.sat_airports_status AS s
    JOIN dwh_detailed.hub_airports AS h USING (hash_key)
    WHERE s.record_source <> 'SYSTEM'
    ORDER BY h.airport_code, s.load_date";

/// Events by minute of publishing; the tests publish each 500 microseconds after its commit.
pub(crate) const EVENTS: &str = "
    SELECT sum(events), max(publish_lag_max_us)
    FROM dwh_control.event_minutes
    WHERE minute = date_trunc('minute', minute)";

/// All rows of a query, each as PostgreSQL prints a row.
pub(crate) async fn rows(client: &Client, sql: &str) -> Vec<String> {
    let wrapped = format!("SELECT t::text FROM ({sql}) AS t");
    client.query(&wrapped, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// One line for each table and view of the vault: its row count and a checksum over all its rows in order.
pub(crate) async fn fingerprint(client: &Client) -> Vec<String> {
    let mut lines = Vec::new();
    for relation in rows(client, vault::RELATIONS).await {
        let relation = relation.trim_matches(['(', ')']);
        let sql = format!(
            "SELECT '{relation}', count(*), md5(string_agg(line, E'\\n' ORDER BY line COLLATE \"C\"))
             FROM {}",
            vault::lines_of(relation)
        );
        lines.extend(rows(client, &sql).await);
    }
    lines
}
