//! The connector file.
//!
//! In: where the source is, names, and the tables that are captured. Out: the JSON that `cdc-reader run` and Kafka
//! Connect take. The password is a reference to a variable.
//!
//! The list of tables is a list of regular expressions that ignore case and must match `schema.table` whole; commas
//! separate them, and blanks around them do not count. Java and this program must understand them alike.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use shared::postgres::ConnectOptions;

use super::names::Names;
use crate::catalog::{CatalogTable, NamedTable};
use crate::connector::Variables;
use crate::connector::properties::CONNECTOR_CLASS;

/// The variable that holds the password of the reader's role.
pub(super) const PASSWORD_VARIABLE: &str = "CDC_READER_PASSWORD";

/// Stands for the password where the file is only read back.
pub(super) struct NoPassword;

impl Variables for NoPassword {
    fn environment(&self, name: &str) -> Option<String> {
        (name == PASSWORD_VARIABLE).then(String::new)
    }

    fn file(&self, _path: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Writes the file. `all` are the tables that an expression could take by mistake.
pub(super) fn write(
    source: &ConnectOptions,
    names: &Names,
    included: &[CatalogTable],
    all: &[NamedTable],
) -> String {
    let root = source.tls_files.root_cert.as_ref().map(|path| path.to_string_lossy().into_owned());
    let text = |text: &str| Some(text.to_owned());
    let json = || text("org.apache.kafka.connect.json.JsonConverter");
    let properties = [
        ("connector.class", text(CONNECTOR_CLASS)),
        ("tasks.max", text("1")),
        ("database.hostname", text(&source.host)),
        ("database.port", text(&source.port.to_string())),
        ("database.user", text(&names.role)),
        ("database.password", Some(format!("${{env:{PASSWORD_VARIABLE}}}"))),
        ("database.dbname", text(&source.database)),
        ("database.sslmode", text(source.ssl_mode.as_str())),
        ("database.sslrootcert", root),
        ("topic.prefix", text(&names.topic_prefix)),
        ("plugin.name", text("pgoutput")),
        ("slot.name", text(&names.slot)),
        ("publication.name", text(&names.publication)),
        ("publication.autocreate.mode", text("disabled")),
        ("table.include.list", Some(list(included, all))),
        ("snapshot.mode", text("initial")),
        ("skipped.operations", text("none")),
        ("vaultstream.column.types.header", text("true")),
        ("heartbeat.interval.ms", text("1000")),
        ("key.converter", json()),
        ("key.converter.schemas.enable", text("false")),
        ("value.converter", json()),
        ("value.converter.schemas.enable", text("false")),
        ("value.converter.replace.null.with.default", text("false")),
        ("producer.override.compression.type", text("lz4")),
        ("producer.override.linger.ms", text("5")),
    ];
    let lines: Vec<String> = properties
        .into_iter()
        .filter_map(|(name, value)| Some(format!("    {}: {}", quoted(name), quoted(&value?))))
        .collect();
    let (name, lines) = (quoted(&names.connector), lines.join(",\n"));
    format!("{{\n  \"name\": {name},\n  \"config\": {{\n{lines}\n  }}\n}}\n")
}

/// A text as JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// `table.include.list`: exactly these tables. An expression minds case only where another table's name differs in
/// nothing else, because most readers of the file do not expect that.
fn list(included: &[CatalogTable], all: &[NamedTable]) -> String {
    let oids: HashSet<u32> = included.iter().map(|table| table.oid).collect();
    let others: HashSet<String> = all
        .iter()
        .filter(|table| !oids.contains(&table.oid))
        .map(|table| table.display().to_lowercase())
        .collect();
    let expression = |table: &CatalogTable| {
        let name = table.info.display();
        let expression = expression(&name);
        if others.contains(&name.to_lowercase()) {
            format!("(?-i:{expression})")
        } else {
            expression
        }
    };
    included.iter().map(expression).collect::<Vec<_>>().join(",")
}

/// The expression that matches a name, as one part of a list.
fn expression(name: &str) -> String {
    let mut expression = String::with_capacity(name.len() + 8);
    let length = name.chars().count();
    for (index, letter) in name.chars().enumerate() {
        match letter {
            ',' | '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^'
            | '$' => {
                expression.push('\\');
                expression.push(letter);
            }
            // Blanks around an expression do not count, and these ones do.
            blank if blank.is_whitespace() && (index == 0 || index + 1 == length) => {
                let _ = write!(expression, "\\u{:04x}", u32::from(blank));
            }
            other => expression.push(other),
        }
    }
    expression
}

#[cfg(test)]
mod tests {
    use shared::secret::Secret;

    use super::*;
    use crate::connector;
    use crate::envelope::TableInfo;

    fn table(oid: u32, schema: &str, name: &str) -> CatalogTable {
        CatalogTable {
            info: TableInfo {
                schema: schema.to_owned(),
                name: name.to_owned(),
                columns: Vec::new(),
                key: Vec::new(),
            },
            oid,
            replica_identity: 'd',
            readable: true,
            is_partitioned: false,
            is_identified: true,
            identity_has_key: true,
            has_primary_key: true,
            is_logged: true,
        }
    }

    const ODD: [(&str, &str); 12] = [
        ("public", "plain"),
        ("Public", "Mixed Case"),
        ("a.b", "c"),
        ("s", "quo\"te's"),
        ("s", "$1${env:HOME}"),
        ("s", "back\\slash,comma\\,both"),
        ("s", "(a|b)[c]{2}+?*^"),
        ("s", "\\p{Alpha}\\d"),
        (" blank", "at the end \u{3000}"),
        ("s", "line\nfeed"),
        ("ü", "Ä"),
        ("s", "a++"),
    ];

    #[test]
    fn a_list_takes_exactly_the_tables_that_it_names() {
        let tables: Vec<CatalogTable> = (1..)
            .zip(ODD)
            .map(|(oid, (schema, name))| table(oid, schema, name))
            .chain([table(90, "case", "t")])
            .collect();
        let others = [("case", "T"), ("public", "plainx"), ("publicxplain", "x"), ("s", "$1$")];
        let mut all: Vec<NamedTable> = tables.iter().map(|table| table.head().named).collect();
        all.extend((100..).zip(others).map(|(oid, (schema, name))| NamedTable {
            oid,
            schema: schema.to_owned(),
            name: name.to_owned(),
        }));
        let mut source = ConnectOptions::new("db.example", 5432, "My \"Shop\"");
        source.password = Secret::new("hunter2".to_owned());
        let names = Names {
            connector: "c".to_owned(),
            topic_prefix: "p".to_owned(),
            slot: "s".to_owned(),
            publication: "Pub \"x\"".to_owned(),
            role: "Role 'x'".to_owned(),
        };
        let file = write(&source, &names, &tables, &all);
        assert!(!file.contains("hunter2"));
        let settings = connector::parse(&file, &NoPassword).unwrap().settings;
        for named in &all {
            let is_included = tables.iter().any(|table| table.oid == named.oid);
            let captured = settings.tables.captures(&named.schema, &named.name);
            assert_eq!(captured, is_included, "{named:?} in {file}");
        }
        assert_eq!(settings.database.database, "My \"Shop\"");
        assert_eq!(settings.database.user, "Role 'x'");
        assert_eq!(settings.publication_name, "Pub \"x\"");
        assert!(settings.column_types_header);
    }

    #[test]
    fn case_counts_only_where_it_has_to() {
        let included = [table(1, "public", "t"), table(2, "public", "u")];
        let other = NamedTable { oid: 3, schema: "public".to_owned(), name: "T".to_owned() };
        assert_eq!(list(&included, &[other]), "(?-i:public\\.t),public\\.u");
    }
}
