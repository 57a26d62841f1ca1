//! The machine on which figures were measured.
//!
//! In: nothing. Out: processor, memory, kernel and load of this machine, and the versions of programs.
//! Invariant: what cannot be found out is reported as unknown.

use std::path::Path;
use std::process::Command;

use serde::Serialize;

/// This machine, now.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    cpu: String,
    cores: usize,
    memory_bytes: u64,
    kernel: String,
    /// Over 1, 5 and 15 minutes, before the bench began.
    load_average_before: String,
}

impl Machine {
    /// Looks at this machine.
    pub(super) fn look() -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let memory_kib = value(&read("/proc/meminfo"), "MemTotal")
            .and_then(|text| text.strip_suffix("kB")?.trim().parse::<u64>().ok())
            .unwrap_or(0);
        Self {
            cpu: value(&cpuinfo, "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: memory_kib * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_average_before: load_average(),
        }
    }

    /// One line for people.
    pub(super) fn line(&self) -> String {
        format!(
            "{}, {} cores, {} GiB, Linux {}, load average {}",
            self.cpu,
            self.cores,
            self.memory_bytes >> 30,
            self.kernel,
            self.load_average_before
        )
    }
}

/// The load average over 1, 5 and 15 minutes.
pub(super) fn load_average() -> String {
    read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// The first line that `program --version` prints.
pub(super) fn version(program: &Path) -> String {
    first_line(Command::new(program).arg("--version"))
}

/// The commit that is checked out, and whether files differ from it.
pub(super) fn commit(root: &Path) -> String {
    first_line(Command::new("git").arg("-C").arg(root).args([
        "describe",
        "--always",
        "--dirty",
        "--abbrev=12",
        "--exclude=*",
    ]))
}

fn first_line(command: &mut Command) -> String {
    let output = command.output().ok().filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.and_then(|text| text.lines().next().map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned())
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first `name : value` line.
fn value(text: &str, name: &str) -> Option<String> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))
        .map(|value| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_whole_name() {
        let text = "model\t\t: 1\nmodel name\t: A Processor: fast\n";
        assert_eq!(value(text, "model name").as_deref(), Some("A Processor: fast"));
        assert_eq!(value(text, "mod"), None);
    }

    #[test]
    fn a_program_that_is_not_there_has_no_version() {
        assert_eq!(version(Path::new("/nowhere/at-all")), "unknown");
    }
}
