//! One pipeline from a source database to a warehouse database, made of the built binaries.
//!
//! In: a name, the servers. Out: databases with schema, roles, vault and marts as an installation makes them, and
//! handles to start, kill and await reader and loader.
//! Invariant: nothing is shared with another rig but servers and the servers' roles; logs stay below the stack's
//! directory.

mod access;
mod available;
mod beside;
mod booking_service;
mod further;
mod members;
mod rehash;
mod wholesaler;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use devstack::topics::Topics;
use devstack::{PostgresAddress, Process, ProcessOptions, Psql, programs, sql_files, try_wait_for};
use rdkafka::Message as _;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

pub use access::{Access, LOADER, OPERATOR, READER, REBUILDER, allow};
pub use further::{FirstLook, Wishes};
pub use members::Member;

use crate::airline::{SOURCE_ROLES, TABLES, topic};
use crate::sql;

/// The password of every role, on servers that live as long as the tests.
const PASSWORD: &str = "rig_password";

/// Where the programs of a rig are asked for their status, unless a test wants to ask them.
const ANY_PORT: &str = "127.0.0.1:0";

/// How long the pipeline may take to catch up: a loaded machine with two cores takes its time, a lost event takes for
/// ever.
const SETTLE_DEADLINE: Duration = Duration::from_secs(240);

/// What a rig is made of.
#[derive(Debug, Clone)]
pub struct RigOptions {
    /// Name of databases, slot and topic prefix: lower-case letters, digits and underscores.
    pub name: String,
    /// Server of the source.
    pub source: PostgresAddress,
    /// Server of the warehouse.
    pub warehouse: PostgresAddress,
    /// Kafka.
    pub bootstrap: String,
    /// Partitions of each topic.
    pub partitions: u32,
    /// Where logs and generated files go.
    pub dir: PathBuf,
}

impl RigOptions {
    /// A rig on the servers of the tests, with PostgreSQL 15 as the source and one partition for each topic. Its name
    /// begins with `stem`.
    #[must_use]
    pub fn of_stack(stem: &str) -> Self {
        let (stack, name) = (devstack::shared::stack(), devstack::unique(stem));
        Self {
            dir: stack.dir.join("e2e").join(&name),
            name,
            source: stack.postgres15.clone(),
            warehouse: stack.warehouse.clone(),
            bootstrap: stack.kafka_bootstrap.clone(),
            partitions: 1,
        }
    }
}

/// A pipeline.
#[derive(Debug)]
pub struct Rig {
    options: RigOptions,
    access: Access,
    connector: PathBuf,
    model: PathBuf,
    further: Vec<FurtherSource>,
    /// what the hash keys of the rig's warehouse are made with, if anything
    key_secret: Option<String>,
}

/// A small source beside the airline.
#[derive(Debug)]
struct FurtherSource {
    /// Name of its slot, topic prefix and model.
    name: String,
    /// Its database.
    database: String,
    connector: PathBuf,
    model: PathBuf,
    topics: Vec<String>,
}

impl Rig {
    /// Makes databases and configuration; starts nothing.
    pub fn create(options: RigOptions) -> anyhow::Result<Self> {
        let access = Access::plain(&options.bootstrap);
        Self::create_with(options, access)
    }

    /// The same with logins at Kafka.
    pub fn create_with(options: RigOptions, access: Access) -> anyhow::Result<Self> {
        fs::create_dir_all(&options.dir).context("cannot make the rig's directory")?;
        options.source.create_database(&options.name)?;
        let rig = Self {
            connector: options.dir.join("connector.json"),
            model: options.dir.join("vault.toml"),
            further: Vec::new(),
            key_secret: None,
            access,
            options,
        };
        rig.write_configuration()?;
        // Roles are the server's: two rigs must not set them up at once.
        let lock = File::create(devstack::shared::run_dir().join("roles.lock"))?;
        lock.lock()?;
        Psql::new(&rig.source())?
            .passwords(&SOURCE_ROLES, PASSWORD)
            .run_files(sql_files("sql/source")?)?;
        drop(lock);
        rig.create_warehouse(&rig.options.name)?;
        Ok(rig)
    }

