//! What hangs on the vault's tables, and moves with them when other tables take their places.
//!
//! In: the vault's tables. Out: the views that read them, each with the statement that makes it again, and what cannot
//! move. PostgreSQL binds a view to a table and not to a name, so each view has to be made again. `CREATE OR REPLACE
//! VIEW` keeps its owner, its rights, its comments, and the views upon it. Everything else that is bound to a table is
//! named, with a remedy, before any work begins; the last proof is `DROP TABLE` without `CASCADE`.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, GenericClient, Transaction};

use super::error::RebuildError;

/// Texts of views have to name every schema but the system's.
pub(super) const SEARCH_PATH: &str = "SET LOCAL search_path = pg_catalog, pg_temp";

/// How long the trial of a view waits for a lock.
const TRIAL_WAIT: &str = "SET LOCAL lock_timeout = '1s'";

/// A view that reads tables of the vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DependentView {
    /// its name with its schema
    name: String,
    /// makes it again
    create: String,
    /// its owner, when that is another role than this session's
    owner: Option<String>,
}

/// The vault's tables, and what others depend on when they depend on one of them: the table, the type of its rows, and
/// the type of arrays of them. All joins are equalities, because a vault has hundreds of tables and thousands of
/// dependencies.
const TABLES: &str = "
    WITH vault AS (
        SELECT c.*
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = $1::text
        WHERE c.relname = ANY ($2::text[])
    ),
    named (relname, classid, objid) AS (
        SELECT relname, 'pg_class'::regclass, oid FROM vault
        UNION ALL
        SELECT relname, 'pg_type'::regclass, reltype FROM vault
        UNION ALL
        SELECT vault.relname, 'pg_type'::regclass, t.oid
        FROM pg_catalog.pg_type AS t JOIN vault ON vault.reltype = t.typelem
    )";

/// What is bound to these tables and is none of their own parts and no view, and what else cannot be made again.
const STRANGE: &str = "
    own (classid, objid) AS (
        SELECT classid, objid FROM named
        UNION ALL
        SELECT 'pg_class'::regclass, reltoastrelid FROM vault
        UNION ALL
        SELECT 'pg_class'::regclass, i.indexrelid FROM pg_catalog.pg_index AS i JOIN vault ON vault.oid = i.indrelid
        UNION ALL
        SELECT 'pg_attrdef'::regclass, a.oid FROM pg_catalog.pg_attrdef AS a JOIN vault ON vault.oid = a.adrelid
        UNION ALL
        SELECT 'pg_constraint'::regclass, k.oid
        FROM pg_catalog.pg_constraint AS k JOIN vault ON vault.oid = k.conrelid
        WHERE k.contype <> 'f'
        UNION ALL
        SELECT 'pg_statistic_ext'::regclass, s.oid
        FROM pg_catalog.pg_statistic_ext AS s JOIN vault ON vault.oid = s.stxrelid
        UNION ALL
        SELECT 'pg_rewrite'::regclass, r.oid
        FROM pg_catalog.pg_rewrite AS r
        JOIN pg_catalog.pg_class AS v ON v.oid = r.ev_class AND v.relkind = 'v'
    ),
    bound AS (
        SELECT DISTINCT named.relname, d.classid, d.objid,
               CASE WHEN d.classid IN ('pg_class'::regclass, 'pg_rewrite'::regclass) THEN d.objsubid ELSE 0 END AS part
        FROM named
        JOIN pg_catalog.pg_depend AS d ON d.refclassid = named.classid AND d.refobjid = named.objid
        WHERE NOT EXISTS (SELECT FROM own WHERE own.classid = d.classid AND own.objid = d.objid)
    )
    SELECT format('%s depends on %I.%I: drop it, and make it again afterwards',
                  pg_catalog.pg_describe_object(classid, objid, part), $1::text, relname)
    FROM bound
    UNION
    SELECT format('the publication %I publishes %I.%I, and its subscribers would get all rows a second time: take the table out of the publication',
                  p.pubname, $1::text, vault.relname)
    FROM pg_catalog.pg_publication_tables AS p
    JOIN vault ON p.schemaname = $1::text AND p.tablename = vault.relname
    UNION
    SELECT format('%I.%I is %s: a rebuild makes plain tables only', $1::text, relname,
                  CASE WHEN relkind = 'p' OR relispartition OR relhassubclass THEN 'partitioned, or has tables that inherit from it'
                       WHEN relpersistence <> 'p' THEN 'unlogged'
                       WHEN relrowsecurity THEN 'protected by policies for rows'
                       ELSE 'published with another identity of rows' END)
    FROM vault
    WHERE relkind <> 'r' OR relispartition OR relhassubclass OR relpersistence <> 'p' OR relrowsecurity
       OR relreplident <> 'd'
    UNION
    SELECT format('%I.%I belongs to %I, and this role is not a member of it: run the command as that role', $1::text, relname,
                  pg_catalog.pg_get_userbyid(relowner))
    FROM vault
    WHERE NOT pg_catalog.pg_has_role(relowner, 'USAGE')
    ORDER BY 1";

