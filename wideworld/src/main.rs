//! The command line: options in, exit code out.
//!
//! Exit codes: 0 done, or stopped by a signal; 1 failed; 2 wrong usage; 130 ended by a second signal. The log goes to
//! standard error, results to standard output.

mod cli;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    let command = cli::Cli::parse();
    shared::telemetry::init_without_values(command.log_format);
    match command.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            tracing::error!(error = format!("{err:#}"), "stopped");
            ExitCode::FAILURE
        }
    }
}
