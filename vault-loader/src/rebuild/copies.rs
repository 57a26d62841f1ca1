//! Empty copies of tables, as the catalog describes them.
//!
//! In: tables of one schema. Out: statements that make the same tables in another schema: columns, checks, keys and
//! indexes by their names, storage options, statistics, comments. The catalog is asked, and not the model, so that a
//! further index or another storage option of an operator is there too.
//!
//! Rights come last, when the copy has taken the original's place: until then nobody else is to see the copy.

use tokio_postgres::{Error, GenericClient};

use crate::proof::quoted;

/// The statements that make a table, in their order. `$1` and `$2` are the schemas, `$3` is the table.
const CREATE: &str = "
    WITH original AS (
        SELECT c.*, a.amname, s.spcname
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = $1::text
        JOIN pg_catalog.pg_am AS a ON a.oid = c.relam
        LEFT JOIN pg_catalog.pg_tablespace AS s ON s.oid = c.reltablespace
        WHERE c.relname = $3::text AND c.relkind = 'r'
    )
    SELECT step, sql
    FROM (
        SELECT 1 AS step, '' AS name,
               format('CREATE TABLE %I.%I (LIKE %I.%I INCLUDING ALL EXCLUDING INDEXES) USING %I', $2::text, relname, $1::text, relname,
                      amname)
               || coalesce((SELECT format(' WITH (%s)', string_agg(format('%s%I = %L', prefix, option_name, option_value), ', '))
                            FROM (SELECT '' AS prefix, o.* FROM pg_catalog.pg_options_to_table(original.reloptions) AS o
                                  UNION ALL
                                  SELECT 'toast.', o.*
                                  FROM pg_catalog.pg_class AS toast, pg_catalog.pg_options_to_table(toast.reloptions) AS o
                                  WHERE toast.oid = original.reltoastrelid) AS options
                            HAVING count(*) > 0), '')
               || CASE WHEN spcname IS NULL THEN '' ELSE format(' TABLESPACE %I', spcname) END AS sql
        FROM original
        UNION ALL
        SELECT 2, k.conname,
               format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', $2::text, relname, k.conname, pg_catalog.pg_get_constraintdef(k.oid))
        FROM original JOIN pg_catalog.pg_constraint AS k ON k.conrelid = original.oid AND k.contype IN ('p', 'u', 'x')
        UNION ALL
        SELECT 3, i.indexrelid::regclass::text,
               replace(pg_catalog.pg_get_indexdef(i.indexrelid), format(' ON %I.%I ', $1::text, relname),
                       format(' ON %I.%I ', $2::text, relname))
        FROM original
        JOIN pg_catalog.pg_index AS i ON i.indrelid = original.oid
        WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS k
                          WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
        UNION ALL
        SELECT 4, a.attname,
               format('ALTER TABLE %I.%I ALTER COLUMN %I SET (%s)', $2::text, relname, a.attname,
                      (SELECT string_agg(format('%I = %L', o.option_name, o.option_value), ', ')
                       FROM pg_catalog.pg_options_to_table(a.attoptions) AS o))
        FROM original
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = original.oid AND a.attnum > 0 AND a.attoptions IS NOT NULL
        WHERE NOT a.attisdropped
        UNION ALL
        SELECT 5, a.attname,
               format('ALTER TABLE %I.%I ALTER COLUMN %I SET STATISTICS %s', $2::text, relname, a.attname, a.attstattarget)
        FROM original
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = original.oid AND a.attnum > 0 AND a.attstattarget >= 0
        WHERE NOT a.attisdropped
        UNION ALL
        SELECT 6, '',
               format('COMMENT ON TABLE %I.%I IS %L', $2::text, relname, pg_catalog.obj_description(oid, 'pg_class'))
        FROM original
        UNION ALL
        SELECT 7, '',
               format('ALTER TABLE %I.%I OWNER TO %I', $2::text, relname, pg_catalog.pg_get_userbyid(relowner))
        FROM original
        WHERE pg_catalog.pg_get_userbyid(relowner) <> current_user
    ) AS steps
    ORDER BY step, name";

/// Makes an empty copy of a table.
pub(super) async fn create(
    client: &impl GenericClient,
    (from, to): (&str, &str),
    table: &str,
) -> Result<(), Error> {
    for row in client.query(CREATE, &[&from, &to, &table]).await? {
        client.batch_execute(row.get(1)).await?;
    }
    Ok(())
}

/// Adds to each copy the columns that its original has got since. Returns how many there were.
pub(super) async fn follow(
    client: &impl GenericClient,
    (from, to): (&str, &str),
    tables: &[String],
) -> Result<usize, Error> {
    let sql = "
        SELECT format('ALTER TABLE %I.%I ADD COLUMN %I %s', $2::text, c.relname, a.attname,
                      pg_catalog.format_type(a.atttypid, a.atttypmod))
               || coalesce(format('; COMMENT ON COLUMN %I.%I.%I IS %L', $2::text, c.relname, a.attname,
                                  pg_catalog.col_description(c.oid, a.attnum)), '')
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = $1::text
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relname = ANY ($3::text[])
          AND NOT EXISTS (
              SELECT
              FROM pg_catalog.pg_class AS copy
              JOIN pg_catalog.pg_namespace AS m ON m.oid = copy.relnamespace AND m.nspname = $2::text
              JOIN pg_catalog.pg_attribute AS b ON b.attrelid = copy.oid AND NOT b.attisdropped
              WHERE copy.relname = c.relname AND b.attname = a.attname
          )
        ORDER BY c.relname, a.attnum";
    let found = client.query(sql, &[&from, &to, &tables]).await?;
    for row in &found {
        client.batch_execute(row.get(0)).await?;
    }
    Ok(found.len())
}

/// The statements that give others the rights on tables of a schema that they have now, in the schema's own name. A
/// table that takes the place of another one has to have the same, whatever default privileges say.
pub(super) async fn rights(
    client: &impl GenericClient,
    schema: &str,
    tables: &[String],
) -> Result<Vec<String>, Error> {
    let sql = "
        SELECT format('GRANT %s%s ON %I.%I TO %s%s', a.privilege_type, r.columns, n.nspname, c.relname,
                      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
                      CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = $1::text,
        LATERAL (
            SELECT c.relacl AS acl, '' AS columns
            UNION ALL
            SELECT t.attacl, format(' (%I)', t.attname)
            FROM pg_catalog.pg_attribute AS t
            WHERE t.attrelid = c.oid AND NOT t.attisdropped
        ) AS r,
        aclexplode(r.acl) AS a
        WHERE c.relname = ANY ($2::text[]) AND a.grantee <> c.relowner
        ORDER BY 1";
    let rows = client.query(sql, &[&schema, &tables]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The statements that take from others what default privileges gave them on new tables of a schema.
pub(super) async fn revocations(
    client: &impl GenericClient,
    schema: &str,
    tables: &[String],
) -> Result<Vec<String>, Error> {
    let sql = "
        SELECT DISTINCT format('REVOKE ALL ON %I.%I FROM %s', n.nspname, c.relname,
                               CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END)
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = $1::text,
        aclexplode(c.relacl) AS a
        WHERE c.relname = ANY ($2::text[]) AND a.grantee <> c.relowner
        ORDER BY 1";
    let rows = client.query(sql, &[&schema, &tables]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Names of tables with their schema, as a list in a statement.
pub(super) fn listed(schema: &str, tables: &[String]) -> String {
    let names: Vec<String> =
        tables.iter().map(|table| format!("{schema}.{}", quoted(table))).collect();
    names.join(", ")
}
