//! Three databases of other shapes than the airline's, modelled after sample databases that many people know: a shop
//! that rents films, a company that trades, a maker of bicycles.
//!
//! In: real servers, the built binaries, a seed. Out: after random work on every table, during which reader and loader
//! run and the loader is killed and stopped, each table equals its view over the vault of the inferred model. Nobody
//! edited the model.
//! Invariant: the work tells what it did, and the test fails when a kind of statement never succeeded on a table.

use e2e::sql;

use super::pipeline::{LeftOut, Pipeline};

/// Random values, and random work with them on any tables.
const WORK: [&str; 2] = [include_str!("samples/values.sql"), include_str!("samples/work.sql")];

/// Statements of a transaction.
const STATEMENTS: u32 = 20;

/// Kinds of statements that each table has to see, by name of the kind: each of the first two, one of the others.
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
    left_out: LeftOut<'static>,
    /// kinds of statements, besides those that every table sees, that this database has a table for
    kinds: &'static [&'static str],
    /// transactions of each round
    transactions: u32,
}

const FILM_RENTAL: Sample = Sample {
    name: "film_rental",
    sql: include_str!("samples/film_rental.sql"),
    // PostgreSQL computes it, and does not publish it by default.
    left_out: &[("public.actor", "full_name")],
    kinds: &["null", "refer", "rekey", "move"],
    transactions: 25,
};

const TRADING: Sample = Sample {
    name: "trading",
    sql: include_str!("samples/trading.sql"),
    // A bit string of varying length comes without its length, so a model cannot have it.
    left_out: &[("public.Region", "Flags")],
    kinds: &["null", "refer", "rekey"],
    transactions: 25,
};

const BICYCLES: Sample = Sample {
    name: "bicycles",
    sql: include_str!("samples/bicycles.sql"),
    left_out: &[
        // PostgreSQL computes it, and does not publish it by default.
        ("production.product", "margin"),
    ],
    kinds: &["null", "refer", "rekey", "move"],
    transactions: 40,
};

async fn work(pipeline: &Pipeline, sample: &Sample, round: u32) {
    for transaction in 0..sample.transactions {
        let seed = round * sample.transactions + transaction;
        let work = format!("SELECT random_work.run({seed}, {STATEMENTS})");
        pipeline.source.batch_execute(&work).await.unwrap();
    }
}

/// Each kind of statement succeeded on each table that it can be done on.
async fn verify_work(pipeline: &Pipeline, sample: &Sample) {
    let done = sql::one(&pipeline.source, DONE).await.unwrap();
    println!("{}: {done}", sample.name);
    let unmet = sql::rows(&pipeline.source, UNMET).await.unwrap();
    assert!(unmet.is_empty(), "{} saw too little work: {unmet:#?}", sample.name);
    for kind in sample.kinds {
        assert!(done.contains(kind), "{} saw no {kind}: {done}", sample.name);
    }
}

async fn a_sample_loads_as_it_is(sample: &Sample, version: u32, partitions: u32) {
    let mut pipeline = Pipeline::create(sample.name, version, partitions, sample.sql).await;
    for sql in WORK {
        pipeline.source.batch_execute(sql).await.unwrap();
    }
    work(&pipeline, sample, 0).await;
    pipeline.start();
    // The readers take their snapshots meanwhile.
    work(&pipeline, sample, 1).await;
    pipeline.wait_until_streaming();
    // What is counted from here on has to arrive as changes.
    pipeline.source.batch_execute("TRUNCATE random_work.tally").await.unwrap();
    work(&pipeline, sample, 2).await;
    pipeline.kill_loader();
    work(&pipeline, sample, 3).await;
    pipeline.start_loader();
    work(&pipeline, sample, 4).await;
    pipeline.stop_loader();
    pipeline.start_loader();
    work(&pipeline, sample, 5).await;
    verify_work(&pipeline, sample).await;
    pipeline.verify(sample.left_out).await;
    pipeline.stop();
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
