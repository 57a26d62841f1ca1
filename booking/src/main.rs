//! The command line: options in, exit code out.
//!
//! Exit codes: 0 done, or stopped by a signal; 1 failed; 2 wrong usage. Progress goes to standard error, results to
//! standard output.

mod serve_command;

mod cli;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser;
use tikv_jemallocator::Jemalloc;
use tracing_subscriber::EnvFilter;

/// Hashes of passwords take 19 MiB each, on whatever thread is free. The C library's allocator keeps such pieces for
/// each thread when they are freed.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let command = cli::Cli::parse();
    // The service has a log of its own form.
    if !command.is_service() {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_env_filter(filter)
            .init();
    }
    match command.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            tracing::error!(error = format!("{err:#}"), "stopped");
            ExitCode::FAILURE
        }
    }
}
