//! `vault-loader refresh-marts`: what it brings up to date, what it survives, and how it ends.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use tokio_postgres::Client;

use super::warehouse::{Content, Warehouse, rows};

/// The program as the role that may refresh and nothing else.
fn refresh_marts(warehouse: &Warehouse, arguments: &[&str]) -> anyhow::Result<Command> {
    let database = devstack::programs::loader_database(
        warehouse.address(),
        warehouse.database(),
        "mart_refresher",
        super::warehouse::PASSWORD,
    );
    let mut command = Command::new(devstack::binary("vault-loader")?);
    command
        .arg("refresh-marts")
        .args(arguments)
        .envs(database)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

fn terminate(program: Child) -> anyhow::Result<std::process::Output> {
    let killed = Command::new("kill").args(["-TERM", &program.id().to_string()]).status()?;
    anyhow::ensure!(killed.success(), "kill failed");
    Ok(program.wait_with_output()?)
}

/// Waits until a query says true, half a minute at most.
async fn wait_until(client: &Client, query: &str) -> anyhow::Result<()> {
    let waiting = async {
        while rows(client, query).await? != ["t"] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .with_context(|| format!("waited in vain for {query}"))?
}

#[tokio::test]
async fn once_builds_the_star_and_says_so() {
    let warehouse = Warehouse::create("refresh_once", Content::History).unwrap();
    let output = refresh_marts(&warehouse, &["--once"]).unwrap().output().unwrap();
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(words.starts_with("full: "), "{words}");
    let client = warehouse.connect().await.unwrap();
    assert_eq!(
        rows(
            &client,
            "SELECT count(*) > 0 AND count(*) = (SELECT count(*) FROM dwh_marts.current_ticket_flights)
             FROM dwh_marts.fact_bookings"
        )
        .await
        .unwrap(),
        ["t"]
    );
    let again = refresh_marts(&warehouse, &["--once"]).unwrap().output().unwrap();
    assert_eq!(String::from_utf8_lossy(&again.stdout), "idle: 0 records, 0 rows changed\n");
}

#[tokio::test]
async fn a_lost_connection_is_opened_again_and_a_signal_ends_the_program_in_order() {
    let warehouse = Warehouse::create("refresh_on", Content::History).unwrap();
    let program = refresh_marts(&warehouse, &["--interval-ms", "20"]).unwrap().spawn().unwrap();
    let client = warehouse.connect().await.unwrap();
    wait_until(
        &client,
        "SELECT coalesce((SELECT refreshes > 2 FROM dwh_marts.mart_refreshes), false)",
    )
    .await
    .unwrap();
    let cut = "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity
               WHERE usename = 'mart_refresher' AND datname = current_database()";
    assert_eq!(rows(&client, cut).await.unwrap(), ["t"]);
    let before = rows(&client, "SELECT refreshes FROM dwh_marts.mart_refreshes").await.unwrap();
    let after = format!("SELECT refreshes > {} + 2 FROM dwh_marts.mart_refreshes", before[0]);
    wait_until(&client, &after).await.unwrap();
    let output = terminate(program).unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.contains("trying again") && log.contains("refreshed again"), "{log}");
    assert!(!log.contains(super::warehouse::PASSWORD), "{log}");
}

#[tokio::test]
async fn a_warehouse_without_marts_is_refused_with_the_remedy() {
    let warehouse = Warehouse::create("refresh_nothing", Content::Empty).unwrap();
    let client = warehouse.connect().await.unwrap();
    client.batch_execute("DROP FUNCTION dwh_marts.refresh_star()").await.unwrap();
    let output = refresh_marts(&warehouse, &["--once"]).unwrap().output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("apply sql/marts as vault_owner"), "{words}");
}
