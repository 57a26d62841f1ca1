//! Any bytes at all as a message of pgoutput.
//!
//! In: what the fuzzer makes. Out: nothing. Invariant: the decoder never panics, and what it accepts is written back by
//! the encoder to the same bytes, so nothing is read that is not there and nothing that is there is lost.
//!
//! Run from the workspace's root, with a nightly toolchain and `cargo-fuzz`:
//! `cargo +nightly fuzz run pgoutput_decode -- -max_total_time=60`.

#![no_main]

use cdc_reader::pgoutput::{Message, OldTuple, Tuple, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = decode(bytes) else { return };
    assert_eq!(encode::encode(&message), bytes, "{message:?}");
    // Tuples are checked when they are decoded and walked later: both must agree.
    let walk = |tuple: &Tuple<'_>| tuple.columns().count();
    let old = |tuple: &OldTuple<'_>| match tuple {
        OldTuple::Key(tuple) | OldTuple::Full(tuple) => walk(tuple),
    };
    match &message {
        Message::Insert(insert) => drop(walk(&insert.new)),
        Message::Update(update) => drop((update.old.as_ref().map(old), walk(&update.new))),
        Message::Delete(delete) => drop(old(&delete.old)),
        Message::Truncate(truncate) => drop(truncate.relations().count()),
        _ => {}
    }
});
