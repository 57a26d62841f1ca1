//! Benchmarks: the reader and the loader beside programs that do the same work, and the booking service under load, on
//! real servers that the bench starts and ends itself.
//!
//! In: options of the command line. Out: an aligned table, and the same with all circumstances as JSON below
//! `bench-results/`.
//! Invariant: a figure is printed only for work that was checked to be complete; everything started here ends with the
//! bench, also after Ctrl-C and after a panic.

mod airline;
pub mod booking;
mod interrupt;
pub mod loader;
mod machine;
pub mod reader;
mod report;
mod servers;
mod sql;
mod topics;
mod usage;

use std::process::ExitCode;

use shared::telemetry::{self, LogFormat};

use self::interrupt::{EXIT_INTERRUPTED, Interrupted};

/// Runs a bench to its end: exit code 0, 1 with an error on standard error, or 130 after Ctrl-C.
pub fn main(bench: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    telemetry::init(LogFormat::Auto);
    match interrupt::listen().and_then(|()| bench()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("{Interrupted}");
            ExitCode::from(EXIT_INTERRUPTED)
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says what begins; standard output is for the table.
fn say(what: &str) {
    eprintln!("==> {what}");
}
