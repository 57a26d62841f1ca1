//! What a source database says about its tables.
//!
//! In: a connection to the source, and the schemas to look at. Out: tables with columns, keys and foreign keys, by
//! schema and name. A table's key is what the events are keyed by: the primary key, or else what Debezium takes in its
//! place, the first unique index of plain columns.

use std::collections::HashMap;

use tokio_postgres::{Client, Error, Row};

use crate::model::ColumnType;

/// A table of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceTable {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) comment: Option<String>,
    pub(super) is_partitioned: bool,
    /// changes of an unlogged table are in no WAL
    pub(super) is_unlogged: bool,
    pub(super) columns: Vec<SourceColumn>,
    /// places of the key's columns, in the key's order; empty when the table has no key
    pub(super) key: Vec<usize>,
    pub(super) foreign_keys: Vec<ForeignKey>,
    /// foreign keys to tables that are not looked at, in words
    pub(super) outside: Vec<String>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceColumn {
    pub(super) name: String,
    /// as PostgreSQL prints the type; of a domain the base type, and `text` for an enumeration
    pub(super) kind: String,
    /// PostgreSQL computes it from the others
    pub(super) is_generated: bool,
    pub(super) is_nullable: bool,
    /// the source's own comment
    pub(super) comment: Option<String>,
}

/// A foreign key whose target is one of the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForeignKey {
    pub(super) name: String,
    /// places of the columns in this table
    pub(super) columns: Vec<usize>,
    /// place of the table that it refers to
    pub(super) target: usize,
    /// places of the columns there, in the same order
    pub(super) target_columns: Vec<usize>,
}

impl ForeignKey {
    fn says_the_same(&self, other: &Self) -> bool {
        self.target == other.target
            && self.columns == other.columns
            && self.target_columns == other.target_columns
    }
}

impl SourceColumn {
    /// The type, if a model can have it.
    pub(super) fn column_type(&self) -> Option<ColumnType> {
        ColumnType::parse(&self.kind)
    }
}

