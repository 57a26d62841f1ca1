//! Drains one WAL with `cdc-reader`, with `pg_recvlogical` and with Debezium; prints a table, writes JSON.

use std::process::ExitCode;

use clap::Parser;
use e2e::bench::{self, reader};

fn main() -> ExitCode {
    let options = reader::Options::parse();
    bench::main(|| reader::run(&options))
}
