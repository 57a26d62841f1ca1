//! Makes the views that follow from the models, and keeps them as the models want them.
//!
//! In: the views that are wanted, and the catalog. Out: a line for each view that was made or replaced, and notes about
//! views that could not be replaced. `dwh_control.made_views` remembers the statements of each view by their digest, so
//! a run that changes nothing looks at the digests alone.
//!
//! A view that exists is replaced with its columns in their old order and new ones behind them. A view whose columns
//! went or have other types now is dropped and made again, unless other objects depend on it: those are people's, and
//! are never dropped. Rights on the view are lost then, so they are given again. A view of the same name that somebody
//! else made is taken over only when it has exactly the wanted columns.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};
use tokio_postgres::Transaction;

use super::views::ViewSpec;

/// The digests of the statements of views that a migration would make, by schema and name.
pub(super) type Foretold = HashMap<(&'static str, String), Vec<u8>>;

/// What happened.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) steps: Vec<String>,
    pub(super) notes: Vec<String>,
    /// objects of somebody else that stand in the way
    pub(super) conflicts: Vec<String>,
}

/// What the catalog and the control schema know of a view's name.
struct Existing {
    kind: Option<i8>,
    columns: Vec<String>,
    digest: Option<Vec<u8>>,
}

/// Makes what is missing, replaces what has changed. All in one transaction of the caller.
pub(super) async fn make_views(
    transaction: &Transaction<'_>,
    wanted: &[ViewSpec],
) -> Result<Made, tokio_postgres::Error> {
    let mut made = Made::default();
    for view in wanted {
        let digest = digest(view);
        let existing = find(transaction, view, true).await?;
        if existing.kind.is_some() && existing.digest.as_ref() == Some(&digest) {
            continue;
        }
        let qualified = view.qualified();
        let done = match existing.kind {
            None => {
                transaction.batch_execute(&view.create()).await?;
                format!("created {qualified}")
            }
            Some(kind) if kind != VIEW => {
                made.conflicts.push(no_view(&qualified));
                continue;
            }
            Some(_) => match replace(transaction, view, &existing).await? {
                Replaced::Done => format!("replaced {qualified}"),
                Replaced::Strange => {
                    made.conflicts.push(strange(&qualified));
                    continue;
                }
                Replaced::Used(dependents) => {
                    made.notes.push(format!(
                        "{qualified} stays as it was, because its columns have changed and {dependents} depends on it: \
                         drop that, migrate again, and make it anew"
                    ));
                    continue;
                }
            },
        };
        remember(transaction, view, &digest).await?;
        made.steps.push(done);
    }
    Ok(made)
}

/// Says what [`make_views`] would do, and does nothing. `foretold` are the views that earlier models would make; these
/// are added to it. Whether objects of somebody else keep a view from being replaced shows only in the attempt.
pub(super) async fn foretell(
    transaction: &Transaction<'_>,
    wanted: &[ViewSpec],
    foretold: &mut Foretold,
) -> Result<Made, tokio_postgres::Error> {
    let remembers = "SELECT to_regclass('dwh_control.made_views') IS NOT NULL";
    let remembers: bool = transaction.query_one(remembers, &[]).await?.get(0);
    let mut made = Made::default();
    for view in wanted {
        let (qualified, digest) = (view.qualified(), digest(view));
        let earlier = foretold.insert((view.schema, view.name.clone()), digest.clone());
        let existing = match earlier {
            Some(earlier) => {
                Existing { kind: Some(VIEW), columns: names(view), digest: Some(earlier) }
            }
            None => find(transaction, view, remembers).await?,
        };
        match existing.kind {
            None => made.steps.push(format!("created {qualified}")),
            Some(kind) if kind != VIEW => made.conflicts.push(no_view(&qualified)),
            Some(_) if existing.digest.as_ref() == Some(&digest) => {}
            Some(_) if existing.digest.is_none() && existing.columns != names(view) => {
                made.conflicts.push(strange(&qualified));
            }
            Some(_) => made.steps.push(format!("replaced {qualified}")),
        }
    }
    Ok(made)
}

