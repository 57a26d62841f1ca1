//! What has to be done so that the vault's schema fits a model.
//!
//! In: the tables that the model wants, the relations that exist, and which of them earlier migrations made. Out: the
//! statements, or every reason against them. What others made stays as it is: tables, views, indexes, rights, and
//! columns that may be NULL on the vault's own tables.

use std::collections::BTreeMap;

use super::catalog::Existing;
use super::ddl::TableSpec;
use crate::control::MadeTables;
use crate::model::{ColumnType, VAULT_SCHEMA};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// what it does, for the operator
    pub(super) told: String,
    /// its statements
    pub(super) sql: String,
    /// name of the table that it makes, if it makes one
    pub(super) made: Option<String>,
    /// the table with its schema, when a column gets another type: views of the column stand in the way
    pub(super) retyped: Option<String>,
}

/// Why the schema cannot be changed into the wanted one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refusals {
    /// stored rows would be destroyed, or would mean something else
    pub(super) destructive: Vec<String>,
    /// somebody else has what the model wants
    pub(super) conflicting: Vec<String>,
}

/// Compares the wanted tables with the existing ones, for the model of `source`.
pub(super) fn difference(
    source: &str,
    wanted: &[TableSpec],
    existing: &BTreeMap<String, Existing>,
    made: &MadeTables,
) -> Result<Vec<Step>, Refusals> {
    let mut steps = Vec::new();
    let mut refused = Refusals::default();
    for table in wanted {
        let name = table.qualified();
        match (existing.get(&table.name), made.get(&table.name)) {
            (None, _) => steps.push(Step {
                told: format!("created {name}"),
                sql: table.create(),
                made: Some(table.name.clone()),
                retyped: None,
            }),
            (Some(_), None) => refused.conflicting.push(format!(
                "{name} exists, and migrate did not make it: rename it, move it to another schema, or choose another name"
            )),
            (Some(_), Some(Some(owner))) if owner != source => refused.conflicting.push(format!(
                "{name} belongs to the source {owner}, and a satellite belongs to one source: choose another name; \
                 if {source} is {owner} with a new name, give it the old name back"
            )),
            (Some(found), Some(_)) => compare(table, found, &mut steps, &mut refused),
        }
    }
    for (name, owner) in made {
        let ours = owner.as_deref() == Some(source) && existing.contains_key(name);
        if ours && !wanted.iter().any(|table| table.name == *name) {
            let line = format!("{VAULT_SCHEMA}.{name} exists, but the model does not name it");
            refused.destructive.push(line);
        }
    }
    if refused == Refusals::default() { Ok(steps) } else { Err(refused) }
}

fn compare(table: &TableSpec, found: &Existing, steps: &mut Vec<Step>, refused: &mut Refusals) {
    let name = table.qualified();
    if found.primary_key != table.primary_key {
        let key = found.primary_key.join(", ");
        refused.destructive.push(format!("{name}: its primary key is ({key})"));
    }
    for column in &table.columns {
        match found.columns.iter().find(|existing| existing.name == column.name) {
            None if column.not_null => {
                let line = format!("{name}: column {} is missing", column.name);
                refused.destructive.push(line);
            }
            None => steps.push(Step {
                told: format!("added {name}.{}", column.name),
                sql: table.add_column(column),
                made: None,
                retyped: None,
            }),
            Some(existing) if widens(&existing.kind, &column.kind) => steps.push(Step {
                told: format!(
                    "widened {name}.{} from {} to {}",
                    column.name, existing.kind, column.kind
                ),
                sql: table.widen_column(column),
                made: None,
                retyped: Some(name.clone()),
            }),
            Some(existing) if existing.kind != column.kind => {
                let (column, kind, wanted) = (&column.name, &existing.kind, &column.kind);
                let line = format!("{name}.{column} is {kind}, the model wants {wanted}");
                refused.destructive.push(line);
            }
            Some(_) => {}
        }
    }
    for existing in &found.columns {
        let wanted = table.columns.iter().any(|wanted| wanted.name == existing.name);
        if !wanted && existing.not_null {
            refused.conflicting.push(format!(
                "{name}.{column} is not the model's and refuses NULL, so no row could be loaded: \
                 run ALTER TABLE {name} ALTER COLUMN \"{column}\" DROP NOT NULL, or drop the column",
                column = existing.name
            ));
        }
    }
}

/// Whether a column of one type may become one of another type without a change of any value.
fn widens(from: &str, to: &str) -> bool {
    let [from, to] = [from, to].map(ColumnType::parse);
    from != to && from.zip(to).is_some_and(|(from, to)| to.holds(from))
}
