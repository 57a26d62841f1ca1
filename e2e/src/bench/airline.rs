//! The airline's database, as an installation makes it, and the reader that captures it.
//!
//! In: a server, `sql/source/` and `connectors/airline/connector.json`. Out: a database with its publication and roles, connector
//! files for it, running readers.
//! Invariant: what is measured is what is delivered: the same SQL, the same connector but for the properties that a caller names.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use devstack::{
    Kafka, Postgres, PostgresAddress, Process, ProcessOptions, binary, client_binary, free_port,
    workspace_root,
};
use serde_json::{Value, json};

/// The source's database.
pub(super) const DATABASE: &str = "airline_tickets";
/// The publication that `sql/source/` makes.
pub(super) const PUBLICATION: &str = "airline_publication";
/// The capturing role.
pub(super) const READER: &str = "cdc_reader";
/// The application's role.
pub(super) const APP: &str = "booking_app";
/// Everybody's password, on servers that only this machine reaches and that end with the bench.
pub(super) const PASSWORD: &str = "benchpassword";

/// The captured tables.
pub(super) const TABLES: [&str; 8] = [
    "airports",
    "aircrafts",
    "seats",
    "flights",
    "bookings",
    "tickets",
    "ticket_flights",
    "boarding_passes",
];

/// Makes the airline's database, empty.
pub(super) fn create(server: &Postgres) -> anyhow::Result<()> {
    server.address().create_database(DATABASE)?;
    let variables =
        ["reader_password", "app_password", "readonly_password"].map(|name| (name, PASSWORD));
    apply(server.address(), DATABASE, "sql/source", &variables)
}

/// Applies the files of a folder of the workspace, in the order of their names, as the superuser.
pub(super) fn apply(
    address: &PostgresAddress,
    database: &str,
    folder: &str,
    variables: &[(&str, &str)],
) -> anyhow::Result<()> {
    let folder = workspace_root().join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    files.sort();
    let psql = client_binary("psql")?;
    for file in files {
        let mut command = Command::new(&psql);
        command.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"]);
        for (name, value) in variables {
            command.arg("--set").arg(format!("{name}={value}"));
        }
        command.arg("--file").arg(&file).arg("--dbname").arg(address.superuser(database));
        let output = command.output().context("cannot run psql")?;
        anyhow::ensure!(
            output.status.success(),
            "cannot apply {}: {}",
            file.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// The topic of a table.
pub(super) fn topic(prefix: &str, table: &str) -> String {
    format!("{prefix}.public.{table}")
}

/// The connector file that is delivered, with other values for some of its properties, and with its variables resolved for
/// `address` over TCP.
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

/// Starts `cdc-reader` with a connector; its log and files lie in `dir`.
pub(super) fn start_reader(
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
    let options = ProcessOptions::new(binary("cdc-reader")?, dir.join(format!("{name}.log")))
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
    const LINES: usize = 5;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    format!(
        "the log of the program ends:\n{}",
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    )
}

/// Asks a process to end and requires that it does so in order.
pub(super) fn end(mut process: Process, name: &str) -> anyhow::Result<()> {
    const DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);
    process.terminate();
    let code = process.wait_exit(DEADLINE)?;
    anyhow::ensure!(code == 0, "{name} ended with exit code {code}; {}", log_end(process.log()));
    Ok(())
}
