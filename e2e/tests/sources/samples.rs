//! Three databases of other shapes than the airline's, modelled after sample databases that many people know: a shop
//! that rents films, a company that trades, a maker of bicycles. Behind them the airline, without its model by hand.
//!
//! In: real servers, the built binaries, a seed. Out: after random work on every table, during which reader and loader
//! run and the loader is killed and stopped, each table equals its view over the vault. `cdc-reader init` wrote the
//! connector file and the SQL for role and publication, `vault-loader model infer` wrote the model, and nobody edited
//! any of them.
//! Invariant: the work tells what it did, and the test fails when a kind of statement never succeeded on a table.

use e2e::rig::Wishes;
use e2e::sql;

use super::pipeline::{LeftOut, Pipeline};
use crate::workload::seed;

/// Random values, and random work with them on any tables.
const WORK: [&str; 2] = [include_str!("samples/values.sql"), include_str!("samples/work.sql")];

/// Statements of a transaction.
const STATEMENTS: u64 = 20;

/// After so many rounds every table has to have seen everything.
const ROUNDS_MAX: u64 = 40;

/// Tables on which a kind of statement never succeeded that the table has the columns for. Each table has to see
/// inserts, deletes and updates of some kind.
const UNMET: &str = "
    SELECT t.relation || ': ' || coalesce(string_agg(y.kind || ' ' || y.succeeded || ' of ' || y.succeeded + y.failed, ', '), 'no work')
        || coalesce(' (' || max(y.last_error) || ')', '')
    FROM random_work.tables AS t
    LEFT JOIN random_work.tally AS y USING (relation)
    GROUP BY t.relation
    HAVING NOT coalesce(bool_and(y.succeeded > 0)
                        AND bool_or(y.kind = 'insert') AND bool_or(y.kind = 'delete')
                        AND bool_or(y.kind IN ('update', 'null', 'refer', 'rekey', 'move')), false)";

/// How many statements of each kind succeeded on all tables together.
const DONE: &str = "
    SELECT string_agg(kind || ' ' || succeeded || ' of ' || tried, ', ' ORDER BY kind)
    FROM (
        SELECT kind, sum(succeeded) AS succeeded, sum(succeeded + failed) AS tried
        FROM random_work.tally GROUP BY kind
    ) AS by_kind";

/// A database, and what its vault cannot hold.
struct Sample {
    name: &'static str,
    sql: &'static str,
    /// what has to be run behind that
    then: &'static str,
    /// further arguments of `model infer`
    infer: &'static [&'static str],
    left_out: LeftOut<'static>,
    /// views of links and hubs, and the tables of the source whose rows they have
    as_many: &'static [(&'static str, &'static str)],
    /// kinds of statements, besides those that every table sees, that this database has a table for
    kinds: &'static [&'static str],
    /// transactions of each round
    transactions: u64,
}

const FILM_RENTAL: Sample = Sample {
    name: "film_rental",
    sql: include_str!("samples/film_rental.sql"),
    then: "",
    infer: &[],
    // PostgreSQL computes it, and does not publish it by default.
    left_out: &[("public.actor", "full_name")],
    as_many: &[],
    kinds: &["null", "refer", "rekey", "move"],
    transactions: 25,
};

const TRADING: Sample = Sample {
    name: "trading",
    sql: include_str!("samples/trading.sql"),
    then: "",
    infer: &[],
    // A bit string of varying length comes without its length, so a model cannot have it.
    left_out: &[("public.Region", "Flags")],
    as_many: &[],
    kinds: &["null", "refer", "rekey"],
    transactions: 25,
};

const BICYCLES: Sample = Sample {
    name: "bicycles",
    sql: include_str!("samples/bicycles.sql"),
    then: "",
    infer: &[],
    left_out: &[
        // PostgreSQL computes it, and does not publish it by default.
        ("production.product", "margin"),
    ],
    as_many: &[],
    kinds: &["null", "refer", "rekey", "move"],
    transactions: 30,
};

/// The airline. The warehouse has it already, from a model by hand, so the names of the inferred model need a prefix.
const AIRLINE: Sample = Sample {
    name: "airline",
    sql: include_str!("../../../sql/source/010_schema.sql"),
    then: ANY_WORD,
    infer: &["--prefix", "plain"],
    left_out: &[],
    // Boarding passes hang on the link of segments, too. Each flight has one airport of arrival.
    as_many: &[
        ("current_link_plain_ticket_flights", "ticket_flights"),
        ("current_link_plain_flights_arrival_airport", "flights"),
        ("current_link_plain_seats", "seats"),
        ("current_hub_plain_tickets", "tickets"),
        ("history_link_plain_tickets_book WHERE is_current", "tickets"),
    ],
    kinds: &["refer", "rekey"],
    transactions: 40,
};