/// The views that read these tables.
pub(super) async fn views(
    client: &impl GenericClient,
    schema: &str,
    tables: &[String],
) -> Result<Vec<DependentView>, Error> {
    let sql = format!(
        "{TABLES}
         SELECT format('%I.%I', n.nspname, v.relname),
                format('CREATE OR REPLACE VIEW %I.%I%s AS %s', n.nspname, v.relname,
                       coalesce((SELECT format(' WITH (%s)', string_agg(format('%I = %L', o.option_name, o.option_value), ', '))
                                 FROM pg_catalog.pg_options_to_table(v.reloptions) AS o
                                 HAVING count(*) > 0), ''),
                       pg_catalog.pg_get_viewdef(v.oid)),
                CASE WHEN v.relowner <> (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user)
                     THEN format('%I', pg_catalog.pg_get_userbyid(v.relowner)) END
         FROM pg_catalog.pg_class AS v
         JOIN pg_catalog.pg_namespace AS n ON n.oid = v.relnamespace
         WHERE v.relkind = 'v'
           AND EXISTS (
               SELECT
               FROM pg_catalog.pg_rewrite AS r
               JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
               JOIN named ON named.classid = d.refclassid AND named.objid = d.refobjid
               WHERE r.ev_class = v.oid
           )
         ORDER BY 1"
    );
    let rows = client.query(&sql, &[&schema, &tables]).await?;
    let view = |row: &tokio_postgres::Row| DependentView {
        name: row.get(0),
        create: row.get(1),
        owner: row.get(2),
    };
    Ok(rows.iter().map(view).collect())
}

/// Everything else that is bound to these tables and would be lost with them, a line for each.
pub(super) async fn strange(
    client: &impl GenericClient,
    schema: &str,
    tables: &[String],
) -> Result<Vec<String>, Error> {
    let sql = format!("{TABLES}, {STRANGE}");
    let rows = client.query(&sql, &[&schema, &tables]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Makes views again, each as its owner: he may make views in their schema.
pub(super) async fn make_again(
    transaction: &Transaction<'_>,
    views: &[DependentView],
) -> Result<(), RebuildError> {
    for view in views {
        remake(transaction, view).await?;
    }
    Ok(())
}

async fn remake(transaction: &Transaction<'_>, view: &DependentView) -> Result<(), Error> {
    if let Some(owner) = &view.owner {
        transaction.batch_execute(&format!("SET LOCAL ROLE {owner}")).await?;
    }
    transaction.batch_execute(&view.create).await?;
    if view.owner.is_some() {
        transaction.batch_execute("RESET ROLE").await?;
    }
    Ok(())
}

/// Tries whether each view can be made again, and takes everything back. A view that is in use says nothing.
pub(super) async fn trial(
    client: &mut Client,
    views: &[DependentView],
) -> Result<Vec<String>, RebuildError> {
    let mut refused = Vec::new();
    for view in views {
        let transaction = client.transaction().await?;
        transaction.batch_execute(SEARCH_PATH).await?;
        transaction.batch_execute(TRIAL_WAIT).await?;
        if let Err(error) = remake(&transaction, view).await {
            match error.as_db_error() {
                Some(server) if *server.code() == SqlState::LOCK_NOT_AVAILABLE => {}
                Some(server) => refused.push(format!(
                    "the view {} cannot be made again: {}: let its owner drop it, or give this role the rights of its owner{}",
                    view.name,
                    server.message(),
                    view.owner.as_ref().map_or(String::new(), |owner| format!(" ({owner})")),
                )),
                None => return Err(error.into()),
            }
        }
        transaction.rollback().await?;
    }
    Ok(refused)
}
