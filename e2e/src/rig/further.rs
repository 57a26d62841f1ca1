//! Sources beside the airline, and warehouses of models that nobody wrote.
//!
//! In: the SQL that makes a source's tables. Out: the source in the rig's warehouse, by a model of the test, or as a
//! user gets it: `cdc-reader init` writes the connector file and the SQL for role and publication, `vault-loader model
//! infer` writes the model, and all three are used as they were written.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::Context;
use devstack::{PostgresAddress, Process, Psql, sql_files};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use shared::debezium::topic::topic_name;

use super::{FurtherSource, PASSWORD, Rig};
use crate::airline::WAREHOUSE_ROLES;
use crate::sql;

/// What the programs said about a source that nobody wrote anything for.
#[derive(Debug)]
pub struct FirstLook {
    /// name of the source
    pub name: String,
    /// what `vault-loader model infer` said
    pub inferred: String,
}

/// What a user says about a source beside its address.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wishes<'a> {
    /// tables that are not to be captured, as `schema.table`
    pub excluded: &'a [&'a str],
    /// further arguments of `model infer`
    pub infer: &'a [&'a str],
}

impl Rig {
    /// Adds a source with a database of its own on the airline's server. `sql` makes its tables, and `model` is its
    /// model, in which the source is called `further`. Returns the source's name. The warehouse is migrated to the
    /// model.
    pub async fn add_source(
        &mut self,
        sql: &str,
        tables: &[&str],
        model: &str,
    ) -> anyhow::Result<String> {
        let list = tables.join(", ");
        let publish = format!(
            "{sql};
             CREATE PUBLICATION further_publication FOR TABLE {list};
             GRANT SELECT ON {list} TO cdc_reader"
        );
        let name = self.make_database(&publish).await?;
        let grant = format!("GRANT CONNECT ON DATABASE {name} TO cdc_reader");
        self.options.source.execute(&name, &grant)?;
        let published = self.published(&name).await?;
        let source = FurtherSource {
            connector: self.options.dir.join(format!("{name}.json")),
            model: self.options.dir.join(format!("{name}.toml")),
            topics: topics(&name, &published),
            database: name.clone(),
            name: name.clone(),
        };
        let pattern = |(schema, table): &(String, String)| format!("{schema}\\.{table}");
        let tables = published.iter().map(pattern).collect::<Vec<_>>().join(",");
        self.write_connector(&source.connector, &name, "further_publication", Some(&tables))?;
        let ours = model.replace("name = \"further\"", &format!("name = \"{name}\""));
        anyhow::ensure!(ours != model, "the model's source has another name than further");
        fs::write(&source.model, ours)?;
        self.further.push(source);
        self.migrate(&self.options.name)?;
        Ok(name)
    }

    /// Adds a source with a database of its own, as a user does who has nothing but the source. `sql` makes the tables
    /// and nothing else. `cdc-reader init` and `vault-loader model infer` write the rest, which nobody edits. The
    /// warehouse is migrated to the model.
    pub async fn add_unknown_source(
        &mut self,
        sql: &str,
        wishes: Wishes<'_>,
    ) -> anyhow::Result<FirstLook> {
        let name = self.make_database(sql).await?;
        let dir = self.options.dir.join(&name);
        let told = self.init(&name, wishes.excluded, Some(&dir))?;
        anyhow::ensure!(told.status.code() == Some(1), "nothing was missing: {told:?}");
        // The role is the server's: two rigs must not set it up at once.
        let lock = File::create(devstack::shared::run_dir().join("roles.lock"))?;
        lock.lock()?;
        Psql::new(&self.options.source.superuser(&name))?
            .variable("reader_password", PASSWORD)
            .run_files([dir.join("source.sql")])?;
        drop(lock);
        let told = self.init(&name, wishes.excluded, None)?;
        anyhow::ensure!(told.status.success(), "something is missing still: {told:?}");
        let model = dir.join("vault.toml");
        let arguments = [&["--system-id", "2", "--topic-prefix", &name], wishes.infer].concat();
        let inferred = self.infer(&name, &model, &arguments)?;
        let topics = topics(&name, &self.published(&name).await?);
        if self.options.partitions > 1 {
            self.make_topics(&topics, self.options.partitions).await?;
        }
        let connector = dir.join("connector.json");
        let database = name.clone();
        let source = FurtherSource { name: name.clone(), database, connector, model, topics };
        self.further.push(source);
        self.migrate(&self.options.name)?;
        Ok(FirstLook { name, inferred })
    }

    /// Makes another warehouse of the airline, whose model is inferred. `names` is the file that gives it the names
    /// which the marts read. Returns the model. The marts are made over it.
    pub fn create_inferred_warehouse(
        &self,
        database: &str,
        names: &Path,
    ) -> anyhow::Result<PathBuf> {
        let model = self.options.dir.join(format!("{database}.toml"));
        let source = &self.options.name;
        // The connector captures this schema only.
        self.infer(
            source,
            &model,
            &["--schema", "public", "--name", "airline", "--topic-prefix", source],
        )?;
        self.make_warehouse(database)?;
        self.migrate_to(database, std::slice::from_ref(&model))?;
        self.apply_over_inferred(database, names)?;
        Ok(model)
    }