/// Random words are none of those that these columns allow; a model is made of keys and does not look at what else a
/// column allows.
const ANY_WORD: &str = "
    ALTER TABLE flights DROP CONSTRAINT flights_status_check;
    ALTER TABLE seats DROP CONSTRAINT seats_fare_conditions_check;
    ALTER TABLE ticket_flights DROP CONSTRAINT ticket_flights_fare_conditions_check;";

/// A sample's pipeline, and the random work on its source.
struct Day<'s> {
    sample: &'s Sample,
    pipeline: Pipeline,
    seed: u64,
    round: u64,
}

impl Day<'_> {
    async fn work(&mut self) {
        for transaction in 0..self.sample.transactions {
            let seed = self.seed + self.round * self.sample.transactions + transaction;
            let work = format!("SELECT random_work.run({seed}, {STATEMENTS})");
            self.pipeline.source.batch_execute(&work).await.unwrap();
        }
        self.round += 1;
    }

    /// Works on until each kind of statement has succeeded on each table that it can be done on.
    async fn work_is_complete(&mut self) {
        let mut unmet = sql::rows(&self.pipeline.source, UNMET).await.unwrap();
        while !unmet.is_empty() && self.round < ROUNDS_MAX {
            self.work().await;
            unmet = sql::rows(&self.pipeline.source, UNMET).await.unwrap();
        }
        let done = sql::one(&self.pipeline.source, DONE).await.unwrap();
        println!("{}: {} rounds, {done}", self.sample.name, self.round);
        assert!(unmet.is_empty(), "{} saw too little work: {unmet:#?}", self.sample.name);
        for kind in self.sample.kinds {
            assert!(done.contains(kind), "{} saw no {kind}: {done}", self.sample.name);
        }
    }
}

async fn a_sample_loads_as_it_is(sample: &Sample, version: u32, partitions: u32) -> String {
    // The airline's schema is a file for psql.
    let sql: Vec<&str> = sample.sql.lines().filter(|line| !line.starts_with('\\')).collect();
    let sql = sql.join("\n") + sample.then;
    let wishes = Wishes { infer: sample.infer, ..Wishes::default() };
    let pipeline = Pipeline::create(sample.name, version, partitions, &sql, wishes).await;
    for sql in WORK {
        pipeline.source.batch_execute(sql).await.unwrap();
    }
    let mut day = Day { sample, pipeline, seed: seed(), round: 0 };
    day.work().await;
    day.pipeline.start();
    // The readers take their snapshots meanwhile.
    day.work().await;
    day.pipeline.wait_until_streaming();
    // What is counted from here on has to arrive as changes.
    day.pipeline.source.batch_execute("TRUNCATE random_work.tally").await.unwrap();
    day.work().await;
    day.pipeline.kill_loader();
    day.work().await;
    day.pipeline.start_loader();
    day.work().await;
    day.pipeline.stop_loader();
    day.pipeline.start_loader();
    day.work().await;
    day.work_is_complete().await;
    day.pipeline.verify(sample.left_out).await;
    for (view, table) in sample.as_many {
        day.pipeline.assert_as_many(view, table).await;
    }
    let model = day.pipeline.model(sample.name);
    day.pipeline.stop();
    model
}

#[tokio::test]
async fn a_shop_that_rents_films_loads_as_it_is() {
    a_sample_loads_as_it_is(&FILM_RENTAL, 15, 1).await;
}

#[tokio::test]
async fn a_trading_company_loads_as_it_is() {
    a_sample_loads_as_it_is(&TRADING, 18, 3).await;
}

#[tokio::test]
async fn a_maker_of_bicycles_loads_as_it_is() {
    a_sample_loads_as_it_is(&BICYCLES, 18, 3).await;
}

/// The hubs and links of a model, in order.
fn keyed(model: &str) -> Vec<&str> {
    let names = model.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    names.filter(|name| name.starts_with("hub_") || name.starts_with("link_")).collect()
}

#[tokio::test]
async fn the_airline_loads_by_an_inferred_model_too() {
    let model = a_sample_loads_as_it_is(&AIRLINE, 15, 1).await;
    // connectors/airline/README.md compares this with the model by hand.
    let expected = [
        "hub_plain_aircrafts",
        "hub_plain_airports",
        "hub_plain_bookings",
        "hub_plain_flights",
        "hub_plain_tickets",
        "link_plain_flights_aircraft",
        "link_plain_flights_arrival_airport",
        "link_plain_flights_departure_airport",
        "link_plain_seats",
        "link_plain_ticket_flights",
        "link_plain_tickets_book",
    ];
    let mut found = keyed(&model);
    found.sort_unstable();
    assert_eq!(found, expected);
}
