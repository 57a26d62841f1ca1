//! The rules that hold in every vault, each as a view that shows the rows which break it.
//!
//! In: the models of all sources. Out: one view for each rule in the schema `dwh_checks`, with the columns `rule`,
//! `table_name` and `detail`. In a good vault all of them are empty. They show hash keys and never business keys, so
//! that whoever runs them reads no personal data. A rule looks at the whole vault: it takes as long as reading it.

use super::super::ddl::{BEGINNING, SYSTEM, quote};
use super::{CHECK_SCHEMA, ViewColumn, ViewSpec};
use crate::model::{
    Hub, HubScope, Link, LinkRole, Model, Plan, SatelliteKind, SatellitePlan, VAULT_SCHEMA, ident,
};

/// The names of the views, in the order in which they are best run.
pub const RULES: [&str; 11] = [
    "hash_keys",
    "link_hubs_exist",
    "satellite_parents_exist",
    "satellite_versions_unique",
    "versions_differ",
    "versions_in_source_order",
    "effectivity_links_exist",
    "effectivity_links_of_their_key",
    "system_rows",
    "business_keys_unique",
    "keys_have_versions",
];

/// The views of all rules.
pub(super) fn views(models: &[&Model]) -> Vec<ViewSpec> {
    let vault = Vault::of(models);
    let [keys, hubs, parents, unique, differ, order, exist, own, system, business, have] = RULES;
    vec![
        rule(
            keys,
            "the hash key of a hub or link is 32 bytes and stands in one row only",
            &vault.hash_keys(),
        ),
        rule(
            hubs,
            "every hub that a link row or a satellite's own column names has that hash key",
            &vault.link_hubs(),
        ),
        rule(parents, "every key of a satellite exists in its hub or link", &vault.parents()),
        rule(
            unique,
            "a key has at most one version for each load date, and every version has both; in a satellite that is not historized a key has one version at all",
            &vault.unique(),
        ),
        rule(differ, DIFFER, &vault.differ()),
        rule(order, ORDER, &vault.order()),
        rule(
            exist,
            "the link row that an effectivity satellite says holds exists",
            &vault.held_links(),
        ),
        rule(own, "the link row that holds for a key is a row of that key", &vault.own_links()),
        rule(system, SYSTEM_ROWS, &vault.system_rows()),
        rule(
            business,
            "a business key has one hash key: in a hub the key, in a link the hubs and the dependent key",
            &vault.business_keys(),
        ),
        rule(
            have,
            "a key that exists has a version in every satellite of its table",
            &vault.have_versions(),
        ),
    ]
}

const DIFFER: &str = "a version differs from the one before it; an insert over a key that exists and the read of a later snapshot make a status version all the same, because they may follow an end that is still on its way; of a record-tracking satellite: two rows of a key are two events";

const ORDER: &str = "load dates of a key grow as the source's changes did: within an epoch the log position does not fall and is not lost, and within a partition the offset grows, but for a truncate, which is no record of the key";

const SYSTEM_ROWS: &str = "each hub and link has its two zero rows, each satellite its ghost row, and nothing else comes from the system";

fn rule(name: &'static str, comment: &str, query: &str) -> ViewSpec {
    let columns = [
        ("rule", "the rule that is broken"),
        ("table_name", "the table of the vault"),
        ("detail", "the rows, by their hash keys"),
    ];
    ViewSpec {
        schema: CHECK_SCHEMA,
        name: name.to_owned(),
        comment: format!("rule: {comment}"),
        columns: columns.map(|(name, comment)| ViewColumn::new(name, comment)).to_vec(),
        query: query.to_owned(),
    }
}

/// A satellite, as the rules need it.
struct Checked {
    name: String,
    /// the table in which its keys stand; none where it holds the parent's key itself
    parent: Option<String>,
    kind: Kind,
    is_historized: bool,
}

/// A table that holds hash keys of hubs.
struct Naming {
    table: String,
    /// role, column and hub
    roles: Vec<(String, String, String)>,
}

/// A table that holds keys, each under one hash key.
struct Keyed {
    table: String,
    /// the columns of the key
    columns: Vec<String>,
    /// whether a key stands in one row, and not in all versions
    is_in_one_row: bool,
}

