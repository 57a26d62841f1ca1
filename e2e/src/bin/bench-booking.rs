//! Runs JMeter's plans against the booking service; prints a table, writes JSON.

use std::process::ExitCode;

use clap::Parser;
use e2e::bench::{self, booking};

fn main() -> ExitCode {
    let options = booking::Options::parse();
    bench::main(|| booking::run(&options))
}