    /// Makes a warehouse database of that name, with roles, vault and marts.
    pub fn create_warehouse(&self, database: &str) -> anyhow::Result<()> {
        self.make_warehouse(database)?;
        self.migrate(database)?;
        let owner = self.options.warehouse.connection_string(database, "vault_owner", PASSWORD);
        Psql::new(&owner)?.run_files(sql_files("sql/marts")?)?;
        Ok(())
    }

    /// Writes a connector for these tables, or for those of the schema `public`.
    fn write_connector(
        &self,
        path: &Path,
        name: &str,
        publication: &str,
        tables: Option<&str>,
    ) -> anyhow::Result<()> {
        let root = devstack::workspace_root().join("connectors/airline");
        let text = fs::read_to_string(root.join("connector.json"))?;
        let mut connector: serde_json::Value = serde_json::from_str(&text)?;
        connector["name"] = format!("{name}-connector").into();
        let config = &mut connector["config"];
        config["database.dbname"] = name.into();
        config["topic.prefix"] = name.into();
        config["slot.name"] = name.into();
        config["publication.name"] = publication.into();
        if let (Some(tables), Some(config)) = (tables, config.as_object_mut()) {
            config.remove("schema.include.list");
            config.insert("table.include.list".to_owned(), tables.into());
        }
        config["topic.creation.default.partitions"] = self.options.partitions.to_string().into();
        config["topic.creation.default.replication.factor"] =
            self.access.replicas.to_string().into();
        config["retriable.restart.connector.wait.ms"] = "1000".into();
        fs::write(path, serde_json::to_string_pretty(&connector)?)?;
        Ok(())
    }

    fn write_configuration(&self) -> anyhow::Result<()> {
        let root = devstack::workspace_root().join("connectors/airline");
        let name = &self.options.name;
        self.write_connector(&self.connector, name, "airline_publication", None)?;
        let model = fs::read_to_string(root.join("vault.toml"))?;
        // The source keeps its own name, and its topics have another prefix.
        let named = format!("name = \"airline\"\ntopic_prefix = \"{name}\"");
        let ours = model.replacen("name = \"airline\"", &named, 1);
        anyhow::ensure!(ours != model, "the model's source has another name than airline");
        fs::write(&self.model, ours)?;
        Ok(())
    }

    /// Lets `vault-loader migrate` bring the warehouse to the models as they are now, and `quarantine retry` load what
    /// waits.
    ///
    /// # Errors
    /// When one of the commands ends with another exit code than 0.
    pub fn migrate_and_retry(&self) -> anyhow::Result<()> {
        let database = &self.options.name;
        self.migrate(database)?;
        let retry = ["quarantine", "retry", "--all"];
        let code = self
            .loader_options(database, "vault_owner", &retry, &self.models())?
            .start_and_wait(Duration::from_secs(60))?;
        anyhow::ensure!(code == 0, "vault-loader quarantine retry ended with {code}");
        Ok(())
    }

    fn migrate(&self, database: &str) -> anyhow::Result<()> {
        self.migrate_to(database, &self.models())
    }

    /// Runs `vault-loader migrate` with these models on a warehouse database.
    pub fn migrate_to(&self, database: &str, models: &[PathBuf]) -> anyhow::Result<()> {
        let migrated = self
            .loader_options(database, "vault_owner", &["migrate"], models)?
            .start_and_wait(Duration::from_secs(60))?;
        anyhow::ensure!(migrated == 0, "vault-loader migrate ended with {migrated}");
        Ok(())
    }

    /// Starts `cdc-reader run`.
    pub fn start_reader(&self) -> anyhow::Result<Process> {
        self.start_reader_at(ANY_PORT)
    }

