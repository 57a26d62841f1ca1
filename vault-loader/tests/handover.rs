//! Partitions that change hands without a failure: what a loader remembers of them, and whether it goes on reading
//! them.
//!
//! The first tests drive two [`Loader`]s by hand, batch by batch, so that each hand-over happens exactly where it
//! hurts.

use std::sync::Arc;

use devstack::wait_for_async;
use shared::postgres::ConnectOptions;
use shared::secret::Secret;
use vault_loader::batch::{Batch, Content, Partition, Start};
use vault_loader::epoch::Epochs;
use vault_loader::load::{Job, Loader, LoaderLimits};
use vault_loader::model::{self, Plan, TableId};
use vault_loader::warehouse::WarehouseError;

use crate::support::{
    Event, PATIENCE, World, airport, booking, create, delete, rows, truncate, update,
};

/// Loaders and records of one topic, `airports`.
pub(crate) struct Table {
    pub(crate) world: World,
    /// epochs of the table
    pub(crate) epochs: Epochs,
    plan: Arc<Plan>,
    table: TableId,
}

impl Table {
    pub(crate) async fn new(name: &str) -> Self {
        let world = World::new(name).await;
        let plan = Arc::new(Plan::new(model::parse(&world.model).unwrap()));
        let table = plan.model.tables.find_id(|table| table.name == "airports").unwrap();
        let topic = world.topic("airports");
        let sql = "INSERT INTO dwh_control.offsets (topic, partition, next_offset)
                   VALUES ($1, 0, 0), ($1, 1, 0)";
        world.client.execute(sql, &[&topic]).await.unwrap();
        Self { world, epochs: Epochs::FIRST, plan, table }
    }

    pub(crate) fn loader(&self) -> Loader {
        let warehouse = &self.world.stack.warehouse;
        let name = &self.world.database.name;
        let mut options = ConnectOptions::new(&warehouse.host, warehouse.port, name);
        options.user.clone_from(&warehouse.user);
        options.password = Secret::new(&warehouse.password);
        let limits = LoaderLimits { cache_entries_max: 1_000, quarantine_events_max: 1_000 };
        Loader::new(options, Arc::clone(&self.plan), limits)
    }

    /// Has a loader load one event as a batch of its own.
    async fn load(&mut self, loader: &mut Loader, generation: u64, offset: i64, event: Event) {
        let value = self.world.envelope(&event).to_string();
        let place = (event.partition, offset);
        self.load_record(loader, generation, place, (Some("key"), &value)).await;
    }

    /// The same with a record as it stands in the topic: partition and offset, key and value.
    pub(crate) async fn load_record(
        &mut self,
        loader: &mut Loader,
        generation: u64,
        place: (i32, i64),
        record: (Option<&str>, &str),
    ) {
        self.try_record(loader, generation, place, record).await.unwrap();
    }

