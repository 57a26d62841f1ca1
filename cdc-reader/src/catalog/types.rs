//! The types of columns: what a domain stands on, what an array holds, which types are enumerations.
//!
//! In come columns with the oids that a relation or the catalog gives them. The oid of a built-in type says everything.
//! For the others the catalog is asked once for all columns.

use std::collections::HashMap;

use super::cells::{parsed, text};
use crate::envelope::{ColumnInfo, TableInfo, TypeClass, kind_of};
use crate::replication::{Client, ReplicationError};

/// Finds out the type of each column whose type's oid is not enough: domains, enumerations, arrays, and types of
/// extensions.
///
/// # Errors
/// When the query fails.
pub fn resolve_types<'t>(
    client: &mut Client,
    tables: impl IntoIterator<Item = &'t mut TableInfo>,
) -> Result<(), ReplicationError> {
    let unknown =
        |column: &&mut ColumnInfo| kind_of(column.type_oid, column.type_modifier).is_none();
    let mut columns: HashMap<u32, Vec<&mut ColumnInfo>> = HashMap::new();
    for column in tables.into_iter().flat_map(|table| &mut table.columns).filter(unknown) {
        columns.entry(column.type_oid).or_default().push(column);
    }
    if columns.is_empty() {
        return Ok(());
    }
    let rows = client.query(&types_query(columns.keys()))?;
    for row in &rows {
        let (asked, oid, modifier): (u32, u32, i32) =
            (parsed(row, 0)?, parsed(row, 1)?, parsed(row, 2)?);
        let is_of_extension = text(row, 8)? == "t";
        let class = match row.get(5).and_then(Option::as_deref) {
            Some(_) => {
                let element_oid = parsed(row, 5)?;
                let element =
                    class_of(element_oid, -1, text(row, 6)?, text(row, 7)?, is_of_extension);
                TypeClass::Array { element_oid, element: Box::new(element) }
            }
            None => class_of(oid, modifier, text(row, 3)?, text(row, 4)?, is_of_extension),
        };
        for column in columns.get_mut(&asked).into_iter().flatten() {
            column.type_class = class.clone();
            if asked != oid {
                column.is_domain = true;
                column.type_modifier = modifier;
            }
            column.type_oid = oid;
        }
    }
    Ok(())
}

/// The query for what these types are. A domain's modifier belongs to the type below the domain: the outermost modifier
/// that is set counts.
fn types_query<'o>(oids: impl Iterator<Item = &'o u32>) -> String {
    let oids: Vec<String> = oids.map(u32::to_string).collect();
    format!(
        "WITH RECURSIVE beneath AS (
             SELECT t.oid AS asked, -1 AS modifier, t.*
             FROM pg_catalog.pg_type t
             WHERE t.oid IN ({})
             UNION ALL
             SELECT b.asked, CASE WHEN b.modifier >= 0 THEN b.modifier ELSE b.typtypmod END, t.*
             FROM beneath b
             JOIN pg_catalog.pg_type t ON t.oid = b.typbasetype
             WHERE b.typtype = 'd'
         )
         SELECT b.asked, b.oid, b.modifier, b.typtype, b.typname, e.oid, e.typtype, e.typname, x.belongs
         FROM beneath b
         -- Of int2vector and oidvector, whose text is not an array's, the elements' type is known as well.
         LEFT JOIN pg_catalog.pg_type e ON e.oid = b.typelem AND e.typarray = b.oid
         -- Whether the type, or the elements' type, came with an extension: somebody else's type may have the same name.
         CROSS JOIN LATERAL (
             SELECT EXISTS (
                 SELECT FROM pg_catalog.pg_depend d
                 WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
                   AND d.objid = coalesce(e.oid, b.oid)
                   AND d.deptype = 'e'
             ) AS belongs
         ) x
         WHERE b.typtype <> 'd'",
        oids.join(", ")
    )
}

/// What a type is that is no array: `kind` is its `typtype`.
fn class_of(oid: u32, modifier: i32, kind: &str, name: &str, is_of_extension: bool) -> TypeClass {
    match kind {
        "e" => TypeClass::Enum,
        "c" | "d" => TypeClass::LeftOut,
        _ if kind_of(oid, modifier).is_some() => TypeClass::BuiltIn,
        _ if is_of_extension => TypeClass::OfExtension(name.to_owned()),
        _ => TypeClass::LeftOut,
    }
}
