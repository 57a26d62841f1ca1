//! Compares what this crate writes with what the composition's containers use, for tests.
//!
//! In: a configuration, a file below `deploy`. Out: the lines that only one of them has, for the test to name. Lines of
//! both must stand in the same order. So neither can change alone.

use crate::workspace_root;

/// The lines of `ours` that the file does not have, and the lines of the file that `ours` does not have.
#[track_caller]
pub(crate) fn differences(ours: &str, file: &str) -> (Vec<String>, Vec<String>) {
    let theirs = std::fs::read_to_string(workspace_root().join(file)).unwrap();
    // A script holds its configuration between these lines.
    let theirs = theirs
        .split_once("<<END\n")
        .map_or(theirs.as_str(), |(_, text)| text.split_once("\nEND\n").unwrap().0);
    let (ours, theirs) = (lines(ours), lines(theirs));
    let (our_part, only_ours) = split(&ours, &theirs);
    let (their_part, only_theirs) = split(&theirs, &ours);
    assert!(our_part.len() > 5, "{file} is another file");
    assert_eq!(our_part, their_part, "{file}");
    (only_ours, only_theirs)
}

/// Lines that say something.
fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    let says = |line: &&str| !line.is_empty() && !line.starts_with(['#', ';']);
    lines.filter(says).map(str::to_owned).collect()
}

/// The lines that the other has, too, and those that it does not have.
fn split(lines: &[String], other: &[String]) -> (Vec<String>, Vec<String>) {
    lines.iter().cloned().partition(|line| other.contains(line))
}
