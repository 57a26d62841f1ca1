//! `devstack` as a program, on servers of the test's own.
//!
//! In: a run directory, a port for each variable, the words of a command. Out: what the command says.

use std::path::Path;
use std::process::{Command, Output};

const DEVSTACK: &str = env!("CARGO_BIN_EXE_devstack");

/// Runs a command with these variables of ports.
pub(crate) fn devstack(
    run_dir: &Path,
    variables: &[&str],
    ports: &[u16],
    words: &[&str],
) -> Output {
    Command::new(DEVSTACK)
        .args(words)
        .arg("--run-dir")
        .arg(run_dir)
        .envs(variables.iter().zip(ports.iter().map(u16::to_string)))
        .output()
        .unwrap()
}

/// What a command that succeeds prints.
#[track_caller]
pub(crate) fn printed(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The error of a command that fails.
#[track_caller]
pub(crate) fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
