//! Every type goes from a source through Kafka into a satellite, and is there what it was in the source: from a
//! snapshot, from an insert, after an update that leaves values out which are stored out of line, and after an update
//! of everything.

#![allow(clippy::unwrap_used, reason = "tests panic where they fail")]

mod cases;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use devstack::{
    PostgresAddress, Process, ProcessOptions, Psql, programs, shared, wait_for, wait_for_async,
};
use e2e::sql;
use serde_json::json;
use tokio_postgres::Client;

use cases::{CASES, Case, TYPES};

const PATIENCE: Duration = Duration::from_secs(120);

/// Rows of the snapshot; as many are inserted afterwards. No type has more values.
const ROWS: usize = 7;

#[tokio::test]
async fn every_type_of_postgresql_15_is_in_the_vault_what_it_is_in_the_source() {
    travel(&shared::stack().postgres15).await;
}

#[tokio::test]
async fn every_type_of_postgresql_18_is_in_the_vault_what_it_is_in_the_source() {
    travel(&shared::stack().postgres18).await;
}

async fn travel(server: &PostgresAddress) {
    let stack = shared::stack();
    let name = devstack::unique(&format!("types{}", server.version));
    let dir = shared::run_dir().join(&name);
    std::fs::create_dir_all(&dir).unwrap();
    server.create_database(&name).unwrap();
    stack.warehouse.create_database(&name).unwrap();
    std::fs::write(dir.join("vault.toml"), model(&name)).unwrap();
    let connector = json!({ "name": name, "config": programs::connector(server, &name, &name) });
    std::fs::write(dir.join("connector.json"), connector.to_string()).unwrap();
    let run = |script: &str| Psql::new(&server.superuser(&name)).unwrap().run(script).unwrap();
    run(&table());
    run(&rows(0));
    let mut migrate = loader(&dir, &name, "migrate");
    assert_eq!(migrate.wait_exit(PATIENCE).unwrap(), 0, "see {}", dir.display());
    let reader = reader(&dir, &name);
    let _loader = loader(&dir, &name, "run");
    wait_for(PATIENCE, "the reader to stream", || !reader.lines_with("streaming").is_empty());
    run(&rows(ROWS));
    let source = sql::connect(&server.superuser(&name)).await.unwrap();
    let vault = sql::connect(&stack.warehouse.superuser(&name)).await.unwrap();
    arrived(&vault, 1).await;
    compare(&source, &vault, "inserted").await;
    verify(server, &dir, &name);
    run("UPDATE things SET n = 2");
    arrived(&vault, 2).await;
    compare(&source, &vault, "updated without their long values").await;
    verify(server, &dir, &name);
    let all: Vec<String> = CASES
        .iter()
        .map(|Case { name, .. }| {
            let rows = 2 * ROWS;
            format!(
                "{name} = (SELECT {name} FROM things AS o WHERE o.id = (things.id + 1) % {rows})"
            )
        })
        .collect();
    run(&format!("UPDATE things SET n = 3, {}", all.join(", ")));
    arrived(&vault, 3).await;
    compare(&source, &vault, "updated").await;
    verify(server, &dir, &name);
    let edit = "UPDATE dwh_detailed.sat_things SET oid_a = '{1}' WHERE n = 3 AND bool";
    let edited = vault.execute(edit, &[]).await.unwrap();
    let found = verified(server, &dir, &name);
    assert_eq!(found["tables"][2]["different"], edited, "{found}");
}

/// Every value that the source prints is hashed as the loader hashed its event, and so is what the vault has stored.
fn verify(server: &PostgresAddress, dir: &Path, name: &str) {
    let report = verified(server, dir, name);
    let counts = ["missing", "extra", "different", "waiting"];
    for table in report["tables"].as_array().unwrap() {
        assert_eq!(table["rows"], 2 * ROWS, "{report}");
        assert!(counts.iter().all(|count| table[count] == 0), "{report}");
    }
}

/// What `vault-loader verify` reports.
fn verified(server: &PostgresAddress, dir: &Path, name: &str) -> serde_json::Value {
    let PostgresAddress { host, port, user, password, .. } = server;
    let warehouse = &shared::stack().warehouse;
    let output = std::process::Command::new(devstack::binary("vault-loader").unwrap())
        .args(["verify", "--no-wait", "--format", "json", "--model"])
        .arg(dir.join("vault.toml"))
        .env("VAULT_LOADER_SOURCE", format!("postgres://{user}:{password}@{host}:{port}/{name}"))
        .envs(programs::loader_database(warehouse, name, &warehouse.user, &warehouse.password))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}"))
}

fn table() -> String {
    let columns: Vec<String> =
        CASES.iter().map(|Case { name, source, .. }| format!("{name} {source}")).collect();
    format!(
        "{TYPES}
         CREATE TABLE things (id integer PRIMARY KEY, n integer NOT NULL, {});
         CREATE PUBLICATION captured FOR ALL TABLES;
         SELECT format('ALTER TABLE things ALTER %I SET STORAGE EXTERNAL', attname)
         FROM pg_attribute WHERE attrelid = 'things'::regclass AND attnum > 0 AND attlen = -1
         \\gexec\n",
        columns.join(", ")
    )
}

