//! `wideworld simulate`: what it keeps true, how fast it is, and how it ends.

use std::num::NonZeroU16;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use devstack::wait_for_async;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wideworld::simulate::{
    Control, Counts, KINDS, Kind, Settings, SimulateError, SimulateOptions, Tally, simulate,
};

use crate::support::Wholesaler;

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(60);

/// A simulation that runs beside the test.
struct Running {
    control: Arc<Control>,
    tally: Arc<Tally>,
    stop: CancellationToken,
    task: JoinHandle<Result<Counts, SimulateError>>,
}

impl Running {
    fn begin(wholesaler: &Wholesaler, settings: Settings) -> Self {
        let (control, tally) = (Arc::new(Control::new(settings)), Arc::new(Tally::default()));
        let stop = CancellationToken::new();
        let parts = (Arc::clone(&control), Arc::clone(&tally));
        let (database, ended) = (wholesaler.options(), stop.clone());
        let options =
            SimulateOptions { duration: None, seed: 1, connections: NonZeroU16::new(4).unwrap() };
        let task = tokio::spawn(async move { simulate(&database, &options, parts, ended).await });
        Self { control, tally, stop, task }
    }

    async fn end(self) -> Counts {
        self.stop.cancel();
        self.task.await.unwrap().unwrap()
    }
}

fn fast() -> Settings {
    Settings { speed: 30.0, ..Settings::default() }
}

async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for_async(PATIENCE, what, async || condition()).await;
}

#[tokio::test]
async fn every_kind_of_event_happens_and_the_rules_hold() {
    let wholesaler = Wholesaler::create();
    wholesaler.seed(20, 1).await;
    // Nothing is low at the beginning, so the shelves are emptied to make purchase orders come.
    let client = wholesaler.client().await;
    let raised = "UPDATE warehouse.stock_item_holdings
                  SET reorder_level = quantity_on_hand, target_stock_level = quantity_on_hand + 200
                  WHERE stock_item_id % 5 = 0";
    client.batch_execute(raised).await.unwrap();
    let running = Running::begin(&wholesaler, fast());
    let tally = Arc::clone(&running.tally);
    wait_for("every kind of event", || {
        running.task.is_finished() || tally.counts().committed.iter().all(|count| *count > 0)
    })
    .await;
    let counts = running.end().await;
    for (kind, _) in KINDS {
        assert!(counts.of(kind) > 0, "{}", kind.name());
    }
    wholesaler.assert_sound().await;
}

#[tokio::test]
async fn changes_stay_below_their_limit_and_a_pause_stops_them() {
    let wholesaler = Wholesaler::create();
    wholesaler.seed(20, 1).await;
    let settings = Settings { speed: 100.0, changes_max: 100.0, ..Settings::default() };
    let running = Running::begin(&wholesaler, settings);
    wait_for("a first event", || running.tally.counts().all() > 0).await;
    let (begun, before) = (Instant::now(), running.tally.counts().row_count);
    wait_for("300 changes", || running.tally.counts().row_count >= before + 300).await;
    // What workers have begun already may come on top: each of four some dozens of rows.
    let passed = begun.elapsed().as_secs_f64();
    assert!(passed > 1.0, "{passed} s for 300 changes at 100 a second");
    running.control.change(|settings| settings.is_paused = true).unwrap();
    let client = wholesaler.client().await;
    let idle = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'wideworld test' AND state <> 'idle'";
    wait_for_async(PATIENCE, "all workers idle", async || {
        client.query_one(idle, &[]).await.map(|row| row.get::<_, i64>(0) == 0)
    })
    .await;
    let paused = running.tally.counts().all();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(running.tally.counts().all(), paused);
    running.control.change(|settings| settings.is_paused = false).unwrap();
    wait_for("an event after the pause", || running.tally.counts().all() > paused).await;
    running.end().await;
    wholesaler.assert_sound().await;
}

#[tokio::test]
async fn lost_connections_are_opened_again_and_nothing_is_invoiced_twice() {
    let wholesaler = Wholesaler::create();
    wholesaler.seed(20, 1).await;
    let running = Running::begin(&wholesaler, fast());
    for round in 1..=3_u64 {
        let before = running.tally.counts().of(Kind::Invoice);
        wait_for("another invoice", || running.tally.counts().of(Kind::Invoice) > before).await;
        let reconnects = running.tally.counts().reconnect_count;
        let cut = wholesaler
            .number(
                "SELECT count(pg_terminate_backend(pid))
                 FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'wideworld test'",
            )
            .await;
        assert!(cut > 0, "round {round}");
        wait_for("a connection again", || running.tally.counts().reconnect_count > reconnects)
            .await;
    }
    running.end().await;
    wholesaler.assert_sound().await;
}

#[tokio::test]
async fn without_a_history_the_remedy_is_named() {
    let wholesaler = Wholesaler::create();
    let running = Running::begin(&wholesaler, fast());
    let refusal = running.task.await.unwrap().unwrap_err();
    assert!(refusal.to_string().contains("wideworld seed"), "{refusal}");
}

#[tokio::test]
async fn a_refusal_that_lasts_ends_the_run_with_the_servers_words() {
    let wholesaler = Wholesaler::create();
    wholesaler.seed(5, 1).await;
    let client = wholesaler.client().await;
    client
        .batch_execute(
            "ALTER TABLE sales.orders ADD CONSTRAINT no_more CHECK (order_id < 0) NOT VALID",
        )
        .await
        .unwrap();
    let running = Running::begin(&wholesaler, fast());
    let refusal = running.task.await.unwrap().unwrap_err();
    assert!(format!("{refusal:?}").contains("no_more"), "{refusal:?}");
}

#[tokio::test]
async fn a_signal_ends_the_program_in_order_and_with_a_summary() {
    let wholesaler = Wholesaler::create();
    wholesaler.seed(5, 1).await;
    let before = wholesaler.number("SELECT max(order_id)::bigint FROM sales.orders").await;
    let program = Command::new(env!("CARGO_BIN_EXE_wideworld"))
        .args(["simulate", "--speed", "20"])
        .env("WIDEWORLD_DATABASE_URL", wholesaler.url())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let client = wholesaler.client().await;
    let begun = format!("SELECT EXISTS (SELECT FROM sales.orders WHERE order_id > {before})");
    wait_for_async(PATIENCE, "an order", async || {
        client.query_one(&begun, &[]).await.map(|row| row.get::<_, bool>(0))
    })
    .await;
    let killed = Command::new("kill").args(["-TERM", &program.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = program.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = String::from_utf8_lossy(&output.stdout);
    assert!(summary.contains("transactions and"), "{summary}");
    wholesaler.assert_sound().await;
}
