//! Loads one set of topics with `vault-loader`; prints a table, writes JSON.

use std::process::ExitCode;

use clap::Parser;
use e2e::bench::{self, loader};

fn main() -> ExitCode {
    let options = loader::Options::parse();
    bench::main(|| loader::run(&options))
}
