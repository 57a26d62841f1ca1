//! Warehouses beside the one of the test's world: another database for the same topics, and a server of the test's own.
//!
//! In: a world. Out: a migrated warehouse, and the variables that lead a loader to it.

use devstack::{Database, Postgres, PostgresOptions};
use tokio_postgres::Client;

use super::World;

/// Another database for the same topics.
pub(crate) struct Elsewhere {
    pub(crate) client: Client,
    database: Database,
}

impl Elsewhere {
    /// Variables that lead a loader to it, in a consumer group of its own, and further ones.
    pub(crate) fn variables<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let name = self.database.name.as_str();
        let own = [("VAULT_LOADER__DATABASE__NAME", name), ("VAULT_LOADER__GROUP_ID", name)];
        [&own[..], more].concat()
    }
}

impl World {
    /// Another migrated warehouse, empty.
    pub(crate) async fn elsewhere(&self, suffix: &str) -> Elsewhere {
        self.elsewhere_with(suffix, &[]).await
    }

    /// The same, migrated with further variables.
    pub(crate) async fn elsewhere_with(&self, suffix: &str, more: &[(&str, &str)]) -> Elsewhere {
        let name = format!("{}_{suffix}", self.database.name);
        let database = Database::create(&self.stack.warehouse, &name).unwrap();
        let client = database.connect().await.unwrap();
        let elsewhere = Elsewhere { client, database };
        self.migrate(&elsewhere.variables(more));
        elsewhere
    }
}

/// A PostgreSQL of one test, with an empty database `dwh`: what is done to it harms no other test.
pub(crate) struct OwnServer {
    pub(crate) server: Postgres,
}

impl OwnServer {
    /// Starts it.
    pub(crate) fn start() -> Self {
        let server = Postgres::start(PostgresOptions::new(15).fsync(false)).unwrap();
        server.address().create_database("dwh").unwrap();
        Self { server }
    }

    /// Variables that lead a loader to it as the superuser.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let address = self.server.address();
        self.variables_as(&address.user, &address.password)
    }

    /// Variables that lead a loader to it in this role.
    pub(crate) fn variables_as(&self, user: &str, password: &str) -> Vec<(&'static str, String)> {
        vec![
            ("VAULT_LOADER__DATABASE__PORT", self.server.port().to_string()),
            ("VAULT_LOADER__DATABASE__NAME", "dwh".to_owned()),
            ("VAULT_LOADER__DATABASE__USER", user.to_owned()),
            ("VAULT_LOADER__DATABASE__PASSWORD", password.to_owned()),
        ]
    }

    /// Connects as the superuser.
    pub(crate) async fn client(&self) -> Client {
        devstack::sql::connect(&self.server.address().superuser("dwh")).await.unwrap()
    }
}

/// The same variables, borrowed.
pub(crate) fn borrowed<'a>(variables: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    variables.iter().map(|(name, value)| (*name, value.as_str())).collect()
}
