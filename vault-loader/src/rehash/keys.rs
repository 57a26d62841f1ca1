//! The new key of every row of every hub and link, in temporary tables of the transaction.
//!
//! In: what the keys are made of, and both secrets. Out: `new_hub_N` and `new_link_N`, which have the new key beside the
//! old one; and a line for each table that has a row whose key is not the one that the old secret gives. Rows are read
//! and written in portions, so memory does not grow with the tables.
//!
//! A link's key is made of its hubs' keys. The old ones stand in its row, the new ones are looked up in the hubs'
//! temporary tables by the server. A link's row also gets the hashdiffs of the effectivity versions that name it,
//! because such a hashdiff is made of the link's key.

use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Transaction};

use super::error::RehashError;
use super::vault::{HubKeys, KeyColumn, LinkKeys, Place, Secrets, Vault};
use crate::decode::{Value, from_stored};
use crate::model::VAULT_SCHEMA;
use crate::vault::hash::{ERROR, Hash, Hasher, UNKNOWN};
use crate::vault::versions::held_hash;
use crate::warehouse::WarehouseError;

/// Rows of a portion: some megabytes, and few enough round trips.
const PORTION: i32 = 20_000;

/// How often the log says how far a table is.
const ROWS_BETWEEN_LINES: u64 = 1_000_000;

/// The keys of the system rows, which no rule changes.
pub(super) fn system_keys() -> [&'static [u8]; 2] {
    [&UNKNOWN, &ERROR]
}

/// Old and new keys in the making.
pub(super) struct Keys<'k> {
    transaction: &'k Transaction<'k>,
    vault: &'k Vault,
    before: Hasher,
    after: Hasher,
    /// hubs whose values were erased by hand
    erased: &'k [String],
    /// what is not as the old rule gives it
    pub(super) strange: Vec<String>,
    /// hubs and links, and how many rows of each get another key
    pub(super) counts: Vec<(String, u64)>,
}

/// What is wrong in one table: how often, and one key of it.
#[derive(Default)]
struct Wrong {
    key_count: u64,
    key: String,
    role_count: u64,
    role: String,
}

impl<'k> Keys<'k> {
    pub(super) fn new(
        transaction: &'k Transaction<'k>,
        vault: &'k Vault,
        secrets: &Secrets,
        erased: &'k [String],
    ) -> Self {
        let [before, after] =
            [&secrets.before, &secrets.after].map(|secret| Hasher::with_secret(secret.clone()));
        Self { transaction, vault, before, after, erased, strange: Vec::new(), counts: Vec::new() }
    }

    /// Makes the temporary tables, hubs before links.
    pub(super) async fn stage(&mut self) -> Result<(), RehashError> {
        let vault = self.vault;
        for (number, hub) in vault.hubs.iter().enumerate() {
            self.hub(number, hub).await?;
        }
        for (number, link) in vault.links.iter().enumerate() {
            self.link(number, link).await?;
        }
        Ok(())
    }

    async fn hub(&mut self, number: usize, hub: &HubKeys) -> Result<(), RehashError> {
        let staged = Place::Hub(number).staged();
        let create = format!(
            "CREATE TEMPORARY TABLE {} (old bytea, new bytea) ON COMMIT DROP",
            bare(&staged)
        );
        self.transaction.batch_execute(&create).await?;
        let select = format!(
            "SELECT v.hash_key, v.source_system_id{} FROM {VAULT_SCHEMA}.{} AS v WHERE v.hash_key <> ALL ($1)",
            as_text(&hub.columns),
            hub.name
        );
        let portal = self.transaction.bind(&select, &[&system_keys().as_slice()]).await?;
        let mut wrong = Wrong::default();
        let mut count = 0;
        loop {
            let rows = self.transaction.query_portal(&portal, PORTION).await?;
            let mut made = Vec::with_capacity(rows.len());
            for row in &rows {
                made.push(self.hub_row(hub, row, &mut wrong)?);
            }
            self.write(&format!("COPY {staged} (old, new) FROM STDIN (FORMAT binary)"), &made)
                .await?;
            if self.is_end(&hub.name, &mut count, rows.len()) {
                break;
            }
        }
        self.end(&staged, &hub.name, count, &wrong).await
    }

