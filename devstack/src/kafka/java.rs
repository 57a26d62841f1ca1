//! The Java virtual machine, for Kafka's servers and for Kafka's own programs.
//!
//! In: Kafka's jars, a class, arguments. Out: what a program printed, or an error with its last words.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

/// The Java to run: `JAVA_HOME`'s, else the one in the path.
pub(crate) fn java() -> PathBuf {
    match std::env::var_os("JAVA_HOME") {
        Some(home) if !home.is_empty() => Path::new(&home).join("bin/java"),
        _ => PathBuf::from("java"),
    }
}

/// Options of the Java virtual machine for a server of ours.
pub(crate) fn java_options(heap_megabytes: u32, quick_start: bool) -> Vec<String> {
    let mut options = vec![
        format!("-Xmx{heap_megabytes}m"),
        "-Xms64m".to_owned(),
        "-XX:+ExitOnOutOfMemoryError".to_owned(),
    ];
    if quick_start {
        options.extend(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"].map(str::to_owned));
    }
    options
}

/// Runs one of Kafka's own programs, and gives what it printed.
pub(super) fn tool(libs: &Path, class: &str, arguments: &[String]) -> anyhow::Result<String> {
    let output = Command::new(java())
        .args([
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-Xmx128m",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
        ])
        .arg(libs.join("*"))
        .arg(class)
        .args(arguments)
        .output()
        .context("cannot run java; install it with `make setup`")?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    anyhow::ensure!(
        output.status.success(),
        "kafka's {class} failed: {printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(printed)
}