fn digest(view: &ViewSpec) -> Vec<u8> {
    Sha256::digest(view.create()).to_vec()
}

fn names(view: &ViewSpec) -> Vec<String> {
    view.columns.iter().map(|column| column.name.clone()).collect()
}

fn no_view(qualified: &str) -> String {
    format!("{qualified} exists and is no view: rename it, or move it to another schema")
}

fn strange(qualified: &str) -> String {
    format!(
        "{qualified} exists, and migrate did not make it: rename it, or move it to another schema"
    )
}

/// `pg_class.relkind` of a view.
const VIEW: i8 = b'v'.cast_signed();

/// `remembers` is whether the warehouse has the table of the views that were made.
async fn find(
    transaction: &Transaction<'_>,
    view: &ViewSpec,
    remembers: bool,
) -> Result<Existing, tokio_postgres::Error> {
    let digest = if remembers {
        "SELECT digest FROM dwh_control.made_views WHERE schema_name = $1 AND view_name = $2"
    } else {
        "SELECT NULL::bytea"
    };
    let row = transaction
        .query_one(
            &format!("SELECT
                 (SELECT c.relkind FROM pg_catalog.pg_class AS c WHERE c.oid = found.oid),
                 ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
                       WHERE a.attrelid = found.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
                 ({digest})
             FROM (SELECT (SELECT c.oid FROM pg_catalog.pg_class AS c
                           JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                           WHERE n.nspname = $1 AND c.relname = $2) AS oid) AS found"),
            &[&view.schema, &view.name],
        )
        .await?;
    Ok(Existing { kind: row.get(0), columns: row.get(1), digest: row.get(2) })
}

enum Replaced {
    Done,
    /// somebody else's view, with other columns
    Strange,
    /// objects that depend on the view
    Used(String),
}

async fn replace(
    transaction: &Transaction<'_>,
    view: &ViewSpec,
    existing: &Existing,
) -> Result<Replaced, tokio_postgres::Error> {
    let names: Vec<&str> = view.columns.iter().map(|column| column.name.as_str()).collect();
    let is_ours = existing.digest.is_some();
    if !is_ours && existing.columns != names {
        return Ok(Replaced::Strange);
    }
    if existing.columns.iter().all(|column| names.contains(&column.as_str())) {
        let further =
            names.iter().copied().filter(|name| !existing.columns.iter().any(|c| c == name));
        let order: Vec<&str> = existing.columns.iter().map(String::as_str).chain(further).collect();
        let sql = if order == names { view.create() } else { view.create_in_order(&order) };
        if try_it(transaction, &sql).await? {
            return Ok(Replaced::Done);
        }
        if !is_ours {
            return Ok(Replaced::Strange);
        }
    }
    make_again(transaction, view).await
}

/// Runs statements; `false` when PostgreSQL says that a view cannot be changed like this.
async fn try_it(transaction: &Transaction<'_>, sql: &str) -> Result<bool, tokio_postgres::Error> {
    transaction.batch_execute("SAVEPOINT view").await?;
    match transaction.batch_execute(sql).await {
        Ok(()) => {
            transaction.batch_execute("RELEASE SAVEPOINT view").await?;
            Ok(true)
        }
        Err(error)
            if error.code() == Some(&tokio_postgres::error::SqlState::INVALID_TABLE_DEFINITION) =>
        {
            transaction.batch_execute("ROLLBACK TO SAVEPOINT view; RELEASE SAVEPOINT view").await?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

async fn make_again(
    transaction: &Transaction<'_>,
    view: &ViewSpec,
) -> Result<Replaced, tokio_postgres::Error> {
    let qualified = view.qualified();
    let dependents: Option<String> = transaction
        .query_one(
            "SELECT string_agg(DISTINCT r.ev_class::regclass::text, ', ')
             FROM pg_catalog.pg_depend AS d
             JOIN pg_catalog.pg_rewrite AS r ON r.oid = d.objid
             WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = $1::text::regclass
                 AND r.ev_class <> d.refobjid",
            &[&qualified],
        )
        .await?
        .get(0);
    if let Some(dependents) = dependents {
        return Ok(Replaced::Used(dependents));
    }
    let rights = rights_on(transaction, &qualified).await?;
    transaction.batch_execute(&format!("DROP VIEW {qualified};\n{}", view.create())).await?;
    for right in rights {
        transaction.batch_execute(&right).await?;
    }
    Ok(Replaced::Done)
}

/// The statements that give the rights on a view, and on its columns, as they are now.
async fn rights_on(
    transaction: &Transaction<'_>,
    qualified: &str,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = transaction
        .query(
            "SELECT format('GRANT %s%s ON %I.%I TO %s', a.privilege_type, r.columns, n.nspname, c.relname,
                           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END)
             FROM pg_catalog.pg_class AS c
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace,
             LATERAL (
                 SELECT c.relacl AS acl, '' AS columns
                 UNION ALL
                 SELECT t.attacl, format(' (%I)', t.attname) FROM pg_catalog.pg_attribute AS t WHERE t.attrelid = c.oid
             ) AS r,
             aclexplode(r.acl) AS a
             WHERE c.oid = $1::text::regclass AND a.grantee <> c.relowner",
            &[&qualified],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Drops the views that depend on a table, so that its columns can get other types. Returns the statements that give
/// the rights on them back, or the names of views that somebody else made; then nothing is dropped.
pub(super) async fn drop_views_of(
    transaction: &Transaction<'_>,
    table: &str,
) -> Result<Result<Vec<String>, String>, tokio_postgres::Error> {
    let views = transaction
        .query(
            "WITH RECURSIVE using_it (oid) AS (
                 SELECT $1::text::regclass::oid
                 UNION
                 SELECT r.ev_class
                 FROM using_it AS u
                 JOIN pg_catalog.pg_depend AS d ON d.refobjid = u.oid AND d.classid = 'pg_rewrite'::regclass
                 JOIN pg_catalog.pg_rewrite AS r ON r.oid = d.objid
             )
             SELECT format('%I.%I', n.nspname, c.relname), m.view_name IS NOT NULL, n.nspname::text, c.relname::text
             FROM using_it AS u
             JOIN pg_catalog.pg_class AS c ON c.oid = u.oid AND c.relkind <> 'r'
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
             LEFT JOIN dwh_control.made_views AS m ON m.schema_name = n.nspname AND m.view_name = c.relname
             ORDER BY 1",
            &[&table],
        )
        .await?;
    let names: Vec<String> = views.iter().map(|row| row.get(0)).collect();
    let strange: Vec<&str> = views
        .iter()
        .zip(&names)
        .filter(|(row, _)| !row.get::<_, bool>(1))
        .map(|(_, name)| name.as_str())
        .collect();
    if !strange.is_empty() {
        return Ok(Err(strange.join(", ")));
    }
    let mut rights = Vec::new();
    for name in &names {
        rights.extend(rights_on(transaction, name).await?);
    }
    if !names.is_empty() {
        transaction.batch_execute(&format!("DROP VIEW {}", names.join(", "))).await?;
    }
    for row in &views {
        let (schema, view): (&str, &str) = (row.get(2), row.get(3));
        let forget = "DELETE FROM dwh_control.made_views WHERE schema_name = $1 AND view_name = $2";
        transaction.execute(forget, &[&schema, &view]).await?;
    }
    Ok(Ok(rights))
}

async fn remember(
    transaction: &Transaction<'_>,
    view: &ViewSpec,
    digest: &[u8],
) -> Result<(), tokio_postgres::Error> {
    transaction
        .execute(
            "INSERT INTO dwh_control.made_views (schema_name, view_name, digest) VALUES ($1, $2, $3)
             ON CONFLICT (schema_name, view_name) DO UPDATE SET digest = excluded.digest",
            &[&view.schema, &view.name, &digest],
        )
        .await?;
    Ok(())
}
