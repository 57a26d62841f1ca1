//! Truncates of a table that was truncated before: they look at what came since, and close what a look at the whole
//! history would close.

use std::process::Output;

use serde_json::json;
use vault_loader::epoch::{Epochs, StoredEpoch};
use vault_loader::load::Loader;

use crate::handover::Table;
use crate::support::{
    Event, World, airport, create, delete, read, record_key, rows, truncate, update,
};

/// Keys whose last version is open before a position of an epoch, found in the whole history. Those that are parked are
/// left to their retry.
fn open_before(epoch: i32, lsn: i64) -> String {
    format!(
        "SELECT encode(hash_key, 'hex')
         FROM (
             SELECT DISTINCT ON (hash_key) *
             FROM dwh_detailed.sat_airports_status
             ORDER BY hash_key, load_date DESC
         ) AS last
         WHERE NOT is_deleted
           AND (source_epoch < {epoch} OR GREATEST(source_lsn, record_lsn) < {lsn} IS NOT FALSE)
           AND hash_key NOT IN (
               SELECT parent_hash_key
               FROM dwh_control.quarantine
               WHERE key_hash IS NOT NULL
                 AND parent_hash_key IS NOT NULL
           )
         ORDER BY 1"
    )
}

const STATUS_ROWS: &str = "SELECT encode(hash_key, 'hex'), load_date
                           FROM dwh_detailed.sat_airports_status
                           ORDER BY 1, 2";

/// Numbers that look random and are the same for the same seed (the generator of Lehmer).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 = self.0 * 48_271 % 2_147_483_647;
        i64::try_from(self.0).unwrap() % bound
    }

    fn happens(&mut self, percent: i64) -> bool {
        self.below(100) < percent
    }
}

/// A record as it stands in the topic.
#[derive(Clone)]
struct Published {
    key: Option<String>,
    value: String,
    /// position of a truncate
    truncate: Option<i64>,
    epoch: i32,
}

/// One history: what was published to each partition, and where the loader is.
struct History {
    table: Table,
    loader: Loader,
    numbers: Numbers,
    generation: u64,
    /// every epoch is another life of the source
    epochs: Vec<StoredEpoch>,
    /// how far each partition is: a partition holds changes in the order of their positions
    lsns: [i64; 2],
    /// the greatest position of a truncate
    truncated: i64,
    published: [Vec<Published>; 2],
    closed_count: usize,
    /// truncates that came while a key was parked
    parked_count: usize,
}

impl History {
    async fn new(seed: u64) -> Self {
        let table = Table::new(&format!("scan{seed}")).await;
        let loader = table.loader();
        Self {
            table,
            loader,
            numbers: Numbers(seed),
            generation: 1,
            epochs: Vec::new(),
            lsns: [1000; 2],
            truncated: 0,
            published: [Vec::new(), Vec::new()],
            closed_count: 0,
            parked_count: 0,
        }
    }

    fn epoch(&self) -> i32 {
        self.epochs.last().map_or(0, |epoch| epoch.number)
    }

    fn topic(&self) -> String {
        self.table.world.topic("airports")
    }

    /// The next event of a random key, or a truncate. One partition is ahead of the other, so a truncate comes before
    /// changes of the other partition that happened before it, or behind changes that happened behind it.
    fn event(&mut self) -> (Event, Option<i64>) {
        let key = self.numbers.below(8);
        let (partition, place) =
            (i32::try_from(key % 2).unwrap(), usize::try_from(key % 2).unwrap());
        self.lsns[place] += 1 + self.numbers.below(4);
        if self.numbers.happens(7) {
            let ahead = self.lsns[0].max(self.lsns[1]) + self.numbers.below(40);
            self.lsns[place] = ahead;
        }
        let lsn = self.lsns[place];
        let row = airport(&format!("A{key}"), &format!("city {}", self.numbers.below(3)));
        let event = match self.numbers.below(100) {
            0..30 => create("airports", lsn, row),
            30..45 if lsn > self.truncated => update("airports", lsn, row),
            45..65 => delete("airports", lsn, row),
            // A snapshot locks the table, so it reads behind every truncate that is known.
            65..85 if lsn > self.truncated => Event { lsn, ..read("airports", row) },
            30..45 | 65..85 => create("airports", lsn, row),
            _ => {
                self.truncated = self.truncated.max(lsn);
                return (Event { partition, ..truncate("airports", lsn) }, Some(lsn));
            }
        };
        (Event { partition, ..event }, None)
    }