enum Kind {
    Descriptive,
    Status,
    Tracking,
    /// the link, and the columns of the link that must have the satellite's key; none when its key has no single column
    Effectivity {
        link: String,
        own: Option<String>,
    },
}

/// All tables of the vault.
struct Vault<'m> {
    /// hubs and links with tables of their own, which all sources share
    hubs: Vec<&'m Hub>,
    links: Vec<(&'m Link, &'m Model)>,
    /// tables with hash keys of hubs: links, and satellites that hold their parent's key
    naming: Vec<Naming>,
    /// tables with keys
    keyed: Vec<Keyed>,
    satellites: Vec<Checked>,
    /// for each satellite but the status ones, the status satellite of its table
    expected: Vec<(String, String)>,
}

impl<'m> Vault<'m> {
    fn of(models: &[&'m Model]) -> Self {
        let mut vault = Self {
            hubs: Vec::new(),
            links: Vec::new(),
            naming: Vec::new(),
            keyed: Vec::new(),
            satellites: Vec::new(),
            expected: Vec::new(),
        };
        for &model in models {
            for hub in model.hubs.iter().filter(|hub| !hub.is_carried) {
                if !vault.hubs.iter().any(|known| known.name == hub.name) {
                    vault.hubs.push(hub);
                }
            }
            for link in model.links.iter().filter(|link| !link.is_carried()) {
                if !vault.links.iter().any(|(known, _)| known.name == link.name) {
                    vault.links.push((link, model));
                }
            }
            vault.add_satellites(model);
        }
        vault.add_keys();
        vault
    }

    /// What hubs and links hold comes before what satellites hold.
    fn add_keys(&mut self) {
        let hubs = self.hubs.iter().map(|hub| {
            let mut columns: Vec<String> =
                hub.key.iter().map(|key| ident(&key.name).into_owned()).collect();
            if hub.scope == HubScope::Source {
                columns.insert(0, "source_system_id".to_owned());
            }
            Keyed { table: hub.name.clone(), columns, is_in_one_row: true }
        });
        let links = self.links.iter().map(|(link, _)| {
            let own = link.dependent_key.iter().map(|key| ident(&key.name).into_owned());
            let columns = link.roles.iter().map(LinkRole::column).chain(own).collect();
            Keyed { table: link.name.clone(), columns, is_in_one_row: true }
        });
        let keyed = hubs.chain(links).chain(std::mem::take(&mut self.keyed)).collect();
        let naming = self
            .links
            .iter()
            .map(|(link, model)| Naming { table: link.name.clone(), roles: roles(model, link) });
        self.naming = naming.chain(std::mem::take(&mut self.naming)).collect();
        self.keyed = keyed;
    }

    /// What a satellite holds of its parent's key.
    fn add_carried(&mut self, model: &Model, satellite: &SatellitePlan) {
        let table = &model.tables[satellite.table];
        let link = model.parent_link(table);
        if let Some(link) = link {
            self.naming.push(Naming { table: satellite.name.clone(), roles: roles(model, link) });
        }
        let is_in_one_row = satellite.is_link;
        let own = satellite.carried.iter().filter(|carried| {
            // Beside its key, a row of a non-historized link names hubs.
            !satellite.hashed_roles.iter().any(|(column, _)| *column == carried.name)
        });
        let columns = own.map(|carried| ident(&carried.name).into_owned()).collect();
        self.keyed.push(Keyed { table: satellite.name.clone(), columns, is_in_one_row });
    }

    fn add_satellites(&mut self, model: &Model) {
        let plan = Plan::new(model.clone());
        for satellite in &plan.satellites {
            let table = &model.tables[satellite.table];
            let kind = match &satellite.kind {
                SatelliteKind::Descriptive { .. } => Kind::Descriptive,
                SatelliteKind::Status => Kind::Status,
                SatelliteKind::Tracking => Kind::Tracking,
                SatelliteKind::Effectivity { link } => {
                    let binding = &table.links[*link];
                    let target = &model.links[binding.link];
                    let parents = table.parent_bindings();
                    let place = match parents.as_slice() {
                        [only] => binding.bindings.iter().position(|bound| bound == only),
                        _ => None,
                    };
                    let own = place
                        .filter(|_| matches!(table.parent, crate::model::Parent::Hub(_)))
                        .map(|place| target.roles[place].column());
                    Kind::Effectivity { link: target.name.clone(), own }
                }
            };
            if !satellite.carried.is_empty() {
                self.add_carried(model, satellite);
            }
            // A delete makes no row of a non-historized link. `keys_have_versions` looks at what exists.
            let is_ended_elsewhere = model.parent_link(table).is_some_and(Link::is_carried)
                && matches!(kind, Kind::Status | Kind::Tracking);
            let has_parent = satellite.carried.is_empty() && !is_ended_elsewhere;
            if !matches!(kind, Kind::Status) {
                self.expected.push((satellite.name.clone(), table.status.clone()));
            }
            self.satellites.push(Checked {
                name: satellite.name.clone(),
                parent: has_parent.then(|| model.parent_name(table).to_owned()),
                kind,
                is_historized: satellite.is_historized,
            });
        }
    }

    fn hash_keys(&self) -> String {
        let keyed = self.keyed.iter().filter(|keyed| keyed.is_in_one_row);
        let rows = union(keyed.map(|Keyed { table: name, .. }| {
            format!("SELECT {} AS table_name, hash_key FROM {VAULT_SCHEMA}.{name}", text(name))
        }));
        format!(
            "SELECT\n    'hash key is 32 bytes, in one row' AS rule,\n    table_name,\n    \
             format('hash key %s of %s bytes in %s rows', coalesce(encode(hash_key, 'hex'), 'NULL'), \
             coalesce(length(hash_key), 0), count(*)) AS detail\n\
             FROM (\n{rows}\n) AS keyed_rows\n\
             GROUP BY table_name, hash_key\n\
             HAVING count(*) > 1 OR length(hash_key) IS DISTINCT FROM 32",
            rows = or_none(rows, "NULL::bytea AS hash_key"),
        )
    }

    fn link_hubs(&self) -> String {
        let rows = union(self.naming.iter().flat_map(|Naming { table, roles }| {
            roles.iter().map(move |(role, column, hub)| {
                let ghosts = if self.links.iter().any(|(link, _)| link.name == *table) {
                    String::new()
                } else {
                    format!("\n    AND l.record_source <> '{SYSTEM}'")
                };
                format!(
                    "SELECT {} AS table_name, {} AS role, l.hash_key, l.{column} AS hub_hash_key\n\
                     FROM {VAULT_SCHEMA}.{table} AS l\n\
                     LEFT JOIN {VAULT_SCHEMA}.{hub} AS h ON h.hash_key = l.{column}\n\
                     WHERE h.hash_key IS NULL{ghosts}",
                    text(table),
                    text(role),
                )
            })
        }));
        finding(
            "hub of a link exists",
            "'link row %s: no hub row for role %s with hash key %s', encode(hash_key, 'hex'), role, \
             coalesce(encode(hub_hash_key, 'hex'), 'NULL')",
            &or_none(
                rows,
                "NULL::text AS role, NULL::bytea AS hash_key, NULL::bytea AS hub_hash_key",
            ),
        )
    }

    fn parents(&self) -> String {
        let rows = union(self.satellites.iter().filter_map(|Checked { name, parent, .. }| {
            let parent = parent.as_ref()?;
            Some(format!(
                "SELECT DISTINCT {} AS table_name, {} AS parent_name, s.hash_key\n\
                 FROM {VAULT_SCHEMA}.{name} AS s\n\
                 WHERE NOT EXISTS (SELECT FROM {VAULT_SCHEMA}.{parent} AS p WHERE p.hash_key = s.hash_key)",
                text(name),
                text(parent)
            ))
        }));
        finding(
            "parent of a satellite exists",
            "'hash key %s is not in %s', coalesce(encode(hash_key, 'hex'), 'NULL'), parent_name",
            &or_none(rows, "NULL::text AS parent_name, NULL::bytea AS hash_key"),
        )
    }

    fn unique(&self) -> String {
        let dated = self.satellites.iter().map(|Checked { name, .. }| {
            format!(
                "SELECT {} AS table_name, hash_key, coalesce(load_date::text, 'NULL') AS loaded, count(*) AS row_count\n\
                 FROM {VAULT_SCHEMA}.{name}\n\
                 GROUP BY hash_key, load_date\n\
                 HAVING count(*) > 1 OR hash_key IS NULL OR load_date IS NULL",
                text(name)
            )
        });
        let fixed = self.satellites.iter().filter(|checked| !checked.is_historized);
        let fixed = fixed.map(|Checked { name, .. }| {
            format!(
                "SELECT {} AS table_name, hash_key,\n    \
                 'different load dates, and is not historized' AS loaded, count(*) AS row_count\n\
                 FROM {VAULT_SCHEMA}.{name}\n\
                 GROUP BY hash_key\n\
                 HAVING count(*) > 1",
                text(name)
            )
        });
        finding(
            "one version for each load date",
            "'hash key %s has %s versions of %s', coalesce(encode(hash_key, 'hex'), 'NULL'), row_count, loaded",
            &union(dated.chain(fixed)),
        )
    }

    /// The versions of all satellites with the one before each: of these columns, as `expressions` gives them for a
    /// satellite.
    fn with_previous(
        &self,
        columns: &[&str],
        expressions: impl Fn(&Checked) -> Vec<String>,
    ) -> String {
        union(self.satellites.iter().map(|satellite| {
            let own: Vec<String> = columns
                .iter()
                .zip(expressions(satellite))
                .map(|(column, value)| format!("{value} AS {column}"))
                .collect();
            let previous: Vec<String> = columns
                .iter()
                .map(|column| format!("lag({column}) OVER in_order AS previous_{column}"))
                .collect();
            format!(
                "SELECT {name} AS table_name, *, row_number() OVER in_order AS version_no, {previous}\n\
                 FROM (SELECT hash_key, load_date, {own} FROM {VAULT_SCHEMA}.{table}) AS versions\n\
                 WINDOW in_order AS (PARTITION BY hash_key ORDER BY load_date)",
                name = text(&satellite.name),
                previous = previous.join(", "),
                own = own.join(", "),
                table = satellite.name,
            )
        }))
    }

    fn differ(&self) -> String {
        let rows = self.with_previous(&["hashdiff", "content", "is_reopening"], |satellite| {
            let (content, reopening) = match satellite.kind {
                Kind::Descriptive | Kind::Tracking => ("NULL::text", "false"),
                Kind::Status => ("is_deleted::text", "op IN ('c', 'r') AND NOT is_deleted"),
                Kind::Effectivity { .. } => ("encode(link_hash_key, 'hex')", "false"),
            };
            ["hashdiff", content, reopening].map(str::to_owned).to_vec()
        });
        let found = finding(
            "version differs from the one before",
            "'hash key %s: version %s of %s repeats the one before', encode(hash_key, 'hex'), version_no, load_date",
            &rows,
        );
        format!(
            "{found}\nWHERE version_no > 1\n    AND is_reopening IS NOT TRUE\n    \
             AND (hashdiff IS NOT DISTINCT FROM previous_hashdiff OR content = previous_content)"
        )
    }

    fn order(&self) -> String {
        let columns = ["source_lsn", "kafka_partition", "source_epoch", "kafka_offset", "op"];
        let rows = self.with_previous(&columns, |satellite| {
            let op = if matches!(satellite.kind, Kind::Status) { "op" } else { "NULL::text" };
            let own = ["source_lsn", "kafka_partition", "source_epoch", "kafka_offset", op];
            own.map(str::to_owned).to_vec()
        });
        let found = finding(
            "versions stand in source order",
            "'hash key %s: version of %s has position %s and offset %s, the one before it %s and %s', \
             encode(hash_key, 'hex'), load_date, coalesce(source_lsn::text, 'NULL'), \
             coalesce(kafka_offset::text, 'NULL'), coalesce(previous_source_lsn::text, 'NULL'), \
             coalesce(previous_kafka_offset::text, 'NULL')",
            &rows,
        );
        format!(
            "{found}\nWHERE source_epoch < previous_source_epoch\n    OR (\n        \
             source_epoch IS NOT DISTINCT FROM previous_source_epoch\n        AND (\n            \
             (previous_source_lsn IS NOT NULL AND source_lsn IS NULL)\n            \
             OR source_lsn < previous_source_lsn\n            \
             OR (\n                kafka_partition = previous_kafka_partition\n                AND (\n                    \
             kafka_offset < previous_kafka_offset\n                    \
             OR (kafka_offset = previous_kafka_offset AND op IS DISTINCT FROM 't')\n                )\n            )\n        )\n    )"
        )
    }

    fn held_links(&self) -> String {
        let rows = union(self.satellites.iter().filter_map(|satellite| {
            let Kind::Effectivity { link, .. } = &satellite.kind else { return None };
            Some(format!(
                "SELECT {} AS table_name, {} AS link_name, e.hash_key, e.load_date, e.link_hash_key\n\
                 FROM {VAULT_SCHEMA}.{} AS e\n\
                 WHERE e.record_source <> '{SYSTEM}'\n    \
                 AND NOT EXISTS (SELECT FROM {VAULT_SCHEMA}.{link} AS l WHERE l.hash_key = e.link_hash_key)",
                text(&satellite.name),
                text(link),
                satellite.name
            ))
        }));
        finding(
            "link that holds exists",
            "'hash key %s, version of %s: link row %s is not in %s', encode(hash_key, 'hex'), load_date, \
             coalesce(encode(link_hash_key, 'hex'), 'NULL'), link_name",
            &or_none(
                rows,
                "NULL::text AS link_name, NULL::bytea AS hash_key, NULL::timestamptz AS load_date, NULL::bytea AS link_hash_key",
            ),
        )
    }

    fn own_links(&self) -> String {
        let rows = union(self.satellites.iter().filter_map(|satellite| {
            let Kind::Effectivity { link, own: Some(own) } = &satellite.kind else { return None };
            Some(format!(
                "SELECT {} AS table_name, e.hash_key, e.load_date, l.{own} AS driving_hash_key\n\
                 FROM {VAULT_SCHEMA}.{} AS e\n\
                 JOIN {VAULT_SCHEMA}.{link} AS l ON l.hash_key = e.link_hash_key\n\
                 WHERE l.{own} IS DISTINCT FROM e.hash_key",
                text(&satellite.name),
                satellite.name
            ))
        }));
        finding(
            "link that holds is of its key",
            "'hash key %s, version of %s: the link row belongs to %s', encode(hash_key, 'hex'), load_date, \
             coalesce(encode(driving_hash_key, 'hex'), 'NULL')",
            &or_none(
                rows,
                "NULL::bytea AS hash_key, NULL::timestamptz AS load_date, NULL::bytea AS driving_hash_key",
            ),
        )
    }

    fn system_rows(&self) -> String {
        let hubs = self.hubs.iter().map(|hub| &hub.name);
        let shared = hubs.chain(self.links.iter().map(|(link, _)| &link.name));
        let keyed = shared.map(|name| (name.clone(), 1));
        let satellites = self.satellites.iter().map(|satellite| (satellite.name.clone(), 0));
        let rows = union(keyed.chain(satellites).map(|(name, errors)| {
            format!(
                "SELECT {} AS table_name, {errors} AS wanted_errors,\n    \
                 count(*) FILTER (WHERE hash_key = decode(repeat('00', 32), 'hex')) AS unknown_rows,\n    \
                 count(*) FILTER (WHERE hash_key = decode(repeat('ff', 32), 'hex')) AS error_rows,\n    \
                 count(*) AS all_rows,\n    \
                 count(*) FILTER (WHERE load_date IS DISTINCT FROM timestamptz '{BEGINNING}') AS misdated_rows\n\
                 FROM {VAULT_SCHEMA}.{name}\nWHERE record_source = '{SYSTEM}'",
                text(&name)
            )
        }));
        let found = finding(
            "system rows are there once",
            "'%s unknown and %s error rows of %s system rows, %s misdated; wanted are 1 and %s', unknown_rows, \
             error_rows, all_rows, misdated_rows, wanted_errors",
            &rows,
        );
        format!(
            "{found}\nWHERE unknown_rows <> 1\n    OR error_rows <> wanted_errors\n    \
             OR all_rows <> 1 + wanted_errors\n    OR misdated_rows > 0"
        )
    }

    fn business_keys(&self) -> String {
        let rows = union(self.keyed.iter().map(|Keyed { table, columns, is_in_one_row }| {
            let count = if *is_in_one_row { "count(*)" } else { "count(DISTINCT hash_key)" };
            format!(
                "SELECT {} AS table_name, {count} AS row_count, min(encode(hash_key, 'hex')) AS one_hash_key\n\
                 FROM {VAULT_SCHEMA}.{table}\nWHERE record_source <> '{SYSTEM}'\nGROUP BY {}\nHAVING {count} > 1",
                text(table),
                columns.join(", ")
            )
        }));
        finding(
            "business key has one hash key",
            "'%s rows share the business key of hash key %s', row_count, one_hash_key",
            &or_none(rows, "NULL::bigint AS row_count, NULL::text AS one_hash_key"),
        )
    }

    fn have_versions(&self) -> String {
        let rows = union(self.expected.iter().map(|(satellite, status)| {
            format!(
                "SELECT DISTINCT {} AS table_name, live.hash_key\n\
                 FROM {VAULT_SCHEMA}.{status} AS live\n\
                 WHERE live.is_deleted IS FALSE\n    AND live.record_source <> '{SYSTEM}'\n    \
                 AND NOT EXISTS (SELECT FROM {VAULT_SCHEMA}.{satellite} AS s WHERE s.hash_key = live.hash_key)",
                text(satellite)
            )
        }));
        finding(
            "key has a version",
            "'hash key %s exists by its status, but has no version here', encode(hash_key, 'hex')",
            &or_none(rows, "NULL::bytea AS hash_key"),
        )
    }
}

/// Role, column and hub of each role of a link.
fn roles(model: &Model, link: &Link) -> Vec<(String, String, String)> {
    let of =
        |role: &LinkRole| (role.role.clone(), role.column(), model.hubs[role.hub].name.clone());
    link.roles.iter().map(of).collect()
}

fn union(queries: impl Iterator<Item = String>) -> String {
    queries.collect::<Vec<_>>().join("\nUNION ALL\n")
}

/// A query without rows, where a vault has no table that a rule looks at.
fn or_none(rows: String, columns: &str) -> String {
    if rows.is_empty() {
        format!("SELECT NULL::text AS table_name, {columns} WHERE false")
    } else {
        rows
    }
}

/// The columns of a rule's view over what was found.
fn finding(rule: &str, detail: &str, rows: &str) -> String {
    format!(
        "SELECT\n    {} AS rule,\n    table_name,\n    format({detail}) AS detail\nFROM (\n{rows}\n) AS found",
        text(rule)
    )
}

fn text(word: &str) -> String {
    format!("{}::text", quote(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{self, IdVec};

    #[test]
    fn each_table_of_a_vault_is_in_the_rules_that_are_about_its_kind() {
        let text = include_str!("../../../../connectors/airline/vault.toml");
        let model = model::parse(text).unwrap();
        let views = views(&[&model]);
        assert_eq!(views.iter().map(|view| view.name.as_str()).collect::<Vec<_>>(), RULES);
        let tables = |rule: &str| {
            let view = views.iter().find(|view| view.name == rule).unwrap();
            let mut found: Vec<&str> = view.query.split("dwh_detailed.").skip(1).collect();
            found.iter_mut().for_each(|rest| *rest = rest.split([' ', '\n', ')']).next().unwrap());
            found.sort_unstable();
            found.dedup();
            found.len()
        };
        assert_eq!(tables("hash_keys"), 6 + 5);
        assert_eq!(tables("versions_differ"), 20);
        assert_eq!(tables("system_rows"), 6 + 5 + 20);
        assert_eq!(tables("effectivity_links_of_their_key"), 3 + 3);
    }

    #[test]
    fn a_vault_without_links_has_rules_about_them_all_the_same() {
        let text = include_str!("../../../../connectors/airline/vault.toml");
        let mut model = model::parse(text).unwrap();
        let airports = model.tables.iter().find(|table| table.name == "airports").unwrap().clone();
        model.tables = IdVec::new();
        model.tables.push(airports);
        model.links = IdVec::new();
        let views = views(&[&model]);
        for rule in ["effectivity_links_exist", "link_hubs_exist"] {
            let view = views.iter().find(|view| view.name == rule).unwrap();
            assert!(view.query.contains("WHERE false"), "{}", view.query);
        }
    }
}