/// The last value of each type, each of its values in turn, and a row of NULLs.
fn rows(first: usize) -> String {
    assert!(CASES.iter().all(|case| case.values.len() + 2 <= ROWS), "a value would be left out");
    let mut script = String::new();
    for row in 0..ROWS {
        let value = |case: &Case| match row + 1 {
            ROWS => "NULL",
            // The long values, which come last, are in both halves.
            1 => case.values[case.values.len() - 1],
            row => case.values[(row - 2) % case.values.len()],
        };
        let values: Vec<&str> = CASES.iter().map(value).collect();
        let _ = writeln!(
            script,
            "INSERT INTO things VALUES ({}, 1, {});",
            first + row,
            values.join(", ")
        );
    }
    script
}

fn model(name: &str) -> String {
    let mut columns = String::new();
    for Case { name, model, .. } in CASES {
        let _ = writeln!(columns, "{name} = '{model}'");
    }
    let names: Vec<String> = CASES.iter().map(|case| format!("{:?}", case.name)).collect();
    format!(
        r#"
format_version = 1
[source]
name = "{name}"
schema = "public"
system_id = 1
comment = "every type"
[[hub]]
name = "hub_things"
comment = "a thing"
key = [{{ name = "id", type = "integer" }}]
[[table]]
name = "things"
key = ["id"]
parent = "hub_things"
status = "sat_things_status"
hubs = [{{ hub = "hub_things", columns = ["id"] }}]
[table.columns]
id = "integer"
n = "integer"
{columns}
[[table.satellite]]
name = "sat_things"
comment = "a value of each type"
columns = ["n", {}]
"#,
        names.join(", ")
    )
}

fn reader(dir: &Path, name: &str) -> Process {
    let options =
        ProcessOptions::new(devstack::binary("cdc-reader").unwrap(), dir.join("reader.log"))
            .args(["run", "--connector"])
            .args([dir.join("connector.json")])
            .env("BOOTSTRAP_SERVERS", &shared::stack().kafka_bootstrap)
            .env("OFFSET_STORAGE_TOPIC", format!("{name}-offsets"))
            .env("CDC_READER_LISTEN", "127.0.0.1:0")
            .without_env("RUST_LOG");
    Process::start(&options).unwrap()
}

fn loader(dir: &Path, name: &str, verb: &str) -> Process {
    let stack = shared::stack();
    let server = &stack.warehouse;
    let log = dir.join(format!("loader-{verb}.log"));
    let options = ProcessOptions::new(devstack::binary("vault-loader").unwrap(), log)
        .without_env("RUST_LOG")
        .args([verb, "--model"])
        .args([dir.join("vault.toml")])
        .env("VAULT_LOADER__BOOTSTRAP_SERVERS", &stack.kafka_bootstrap)
        .envs(programs::loader_database(server, name, &server.user, &server.password))
        .env("VAULT_LOADER__GROUP_ID", name)
        .env("VAULT_LOADER__LISTEN", "127.0.0.1:0");
    Process::start(&options).unwrap()
}

/// Waits until the last version of every row has this `n`, and nothing is in quarantine.
async fn arrived(vault: &Client, n: i32) {
    let current = format!(
        "SELECT (SELECT count(*) FROM (SELECT DISTINCT ON (hash_key) n FROM dwh_detailed.sat_things ORDER BY hash_key, load_date DESC) AS s WHERE n = {n})
             || ' rows, quarantined: ' || coalesce((SELECT string_agg(DISTINCT reason, ', ') FROM dwh_control.quarantine), 'none')"
    );
    let mut last = String::new();
    wait_for_async(PATIENCE, "every row to be in the vault", async || {
        last = sql::one(vault, &current).await.map_err(|err| err.to_string())?;
        if last == format!("{} rows, quarantined: none", 2 * ROWS) {
            Ok(true)
        } else {
            Err(last.clone())
        }
    })
    .await;
}

async fn compare(source: &Client, vault: &Client, what: &str) {
    let mut differences = Vec::new();
    for case in CASES {
        let printed = case.printed.replace('%', case.name);
        let name = case.name;
        let in_source = format!("SELECT id, {printed} FROM things ORDER BY id");
        let in_vault = format!(
            "SELECT h.id, s.{name}::text
             FROM dwh_detailed.hub_things AS h
             CROSS JOIN LATERAL (
                 SELECT v.{name} FROM dwh_detailed.sat_things AS v
                 WHERE v.hash_key = h.hash_key ORDER BY v.load_date DESC LIMIT 1
             ) AS s
             WHERE h.record_source <> 'SYSTEM'
             ORDER BY h.id"
        );
        let expected = sql::rows(source, &in_source).await.unwrap();
        let actual = sql::rows(vault, &in_vault).await.unwrap();
        assert_eq!((expected.len(), actual.len()), (2 * ROWS, 2 * ROWS), "{name}");
        let pairs =
            std::iter::zip(expected, actual).filter(|(expected, actual)| expected != actual);
        let short = |row: &sql::Row| {
            let text = row[1].as_deref().unwrap_or("NULL");
            text.chars().take(80).collect::<String>()
        };
        differences.extend(pairs.map(|(expected, actual)| {
            format!(
                "{name} {} {what}: {} instead of {}",
                case.source,
                short(&actual),
                short(&expected)
            )
        }));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