    /// The old and the new key.
    fn hub_row(
        &mut self,
        hub: &HubKeys,
        row: &Row,
        wrong: &mut Wrong,
    ) -> Result<Vec<Hash>, RehashError> {
        let old = hash_at(row, 0)?;
        let number: i16 = row.get(1);
        let source = if hub.is_of_source {
            Some(self.vault.sources.get(&number).ok_or_else(|| no_source(&hub.name, number))?)
        } else {
            None
        };
        let values = values(&hub.columns, row, 2)?;
        let make = |hasher: &mut Hasher| {
            hasher.hub(source.map(String::as_str));
            for (column, value) in hub.columns.iter().zip(&values) {
                if column.folded { hasher.add_folded(value) } else { hasher.add(value) }
            }
            hasher.finish()
        };
        if make(&mut self.before) != old && !self.erased.contains(&hub.name) {
            wrong.note_key(&old);
        }
        Ok(vec![old, make(&mut self.after)])
    }

    async fn link(&mut self, number: usize, link: &LinkKeys) -> Result<(), RehashError> {
        let staged = Place::Link(number).staged();
        let mut names = vec!["old".to_owned(), "new".to_owned()];
        names.extend((0..link.roles.len()).map(|role| format!("role_{role}")));
        let has_effectivity = self.vault.has_effectivity(number);
        if has_effectivity {
            names.extend(["old_diff".to_owned(), "new_diff".to_owned()]);
        }
        let columns: Vec<String> = names.iter().map(|name| format!("{name} bytea")).collect();
        let create = format!(
            "CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP",
            bare(&staged),
            columns.join(", ")
        );
        self.transaction.batch_execute(&create).await?;
        let copy = format!("COPY {staged} ({}) FROM STDIN (FORMAT binary)", names.join(", "));
        let select = select_link(link);
        let portal = self.transaction.bind(&select, &[&system_keys().as_slice()]).await?;
        let mut wrong = Wrong::default();
        let mut count = 0;
        loop {
            let rows = self.transaction.query_portal(&portal, PORTION).await?;
            let mut made = Vec::with_capacity(rows.len());
            for row in &rows {
                made.push(self.link_row(link, row, has_effectivity, &mut wrong)?);
            }
            self.write(&copy, &made).await?;
            if self.is_end(&link.name, &mut count, rows.len()) {
                break;
            }
        }
        self.end(&staged, &link.name, count, &wrong).await
    }

    /// The old and the new key, the new keys of the hubs, and the hashdiffs of the versions that name the row.
    fn link_row(
        &mut self,
        link: &LinkKeys,
        row: &Row,
        has_effectivity: bool,
        wrong: &mut Wrong,
    ) -> Result<Vec<Hash>, RehashError> {
        let old = hash_at(row, 0)?;
        let mut old_roles = Vec::with_capacity(link.roles.len());
        let mut new_roles = Vec::with_capacity(link.roles.len());
        for role in 0..link.roles.len() {
            let key = hash_at(row, 1 + 2 * role)?;
            let is_system = key == UNKNOWN || key == ERROR;
            let new = if is_system { Some(key) } else { optional_hash_at(row, 2 + 2 * role)? };
            if new.is_none() {
                wrong.note_role(&key);
            }
            old_roles.push(key);
            new_roles.push(new.unwrap_or(key));
        }
        let values = values(&link.columns, row, 1 + 2 * link.roles.len())?;
        let make = |hasher: &mut Hasher, roles: &[Hash]| {
            hasher.link();
            roles.iter().for_each(|role| hasher.add_hash(role));
            values.iter().for_each(|value| hasher.add(value));
            hasher.finish()
        };
        if make(&mut self.before, &old_roles) != old {
            wrong.note_key(&old);
        }
        let new = make(&mut self.after, &new_roles);
        let mut made = vec![old, new];
        made.extend(new_roles);
        if has_effectivity {
            made.extend([old, new].map(|key| held_hash(&mut self.after, &key)));
        }
        Ok(made)
    }

    /// Writes rows of hashes into a temporary table.
    async fn write(&self, copy: &str, rows: &[Vec<Hash>]) -> Result<(), RehashError> {
        let Some(first) = rows.first() else { return Ok(()) };
        let types = vec![Type::BYTEA; first.len()];
        let sink = self.transaction.copy_in(copy).await?;
        let writer = BinaryCopyInWriter::new(sink, &types);
        tokio::pin!(writer);
        for row in rows {
            let bytes: Vec<&[u8]> = row.iter().map(Hash::as_slice).collect();
            let row: Vec<&(dyn ToSql + Sync)> =
                bytes.iter().map(|bytes| bytes as &(dyn ToSql + Sync)).collect();
            writer.as_mut().write(&row).await?;
        }
        writer.finish().await?;
        Ok(())
    }

