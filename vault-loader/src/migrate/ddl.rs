//! The vault's tables as data, and as DDL.
//!
//! In: a [`Plan`]. Out: [`TableSpec`]s in a fixed order and the SQL that makes them. The catalog is compared with the
//! same specs, so the created tables and the checked tables cannot differ.

use std::fmt::Write;

use crate::model::{
    CarriedColumn, CarriedFrom, Column, ColumnType, KEY_COLUMNS, Link, Model, PayloadType, Plan,
    SatelliteKind, SatellitePlan, VAULT_SCHEMA, VERSION_COLUMNS, ident,
};

/// Load date of the system rows. It lies before everything that can be loaded.
pub const BEGINNING: &str = "1900-01-01 00:00:00+00";

/// Record source of rows that no source sent.
pub const SYSTEM: &str = "SYSTEM";

/// A column of a vault table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSpec {
    /// name
    pub name: String,
    /// type as `format_type` prints it
    pub kind: String,
    /// whether it refuses NULL
    pub not_null: bool,
    /// whether text is compared byte by byte, whatever the database's locale
    pub byte_order: bool,
    /// what it holds
    pub comment: String,
}

/// A vault table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSpec {
    /// name in the vault's schema
    pub name: String,
    /// what it holds
    pub comment: String,
    /// columns in order
    pub columns: Vec<ColumnSpec>,
    /// columns of the primary key
    pub primary_key: Vec<String>,
    /// further columns with an index each
    pub indexed: Vec<String>,
    /// columns of an index by block ranges; none in most tables
    pub block_indexed: Vec<String>,
    /// rows that every table of its kind has from the start
    pub system_rows: SystemRows,
}

/// The system rows, which no source sent. With them, joins need no special case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SystemRows {
    /// "unknown" and "error" of a hub or link; the named columns hold the same key
    Zero(Vec<String>),
    /// one row without meaning in a satellite
    Ghost,
}

impl TableSpec {
    /// Name with schema.
    #[must_use]
    pub fn qualified(&self) -> String {
        format!("{VAULT_SCHEMA}.{}", self.name)
    }

