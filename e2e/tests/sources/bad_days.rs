//! What happens to sources and topics in a year, in one run: somebody changes tables while random work goes on, makes a
//! topic again before it goes on, and puts an older copy of the data directory back. Each time the procedure of
//! `docs/OPERATIONS.md` is followed.
//!
//! In: a server of its own with two sources, the built binaries, a seed. Out: every version of every key, equal to what
//! happened, the two lives of the source one after the other.

use std::time::Duration;

use devstack::{Postgres, PostgresOptions, Process, StopMode, shared, wait_for, wait_for_async};
use e2e::oracle::Repeats;
use e2e::rig::{Rig, RigOptions};
use e2e::workload::{Log, Options, Workload, loosen};
use e2e::{oracle, sql};
use tokio_postgres::Client;

use super::{AGENCY, AGENCY_TABLES, agency, agency_works, verify_agency};
use crate::workload::seed;

const PATIENCE: Duration = Duration::from_secs(60);

const WORK: Options = Options { seed: 0, workers: 3, transactions: 60, truncates: true };

/// What somebody does to tables while others write to them. The vault's columns hold all values of the new types.
const ADDITIONS: [&str; 4] = [
    "ALTER TABLE airports ADD COLUMN elevation int",
    "ALTER TABLE seats ALTER COLUMN fare_conditions TYPE varchar(40)",
    "ALTER TABLE tickets ADD COLUMN note text",
    "ALTER TABLE ticket_flights ALTER COLUMN fare_conditions TYPE text",
];

const REMOVALS: [&str; 2] =
    ["ALTER TABLE tickets DROP COLUMN note", "ALTER TABLE airports DROP COLUMN elevation"];

struct Days {
    server: Postgres,
    rig: Rig,
    further: String,
    workload: Workload,
    work: Options,
    round: i32,
    readers: Vec<Process>,
    loader: Process,
}

impl Days {
    async fn begin(name: &str, version: u16, partitions: u32, work: Options) -> Self {
        let server = Postgres::start(PostgresOptions::new(version).fsync(false)).unwrap();
        let stack = shared::stack();
        let name = format!("{name}_{}", std::process::id());
        let mut rig = Rig::create(RigOptions {
            dir: stack.dir.join("e2e").join(&name),
            name,
            source: server.address().clone(),
            warehouse: stack.warehouse.clone(),
            bootstrap: stack.kafka_bootstrap.clone(),
            partitions,
        })
        .unwrap();
        let further = rig.add_source(AGENCY_TABLES, &["places", "visits"], AGENCY).await.unwrap();
        let airline = sql::connect(&rig.source()).await.unwrap();
        loosen(&airline).await.unwrap();
        if partitions > 1 {
            // A value that the server does not send with a moved key must come with the old row.
            let full = "ALTER TABLE airports REPLICA IDENTITY FULL; ALTER TABLE tickets REPLICA IDENTITY FULL";
            airline.batch_execute(full).await.unwrap();
        }
        let workload = Workload::default();
        workload.run(&rig.source(), work).await.unwrap();
        workload.forget_past().await;
        agency_works(&agency(&rig, &further).await, &airline, 1).await;
        let loader = rig.start_loader().unwrap();
        let mut days =
            Self { server, rig, further, workload, work, round: 1, readers: Vec::new(), loader };
        days.start_readers();
        days
    }

    /// Starts both readers, and waits until each streams.
    fn start_readers(&mut self) {
        let further = self.rig.start_further_reader(&self.further).unwrap();
        self.readers = vec![self.rig.start_reader().unwrap(), further];
        // The log holds what the readers before have said. A reader takes much longer to stream than to be asked here.
        let streams = |reader: &Process| reader.lines_with("streaming").len();
        let before: Vec<usize> = self.readers.iter().map(streams).collect();
        for (reader, before) in self.readers.iter().zip(before) {
            wait_for(PATIENCE, "the reader to stream", || streams(reader) > before);
        }
    }

    async fn airline(&self) -> Client {
        sql::connect(&self.rig.source()).await.unwrap()
    }

    async fn agency(&self) -> Client {
        agency(&self.rig, &self.further).await
    }

    async fn warehouse(&self) -> Client {
        sql::connect(&self.rig.warehouse(self.rig.name())).await.unwrap()
    }

    /// A round of both sources' work.
    async fn work(&mut self) {
        self.round += 1;
        let round = u64::try_from(self.round).unwrap();
        let options = Options { seed: self.work.seed + round, ..self.work };
        let (airline, agency) = (self.airline().await, self.agency().await);
        let source = self.rig.source();
        let (done, ()) = tokio::join!(
            self.workload.run(&source, options),
            agency_works(&agency, &airline, self.round)
        );
        done.unwrap();
    }

    async fn verify(&self, after: &str, repeats: Repeats) {
        let (airline, warehouse) = (self.airline().await, self.warehouse().await);
        let log = self.workload.log().await;
        if let Err(difference) = oracle::verify(&log, &airline, &warehouse, repeats).await {
            let topics = self.rig.dump_topics().unwrap();
            panic!("{after}: {difference:#}\nthe topics stand in {}", topics.display());
        }
        verify_agency(&self.agency().await, &warehouse).await;
    }