    /// Starts `cdc-reader run`, which then answers at this address.
    pub fn start_reader_at(&self, listen: &str) -> anyhow::Result<Process> {
        let options = self.reader_options("reader", &self.connector)?;
        Process::start(&options.env("CDC_READER_LISTEN", listen))
    }

    fn reader_options(&self, log: &str, connector: &Path) -> anyhow::Result<ProcessOptions> {
        let log = self.options.dir.join(format!("{log}.log"));
        Ok(ProcessOptions::new(devstack::binary("cdc-reader")?, log)
            .args(["run", "--connector"])
            .args([connector])
            .env("PRIMARY_HOST", &self.options.source.host)
            .env("PRIMARY_PORT", self.options.source.port.to_string())
            .env("CDC_READER_PASSWORD", PASSWORD)
            .env("BOOTSTRAP_SERVERS", &self.options.bootstrap)
            .envs(self.access.reader_variables())
            .env("OFFSET_STORAGE_TOPIC", access::offset_topic(&self.options.name))
            .env("CDC_READER_LISTEN", ANY_PORT)
            .env("CDC_READER_STARTUP_TIMEOUT", SETTLE_DEADLINE.as_secs().to_string())
            .without_env("RUST_LOG"))
    }

    /// Runs `cdc-reader offset` for the stopped reader, and gives what it printed.
    ///
    /// # Errors
    /// When it ends with another exit code than 0.
    pub fn offset(&self, action: &str) -> anyhow::Result<String> {
        self.offset_of(&self.connector, action)
    }

    /// Runs `cdc-reader offset` for the stopped reader of a further source, and gives what it printed.
    ///
    /// # Errors
    /// When it ends with another exit code than 0.
    pub fn further_offset(&self, name: &str, action: &str) -> anyhow::Result<String> {
        self.offset_of(&self.further_named(name)?.connector, action)
    }

    fn offset_of(&self, connector: &Path, action: &str) -> anyhow::Result<String> {
        let mut command = self.reader_command(connector, &["offset", action])?;
        let output = command.output().context("cannot run cdc-reader offset")?;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        anyhow::ensure!(output.status.success(), "cdc-reader offset {action} failed: {text}");
        Ok(text)
    }

    fn reader_command(
        &self,
        connector: &Path,
        words: &[&str],
    ) -> anyhow::Result<std::process::Command> {
        let mut command = std::process::Command::new(devstack::binary("cdc-reader")?);
        command.args(words).arg("--connector").arg(connector);
        command
            .env("PRIMARY_HOST", &self.options.source.host)
            .env("PRIMARY_PORT", self.options.source.port.to_string())
            .env("CDC_READER_PASSWORD", PASSWORD)
            .env("BOOTSTRAP_SERVERS", &self.options.bootstrap)
            .envs(self.access.reader_variables())
            .env("OFFSET_STORAGE_TOPIC", access::offset_topic(&self.options.name));
        Ok(command)
    }

