//! What a running reader, a running loader and a running booking service export.
//!
//! In: the shared servers. Out: every sample that the three print, after a snapshot, a change, a quarantined event, a
//! failed batch, a booking and a refusal: a counter with labels is shown from its first increment on.

use std::time::Duration;

use devstack::{free_port, http, shared, topics, wait_for_async};
use e2e::airline::topic;
use e2e::rig::{Rig, RigOptions};
use e2e::service::Service;
use e2e::sql;

use super::promql::Selector;

/// A machine with two cores that other tests use as well takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

/// A flight with one seat.
const FLIGHT: &str = "
    INSERT INTO aircrafts VALUES ('TST', 'Test Plane', 5000);
    INSERT INTO seats VALUES ('TST', '1A', 'Economy');
    INSERT INTO flights (flight_no, scheduled_departure, scheduled_arrival, departure_airport, arrival_airport, status, aircraft_code)
    VALUES ('TT0001', now() + interval '2 days', now() + interval '50 hours', 'AAA', 'BBB', 'Scheduled', 'TST')";

/// The samples of all programs.
pub(crate) struct Exported {
    /// Lines of the expositions, without comments.
    samples: Vec<String>,
}

impl Exported {
    /// Whether a sample has this name and these labels.
    pub(crate) fn has(&self, selector: &Selector) -> bool {
        self.samples.iter().any(|sample| {
            let rest = sample.strip_prefix(selector.metric.as_str()).unwrap_or_default();
            let pair = |(label, value): (&String, &String)| {
                let pair = format!("{label}=\"{value}\"");
                rest.contains(&format!("{{{pair}")) || rest.contains(&format!(",{pair}"))
            };
            rest.starts_with(['{', ' ']) && selector.labels.iter().all(pair)
        })
    }
}

/// Runs a pipeline until it has counted everything that it can count, and gives what it exported.
pub(crate) async fn run() -> Exported {
    let stack = shared::stack();
    let name = format!("monitoring_{}", std::process::id());
    let rig = Rig::create(RigOptions {
        dir: stack.dir.join("e2e").join(&name),
        name,
        source: stack.postgres15.clone(),
        warehouse: stack.warehouse.clone(),
        bootstrap: stack.kafka_bootstrap.clone(),
        partitions: 1,
    })
    .unwrap();
    let listen = [(); 2].map(|()| format!("127.0.0.1:{}", free_port().unwrap()));
    let source = sql::connect(&rig.source()).await.unwrap();
    add_airport(&source, "AAA").await;
    let _reader = rig.start_reader_at(&listen[0]).unwrap();
    let _loader = rig.start_loader_at(&listen[1]).unwrap();
    rig.settle().await.unwrap();

    // An event that nobody can load.
    let airports = topic(rig.name(), "airports");
    topics::publish(&stack.kafka_bootstrap, &airports, None, "no event").unwrap();
    wait_for(&listen[1], "vault_loader_quarantined_total{").await;
    fail_a_batch(&rig, &source, &listen[1]).await;
    rig.settle().await.unwrap();
    // After an assignment of partitions the lag is shown again once Kafka has said where they end.
    wait_for(&listen[1], "vault_loader_lag_events{").await;
    // What has not been measured yet is not shown.
    wait_for(&listen[1], "vault_loader_watermark_age_seconds{").await;
    wait_for(&listen[0], "cdc_reader_slot_retained_wal_bytes").await;

    let mut samples: Vec<_> = listen.iter().flat_map(|address| scrape(address).unwrap()).collect();
    samples.extend(sell_the_last_seat(&rig, &source).await.metrics().unwrap());
    Exported { samples }
}

/// A booking service that has sold a seat and has refused to sell another.
async fn sell_the_last_seat(rig: &Rig, source: &tokio_postgres::Client) -> Service {
    source.batch_execute(FLIGHT).await.unwrap();
    let flight: String = sql::one(source, "SELECT max(flight_id) FROM flights").await.unwrap();
    let flight = flight.parse().unwrap();
    let service = rig.start_service(&[]).unwrap();
    let customer = service.customer("ann@example.org").unwrap();
    customer.book(flight).unwrap();
    let refused = customer.try_to_book(flight).unwrap();
    assert_eq!(refused.status, 409, "{}", refused.body);
    service
}

async fn add_airport(source: &tokio_postgres::Client, code: &str) {
    source
        .batch_execute(&format!("INSERT INTO airports VALUES ('{code}', 'A', 'B', 0, 0, 'UTC')"))
        .await
        .unwrap();
}

/// Ends the loader's sessions that wait for a lock that we hold, until one of them was a batch's, which is tried again.
async fn fail_a_batch(rig: &Rig, source: &tokio_postgres::Client, loader: &str) {
    let warehouse = rig.warehouse(rig.name());
    let holder = sql::connect(&warehouse).await.unwrap();
    let killer = sql::connect(&warehouse).await.unwrap();
    holder
        .batch_execute("BEGIN; LOCK TABLE dwh_control.offsets IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    add_airport(source, "BBB").await;
    let kill = "SELECT count(pg_terminate_backend(pid))
                FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'vault-loader' AND wait_event_type = 'Lock'";
    wait_for_async(PATIENCE, "a batch that is tried again", async || {
        sql::one(&killer, kill).await?;
        is_shown(loader, "vault_loader_retries_total{")
    })
    .await;
    holder.batch_execute("ROLLBACK").await.unwrap();
}

async fn wait_for(address: &str, beginning: &str) {
    wait_for_async(PATIENCE, beginning, async || is_shown(address, beginning)).await;
}

fn is_shown(address: &str, beginning: &str) -> anyhow::Result<bool> {
    Ok(scrape(address)?.iter().any(|sample| sample.starts_with(beginning)))
}

fn scrape(address: &str) -> anyhow::Result<Vec<String>> {
    let page = http::get(&format!("http://{address}/metrics"))?;
    anyhow::ensure!(page.status == 200, "status {}", page.status);
    Ok(page.body.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect())
}