    /// Publishes and loads one event. Some cannot be read, and park their key.
    async fn step(&mut self) {
        let (event, truncate) = self.event();
        let mut value = self.table.world.envelope(&event);
        // A smaller position with a later commit would say that the source was restored.
        let commit = i64::from(self.epoch()) * 1_000_000 + event.lsn;
        value["source"]["ts_us"] = json!(1_780_000_000_000_000 + commit * 1_000);
        if event.op == "r" && self.numbers.happens(30) {
            value["source"]["lsn"] = json!(null);
        }
        if self.numbers.happens(20) {
            // The publisher's clock jumps.
            let jump = (self.numbers.below(2_000) - 1_000) * 1_000_000;
            value["ts_us"] = json!(value["ts_us"].as_i64().unwrap() + jump);
        }
        let is_bad = truncate.is_none() && self.numbers.happens(7);
        let partition = usize::try_from(event.partition).unwrap();
        self.published[partition].push(Published {
            key: record_key(&event).map(|key| key.to_string()),
            value: if is_bad { "no json".to_owned() } else { value.to_string() },
            truncate,
            epoch: self.epoch(),
        });
        self.load(partition, self.published[partition].len() - 1).await;
    }

    /// Loads what stands at a place, and compares what a truncate closes with what it has to close.
    async fn load(&mut self, partition: usize, offset: usize) {
        let Published { key, value, truncate, epoch } = self.published[partition][offset].clone();
        let client = &self.table.world.client;
        let before = rows(client, STATUS_ROWS).await;
        let mut expected = match truncate {
            Some(lsn) => rows(client, &open_before(epoch, lsn)).await,
            None => Vec::new(),
        };
        if let Some(lsn) = truncate {
            let noted = format!(
                "SELECT FROM dwh_control.truncations WHERE source_lsn = {lsn} AND epoch = {epoch}"
            );
            if !rows(client, &noted).await.is_empty() {
                expected.clear();
            }
        }
        let place = (i32::try_from(partition).unwrap(), i64::try_from(offset).unwrap());
        let record = (key.as_deref(), value.as_str());
        self.table.load_record(&mut self.loader, self.generation, place, record).await;
        let paused = "SELECT reason FROM dwh_control.paused_tables";
        assert_eq!(rows(&self.table.world.client, paused).await, [""; 0], "{place:?}: {value}");
        if truncate.is_none() {
            return;
        }
        let client = &self.table.world.client;
        let after = rows(client, STATUS_ROWS).await;
        let mut closed: Vec<String> = after
            .iter()
            .filter(|row| !before.contains(row))
            .map(|row| format!("({})", &row[1..65]))
            .collect();
        closed.sort();
        assert_eq!(closed, expected, "truncate at {truncate:?}, {place:?}: {value}");
        self.closed_count += closed.len();
        self.parked_count +=
            usize::from(!rows(client, "SELECT FROM dwh_control.quarantine").await.is_empty());
    }

    /// Reads a partition again from an earlier offset.
    async fn replay(&mut self) {
        let partition = usize::try_from(self.numbers.below(2)).unwrap();
        let length = i64::try_from(self.published[partition].len()).unwrap();
        let from = (length - 1 - self.numbers.below(12)).max(0);
        let sql = "UPDATE dwh_control.offsets SET next_offset = $2 WHERE partition = $1";
        let number = i32::try_from(partition).unwrap();
        self.table.world.client.execute(sql, &[&number, &from]).await.unwrap();
        self.generation += 1;
        for offset in usize::try_from(from).unwrap()..self.published[partition].len() {
            self.load(partition, offset).await;
        }
    }