    /// Runs `cdc-reader reconcile` with this file of rows to its end, whatever comes of it.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn reconcile(&self, rows: &Path, words: &[&str]) -> anyhow::Result<std::process::Output> {
        let mut command = self.reader_command(&self.connector, &["reconcile"])?;
        command.arg("--rows").arg(rows).args(words);
        command.output().context("cannot run cdc-reader reconcile")
    }

    /// Waits until the reader streams: its snapshot is complete, and from here on every state has to arrive.
    pub fn wait_until_streaming(&self, reader: &Process) -> anyhow::Result<()> {
        try_wait_for(SETTLE_DEADLINE, "the reader to stream", || {
            !reader.lines_with("streaming").is_empty()
        })
    }

    /// Starts `vault-loader run` on the rig's warehouse database.
    pub fn start_loader(&self) -> anyhow::Result<Process> {
        self.start_loader_on(&self.options.name)
    }

    /// Starts `vault-loader run` on another warehouse database, in a consumer group of its own.
    pub fn start_loader_on(&self, database: &str) -> anyhow::Result<Process> {
        Process::start(&self.loader_options(database, "vault_loader", &["run"], &self.models())?.0)
    }

    /// Starts `vault-loader run` on the rig's warehouse database, which then answers at this address.
    pub fn start_loader_at(&self, listen: &str) -> anyhow::Result<Process> {
        let options =
            self.loader_options(&self.options.name, "vault_loader", &["run"], &self.models())?.0;
        Process::start(&options.env("VAULT_LOADER__LISTEN", listen))
    }

    /// Runs a command of `vault-loader` that is about one source, for the airline and for each further source.
    ///
    /// # Errors
    /// When it ends with another exit code than 0.
    pub fn loader_command_for_each(&self, command: &[&str]) -> anyhow::Result<()> {
        self.models().iter().try_for_each(|model| self.loader_command_with(model, command))
    }

    /// Runs a command of `vault-loader` that is about the airline.
    ///
    /// # Errors
    /// When it ends with another exit code than 0.
    pub fn loader_command(&self, command: &[&str]) -> anyhow::Result<()> {
        self.loader_command_with(&self.model, command)
    }

    fn loader_command_with(&self, model: &Path, command: &[&str]) -> anyhow::Result<()> {
        let models = [model.to_owned()];
        let options = self.loader_options(&self.options.name, "vault_loader", command, &models)?;
        let code = options.start_and_wait(Duration::from_secs(60))?;
        anyhow::ensure!(code == 0, "vault-loader {} ended with {code}", command.join(" "));
        Ok(())
    }

    /// Runs a proof of `vault-loader` about the airline to its end, whatever it finds. It reads the source as the role
    /// that may only read.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn prove(&self, command: &[&str]) -> anyhow::Result<std::process::Output> {
        self.prove_in(&self.options.name, command)
    }

    /// The same about another warehouse database.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn prove_in(
        &self,
        database: &str,
        command: &[&str],
    ) -> anyhow::Result<std::process::Output> {
        self.prove_as("vault_loader", database, command)
    }

    /// Runs `vault-loader check` to its end, as the role that may ask for the rules and read no table.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn check(&self) -> anyhow::Result<std::process::Output> {
        self.prove_as("vault_checker", &self.options.name, &["check"])
    }

    fn prove_as(
        &self,
        role: &str,
        database: &str,
        command: &[&str],
    ) -> anyhow::Result<std::process::Output> {
        let PostgresAddress { host, port, .. } = &self.options.source;
        let name = &self.options.name;
        let source = format!("postgres://airline_readonly:{PASSWORD}@{host}:{port}/{name}");
        self.prove_with(&self.model, &source, (role, database), command)
    }

    /// A proof about the source of a model, which it reads by this address.
    fn prove_with(
        &self,
        model: &Path,
        source: &str,
        (role, database): (&str, &str),
        command: &[&str],
    ) -> anyhow::Result<std::process::Output> {
        let loader = programs::loader_database(&self.options.warehouse, database, role, PASSWORD);
        std::process::Command::new(devstack::binary("vault-loader")?)
            .args(command)
            .arg("--model")
            .arg(model)
            .env("VAULT_LOADER_SOURCE", source)
            .envs(loader)
            .output()
            .context("cannot run vault-loader")
    }

    /// The models of all sources.
    fn models(&self) -> Vec<PathBuf> {
        let further = self.further.iter().map(|further| further.model.clone());
        std::iter::once(self.model.clone()).chain(further).collect()
    }

    fn loader_options(
        &self,
        database: &str,
        role: &str,
        command: &[&str],
        models: &[PathBuf],
    ) -> anyhow::Result<Loader> {
        let server = &self.options.warehouse;
        let set = |name: &str| format!("VAULT_LOADER__{name}");
        let log = self.options.dir.join(format!("loader-{database}.log"));
        let mut options = ProcessOptions::new(devstack::binary("vault-loader")?, log)
            .without_env("RUST_LOG")
            .args(command);
        for model in models {
            options = options.args(["--model"]).args([model]);
        }
        let options = options
            .env(set("BOOTSTRAP_SERVERS"), &self.options.bootstrap)
            .envs(programs::loader_database(server, database, role, PASSWORD))
            .env(set("GROUP_ID"), access::group(database))
            // A killed member's partitions are free at once instead of after its session's time-out.
            .env(set("GROUP_INSTANCE_ID"), access::group(database))
            .env(set("LISTEN"), ANY_PORT);
        let is_own = database == self.options.name;
        let options = options.envs(self.access.loader_variables(is_own));
        let secret = self.key_secret.iter().filter(|_| is_own);
        Ok(Loader(secret.fold(options, |options, secret| options.env(set("KEY_SECRET"), secret))))
    }

    /// Connection string of the source's superuser.
    #[must_use]
    pub fn source(&self) -> String {
        self.options.source.superuser(&self.options.name)
    }

    /// Connection string of the warehouse's superuser, for a database made by this rig.
    #[must_use]
    pub fn warehouse(&self, database: &str) -> String {
        self.options.warehouse.superuser(database)
    }

    /// The rig's name: its source and warehouse databases, slot and topic prefix.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// The rig's own directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.options.dir
    }

    /// Waits until everything committed at the source by now is in Kafka, and everything in Kafka is in the warehouse.
    pub async fn settle(&self) -> anyhow::Result<()> {
        self.settle_reader().await?;
        self.settle_loader(&self.options.name).await
    }

    /// Waits until everything committed at the source by now is in Kafka; needs a running reader.
    async fn settle_reader(&self) -> anyhow::Result<()> {
        self.settle_slot(&self.options.name, &self.options.name).await?;
        for further in &self.further {
            self.settle_slot(&further.database, &further.name).await?;
        }
        Ok(())
    }

    /// Waits until a source's slot is confirmed up to now.
    async fn settle_slot(&self, database: &str, name: &str) -> anyhow::Result<()> {
        let source = sql::connect(&self.options.source.superuser(database)).await?;
        let end: String = sql::one(&source, "SELECT pg_current_wal_insert_lsn()").await?;
        let confirmed = format!(
            "SELECT coalesce((SELECT confirmed_flush_lsn >= '{end}' FROM pg_replication_slots WHERE slot_name = '{name}'), false)"
        );
        devstack::try_wait_for_async(SETTLE_DEADLINE, "the slot to be confirmed", async || {
            let answer = sql::one(&source, &confirmed).await?;
            anyhow::Ok((answer == "t").then_some(()))
        })
        .await
    }

    /// Waits until everything in Kafka is in that warehouse database; needs a running loader.
    pub async fn settle_loader(&self, database: &str) -> anyhow::Result<()> {
        let warehouse = sql::connect(&self.warehouse(database)).await?;
        devstack::try_wait_for_async(SETTLE_DEADLINE, "the warehouse to catch up", async || {
            let wanted = self.high_watermarks()?;
            let loaded = loaded_offsets(&warehouse).await?;
            let behind = wanted
                .iter()
                .find(|&(place, &high)| loaded.get(place).copied().unwrap_or(0) != high);
            match behind {
                None => anyhow::Ok(Some(())),
                Some((place, high)) => {
                    anyhow::bail!("{place:?}: {:?} of {high} loaded", loaded.get(place))
                }
            }
        })
        .await
    }

    /// Deletes the topic of one of the airline's tables and makes it again, with nothing in it.
    pub async fn make_topic_again(&self, table: &str) -> anyhow::Result<()> {
        let name = topic(&self.options.name, table);
        let admin: AdminClient<DefaultClientContext> = self.access.makes.create()?;
        let options = AdminOptions::new().operation_timeout(Some(SETTLE_DEADLINE));
        for deleted in admin.delete_topics(&[name.as_str()], &options).await? {
            deleted.map_err(|(name, error)| anyhow::anyhow!("cannot delete {name}: {error}"))?;
        }
        let partitions = i32::try_from(self.options.partitions)?;
        devstack::try_wait_for_async(SETTLE_DEADLINE, "the topic to be made again", async || {
            let replicas = TopicReplication::Fixed(self.access.replicas);
            let again = NewTopic::new(&name, partitions, replicas);
            for made in admin.create_topics(&[again], &options).await? {
                made.map_err(|(name, error)| anyhow::anyhow!("cannot make {name}: {error}"))?;
            }
            anyhow::Ok(true)
        })
        .await
    }

    /// Writes every record of the captured tables' topics below the rig's directory, one a line: what a failure is told
    /// from.
    pub fn dump_topics(&self) -> anyhow::Result<PathBuf> {
        let path = self.options.dir.join("topics.txt");
        let mut file = std::io::BufWriter::new(File::create(&path)?);
        let topics = Topics::with(&self.access.makes)?;
        let text =
            |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or(b"-")).into_owned();
        for topic in self.topics() {
            topics.read(&topic, |record| {
                let (partition, offset) = (record.partition(), record.offset());
                let (key, value) = (text(record.key()), text(record.payload()));
                writeln!(file, "{topic} {partition} {offset} {key} {value}")?;
                Ok(())
            })?;
        }
        Ok(path)
    }

    /// End offsets of every partition of the captured tables' topics.
    pub fn high_watermarks(&self) -> anyhow::Result<BTreeMap<(String, i32), i64>> {
        let topics = Topics::with(&self.access.looks)?;
        let mut found = BTreeMap::new();
        for topic in self.topics() {
            for (partition, end) in topics.ends(&topic)? {
                found.insert((topic.clone(), partition), end);
            }
        }
        Ok(found)
    }

    /// The captured tables' topics, of all sources.
    fn topics(&self) -> impl Iterator<Item = String> {
        let further = self.further.iter().flat_map(|further| further.topics.iter().cloned());
        TABLES.iter().map(|table| topic(&self.options.name, table.name)).chain(further)
    }
}