    /// Whether all sources share it: a hub or link. A satellite belongs to one source.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.system_rows, SystemRows::Zero(_))
    }

    /// All statements that make the table: itself, indexes, comments, system rows.
    #[must_use]
    pub fn create(&self) -> String {
        self.create_as("", "")
    }

    /// The same as a table with so many partitions by hash key, which lie in another schema.
    #[must_use]
    pub fn create_partitioned(&self, schema: &str, count: u16) -> String {
        let partitions = (0..count).fold(String::new(), |sql, number| {
            let name = shorten(&self.name, &format!("_p{number}"));
            let of = self.qualified();
            sql + &format!(
                "CREATE TABLE {schema}.{name}\n    PARTITION OF {of}\n    \
                 FOR VALUES WITH (MODULUS {count}, REMAINDER {number});\n"
            )
        });
        self.create_as(" PARTITION BY HASH (hash_key)", &partitions)
    }

    fn create_as(&self, partitioning: &str, partitions: &str) -> String {
        let mut columns: Vec<String> = self.columns.iter().map(ColumnSpec::definition).collect();
        columns.push(format!(
            "CONSTRAINT {} PRIMARY KEY ({})",
            shorten(&self.name, "_pkey"),
            self.primary_key.join(", ")
        ));
        let mut sql = format!(
            "CREATE TABLE {} (\n    {}\n){partitioning};\n{partitions}",
            self.qualified(),
            columns.join(",\n    ")
        );
        for column in &self.indexed {
            let index = shorten(&format!("{}_{column}", self.name), "_idx");
            let _ = writeln!(sql, "CREATE INDEX {index}\n    ON {} ({column});", self.qualified());
        }
        if let Some((_, index)) = self.block_index() {
            sql.push_str(&index);
        }
        let _ = writeln!(sql, "COMMENT ON TABLE {} IS {};", self.qualified(), quote(&self.comment));
        for column in &self.columns {
            sql.push_str(&column.comment_on(&self.qualified()));
        }
        sql.push_str(&self.insert_system_rows(VAULT_SCHEMA));
        sql
    }

    /// The table's index by block ranges, if it has one: its name and the statement that makes it. Rows are written in
    /// about the order of these columns, so a few bytes for each range of blocks tell which ranges a query can skip.
    #[must_use]
    pub fn block_index(&self) -> Option<(String, String)> {
        if self.block_indexed.is_empty() {
            return None;
        }
        let name = shorten(&self.name, "_brin");
        let sql = format!(
            "CREATE INDEX {name}\n    ON {} USING brin ({}) WITH (pages_per_range = 32, autosummarize = on);\n",
            self.qualified(),
            self.block_indexed.join(", ")
        );
        Some((name, sql))
    }

    /// The statements that add one column to an existing table.
    #[must_use]
    pub fn add_column(&self, column: &ColumnSpec) -> String {
        format!(
            "ALTER TABLE {}\n    ADD COLUMN {};\n{}",
            self.qualified(),
            column.definition(),
            column.comment_on(&self.qualified())
        )
    }

    /// The statement that gives an existing column its wider type. It rewrites the table.
    #[must_use]
    pub fn widen_column(&self, column: &ColumnSpec) -> String {
        let (table, name) = (self.qualified(), ident(&column.name));
        format!("ALTER TABLE {table}\n    ALTER COLUMN {name} TYPE {};\n", column.kind)
    }

    /// The statement that writes the rows which no event brings, into this table of a schema.
    #[must_use]
    pub fn insert_system_rows(&self, schema: &str) -> String {
        let zeros = |byte: &str| format!("'\\x{}'::bytea", byte.repeat(32));
        let row = |byte: &str, extra: &[String]| {
            let mut values = vec![
                zeros(byte),
                format!("'{BEGINNING}'::timestamptz"),
                format!("'{SYSTEM}'"),
                "0".to_owned(),
            ];
            values.extend(extra.iter().map(|_| zeros(byte)));
            format!("({})", values.join(", "))
        };
        let mut names = KEY_COLUMNS.to_vec();
        let rows = match &self.system_rows {
            SystemRows::Zero(keys) => {
                names.extend(keys.iter().map(String::as_str));
                vec![row("00", keys), row("ff", keys)]
            }
            SystemRows::Ghost => vec![row("00", &[])],
        };
        format!(
            "INSERT INTO {schema}.{} ({})\nVALUES\n    {}\nON CONFLICT DO NOTHING;\n",
            self.name,
            names.join(", "),
            rows.join(",\n    ")
        )
    }
}

impl ColumnSpec {
    pub(super) fn new(name: &str, kind: &str, not_null: bool, comment: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            not_null,
            byte_order: false,
            comment: comment.to_owned(),
        }
    }

    pub(super) fn bytewise(mut self) -> Self {
        self.byte_order = self.kind == "text";
        self
    }

    /// The statement that says what a table's column of this kind holds.
    pub(super) fn comment_on(&self, table: &str) -> String {
        let name = ident(&self.name);
        format!("COMMENT ON COLUMN {table}.{name} IS {};\n", quote(&self.comment))
    }

    pub(super) fn definition(&self) -> String {
        let collation = if self.byte_order { " COLLATE \"C\"" } else { "" };
        let null = if self.not_null { " NOT NULL" } else { "" };
        format!("{} {}{collation}{null}", ident(&self.name), self.kind)
    }
}

/// Every table of the vault, hubs first. A reference has none, nor has a link whose key stands in satellites.
#[must_use]
pub fn tables(plan: &Plan) -> Vec<TableSpec> {
    let model = &plan.model;
    let hubs = model.hubs.iter().filter(|hub| !hub.is_carried).map(|hub| {
        let mut columns = technical(
            "load date of the mention that was loaded first",
            "source table of that mention",
        );
        columns.extend(hub.key.iter().map(|column| {
            business(column, &format!("business key, as {} spells it", model.source.name))
                .bytewise()
        }));
        TableSpec {
            name: hub.name.clone(),
            comment: hub.comment.clone(),
            columns,
            primary_key: vec!["hash_key".to_owned()],
            indexed: Vec::new(),
            block_indexed: Vec::new(),
            system_rows: SystemRows::Zero(Vec::new()),
        }
    });
    let links = model.links.iter().filter(|link| !link.is_carried());
    let links = links.map(|link| link_table(model, link));
    let satellites = plan.satellites.iter().map(|satellite| satellite_table(plan, satellite));
    hubs.chain(links).chain(satellites).collect()
}

