//! Makes the views that follow from the models, and keeps them as the models want them.
//!
//! In: the views that are wanted, and the catalog. Out: a line for each view that was made or replaced, and notes about
//! views that could not be replaced. `dwh_control.made_views` remembers the statements of each view by their digest, so
//! a run that changes nothing looks at the digests alone.
//!
//! A view that exists is replaced with its columns in their old order and new ones behind them. A view that has lost a
//! column, or has a column of another type, is dropped and made again, together with the views of migrate that depend
//! on it; the rights on all of them are given again. When somebody else's object depends on the view, migrate leaves
//! the view as it is and says so. A view of the same name that somebody else made is taken over only when it has
//! exactly the wanted columns.

use std::collections::{HashMap, HashSet};

use sha2::{Digest as _, Sha256};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, Transaction};

use super::views::ViewSpec;

/// The digests of the statements of views that a migration would make, by schema and name.
pub(super) type Foretold = HashMap<(&'static str, String), Vec<u8>>;

/// A statement about a view failed.
#[derive(Debug)]
pub(super) struct ViewError {
    /// the view, with its schema
    pub(super) view: String,
    /// the server's answer
    pub(super) source: Error,
}

/// What happened.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) steps: Vec<String>,
    pub(super) notes: Vec<String>,
    /// objects of somebody else that stand in the way, and names that two views would have
    pub(super) conflicts: Vec<String>,
    /// statements that give rights back on views that were dropped
    pub(super) rights: Vec<String>,
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
) -> Result<Made, ViewError> {
    let mut made = Made { conflicts: clashes(wanted), ..Made::default() };
    for view in wanted {
        let done = make_view(transaction, view, &mut made).await;
        done.map_err(|source| ViewError { view: view.qualified(), source })?;
    }
    Ok(made)
}

async fn make_view(
    transaction: &Transaction<'_>,
    view: &ViewSpec,
    made: &mut Made,
) -> Result<(), Error> {
    let digest = digest(view);
    let existing = find(transaction, view, true).await?;
    if existing.kind.is_some() && existing.digest.as_ref() == Some(&digest) {
        return Ok(());
    }
    let qualified = view.qualified();
    match existing.kind {
        None => {
            transaction.batch_execute(&view.create()).await?;
            made.steps.push(format!("created {qualified}"));
        }
        Some(kind) if kind != VIEW => {
            made.conflicts.push(no_view(&qualified));
            return Ok(());
        }
        Some(_) => match replace(transaction, view, &existing, made).await? {
            Replaced::Done => made.steps.push(format!("replaced {qualified}")),
            Replaced::Strange => {
                made.conflicts.push(strange(&qualified));
                return Ok(());
            }
            Replaced::Used(dependents) => {
                made.notes.push(format!(
                    "{qualified} stays as it was, because its columns have changed and {dependents} depends on it: \
                     drop that, migrate again, and make it anew"
                ));
                return Ok(());
            }
        },
    }
    remember(transaction, view, &digest).await
}