/// The next offset of each partition, as a warehouse has it.
///
/// # Errors
/// When the warehouse does not answer.
pub async fn loaded_offsets(
    warehouse: &tokio_postgres::Client,
) -> anyhow::Result<BTreeMap<(String, i32), i64>> {
    let offsets = "SELECT topic, partition, next_offset FROM dwh_control.offsets";
    let rows = sql::rows(warehouse, offsets).await?;
    let place = |row: sql::Row| {
        let [topic, partition, offset] = <[Option<String>; 3]>::try_from(row).ok()?;
        Some(((topic?, partition?.parse().ok()?), offset?.parse().ok()?))
    };
    Ok(rows.into_iter().filter_map(place).collect())
}

/// What `vault-loader model views` prints for a model.
///
/// # Errors
/// When it ends with another exit code than 0.
pub fn model_views(model: &Path) -> anyhow::Result<String> {
    let output = std::process::Command::new(devstack::binary("vault-loader")?)
        .args(["model", "views", "--model"])
        .arg(model)
        .output()
        .context("cannot run vault-loader model views")?;
    let told = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "vault-loader model views failed: {told}");
    Ok(String::from_utf8(output.stdout)?)
}

/// A loader about to be started.
struct Loader(ProcessOptions);

impl Loader {
    fn start_and_wait(&self, deadline: Duration) -> anyhow::Result<i32> {
        let mut process = Process::start(&self.0)?;
        try_wait_for(deadline, "vault-loader to end", || process.exit_code())
    }
}
