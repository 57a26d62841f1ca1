//! A warehouse database as an installation makes it: roles, vault, marts, each by its own file and role.
//!
//! In: a name and whether the history is wanted. Out: a database, and the rows of queries as text.
//! Invariant: nothing is created by anyone but the role that creates it in earnest; only the history is put in by the
//! superuser.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, Weak};

use anyhow::Context;
use chrono::{Days, NaiveDate, Utc};
use devstack::sql::connect;
use devstack::{Postgres, PostgresOptions, Psql, programs, sql_files};
use e2e::airline::WAREHOUSE_ROLES;
use tokio_postgres::Client;

/// The passwords of the warehouse's roles, on a server that lives as long as the tests.
pub(super) const PASSWORD: &str = "password";

/// The functions that write rows into the vault, for a session of the superuser.
pub(super) const PUT: &str = include_str!("put.sql");

/// How many days around today the history may name.
const HISTORY_DAYS: u64 = 60;

/// What a vault holds at first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing but what the DDL puts in.
    Empty,
    /// `history.sql`.
    History,
}

/// A warehouse database.
pub(super) struct Warehouse {
    server: Arc<Postgres>,
    database: String,
    /// The day that the history calls today.
    pub(super) today: NaiveDate,
}

impl Warehouse {
    /// Makes the database `name` with roles, vault and marts.
    pub(super) fn create(name: &str, content: Content) -> anyhow::Result<Self> {
        Self::create_on(name, content, Utc::now().date_naive())
    }

    /// Makes it with a history that calls `today` today.
    pub(super) fn create_on(
        name: &str,
        content: Content,
        today: NaiveDate,
    ) -> anyhow::Result<Self> {
        static SETUP: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        // Roles are the server's: two databases must not set them up at once.
        let mut shared = SETUP.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let server = match shared.upgrade() {
            Some(server) => server,
            None => Arc::new(Postgres::start(
                PostgresOptions::new(15).name("marts' warehouse").fsync(false),
            )?),
        };
        *shared = Arc::downgrade(&server);
        let warehouse = Self { server, database: name.to_owned(), today };
        warehouse.address().create_database(name)?;
        warehouse.apply_roles()?;
        warehouse.migrate()?;
        warehouse.apply_marts()?;
        if content == Content::History {
            let history = warehouse.dated(&format!("{PUT}{}", include_str!("history.sql")));
            warehouse.address().execute(name, &history).context("the history was refused")?;
        }
        Ok(warehouse)
    }

    /// The server it is on.
    pub(super) fn address(&self) -> &devstack::PostgresAddress {
        self.server.address()
    }

    fn apply_roles(&self) -> anyhow::Result<()> {
        let address = self.address();
        self.psql(&address.user, &address.password, &sql_files("sql/warehouse")?)
    }

    /// Runs `vault-loader migrate`, which makes the vault and what follows from the model.
    pub(super) fn migrate(&self) -> anyhow::Result<()> {
        let model = devstack::workspace_root().join("connectors/airline/vault.toml");
        let database =
            programs::loader_database(self.address(), &self.database, "vault_owner", PASSWORD);
        let output = Command::new(devstack::binary("vault-loader")?)
            .args(["migrate", "--model"])
            .arg(&model)
            .env("VAULT_LOADER__BOOTSTRAP_SERVERS", "127.0.0.1:9") // nothing is asked there
            .envs(database)
            .output()
            .context("cannot run vault-loader")?;
        let told = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "vault-loader migrate failed: {told}");
        Ok(())
    }

    /// Applies the files of `sql/marts` in order, as their owner.
    pub(super) fn apply_marts(&self) -> anyhow::Result<()> {
        self.psql("vault_owner", PASSWORD, &sql_files("sql/marts")?)
    }

    fn psql(&self, user: &str, password: &str, files: &[PathBuf]) -> anyhow::Result<()> {
        Psql::new(&self.address().connection_string(&self.database, user, password))?
            .passwords(&WAREHOUSE_ROLES, PASSWORD)
            .run_files(files)
            .with_context(|| format!("as {user}"))?;
        Ok(())
    }

    /// Runs a script as one of the warehouse's roles.
    pub(super) fn run_as(&self, role: &str, script: &str) -> anyhow::Result<()> {
        let address = self.address().connection_string(&self.database, role, PASSWORD);
        Psql::new(&address)?.run(script).with_context(|| format!("as {role}"))?;
        Ok(())
    }

    /// Runs a script as the superuser, with one variable of psql.
    pub(super) fn run_with(&self, name: &str, value: &str, script: &str) -> anyhow::Result<()> {
        Psql::new(&self.address().superuser(&self.database))?.variable(name, value).run(script)?;
        Ok(())
    }

    /// Its database.
    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// A session of the superuser.
    pub(super) async fn connect(&self) -> anyhow::Result<Client> {
        Ok(connect(&self.address().superuser(&self.database)).await?)
    }

    /// A session of one of the warehouse's roles.
    pub(super) async fn connect_as(&self, role: &str) -> anyhow::Result<Client> {
        Ok(connect(&self.address().connection_string(&self.database, role, PASSWORD)).await?)
    }

    /// A script with the days that it names set around today.
    pub(super) fn dated(&self, script: &str) -> String {
        let mut text = script.to_owned();
        for days in 1..=HISTORY_DAYS {
            text = text
                .replace(&format!("D-{days} "), &format!("{} ", self.today - Days::new(days)))
                .replace(&format!("D+{days} "), &format!("{} ", self.today + Days::new(days)));
        }
        text
    }

    /// The day `days` before the history's today.
    pub(super) fn days_ago(&self, days: u64) -> NaiveDate {
        self.today - Days::new(days)
    }
}

/// The rows of a query, columns joined by `|`, NULL as `NULL`.
pub(super) async fn rows(client: &Client, query: &str) -> anyhow::Result<Vec<String>> {
    let rows = e2e::sql::rows(client, query).await?;
    let shown = |row: Vec<Option<String>>| {
        let values = row.iter().map(|value| value.as_deref().unwrap_or("NULL"));
        values.collect::<Vec<_>>().join("|")
    };
    Ok(rows.into_iter().map(shown).collect())
}

/// Refreshes the star schema as it has to be called; answers outcome, records and rows changed.
pub(super) async fn refresh(client: &Client) -> anyhow::Result<String> {
    let answer = rows(
        client,
        "BEGIN ISOLATION LEVEL REPEATABLE READ;
         SELECT outcome, records, rows_changed FROM dwh_marts.refresh_star();
         COMMIT",
    )
    .await?;
    anyhow::ensure!(answer.len() == 1, "a refresh answered {answer:?}");
    Ok(answer[0].clone())
}