    /// The same with whatever comes of it.
    async fn try_record(
        &mut self,
        loader: &mut Loader,
        generation: u64,
        (partition, offset): (i32, i64),
        (key, value): (Option<&str>, &str),
    ) -> Result<(), WarehouseError> {
        let from = Partition { table: self.table, partition };
        let epochs = [(self.table, self.epochs.clone())].into_iter().collect();
        let mut batch = Batch::new(generation, Arc::new(epochs));
        batch.starts.insert(from, Start { offset, epoch: self.epochs.current().number });
        let (key, value) = (key.map(str::as_bytes), Some(value.as_bytes()));
        batch.push(from, offset, Content { key, value, ..Content::default() });
        let mut job = Job::new(&self.plan, &batch, |_| false);
        while loader.advance(&mut job).await?.is_some() {}
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_remembered_before_a_handover_is_forgotten() {
    let mut table = Table::new("handover").await;
    let (mut first, mut second) = (table.loader(), table.loader());
    let city = |lsn, city| update("airports", lsn, airport("AAA", city));
    table.load(&mut first, 1, 0, city(10, "Omsk")).await;
    table.load(&mut second, 1, 1, city(20, "Perm")).await;
    // To the first loader this looks like its own last version, unless it asks the warehouse.
    table.load(&mut first, 2, 2, city(30, "Omsk")).await;
    // And this the second one knows as its own, and as long overwritten.
    table.load(&mut second, 2, 3, city(40, "Omsk")).await;
    table
        .world
        .assert_rows(
            "SELECT city, source_lsn FROM dwh_detailed.sat_airports WHERE city IS NOT NULL ORDER BY load_date",
            &["(Omsk,10)", "(Perm,20)", "(Omsk,30)"],
        )
        .await;
}

/// A loader that does not know that its partition was lost comes with a batch that its heir has loaded.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_heir_has_loaded_is_not_loaded_again() {
    let mut table = Table::new("heir").await;
    let (mut lost, mut heir) = (table.loader(), table.loader());
    let city = |lsn, city| update("airports", lsn, airport("AAA", city));
    table.load(&mut lost, 1, 0, city(10, "Omsk")).await;
    let second = table.world.envelope(&city(20, "Perm")).to_string();
    table.load_record(&mut heir, 1, (0, 1), (Some("key"), &second)).await;
    let refused = table.try_record(&mut lost, 1, (0, 1), (Some("key"), &second)).await;
    assert!(matches!(refused, Err(WarehouseError::Fenced)), "{refused:?}");
    let cities =
        "SELECT city FROM dwh_detailed.sat_airports WHERE city IS NOT NULL ORDER BY load_date";
    table.world.assert_rows(cities, &["(Omsk)", "(Perm)"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_that_another_loader_brought_is_seen() {
    let mut table = Table::new("foreign").await;
    let (mut rows_loader, mut truncate_loader) = (table.loader(), table.loader());
    let elsewhere = |event: Event| Event { partition: 1, ..event };
    let row = || airport("AAA", "Omsk");
    table.load(&mut rows_loader, 1, 0, elsewhere(create("airports", 10, row()))).await;
    table.load(&mut truncate_loader, 1, 0, truncate("airports", 20)).await;
    // The row went before the truncate, which closed its key already.
    table.load(&mut rows_loader, 1, 1, elsewhere(delete("airports", 15, row()))).await;
    table
        .world
        .assert_rows(
            "SELECT op, source_lsn FROM dwh_detailed.sat_airports_status WHERE op IS NOT NULL ORDER BY load_date",
            &["(c,10)", "(t,20)"],
        )
        .await;
}

/// A loader that waits for the warehouse pauses its partitions; a rebalance in that state must not leave any of them
/// paused.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_were_paused_are_read_again_after_a_rebalance() {
    let mut world = World::new("paused").await;
    world.create_topic("airports", 2).await;
    // Whoever loads the topic shares this lock, so the loaders wait for as long as we hold it.
    let holder = world.database.connect().await.unwrap();
    let lock = "SELECT pg_advisory_lock(hashtextextended($1, 7))";
    holder.execute(lock, &[&world.topic("airports")]).await.unwrap();
    let variables = [("VAULT_LOADER__BATCH__ROWS_MAX", "1")];
    let mut first = world.loader_with("first", &variables);
    let city = |partition: i32, number: i64| {
        let row = airport(&format!("{partition}"), &number.to_string());
        Event { partition, ..update("airports", 10 + number, row) }
    };
    for number in 0..10 {
        world.publish_all([city(0, number), city(1, number)]).await;
    }
    let waited = "the loader is busy";
    wait_for_async(PATIENCE, "the first loader to pause", async || {
        world.log("first").contains(waited)
    })
    .await;
    let mut second = world.loader_with("second", &variables);
    let taken = "partitions taken over";
    wait_for_async(PATIENCE, "both loaders to have partitions", async || {
        world.log("first").matches(taken).count() > 1 && world.log("second").contains(taken)
    })
    .await;
    holder.execute("SELECT pg_advisory_unlock_all()", &[]).await.unwrap();
    world.loaded().await;
    let versions = "SELECT count(*) FROM dwh_detailed.sat_airports WHERE city IS NOT NULL";
    assert_eq!(rows(&world.client, versions).await, ["(20)"]);
    world.end(&mut first);
    world.end(&mut second);
}

/// A busy loader pauses its partitions. A table whose topic is made again meanwhile stands still afterwards, by name.
#[tokio::test(flavor = "multi_thread")]
async fn an_offset_that_goes_while_the_loader_is_busy_is_noticed() {
    let mut world = World::new("gone").await;
    for number in 0..4 {
        world.publish(create("airports", number, airport(&format!("A{number:02}"), "Omsk"))).await;
    }
    let variables = [("VAULT_LOADER__BATCH__ROWS_MAX", "1")];
    let mut loader = world.loader_with("loader", &variables);
    world.loaded().await;
    // Whoever loads the topic shares this lock, so the loader waits for as long as we hold it.
    let holder = world.database.connect().await.unwrap();
    let lock = "SELECT pg_advisory_lock(hashtextextended($1, 7))";
    holder.execute(lock, &[&world.topic("bookings")]).await.unwrap();
    for number in 0..10 {
        world.publish(create("bookings", 100 + number, booking(&format!("{number:06}"), 1))).await;
    }
    // The loader is stuck with the first of them, and does not poll yet.
    wait_for_async(PATIENCE, "the loader to wait for the lock", async || {
        let waiting = "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
                       WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted";
        world.rows(waiting).await != ["(0)"]
    })
    .await;
    world.make_topic_again("airports").await;
    wait_for_async(PATIENCE, "the loader to pause", async || {
        world.log("loader").contains("the loader is busy")
    })
    .await;
    holder.execute("SELECT pg_advisory_unlock_all()", &[]).await.unwrap();
    world.paused("airports", "the warehouse stands at offset 4").await;
    world.loaded_up_to("bookings", 0, 10).await;
    world.end(&mut loader);
}
