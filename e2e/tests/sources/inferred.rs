//! A source that nobody wrote a model for: a library with everything that schemas have and the airline has not.
//!
//! In: real servers, the built binaries. Out: after random work, during which reader and loader run, each table equals
//! its view over the vault of the inferred model.

use e2e::rig::Wishes;

use super::pipeline::{LeftOut, Pipeline};

/// The library's tables, and a function that does random work on them.
const LIBRARY: &str = include_str!("library.sql");

/// The model that is inferred from them. The documentation has a picture of it.
const MODEL: &str = include_str!("library.vault.toml");

/// Transactions of each round, each of so many statements.
const ROUNDS: u32 = 5;
const TRANSACTIONS: u32 = 60;
const STATEMENTS: u32 = 12;

/// A generated column, and an array of a domain: events have neither.
const LEFT_OUT: LeftOut<'_> = &[("hr.people", "full_name"), ("hr.people", "more_mail")];

/// What no vault can hold, and what `cdc-reader init` names as missing until somebody accepts that it is left out.
const EXCLUDED: [&str; 3] = ["public.diary", "public.scratch", "public.shifts"];

async fn work(library: &Pipeline, round: u32) {
    for transaction in 0..TRANSACTIONS {
        let seed = round * TRANSACTIONS + transaction;
        let work = format!("SELECT library_work({seed}, {STATEMENTS})");
        library.source.batch_execute(&work).await.unwrap();
    }
}

async fn an_inferred_model_loads_as_it_is(version: u32, partitions: u32) {
    let wishes = Wishes { excluded: &EXCLUDED, ..Wishes::default() };
    let mut library = Pipeline::create("library", version, partitions, LIBRARY, wishes).await;
    for left_out in [
        "table public.diary: it has no primary key, and no unique index that tells every row",
        "table public.shifts: it has no primary key, and no unique index that tells every row",
        "table public.scratch: it is unlogged",
    ] {
        assert!(library.told.contains(left_out), "no {left_out} in {}", library.told);
    }
    assert_eq!(library.model("library"), MODEL, "write it anew, then run scripts/pictures.sh");
    work(&library, 0).await;
    library.start();
    library.wait_until_streaming();
    for round in 1..ROUNDS {
        work(&library, round).await;
    }
    library.verify(LEFT_OUT).await;
    // Keys of all these types get a secret, and the source goes on.
    let told = library.rehash();
    assert!(told.contains("have new hash keys"), "{told}");
    work(&library, ROUNDS).await;
    library.verify(LEFT_OUT).await;
    library.stop();
}

#[tokio::test]
async fn an_inferred_model_of_postgresql_15_loads_as_it_is() {
    an_inferred_model_loads_as_it_is(15, 1).await;
}

#[tokio::test]
async fn an_inferred_model_of_postgresql_18_loads_as_it_is() {
    an_inferred_model_loads_as_it_is(18, 3).await;
}