fn link_table(model: &Model, link: &Link) -> TableSpec {
    let mut columns =
        technical("load date of the mention that was loaded first", "source table of that mention");
    columns.extend(link.roles.iter().map(|role| {
        let comment = format!("hash key in {}", model.hubs[role.hub].name);
        ColumnSpec::new(&role.column(), "bytea", true, &comment)
    }));
    columns.extend(link.dependent_key.iter().map(|column| {
        business(column, "dependent child key: part of the relationship, no concept of its own")
    }));
    let keys: Vec<String> = link.roles.iter().map(crate::model::LinkRole::column).collect();
    TableSpec {
        name: link.name.clone(),
        comment: link.comment.clone(),
        columns,
        primary_key: vec!["hash_key".to_owned()],
        indexed: keys.clone(),
        block_indexed: Vec::new(),
        system_rows: SystemRows::Zero(keys),
    }
}

/// What a satellite holds.
fn satellite_comment(plan: &Plan, satellite: &SatellitePlan) -> String {
    let table = &plan.model.tables[satellite.table];
    let parent = plan.model.parent_name(table);
    let source = &plan.tables[satellite.table].record_source;
    match &satellite.kind {
        SatelliteKind::Descriptive { .. } if satellite.is_link => {
            let link = plan.model.parent_link(table).map_or("", |link| link.comment.as_str());
            format!("{link}; a row never changes, from {source}")
        }
        SatelliteKind::Descriptive { .. } => {
            let described = table.satellites.iter().find(|other| other.name == satellite.name);
            let described = described.map_or("", |described| described.comment.as_str());
            let versions =
                if satellite.is_historized { "versions" } else { "one version for ever" };
            format!("{described}; {versions} per key of {parent}, from {source}")
        }
        SatelliteKind::Status => {
            format!(
                "whether the row of {source} exists: a row for each change, per key of {parent}"
            )
        }
        SatelliteKind::Tracking => {
            format!("every event of a row of {source}: a row for each, per key of {parent}")
        }
        SatelliteKind::Effectivity { link } => {
            let link = &plan.model.links[table.links[*link].link].name;
            format!("which row of {link} holds from when, per key of {parent}")
        }
    }
}

fn satellite_table(plan: &Plan, satellite: &SatellitePlan) -> TableSpec {
    let table = &plan.model.tables[satellite.table];
    let parent = plan.model.parent_name(table);
    let source = &plan.tables[satellite.table].record_source;
    let mut columns = technical(
        "from when the version holds in the vault",
        "source table that the version came from",
    );
    if !satellite.is_link {
        columns[0].comment = format!("hash key in {parent}");
    }
    columns.extend(version_columns());
    if let (SatelliteKind::Tracking, Some(hashdiff)) = (&satellite.kind, columns.last_mut()) {
        hashdiff.comment =
            "hash of operation, commit time and position: no two rows of a key have the same"
                .to_owned();
    }
    columns.extend(satellite.carried.iter().map(carried_column));
    let is_role = |carried: &&CarriedColumn| matches!(carried.from, CarriedFrom::Role(_));
    let roles = satellite.carried.iter().filter(is_role).map(|carried| carried.name.clone());
    let payload = plan.payload(satellite);
    let meaning = |name: &str| -> String {
        let Some(column) = table.columns.iter().find(|column| column.vault_name() == name) else {
            return format!("{name} of {source}");
        };
        let origin = format!("{} of {source}", column.name);
        if column.comment.is_empty() { origin } else { format!("{}; {origin}", column.comment) }
    };
    columns.extend(
        payload.into_iter().map(|(name, kind)| payload_column(&name, kind, &meaning(&name))),
    );
    TableSpec {
        name: satellite.name.clone(),
        comment: satellite_comment(plan, satellite),
        columns,
        primary_key: vec!["hash_key".to_owned(), "load_date".to_owned()],
        indexed: roles.collect(),
        block_indexed: match satellite.kind {
            SatelliteKind::Status => ["record_lsn", "load_date"].map(str::to_owned).to_vec(),
            _ if is_read_by_date(&plan.model, satellite) => vec!["load_date".to_owned()],
            SatelliteKind::Descriptive { .. }
            | SatelliteKind::Tracking
            | SatelliteKind::Effectivity { .. } => Vec::new(),
        },
        system_rows: SystemRows::Ghost,
    }
}