    /// Counts a portion. Says whether it was the last one.
    fn is_end(&self, table: &str, count: &mut u64, portion: usize) -> bool {
        let lines = *count / ROWS_BETWEEN_LINES;
        *count += portion as u64;
        if *count / ROWS_BETWEEN_LINES > lines {
            tracing::info!(table, rows = *count, "hash keys computed");
        }
        portion < PORTION.unsigned_abs() as usize
    }

    /// Lets the planner know a temporary table, and notes what was found in the table of the vault.
    async fn end(
        &mut self,
        staged: &str,
        table: &str,
        count: u64,
        wrong: &Wrong,
    ) -> Result<(), RehashError> {
        self.transaction.batch_execute(&format!("ANALYZE {staged}")).await?;
        tracing::info!(table, rows = count, "all hash keys computed");
        self.strange.extend(wrong.lines(table));
        self.counts.push((table.to_owned(), count));
        Ok(())
    }
}

impl Wrong {
    fn note_key(&mut self, key: &Hash) {
        if self.key_count == 0 {
            self.key = hex::encode(key);
        }
        self.key_count += 1;
    }

    fn note_role(&mut self, key: &Hash) {
        if self.role_count == 0 {
            self.role = hex::encode(key);
        }
        self.role_count += 1;
    }

    fn lines(&self, table: &str) -> Vec<String> {
        let mut lines = Vec::new();
        if self.key_count > 0 {
            lines.push(format!(
                "{VAULT_SCHEMA}.{table}: {} rows whose hash key is not that of their values, for example \\x{}{}",
                self.key_count,
                self.key,
                if table.starts_with("hub_") { erasing(table) } else { String::new() }
            ));
        }
        if self.role_count > 0 {
            lines.push(format!(
                "{VAULT_SCHEMA}.{table}: {} hash keys of hubs that no row of the hub has, for example \\x{}",
                self.role_count, self.role
            ));
        }
        lines
    }
}

/// What makes such rows in earnest.
fn erasing(hub: &str) -> String {
    format!(
        ". Where the values were replaced to erase somebody, --erased {hub} gives such rows the keys of the values that stand there now"
    )
}

/// A link's rows: the key; for each role the old and the new key of the hub; the dependent key.
fn select_link(link: &LinkKeys) -> String {
    let mut columns = String::new();
    let mut joins = String::new();
    for (role, (name, hub)) in link.roles.iter().enumerate() {
        let staged = Place::Hub(*hub).staged();
        columns.push_str(&format!(", v.{name}, hub_{role}.new"));
        joins.push_str(&format!(" LEFT JOIN {staged} AS hub_{role} ON hub_{role}.old = v.{name}"));
    }
    format!(
        "SELECT v.hash_key{columns}{} FROM {VAULT_SCHEMA}.{} AS v{joins} WHERE v.hash_key <> ALL ($1)",
        as_text(&link.columns),
        link.name
    )
}

/// The columns of a key as the server prints them.
fn as_text(columns: &[KeyColumn]) -> String {
    columns.iter().map(|column| format!(", v.{}::text", column.name)).collect()
}

/// The name of a temporary table where it is made.
fn bare(staged: &str) -> &str {
    staged.trim_start_matches("pg_temp.")
}

fn values(
    columns: &[KeyColumn],
    row: &Row,
    first: usize,
) -> Result<Vec<Value<'static>>, RehashError> {
    let value = |(place, column): (usize, &KeyColumn)| {
        let Some(text) = row.get::<_, Option<&str>>(first + place) else { return Ok(Value::Null) };
        from_stored(column.kind, text).map_err(|err| {
            let name = &column.name;
            let told =
                format!("the vault's column {name} holds what its type does not print: {err}");
            WarehouseError::Stop(told).into()
        })
    };
    columns.iter().enumerate().map(value).collect()
}

fn hash_at(row: &Row, place: usize) -> Result<Hash, RehashError> {
    optional_hash_at(row, place)?.ok_or_else(no_hash)
}

fn optional_hash_at(row: &Row, place: usize) -> Result<Option<Hash>, RehashError> {
    let bytes: Option<&[u8]> = row.get(place);
    bytes.map(|bytes| bytes.try_into().map_err(|_| no_hash())).transpose()
}

fn no_hash() -> RehashError {
    let told = "the vault holds a hash key that is not 32 bytes long: was it edited?";
    WarehouseError::Stop(told.to_owned()).into()
}

fn no_source(hub: &str, number: i16) -> RehashError {
    RehashError::Strange(vec![format!(
        "{VAULT_SCHEMA}.{hub}: a row is of source_system_id {number}, which no model has"
    )])
}
