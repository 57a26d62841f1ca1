//! The airline's own program, and the star schema over the vault.
//!
//! In: a rig, or a connection to its warehouse. Out: work at the source, and a star that was refreshed and checked.

use std::process::Command;

use devstack::shared;
use e2e::rig::Rig;
use e2e::sql;
use tokio_postgres::Client;

/// Lets the airline's own program do something.
pub(crate) fn booking(rig: &Rig, arguments: &[&str]) {
    let server = &shared::stack().postgres15;
    let output = Command::new(devstack::binary("booking").unwrap())
        .args(arguments)
        .env("BOOKING_DATABASE_URL", server.url(rig.name(), &server.user, &server.password))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Refreshes the star, which then has to be what the vault says; gives the outcome.
pub(crate) async fn refresh(warehouse: &Client) -> String {
    let call = "BEGIN ISOLATION LEVEL REPEATABLE READ;
                SELECT outcome FROM dwh_marts.refresh_star();
                COMMIT";
    let outcome = sql::one(warehouse, call).await.unwrap();
    let differences = sql::rows(warehouse, "SELECT * FROM dwh_checks.star_equals_vault").await;
    assert_eq!(differences.unwrap(), Vec::<sql::Row>::new());
    outcome
}