/// Whether snapshots ask for the versions of a span of load dates. Effectivity satellites tell them which keys links
/// have mentioned, and so does the table of a non-historized link.
fn is_read_by_date(model: &Model, satellite: &SatellitePlan) -> bool {
    let pits = &model.snapshots.pits;
    let is_pointed_into = pits.iter().any(|pit| pit.satellites.contains(&satellite.name));
    let is_effectivity = matches!(satellite.kind, SatelliteKind::Effectivity { .. });
    is_pointed_into || (is_effectivity || satellite.is_link) && !pits.is_empty()
}

/// A column of the parent's key. It may be NULL, because the ghost row has none.
fn carried_column(carried: &CarriedColumn) -> ColumnSpec {
    let kind = match carried.from {
        CarriedFrom::Role(_) => "bytea".to_owned(),
        CarriedFrom::Value { kind, .. } => kind.vault_type(),
    };
    ColumnSpec::new(&carried.name, &kind, false, &carried.comment).bytewise()
}

/// A satellite's own column. `meaning` is what a column of the source holds.
fn payload_column(name: &str, kind: PayloadType, meaning: &str) -> ColumnSpec {
    match kind {
        PayloadType::Column(kind) => ColumnSpec::new(name, &kind.vault_type(), false, meaning),
        PayloadType::Letter => ColumnSpec::new(
            name,
            "text",
            false,
            "c, u, r, d or t (truncate): what changed the status",
        ),
        PayloadType::Operation => {
            ColumnSpec::new(name, "text", false, "c, u, r or d: what happened to the row")
        }
        PayloadType::Flag => ColumnSpec::new(name, "boolean", false, "whether the row is gone"),
        PayloadType::Position => {
            let comment = "log position of the record itself: of an insert that waited for a delete of its key it is below source_lsn; a read has its snapshot's";
            ColumnSpec::new(name, "bigint", false, comment)
        }
        PayloadType::Key => {
            ColumnSpec::new(name, "bytea", false, "hash key of the link row that holds")
        }
    }
}

/// The columns that every vault table begins with.
fn technical(load_date: &str, record_source: &str) -> Vec<ColumnSpec> {
    let [key, date, source, system] = KEY_COLUMNS;
    let number = "number of the source system; 0 is the warehouse itself";
    vec![
        ColumnSpec::new(key, "bytea", true, "SHA-256 of the key's canonical form"),
        ColumnSpec::new(date, "timestamp with time zone", true, load_date),
        ColumnSpec::new(source, "text", true, record_source).bytewise(),
        ColumnSpec::new(system, "smallint", true, number),
    ]
}

/// The columns that every satellite has behind them.
fn version_columns() -> [ColumnSpec; VERSION_COLUMNS.len()] {
    let kinds = ["timestamp with time zone", "bigint", "integer", "integer", "bigint", "bytea"];
    let comments = [
        "commit time at the source",
        "greatest log position of the key's changes up to this version; NULL while only a snapshot read it",
        "partition of the record that made the version",
        "epoch of the table in which the record came; offsets and log positions may count anew with each",
        "offset of that record",
        "hash of the content: equal means no change",
    ];
    std::array::from_fn(|place| {
        ColumnSpec::new(VERSION_COLUMNS[place], kinds[place], false, comments[place])
    })
}

fn business(column: &Column, comment: &str) -> ColumnSpec {
    let kind: ColumnType = column.kind;
    ColumnSpec::new(&column.name, &kind.vault_type(), false, comment)
}

/// PostgreSQL cuts names at 63 bytes. A name that is too long loses its beginning here, so that it stays distinct and
/// readable. What is left may begin with a digit, which no name does.
pub(super) fn shorten(name: &str, suffix: &str) -> String {
    let keep = 63 - suffix.len();
    let end = &name[name.len().saturating_sub(keep)..];
    match end.strip_prefix(|first: char| first.is_ascii_digit()) {
        Some(rest) => format!("_{rest}{suffix}"),
        None => format!("{end}{suffix}"),
    }
}