    /// Applies the file of names and the marts to a warehouse of an inferred model.
    pub fn apply_over_inferred(&self, database: &str, names: &Path) -> anyhow::Result<()> {
        let owner = self.options.warehouse.connection_string(database, "vault_owner", PASSWORD);
        let files = [vec![names.to_owned()], sql_files("sql/marts")?].concat();
        Psql::new(&owner)?.run_files(files)?;
        Ok(())
    }

    /// Starts `vault-loader run` with a model on a warehouse database, in a consumer group of its own.
    pub fn start_loader_of(&self, database: &str, model: &Path) -> anyhow::Result<Process> {
        let models = [model.to_owned()];
        Process::start(&self.loader_options(database, "vault_loader", &["run"], &models)?.0)
    }

    /// The model file of a further source.
    pub fn further_model(&self, name: &str) -> anyhow::Result<&Path> {
        Ok(&self.further_named(name)?.model)
    }

    /// Connection string of a further source's superuser.
    #[must_use]
    pub fn further_source(&self, name: &str) -> String {
        self.options.source.superuser(name)
    }

    /// Starts the reader of a further source.
    pub fn start_further_reader(&self, name: &str) -> anyhow::Result<Process> {
        Process::start(&self.reader_options(name, &self.further_named(name)?.connector)?)
    }

    pub(super) fn further_named(&self, name: &str) -> anyhow::Result<&FurtherSource> {
        let further = self.further.iter().find(|further| further.name == name);
        further.context("there is no such further source")
    }

    /// The database of a further source. Returns its name.
    async fn make_database(&self, sql: &str) -> anyhow::Result<String> {
        let name = format!("{}_further{}", self.options.name, self.further.len());
        self.options.source.create_database(&name)?;
        let database = sql::connect(&self.options.source.superuser(&name)).await?;
        database.batch_execute(sql).await.context("cannot make the further source's tables")?;
        Ok(name)
    }

    /// The published tables of a database, each with its schema.
    pub(super) async fn published(&self, database: &str) -> anyhow::Result<Vec<(String, String)>> {
        let database = sql::connect(&self.options.source.superuser(database)).await?;
        let rows = "SELECT schemaname, tablename FROM pg_publication_tables ORDER BY 1, 2";
        let named = |row: sql::Row| match <[Option<String>; 2]>::try_from(row) {
            Ok([Some(schema), Some(table)]) => Some((schema, table)),
            _ => None,
        };
        Ok(sql::rows(&database, rows).await?.into_iter().filter_map(named).collect())
    }

    /// Runs `cdc-reader init`. With a folder it writes the files.
    fn init(&self, name: &str, excluded: &[&str], dir: Option<&Path>) -> anyhow::Result<Output> {
        let mut command = Command::new(devstack::binary("cdc-reader")?);
        // The slot has the database's name, by which the rig asks for its position.
        command.args(["init", "--topic-prefix", name, "--slot", name]);
        for table in excluded {
            command.args(["--exclude-table", table]);
        }
        if let Some(dir) = dir {
            command.arg("--output-dir").arg(dir);
        }
        let output = command.env("CDC_READER_SOURCE", self.url(name)).output();
        output.context("cannot run cdc-reader init")
    }

    /// Lets `vault-loader model infer` write a model. Returns what it said.
    fn infer(&self, database: &str, model: &Path, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(devstack::binary("vault-loader")?)
            .args(["model", "infer", "--output"])
            .arg(model)
            .args(arguments)
            .env("VAULT_LOADER_SOURCE", self.url(database))
            .output()
            .context("cannot run vault-loader model infer")?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        anyhow::ensure!(output.status.success(), "vault-loader model infer failed: {told}");
        Ok(told)
    }

    /// The address of a database on the source's server, as an administrator gives it.
    fn url(&self, database: &str) -> String {
        let PostgresAddress { user, password, .. } = &self.options.source;
        self.options.source.url(database, user, password)
    }

    /// Makes topics with a number of partitions, as an administrator of Kafka does. A connector file of `init` leaves
    /// that number to the brokers.
    pub(super) async fn make_topics(
        &self,
        topics: &[String],
        partitions: u32,
    ) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.access.makes.create()?;
        let partitions = i32::try_from(partitions)?;
        let topics: Vec<NewTopic<'_>> = topics
            .iter()
            .map(|topic| {
                NewTopic::new(topic, partitions, TopicReplication::Fixed(self.access.replicas))
            })
            .collect();
        for made in admin.create_topics(&topics, &AdminOptions::new()).await? {
            made.map_err(|(topic, error)| anyhow::anyhow!("cannot make {topic}: {error}"))?;
        }
        Ok(())
    }

    /// A warehouse database with its roles, and nothing in it.
    pub(super) fn make_warehouse(&self, database: &str) -> anyhow::Result<()> {
        let server = &self.options.warehouse;
        server.create_database(database)?;
        let lock = File::create(devstack::shared::run_dir().join("roles.lock"))?;
        lock.lock()?;
        Psql::new(&server.superuser(database))?
            .passwords(&WAREHOUSE_ROLES, PASSWORD)
            .run_files(sql_files("sql/warehouse")?)?;
        drop(lock);
        Ok(())
    }
}

/// The topics of published tables.
pub(super) fn topics(prefix: &str, published: &[(String, String)]) -> Vec<String> {
    published.iter().map(|(schema, table)| topic_name(prefix, schema, table)).collect()
}