impl SourceTable {
    /// How notes call it.
    pub(super) fn label(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Names of columns.
    pub(super) fn names(&self, columns: &[usize]) -> Vec<&str> {
        columns.iter().map(|&column| self.columns[column].name.as_str()).collect()
    }
}

/// Ordinary tables and partitioned ones; no partitions, no foreign tables, nothing of the system or of extensions.
const TABLES: &str = "
    SELECT c.oid, n.nspname, c.relname, c.relkind = 'p', obj_description(c.oid, 'pg_class'), c.relpersistence = 'u'
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p')
      AND NOT c.relispartition
      AND c.relpersistence <> 't'
      AND n.nspname <> 'information_schema'
      AND n.nspname !~ '^pg_'
      AND (cardinality($1::text[]) = 0 OR n.nspname = ANY ($1))
      AND NOT EXISTS (
          SELECT FROM pg_depend AS d
          WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
      )
    ORDER BY n.nspname, c.relname";

/// A domain is its base type; a modifier of the domain counts when the column has none. An array of a domain stays one:
/// events leave it out.
pub(crate) const COLUMNS: &str = "
    WITH RECURSIVE base AS (
        SELECT a.attrelid, a.attnum, a.atttypid AS type, a.atttypmod AS modifier
        FROM pg_attribute AS a
        WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT b.attrelid, b.attnum, t.typbasetype, CASE WHEN b.modifier >= 0 THEN b.modifier ELSE t.typtypmod END
        FROM base AS b
        JOIN pg_type AS t ON t.oid = b.type
        WHERE t.typtype = 'd'
    )
    SELECT a.attrelid, a.attnum, a.attname,
           CASE WHEN t.typtype = 'e' THEN 'text'
                WHEN e.typtype = 'e' THEN 'text[]'
                WHEN t.typtype = 'c' THEN 'composite ' || t.typname
                ELSE format_type(b.type, b.modifier)
           END,
           a.attgenerated <> '',
           NOT a.attnotnull,
           col_description(a.attrelid, a.attnum)
    FROM base AS b
    JOIN pg_type AS t ON t.oid = b.type
    LEFT JOIN pg_type AS e ON t.typcategory = 'A' AND e.oid = t.typelem
    JOIN pg_attribute AS a ON a.attrelid = b.attrelid AND a.attnum = b.attnum
    WHERE t.typtype <> 'd'
    ORDER BY a.attrelid, a.attnum";

/// The key that events have, by Debezium's rule. A unique index with a nullable column, or a partial one, does not tell
/// every two rows apart. A table that has such an index as its key counts as a table without a key.
const KEYS: &str = "
    SELECT DISTINCT ON (i.indrelid) i.indrelid,
           (i.indkey::smallint[])[0:CASE WHEN i.indisprimary THEN i.indnkeyatts ELSE i.indnatts END - 1],
           i.indpred IS NULL
    FROM pg_index AS i
    JOIN pg_class AS x ON x.oid = i.indexrelid
    WHERE i.indrelid = ANY ($1)
      AND i.indisunique
      AND (i.indisprimary OR 0 <> ALL (i.indkey::smallint[]))
    ORDER BY i.indrelid, i.indisprimary DESC, i.indisclustered DESC, x.relname";

const FOREIGN_KEYS: &str = "
    SELECT conrelid, conname, conkey, confrelid, confkey, confrelid::regclass::text
    FROM pg_constraint AS c
    WHERE contype = 'f' AND conparentid = 0 AND conrelid = ANY ($1)
      -- A temporal foreign key (PostgreSQL 18) is no equality.
      AND NOT coalesce((to_jsonb(c) ->> 'conperiod')::boolean, false)
    ORDER BY conrelid, conname";

/// Reads the tables of these schemas, or of all when none is named.
pub(super) async fn read(client: &Client, schemas: &[String]) -> Result<Vec<SourceTable>, Error> {
    let rows = client.query(TABLES, &[&schemas]).await?;
    let oids: Vec<u32> = rows.iter().map(|row| row.get(0)).collect();
    let places: HashMap<u32, usize> =
        oids.iter().enumerate().map(|(place, &oid)| (oid, place)).collect();
    let mut tables: Vec<SourceTable> = rows.iter().map(table).collect();
    let mut numbers: Vec<HashMap<i16, usize>> = vec![HashMap::new(); tables.len()];
    for row in client.query(COLUMNS, &[&oids]).await? {
        let place = places[&row.get(0)];
        numbers[place].insert(row.get(1), tables[place].columns.len());
        tables[place].columns.push(SourceColumn {
            name: row.get(2),
            kind: in_model(row.get(3)),
            is_generated: row.get(4),
            is_nullable: row.get(5),
            comment: row.get(6),
        });
    }
    let columns = |place: usize, attributes: Vec<i16>| -> Vec<usize> {
        attributes.iter().filter_map(|number| numbers[place].get(number).copied()).collect()
    };
    for row in client.query(KEYS, &[&oids]).await? {
        let place = places[&row.get(0)];
        let key = columns(place, row.get(1));
        let is_whole = row.get::<_, bool>(2)
            && key.iter().all(|&column| !tables[place].columns[column].is_nullable);
        if is_whole {
            tables[place].key = key;
        }
    }
    for row in client.query(FOREIGN_KEYS, &[&oids]).await? {
        let place = places[&row.get(0)];
        let own = columns(place, row.get(2));
        let Some(&target) = places.get(&row.get(3)) else {
            let names = tables[place].names(&own).join(", ");
            let table: &str = row.get(5);
            let note =
                format!("({names}) refers to {table}, and is no link: that table is not looked at");
            tables[place].outside.push(note);
            continue;
        };
        let key = ForeignKey {
            name: row.get(1),
            columns: own,
            target,
            target_columns: columns(target, row.get(4)),
        };
        let keys = &mut tables[place].foreign_keys;
        if !keys.iter().any(|other| other.says_the_same(&key)) {
            keys.push(key);
        }
    }
    Ok(tables)
}

fn table(row: &Row) -> SourceTable {
    SourceTable {
        schema: row.get(1),
        name: row.get(2),
        is_partitioned: row.get(3),
        comment: row.get(4),
        is_unlogged: row.get(5),
        columns: Vec::new(),
        key: Vec::new(),
        foreign_keys: Vec::new(),
        outside: Vec::new(),
    }
}

/// A type as a model writes it. Types of the catalog's own travel as others do.
pub(crate) fn in_model(kind: &str) -> String {
    match kind {
        "oid" => "bigint".to_owned(),
        "oid[]" => "bigint[]".to_owned(),
        "name" | "\"char\"" => "text".to_owned(),
        "\"char\"[]" => "text[]".to_owned(),
        kind => without_schema(kind),
    }
}

/// The type of an extension is printed with its schema when that is not in the search path.
fn without_schema(kind: &str) -> String {
    let name = kind.split('(').next().unwrap_or(kind);
    let start = name.rfind('.').map_or(0, |dot| dot + 1);
    kind[start..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_the_catalog_are_called_what_their_events_hold() {
        for (kind, expected) in [
            ("oid", "bigint"),
            ("oid[]", "bigint[]"),
            ("name", "text"),
            ("\"char\"", "text"),
            ("\"char\"[]", "text[]"),
            ("character(1)", "character(1)"),
        ] {
            assert_eq!(in_model(kind), expected);
            assert!(ColumnType::parse(expected).is_some());
        }
        // Events leave such arrays out.
        assert!(ColumnType::parse(&in_model("name[]")).is_none());
    }

    #[test]
    fn a_type_has_no_schema_in_a_model() {
        assert_eq!(without_schema("ext.geometry(Point,4326)"), "geometry(Point,4326)");
        assert_eq!(without_schema("numeric(10,2)"), "numeric(10,2)");
        assert_eq!(without_schema("public.citext[]"), "citext[]");
    }
}