/// Says what [`make_views`] would do, and does nothing. `dropped` are the views that would be dropped before.
/// `foretold` are the views that earlier models would make; these are added to it. Only the attempt shows whether
/// objects of somebody else keep a view from being replaced.
pub(super) async fn foretell(
    transaction: &Transaction<'_>,
    wanted: &[ViewSpec],
    dropped: &HashSet<(String, String)>,
    foretold: &mut Foretold,
) -> Result<Made, Error> {
    // By the catalog: before the first migration a role may not look into the schema.
    let remembers = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS c
                                    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                                    WHERE n.nspname = 'dwh_control' AND c.relname = 'made_views')";
    let remembers: bool = transaction.query_one(remembers, &[]).await?.get(0);
    let mut made = Made { conflicts: clashes(wanted), ..Made::default() };
    for view in wanted {
        let (qualified, digest) = (view.qualified(), digest(view));
        let earlier = foretold.insert((view.schema, view.name.clone()), digest.clone());
        let existing = match earlier {
            _ if dropped.contains(&(view.schema.to_owned(), view.name.clone())) => {
                Existing { kind: None, columns: Vec::new(), digest: None }
            }
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

/// Names that two views would have, or that PostgreSQL would cut.
fn clashes(wanted: &[ViewSpec]) -> Vec<String> {
    let mut seen = HashMap::new();
    let mut found = Vec::new();
    for view in wanted {
        let qualified = view.qualified();
        if view.name.len() > NAME_BYTES_MAX {
            found.push(format!("the name of the view {qualified} is longer than {NAME_BYTES_MAX} bytes: shorten the names in the model"));
        }
        if let Some(other) = seen.insert(qualified.clone(), &view.comment) {
            let comment = &view.comment;
            found.push(format!(
                "two views would be called {qualified} ({other}; {comment}): give one of the tables in the model another name"
            ));
        }
    }
    found
}

/// PostgreSQL's `NAMEDATALEN` less one.
const NAME_BYTES_MAX: usize = 63;

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
) -> Result<Existing, Error> {
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
    made: &mut Made,
) -> Result<Replaced, Error> {
    let names = names(view);
    let is_ours = existing.digest.is_some();
    if !is_ours && existing.columns != names {
        return Ok(Replaced::Strange);
    }
    if existing.columns.iter().all(|column| names.contains(column)) {
        let further = names.iter().filter(|name| !existing.columns.contains(name));
        let order: Vec<&str> = existing.columns.iter().chain(further).map(String::as_str).collect();
        let sql = if order == names { view.create() } else { view.create_in_order(&order) };
        if try_it(transaction, &sql, &SqlState::INVALID_TABLE_DEFINITION).await? {
            return Ok(Replaced::Done);
        }
        if !is_ours {
            return Ok(Replaced::Strange);
        }
    }
    match drop_views_of(transaction, &view.qualified()).await? {
        Err(dependents) => Ok(Replaced::Used(dependents)),
        Ok(rights) => {
            made.rights.extend(rights);
            transaction.batch_execute(&view.create()).await?;
            Ok(Replaced::Done)
        }
    }
}

/// Runs statements; `false` when PostgreSQL refuses them for this reason.
async fn try_it(
    transaction: &Transaction<'_>,
    sql: &str,
    refusal: &SqlState,
) -> Result<bool, Error> {
    transaction.batch_execute("SAVEPOINT view").await?;
    match transaction.batch_execute(sql).await {
        Ok(()) => {
            transaction.batch_execute("RELEASE SAVEPOINT view").await?;
            Ok(true)
        }
        Err(error) if error.code() == Some(refusal) => {
            transaction.batch_execute("ROLLBACK TO SAVEPOINT view; RELEASE SAVEPOINT view").await?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Gives rights back on views that were dropped and made again. A right on a column that is gone goes too.
pub(super) async fn give_back(
    transaction: &Transaction<'_>,
    rights: &[String],
) -> Result<(), Error> {
    for right in rights {
        try_it(transaction, right, &SqlState::UNDEFINED_COLUMN).await?;
    }
    Ok(())
}

/// The statements that give the rights on a view, and on its columns, as they are now.
async fn rights_on(transaction: &Transaction<'_>, qualified: &str) -> Result<Vec<String>, Error> {
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

/// A view that depends on a relation.
pub(super) struct Dependent {
    qualified: String,
    schema: String,
    name: String,
    /// whether migrate has made it
    is_ours: bool,
}

impl Dependent {
    /// Its schema and its name.
    pub(super) fn key(&self) -> (String, String) {
        (self.schema.clone(), self.name.clone())
    }
}

/// The views that depend on a relation, the relation itself among them when it is a view.
pub(super) async fn views_upon(
    transaction: &Transaction<'_>,
    relation: &str,
) -> Result<Vec<Dependent>, Error> {
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
             SELECT format('%I.%I', n.nspname, c.relname), n.nspname::text, c.relname::text, m.view_name IS NOT NULL
             FROM using_it AS u
             JOIN pg_catalog.pg_class AS c ON c.oid = u.oid AND c.relkind <> 'r'
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
             LEFT JOIN dwh_control.made_views AS m ON m.schema_name = n.nspname AND m.view_name = c.relname
             ORDER BY 1",
            &[&relation],
        )
        .await?;
    let dependent = |row: &tokio_postgres::Row| Dependent {
        qualified: row.get(0),
        schema: row.get(1),
        name: row.get(2),
        is_ours: row.get(3),
    };
    Ok(views.iter().map(dependent).collect())
}

/// The names of those that somebody else made; none when there is none.
pub(super) fn strangers(views: &[Dependent]) -> Option<String> {
    let names: Vec<&str> =
        views.iter().filter(|view| !view.is_ours).map(|view| view.qualified.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// Drops the views that depend on a relation, so that its columns can change. Returns the statements that give the
/// rights on them back, or the names of what somebody else made; then nothing is dropped.
pub(super) async fn drop_views_of(
    transaction: &Transaction<'_>,
    relation: &str,
) -> Result<Result<Vec<String>, String>, Error> {
    let views = views_upon(transaction, relation).await?;
    if let Some(names) = strangers(&views) {
        return Ok(Err(names));
    }
    if views.is_empty() {
        return Ok(Ok(Vec::new()));
    }
    let mut rights = Vec::new();
    for view in &views {
        rights.extend(rights_on(transaction, &view.qualified).await?);
    }
    let names: Vec<&str> = views.iter().map(|view| view.qualified.as_str()).collect();
    let drop = format!("DROP VIEW {}", names.join(", "));
    if !try_it(transaction, &drop, &SqlState::DEPENDENT_OBJECTS_STILL_EXIST).await? {
        return Ok(Err("an object that is no view".to_owned()));
    }
    for view in &views {
        let forget = "DELETE FROM dwh_control.made_views WHERE schema_name = $1 AND view_name = $2";
        transaction.execute(forget, &[&view.schema, &view.name]).await?;
    }
    Ok(Ok(rights))
}

async fn remember(
    transaction: &Transaction<'_>,
    view: &ViewSpec,
    digest: &[u8],
) -> Result<(), Error> {
    transaction
        .execute(
            "INSERT INTO dwh_control.made_views (schema_name, view_name, digest) VALUES ($1, $2, $3)
             ON CONFLICT (schema_name, view_name) DO UPDATE SET digest = excluded.digest",
            &[&view.schema, &view.name, &digest],
        )
        .await?;
    Ok(())
}
