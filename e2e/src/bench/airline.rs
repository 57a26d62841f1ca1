//! The airline's database, as an installation makes it, and the reader that captures it.
//!
//! In: a server, `sql/source/` and `connectors/airline/connector.json`. Out: a database with its publication and roles,
//! connector files for it, running readers.
//! Invariant: what is measured is what is delivered: the same SQL, the same connector but for the properties that a
//! caller names.

use std::path::Path;

use anyhow::Context;
use devstack::{
    Kafka, Postgres, PostgresAddress, Process, ProcessOptions, Psql, free_port, sql_files,
    workspace_root,
};
use serde_json::{Value, json};

use crate::airline::SOURCE_ROLES;

/// The source's database.
pub(super) const DATABASE: &str = "airline_tickets";
/// The publication that `sql/source/` makes.
pub(super) const PUBLICATION: &str = "airline_publication";
/// The capturing role.
pub(super) const READER: &str = "cdc_reader";
/// Everybody's password, on servers that only this machine reaches and that end with the bench.
pub(super) const PASSWORD: &str = "benchpassword";

/// Makes the airline's database, empty.
pub(super) fn create(server: &Postgres) -> anyhow::Result<()> {
    server.address().create_database(DATABASE)?;
    apply(server.address(), DATABASE, "sql/source", &SOURCE_ROLES)
}

/// Applies the files of a folder of the workspace, in the order of their names, as the superuser. Each of `roles` gets
/// everybody's password.
pub(super) fn apply(
    address: &PostgresAddress,
    database: &str,
    folder: &str,
    roles: &[&str],
) -> anyhow::Result<()> {
    let psql = Psql::new(&address.superuser(database))?.passwords(roles, PASSWORD);
    psql.run_files(sql_files(folder)?).with_context(|| format!("cannot apply {folder}"))?;
    Ok(())
}

/// The connector file that is delivered, with other values for some of its properties, and with its variables resolved
/// for `address` over TCP.
pub(super) fn connector(
    address: &PostgresAddress,
    name: &str,
    changes: &[(&str, &str)],
) -> anyhow::Result<Value> {
    let path = workspace_root().join("connectors/airline/connector.json");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let mut connector: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
    connector["name"] = json!(name);
    let port = address.port.to_string();
    let own = [
        ("database.hostname", address.host.as_str()),
        ("database.port", &port),
        ("database.user", READER),
        ("database.password", PASSWORD),
        ("database.dbname", DATABASE),
        ("publication.name", PUBLICATION),
    ];
    for (property, value) in own.iter().chain(changes) {
        connector["config"][*property] = json!(value);
    }
    Ok(connector)
}

/// Starts a build of `cdc-reader` with a connector; its log and files lie in `dir`.
pub(super) fn start_reader(
    program: &Path,
    kafka: &Kafka,
    connector: &Value,
    dir: &Path,
) -> anyhow::Result<Process> {
    let name = connector["name"].as_str().context("a connector without a name")?;
    let file = dir.join(format!("{name}.json"));
    std::fs::write(&file, connector.to_string())
        .with_context(|| format!("cannot write {}", file.display()))?;
    let listen = format!("127.0.0.1:{}", free_port()?);
    let offsets = format!("{name}-offsets");
    let options = ProcessOptions::new(program, dir.join(format!("{name}.log")))
        .args(["run", "--listen", &listen, "--bootstrap-servers", &kafka.bootstrap()])
        .args(["--offset-storage-topic", &offsets, "--connector"])
        .args([&file]);
    Process::start(&options)
}

/// An error with the end of its log when a process that should run has ended.
pub(super) fn require_alive(process: &mut Process, name: &str) -> anyhow::Result<()> {
    let Some(code) = process.exit_code()? else { return Ok(()) };
    anyhow::bail!("{name} has ended with exit code {code}; {}", log_end(process.log()))
}

/// The last lines of a log, for a message.
pub(super) fn log_end(log: &Path) -> String {
    format!("the log of the program ends:\n{}", devstack::log::tail(log, 5))
}

/// Asks a process to end and requires that it does so in order.
pub(super) fn end(mut process: Process, name: &str) -> anyhow::Result<()> {
    const DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);
    process.terminate();
    let code = process.wait_exit(DEADLINE)?;
    anyhow::ensure!(code == 0, "{name} ended with exit code {code}; {}", log_end(process.log()));
    Ok(())
}