    /// Drops events that cannot be read, and retries what waits behind them, until nothing waits.
    async fn mend(&mut self) {
        let first_of_each_key = "SELECT DISTINCT ON (key_hash) id
                                 FROM dwh_control.quarantine
                                 ORDER BY key_hash, epoch, kafka_offset";
        loop {
            let firsts = rows(&self.table.world.client, first_of_each_key).await;
            if firsts.is_empty() {
                return;
            }
            for id in firsts {
                let id = id.trim_matches(['(', ')']);
                let arguments = ["quarantine", "drop", id, "--why", "a test", "--yes"];
                done(&self.table.world.command(&arguments));
            }
            // What stands behind another event that cannot be read goes on waiting.
            let output = self.table.world.command(&["quarantine", "retry", "--all"]);
            assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
        }
    }

    /// The source goes back, and an operator starts an epoch.
    async fn go_back(&mut self) {
        let topic = self.topic();
        let start =
            ["epoch", "start", "--topic", &topic, "--source-restored", "--reason", "a test"];
        done(&self.table.world.command(&start));
        let lengths = self.published.iter().map(|records| i64::try_from(records.len()).unwrap());
        self.epochs.push(StoredEpoch {
            number: self.epoch() + 1,
            is_new_topic: false,
            is_source_back: true,
            starts: (0..).zip(lengths).collect(),
        });
        self.table.epochs = Epochs::new(self.epochs.clone());
        self.generation += 1;
        (self.lsns, self.truncated) = (self.lsns.map(|lsn| lsn / 2), 0);
        if self.numbers.happens(50) {
            let close = ["epoch", "close-missing", "--topic", &topic, "--apply"];
            done(&self.table.world.command(&close));
            let open = open_before(self.epoch(), 0);
            assert_eq!(rows(&self.table.world.client, &open).await, [""; 0]);
        }
    }
}

#[track_caller]
fn done(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

/// A truncate closes what a look at the whole history would close.
async fn compare(seed: u64) {
    let mut history = History::new(seed).await;
    for number in 1..=200 {
        history.step().await;
        if history.numbers.happens(5) {
            history.replay().await;
        }
        if history.numbers.happens(3) {
            history.mend().await;
        }
        if number % 70 == 0 {
            history.go_back().await;
        }
    }
    // Otherwise the comparison would have compared nothing.
    assert!(history.closed_count > 20, "seed {seed}: {}", history.closed_count);
    assert!(history.parked_count > 3, "seed {seed}: {}", history.parked_count);
    let count = rows(&history.table.world.client, "SELECT FROM dwh_control.truncations").await;
    assert!(count.len() > 10, "seed {seed}: {count:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_closes_what_the_whole_history_says_in_a_first_history() {
    compare(7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_closes_what_the_whole_history_says_in_a_second_history() {
    compare(4711).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_closes_what_the_whole_history_says_in_a_third_history() {
    compare(900_913).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_has_an_index_by_block_ranges_also_where_the_table_is_older() {
    let world = World::new("brin").await;
    let indexes = "SELECT count(*)
                   FROM pg_indexes
                   WHERE schemaname = 'dwh_detailed'
                     AND indexdef LIKE '%USING brin (record_lsn, load_date)%'";
    world.assert_rows(indexes, &["(8)"]).await;
    let drop = "DROP INDEX dwh_detailed.sat_airports_status_brin";
    world.client.batch_execute(drop).await.unwrap();
    let output = world.command(&["migrate"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("added index dwh_detailed.sat_airports_status_brin"), "{output:?}");
    world.assert_rows(indexes, &["(8)"]).await;
    let again = world.command(&["migrate"]);
    assert!(String::from_utf8_lossy(&again.stdout).trim().ends_with("nothing to do"), "{again:?}");
}
