//! Work for the reader whose outcome can be checked to the last version of the last row.
//!
//! In: a source. Out: transactions that insert rows with version 1 and raise versions by one. Invariant: a complete
//! topic shows each version of each row, and each for the first time in its order.

use std::collections::BTreeMap;
use std::thread::JoinHandle;

use devstack::wait_for;

use super::{PATIENCE, Record, Source, compacted, records};

/// The table, empty, and the publication of everything.
pub(crate) const SCHEMA: &str = "
    CREATE TABLE load (id bigint PRIMARY KEY, version integer NOT NULL, filler text NOT NULL DEFAULT repeat('x', 60));
    CREATE PUBLICATION captured FOR ALL TABLES;";

/// As many new rows from `first` on, in one transaction.
pub(crate) fn rows(first: u64, count: u64) -> String {
    format!(
        "INSERT INTO load SELECT n, 1 FROM generate_series({first}, {first} + {count} - 1) AS n;"
    )
}

/// Transactions of one insert and two updates each, of rows from `first` on.
pub(crate) fn transactions(first: u64, count: u64) -> String {
    format!(
        "DO $$
         BEGIN
             FOR n IN 0..{count} - 1 LOOP
                 INSERT INTO load VALUES ({first} + n, 1);
                 UPDATE load SET version = version + 1 WHERE id = {first} + (n * 7) % (n + 1);
                 UPDATE load SET version = version + 1 WHERE id = {first} + n / 2;
                 COMMIT;
             END LOOP;
         END $$;"
    )
}

impl Source {
    /// A database with the table.
    pub(crate) fn with_load(server: &devstack::PostgresAddress, name: &str) -> Self {
        let source = Self::create(server, name);
        source.run(SCHEMA);
        source
    }

    /// Runs a script on a thread.
    pub(crate) fn run_beside(&self, script: String) -> JoinHandle<()> {
        let psql = self.psql().unwrap();
        std::thread::spawn(move || drop(psql.run(&script).unwrap()))
    }

    /// The version of each row, by id.
    fn versions(&self) -> BTreeMap<u64, u64> {
        let rows = self.value("SELECT id || ' ' || version FROM load ORDER BY id");
        rows.lines()
            .map(|row| {
                let (id, version) = row.split_once(' ').unwrap();
                (id.parse().unwrap(), version.parse().unwrap())
            })
            .collect()
    }

    /// Waits until the topic's last state is the table's, then checks that no version of any row is missing or out of
    /// its order. Gives the topic's records.
    #[track_caller]
    pub(crate) fn wait_until_published(&self, bootstrap: &str, prefix: &str) -> Vec<Record> {
        let topic = format!("{prefix}.public.load");
        let source = self.versions();
        let found = wait_for(PATIENCE, &format!("topic {topic} to hold the table's state"), || {
            let found = records(bootstrap, &topic);
            let state: BTreeMap<u64, u64> = compacted(&found)
                .values()
                .map(|row| (row["id"].as_u64().unwrap(), row["version"].as_u64().unwrap()))
                .collect();
            if state == source {
                return Ok(Some(found));
            }
            let missing = source.iter().filter(|row| state.get(row.0) != Some(row.1)).count();
            Err(format!("{} rows of {}, {missing} missing or old", state.len(), source.len()))
        });
        check_order(&found);
        found
    }
}

/// Panics unless each row's versions come for the first time in their order, from 1 on, without a gap.
#[track_caller]
fn check_order(records: &[Record]) {
    let mut highest: BTreeMap<u64, u64> = BTreeMap::new();
    for record in records.iter().filter(|record| record.value.is_some()) {
        let (id, version) = id_and_version(record);
        let seen = highest.entry(id).or_insert(0);
        assert!(version <= *seen + 1, "row {id}: version {version} after {seen}");
        *seen = (*seen).max(version);
    }
}

/// The row's id and version.
pub(crate) fn id_and_version(record: &Record) -> (u64, u64) {
    let row = &record.json()["after"];
    (row["id"].as_u64().unwrap(), row["version"].as_u64().unwrap())
}

/// How many records are of this operation.
pub(crate) fn count_op(records: &[Record], op: &str) -> usize {
    records.iter().filter(|record| record.value.is_some() && record.json()["op"] == op).count()
}

/// How often each version of each row stands in the topic, beyond once.
pub(crate) fn repeats(records: &[Record]) -> usize {
    let changes = records.iter().filter(|record| record.value.is_some());
    let mut times: BTreeMap<(u64, u64), usize> = BTreeMap::new();
    for record in changes {
        *times.entry(id_and_version(record)).or_default() += 1;
    }
    times.values().map(|times| times - 1).sum()
}