    /// A round of work while somebody alters tables.
    async fn work_beside(&mut self, alterations: &[&str]) {
        let somebody = self.airline().await;
        let alter = async {
            for alteration in alterations {
                somebody.batch_execute(alteration).await.unwrap();
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::join!(self.work(), alter);
    }

    async fn tables_are_altered(&mut self) {
        let truncates = std::mem::take(&mut self.work.truncates);
        self.work_beside(&ADDITIONS).await;
        // Whatever came before the columns, one event with each of them comes after.
        let touch = "UPDATE airports SET city = city; UPDATE tickets SET book_ref = book_ref";
        self.airline().await.batch_execute(touch).await.unwrap();
        self.rig.settle().await.unwrap();
        let warehouse = self.warehouse().await;
        let grown = "SELECT string_agg(satellite || '.' || column_name, ' ' ORDER BY satellite) FROM dwh_control.grown_columns";
        let grown = sql::one(&warehouse, grown).await.unwrap();
        assert_eq!(grown, "sat_airports.elevation sat_ticket_passengers.note");
        self.work_beside(&REMOVALS).await;
        self.work.truncates = truncates;
        self.rig.settle().await.unwrap();
        self.verify("tables were altered", Repeats::None).await;
    }

    async fn a_topic_is_made_again(&mut self) {
        self.rig.make_topic_again("bookings").await.unwrap();
        self.work().await;
        let warehouse = self.warehouse().await;
        let paused =
            "SELECT coalesce(string_agg(DISTINCT topic, ' '), '') FROM dwh_control.paused_tables";
        let topic = format!("{}.public.bookings", self.rig.name());
        wait_for_async(PATIENCE, "the table to be paused", async || {
            sql::one(&warehouse, paused).await.is_ok_and(|found| found == topic)
        })
        .await;
        let start = ["epoch", "start", "--topic", &topic, "--topic-recreated"];
        self.rig.loader_command(&start).unwrap();
        self.loader.terminate();
        assert_eq!(self.loader.wait_exit(PATIENCE).unwrap(), 0);
        self.loader = self.rig.start_loader().unwrap();
        self.rig.settle().await.unwrap();
        self.verify("a topic was made again", Repeats::None).await;
    }

    /// Stops server and readers, and copies the data directory. Gives what the source was then.
    async fn copy(&mut self) -> (std::path::PathBuf, Log) {
        self.stop_readers();
        self.server.stop(StopMode::Fast).unwrap();
        let copy = self.server.copy_data().unwrap();
        self.server.start_again().unwrap();
        (copy, self.workload.log().await)
    }

    fn stop_readers(&mut self) {
        for mut reader in self.readers.drain(..) {
            reader.terminate();
            assert_eq!(reader.wait_exit(PATIENCE).unwrap(), 0);
        }
    }

    async fn an_older_copy_is_put_back(&mut self) {
        let (copy, kept) = self.copy().await;
        self.start_readers();
        self.work().await;
        self.rig.settle().await.unwrap();
        self.stop_readers();
        self.server.stop(StopMode::Fast).unwrap();
        self.server.put_back(&copy).unwrap();
        self.server.start_again().unwrap();
        self.workload.put_back(&kept).await;

        let refused = [
            self.rig.start_reader().unwrap(),
            self.rig.start_further_reader(&self.further).unwrap(),
        ];
        for mut reader in refused {
            assert_eq!(reader.wait_exit(PATIENCE).unwrap(), 3, "{}", reader.printed());
        }
        let restored =
            ["epoch", "start", "--all", "--source-restored", "--reason", "an older copy"];
        self.rig.loader_command_for_each(&restored).unwrap();
        for (database, slot) in
            [(self.airline().await, self.rig.name()), (self.agency().await, self.further.as_str())]
        {
            let drop = format!("SELECT pg_drop_replication_slot('{slot}')");
            database.batch_execute(&drop).await.unwrap();
        }
        self.rig.offset("delete").unwrap();
        self.rig.further_offset(&self.further, "delete").unwrap();
        self.start_readers();
        self.rig.settle().await.unwrap();
        let close = ["epoch", "close-missing", "--all", "--apply"];
        self.rig.loader_command_for_each(&close).unwrap();
        self.verify("an older copy was put back", Repeats::OfSnapshots).await;
    }
}

async fn bad_days(name: &str, version: u16, partitions: u32, truncates: bool) {
    let work = Options { seed: seed(), truncates, ..WORK };
    let mut days = Days::begin(name, version, partitions, work).await;
    days.work().await;
    days.rig.settle().await.unwrap();
    days.tables_are_altered().await;
    days.a_topic_is_made_again().await;
    days.an_older_copy_is_put_back().await;
    days.work().await;
    days.rig.settle().await.unwrap();
    days.verify("work after all of it", Repeats::OfSnapshots).await;
    days.stop_readers();
}

#[tokio::test]
async fn altered_tables_a_topic_made_again_and_an_older_copy_of_postgresql_15() {
    bad_days("days15", 15, 1, true).await;
}

/// With several partitions a table's truncate may overtake or be overtaken, so there is none here.
#[tokio::test]
async fn altered_tables_a_topic_made_again_and_an_older_copy_of_postgresql_18_with_three_partitions()
 {
    bad_days("days18", 18, 3, false).await;
}
