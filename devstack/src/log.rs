//! What programs of ours have logged, as JSON lines.
//!
//! In: a log's text or file. Out: the lines that are asked for.
//! Invariant: a line that is no JSON is not looked at, because a program may also print other things.

use std::path::Path;

use serde_json::Value;

/// The lines of a log whose message is this one, in their order.
pub fn lines_with(log: &str, message: &str) -> Vec<Value> {
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["message"] == message)
        .collect()
}

/// The last lines of a file; nothing when it cannot be read.
pub fn tail(path: &Path, lines: usize) -> String {
    let Ok(bytes) = std::fs::read(path) else { return String::new() };
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_with_the_message_come_out() {
        let log = "{\"message\":\"streaming\",\"n\":1}\nno JSON: streaming\n{\"message\":\"streaming on\"}\n\
                   {\"message\":\"streaming\",\"n\":2}\n";
        let numbers: Vec<_> =
            lines_with(log, "streaming").iter().map(|line| line["n"].clone()).collect();
        assert_eq!(numbers, [1, 2]);
    }
}