pub(super) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The whole vault as one script.
#[must_use]
pub fn script(plan: &Plan) -> String {
    tables(plan).iter().map(TableSpec::create).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;

    fn specs() -> Vec<TableSpec> {
        let text = include_str!("../../../connectors/airline/vault.toml");
        tables(&Plan::new(model::parse(text).unwrap()))
    }

    #[test]
    fn every_table_and_column_has_a_comment() {
        for table in specs() {
            assert!(!table.comment.is_empty(), "{}", table.name);
            for column in &table.columns {
                assert!(!column.comment.is_empty(), "{}.{}", table.name, column.name);
            }
        }
    }

    #[test]
    fn a_link_has_its_roles_and_its_dependent_key() {
        let specs = specs();
        let seats = specs.iter().find(|table| table.name == "link_aircraft_seats").unwrap();
        let names: Vec<_> = seats.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "hash_key",
                "load_date",
                "record_source",
                "source_system_id",
                "aircraft_hash_key",
                "seat_no"
            ]
        );
        assert!(seats.create().contains("CREATE INDEX link_aircraft_seats_aircraft_hash_key_idx"));
    }

    #[test]
    fn satellites_hold_the_key_of_a_parent_that_has_no_table() {
        let text = include_str!("../../tests/support/shop.vault.toml");
        let specs = tables(&Plan::new(model::parse(text).unwrap()));
        let names: Vec<&str> = specs.iter().map(|table| table.name.as_str()).collect();
        assert!(
            !names.iter().any(|name| name.starts_with("ref_") || name.contains(' ')),
            "{names:?}"
        );
        let own = |name: &str| {
            let table = specs.iter().find(|table| table.name == name).unwrap();
            let technical = KEY_COLUMNS.len() + VERSION_COLUMNS.len();
            let columns = table.columns.iter().skip(technical);
            let columns: Vec<String> =
                columns.map(|column| format!("{} {}", column.name, column.kind)).collect();
            (columns.join(", "), table.indexed.join(", "))
        };
        let indexed = |columns: &str, indexed: &str| (columns.to_owned(), indexed.to_owned());
        let phones = "customer_hash_key bytea, kind text";
        assert_eq!(
            own("sat_phones"),
            indexed(&format!("{phones}, number text"), "customer_hash_key")
        );
        let status = "op text, is_deleted boolean, record_lsn bigint";
        assert_eq!(
            own("sat_phones_status"),
            indexed(&format!("{phones}, {status}"), "customer_hash_key")
        );
        let tracking = "op text, record_lsn bigint";
        assert_eq!(
            own("sat_phones_tracking"),
            indexed(&format!("{phones}, {tracking}"), "customer_hash_key")
        );
        assert_eq!(own("sat_payments_tracking"), indexed(tracking, ""));
        let effectivity = format!("{phones}, link_hash_key bytea");
        assert_eq!(
            own("sat_phone_operators_effectivity"),
            indexed(&effectivity, "customer_hash_key")
        );
        let currencies = "currency_code text, title text, digits smallint";
        assert_eq!(own("sat_currencies"), indexed(currencies, ""));
        let payments = "customer_hash_key bytea, sales_order_hash_key bytea, payment_id bigint, amount integer, currency text";
        assert_eq!(
            own("link_payments"),
            indexed(payments, "customer_hash_key, sales_order_hash_key")
        );
        assert_eq!(own("sat_payments_status"), indexed(status, ""));
        let payments = specs.iter().find(|table| table.name == "link_payments").unwrap();
        assert!(!payments.is_shared(), "it belongs to the source whose rows it holds");
    }

    #[test]
    fn names_of_constraints_never_exceed_postgresql_s_limit() {
        assert_eq!(shorten(&"a".repeat(80), "_pkey").len(), 63);
    }

    #[test]
    fn a_name_that_lost_its_beginning_does_not_begin_with_a_digit() {
        let name = format!("link_12{}", "a".repeat(57));
        assert_eq!(shorten(&name, "_idx"), format!("_2{}_idx", "a".repeat(57)));
    }
}
