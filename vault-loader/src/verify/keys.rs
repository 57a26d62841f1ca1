//! Compares hubs and links with what the source's rows name.
//!
//! In: the keys that were staged. Out: keys that no row of the hub or link has, and rows whose hash key is not that of
//! their business key. A key whose rows are gone from the source stays in its hub or link, and is not looked for there.

use futures_util::TryStreamExt;
use tokio_postgres::Client;

use super::findings::{Compared, Difference, Finding};
use super::staging::MENTIONS;
use crate::copy_out::TextRows;
use crate::decode::{Value, from_stored};
use crate::model::{
    CarriedColumn, CarriedFrom, Column, Hub, HubId, HubScope, Id as _, Link, LinkId, Parent, Plan,
    TableId, VAULT_SCHEMA, ident,
};
use crate::proof::ProofError;
use crate::vault::hash::{Hash, Hasher};
use crate::warehouse::WarehouseError;

/// What hubs and links are compared with.
pub(super) struct Keys<'k> {
    pub(super) warehouse: &'k Client,
    pub(super) plan: &'k Plan,
    /// the tables that were staged
    pub(super) tables: &'k [TableId],
    /// so many findings are kept
    pub(super) show: usize,
}

impl Keys<'_> {
    /// Compares every hub and link that the tables name and that has rows of its own.
    pub(super) async fn compare(&self) -> Result<Vec<Compared>, ProofError> {
        let model = &self.plan.model;
        let tables = || self.tables.iter().map(|&table| &model.tables[table]);
        let mut found = Vec::new();
        for (id, hub) in model.hubs.with_ids() {
            let has_rows = !hub.is_carried;
            if has_rows && tables().any(|table| table.hubs.iter().any(|binding| binding.hub == id))
            {
                found.push(self.hub(id, hub).await?);
            }
        }
        for (id, link) in model.links.with_ids() {
            let has_rows = !link.is_carried();
            if has_rows
                && tables().any(|table| table.links.iter().any(|binding| binding.link == id))
            {
                found.push(self.link(id, link).await?);
            }
        }
        Ok(found)
    }

    async fn hub(&self, id: HubId, hub: &Hub) -> Result<Compared, ProofError> {
        let mut compared = Compared { vault_table: hub.name.clone(), ..Compared::default() };
        self.missing(id.to_index(), &mut compared).await?;
        // A hub whose keys are the source's own may hold keys of other sources too.
        let own = match hub.scope {
            HubScope::Shared => String::new(),
            HubScope::Source => {
                format!(" AND source_system_id = {}", self.plan.model.source.system_id)
            }
        };
        let columns: Vec<&Column> = hub.key.iter().collect();
        let mut rows = self.rows(&hub.name, &[], &columns, &own).await?;
        let mut hasher = Hasher::with_secret(self.plan.key_secret.clone());
        while rows.next().await? {
            hasher.hub(self.plan.hub_scope(id));
            for (place, (column, &folded)) in hub.key.iter().zip(&hub.folded).enumerate() {
                let value = value(column, rows.field(1 + place), &hub.name)?;
                if folded { hasher.add_folded(&value) } else { hasher.add(&value) }
            }
            self.own_hash(&rows, hasher.finish(), &mut compared);
        }
        Ok(compared)
    }

    async fn link(&self, id: LinkId, link: &Link) -> Result<Compared, ProofError> {
        let mut compared = Compared { vault_table: link.name.clone(), ..Compared::default() };
        self.missing(self.plan.model.hubs.len() + id.to_index(), &mut compared).await?;
        let roles: Vec<String> = link.roles.iter().map(|role| role.column()).collect();
        let columns: Vec<&Column> = link.dependent_key.iter().collect();
        let mut rows = self.rows(&link.name, &roles, &columns, "").await?;
        let mut hasher = Hasher::with_secret(self.plan.key_secret.clone());
        while rows.next().await? {
            hasher.link();
            for place in 0..roles.len() {
                let hub = rows.field(1 + place).and_then(|hex| hex::decode(hex).ok());
                // A hash that is none cannot be that of any key.
                let hub = hub.and_then(|bytes| Hash::try_from(bytes).ok()).unwrap_or_default();
                hasher.add_hash(&hub);
            }
            for (place, column) in columns.iter().enumerate() {
                hasher.add(&value(column, rows.field(1 + roles.len() + place), &link.name)?);
            }
            self.own_hash(&rows, hasher.finish(), &mut compared);
        }
        Ok(compared)
    }

    /// Rows of a hub or link: the hash key, these hash keys, these columns.
    async fn rows(
        &self,
        table: &str,
        hashes: &[String],
        columns: &[&Column],
        condition: &str,
    ) -> Result<TextRows, ProofError> {
        let hashes: String =
            hashes.iter().map(|column| format!(", encode({column}, 'hex')")).collect();
        let columns: String =
            columns.iter().map(|column| format!(", {}", ident(&column.name))).collect();
        let sql = format!(
            "COPY (
                 SELECT encode(hash_key, 'hex'){hashes}{columns}
                 FROM {VAULT_SCHEMA}.{table}
                 WHERE record_source <> 'SYSTEM'{condition}
             ) TO STDOUT"
        );
        Ok(TextRows::of(self.warehouse, &sql).await?)
    }

    /// Counts a row, and whether its hash key is that of its business key.
    fn own_hash(&self, rows: &TextRows, hash: Hash, compared: &mut Compared) {
        compared.rows += 1;
        let stored = rows.field(0).unwrap_or_default();
        if stored != hex::encode(hash) {
            let detail = "its hash key is not that of its business key";
            self.add(compared, Difference::Different, stored.to_owned(), detail);
        }
    }

    /// Counts the keys that rows name and that are not there.
    async fn missing(&self, place: usize, compared: &mut Compared) -> Result<(), ProofError> {
        let table = &compared.vault_table;
        let sql = format!(
            "SELECT encode(named.hash_key, 'hex')
             FROM (SELECT DISTINCT hash_key FROM {MENTIONS} WHERE place = {place}) AS named
             WHERE NOT EXISTS (SELECT FROM {VAULT_SCHEMA}.{table} AS known WHERE known.hash_key = named.hash_key)"
        );
        let none: [&str; 0] = [];
        let mut rows = Box::pin(self.warehouse.query_raw(sql.as_str(), none).await?);
        while let Some(row) = rows.try_next().await? {
            self.add(compared, Difference::Missing, row.get(0), "a row of the source names it");
        }
        Ok(())
    }

    fn add(
        &self,
        compared: &mut Compared,
        difference: Difference,
        hash_key: String,
        detail: &'static str,
    ) {
        let finding = Finding { difference, hash_key, key: None, detail, waits: false };
        compared.add(finding, self.show);
    }

    /// The business key of a hash key of a table's parent, if the parent has it.
    pub(super) async fn business_key(
        &self,
        table: TableId,
        hash_key: &str,
    ) -> Result<Option<String>, ProofError> {
        let model = &self.plan.model;
        let table = &model.tables[table];
        let part = |alias: &str, column: &Column| {
            format!("'{0}=' || {alias}.{1}::text", column.name, ident(&column.name))
        };
        let (from, parts) = match table.parent {
            _ if !table.carried.is_empty() => {
                let values = |column: &CarriedColumn| {
                    let name = &column.name;
                    let is_value = matches!(column.from, CarriedFrom::Value { .. });
                    is_value.then(|| format!("'{name}=' || k.{}::text", ident(name)))
                };
                let status = &table.status;
                let from = format!(
                    "(SELECT DISTINCT ON (hash_key) * FROM {VAULT_SCHEMA}.{status} ORDER BY hash_key) AS k"
                );
                (from, table.carried.iter().filter_map(values).collect())
            }
            Parent::Hub(binding) => {
                let hub = &model.hubs[table.hubs[binding].hub];
                let parts: Vec<String> = hub.key.iter().map(|column| part("k", column)).collect();
                (format!("{VAULT_SCHEMA}.{} AS k", hub.name), parts)
            }
            Parent::Link(binding) => {
                let link = &model.links[table.links[binding].link];
                let mut from = format!("{VAULT_SCHEMA}.{} AS k", link.name);
                let mut parts = Vec::new();
                for (place, role) in link.roles.iter().enumerate() {
                    let hub = &model.hubs[role.hub];
                    let alias = format!("h{place}");
                    from.push_str(&format!(
                        " LEFT JOIN {VAULT_SCHEMA}.{} AS {alias} ON {alias}.hash_key = k.{}",
                        hub.name,
                        role.column()
                    ));
                    parts.extend(hub.key.iter().map(|column| part(&alias, column)));
                }
                parts.extend(link.dependent_key.iter().map(|column| part("k", column)));
                (from, parts)
            }
        };
        let sql = format!(
            "SELECT concat_ws(', ', {}) FROM {from} WHERE k.hash_key = decode($1, 'hex')",
            parts.join(", ")
        );
        let row = self.warehouse.query_opt(&sql, &[&hash_key]).await?;
        Ok(row.and_then(|row| row.get(0)))
    }
}

fn value(column: &Column, field: Option<&str>, table: &str) -> Result<Value<'static>, ProofError> {
    let Some(text) = field else { return Ok(Value::Null) };
    from_stored(column.kind, text).map_err(|err| {
        let why = format!("{table} holds what its column's type does not print: {err}");
        WarehouseError::Stop(why).into()
    })
}
