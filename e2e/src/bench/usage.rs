//! What a process has used: processor time and memory.
//!
//! In: a process id. Out: seconds of CPU and the largest resident size, from `/proc`.
//! Invariant: figures of one process only grow, so a difference of two readings is what was used between them.

use serde::{Deserialize, Serialize};

/// Ticks a second in `/proc/<pid>/stat`: `USER_HZ`, which is 100 on every processor that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

const BYTES_PER_KIB: u64 = 1024;

/// What one process has used since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Usage {
    /// Seconds in user mode, all threads.
    pub(super) user_seconds: f64,
    /// Seconds in the kernel, all threads.
    pub(super) system_seconds: f64,
    /// The largest resident size so far (`VmHWM`).
    pub(super) peak_resident_bytes: u64,
}

impl Usage {
    /// The usage of a process that still runs.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let stat = Stat::of(pid)?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let peak_resident_bytes = peak_resident_bytes(&status)?;
        Some(Self {
            user_seconds: stat.user_seconds,
            system_seconds: stat.system_seconds,
            peak_resident_bytes,
        })
    }

    /// Seconds of CPU.
    pub(super) fn cpu_seconds(&self) -> f64 {
        self.user_seconds + self.system_seconds
    }

    /// What was used since `earlier`; the peak stays the whole life's.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self {
            user_seconds: self.user_seconds - earlier.user_seconds,
            system_seconds: self.system_seconds - earlier.system_seconds,
            peak_resident_bytes: self.peak_resident_bytes,
        }
    }
}

/// Seconds of CPU of a server and of all its children, those that have ended included.
pub(super) fn tree_cpu_seconds(pid: i32) -> f64 {
    let Some(root) = Stat::of(pid) else { return 0.0 };
    let living: f64 = children(pid).iter().filter_map(|pid| Stat::of(*pid)).map(|s| s.own()).sum();
    root.own() + root.ended_children_seconds + living
}

fn children(parent: i32) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| Stat::of(*pid).is_some_and(|stat| stat.parent == parent))
        .collect()
}

/// The fields of `/proc/<pid>/stat` that matter here; see proc(5).
#[derive(Debug, PartialEq)]
struct Stat {
    parent: i32,
    user_seconds: f64,
    system_seconds: f64,
    ended_children_seconds: f64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses and may hold anything; count from behind it.
        let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
        let seconds = |index: usize| -> Option<f64> {
            Some(fields.get(index)?.parse::<f64>().ok()? / TICKS_PER_SECOND)
        };
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            user_seconds: seconds(11)?,
            system_seconds: seconds(12)?,
            ended_children_seconds: seconds(13)? + seconds(14)?,
        })
    }

    fn own(&self) -> f64 {
        self.user_seconds + self.system_seconds
    }
}

fn peak_resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * BYTES_PER_KIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_spaces_and_parentheses_moves_no_field() {
        let stat =
            Stat::parse("7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 150 50 25 75 20 0 1 0 9 8 7");
        let expected =
            Stat { parent: 3, user_seconds: 1.5, system_seconds: 0.5, ended_children_seconds: 1.0 };
        assert_eq!(stat, Some(expected));
        assert_eq!(Stat::parse("7 (a) S 3"), None);
    }

    #[test]
    fn the_peak_is_read_in_bytes() {
        assert_eq!(peak_resident_bytes("VmPeak:\t 9 kB\nVmHWM:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!(peak_resident_bytes("VmPeak:\t 9 kB\n"), None);
    }

    #[test]
    fn our_own_usage_is_there_and_a_tree_holds_at_least_its_root() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let usage = Usage::of(pid).unwrap();
        assert!(usage.peak_resident_bytes > 0);
        assert!(tree_cpu_seconds(pid) >= usage.cpu_seconds());
    }
}
