//! Which metrics a PromQL expression asks for.
//!
//! In: an expression. Out: its metrics, each with the label values that it demands.
//! Invariant: a word is a metric when it is no keyword, no function (a parenthesis follows) and no label of a grouping.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Words between operands.
const OPERATORS: [&str; 6] = ["and", "or", "unless", "offset", "bool", "atan2"];

/// Words whose parenthesis holds labels.
const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// A metric and the labels that it is to have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Selector {
    pub(crate) metric: String,
    /// Label and value of each matcher with `=`, but for those that Prometheus adds itself.
    pub(crate) labels: BTreeMap<String, String>,
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.metric, self.labels)
    }
}

/// The metrics of an expression.
pub(crate) fn selectors(expression: &str) -> BTreeSet<Selector> {
    let mut found = BTreeSet::new();
    let mut rest = expression;
    while let Some(next) = rest.chars().next() {
        let word = &rest[..word_length(rest)];
        if word.is_empty() {
            rest = match next {
                '#' => rest.split_once('\n').map_or("", |(_, after)| after),
                '"' | '\'' => &rest[1 + rest[1..].find(next).unwrap() + 1..],
                '[' => &rest[rest.find(']').unwrap() + 1..],
                digit if digit.is_ascii_digit() => {
                    // Numbers and durations, such as 1e3 and 5m.
                    rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.')
                }
                _ => &rest[next.len_utf8()..],
            };
            continue;
        }
        rest = &rest[word.len()..];
        let after = rest.trim_start();
        if GROUPINGS.contains(&word) {
            if after.starts_with('(') {
                rest = &after[after.find(')').unwrap() + 1..];
            }
        } else if after.starts_with('(') || OPERATORS.contains(&word) || is_aggregation(after) {
            // A function, or an operator.
        } else {
            let mut labels = BTreeMap::new();
            if after.starts_with('{') {
                let end = after.find('}').unwrap();
                labels = demanded(&after[1..end]);
                rest = &after[end + 1..];
            }
            found.insert(Selector { metric: word.to_owned(), labels });
        }
    }
    found
}

/// `sum by (a) (b)`: the word before `by` is a function all the same.
fn is_aggregation(after: &str) -> bool {
    let word = &after[..word_length(after)];
    ["by", "without"].contains(&word)
}

fn word_length(text: &str) -> usize {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    if !text.starts_with(begins) {
        return 0;
    }
    text.find(|c: char| !begins(c) && !c.is_ascii_digit()).unwrap_or(text.len())
}

/// The matchers between braces that ask for one value.
fn demanded(matchers: &str) -> BTreeMap<String, String> {
    matchers
        .split(',')
        .filter_map(|matcher| {
            let (label, value) = matcher.split_once('=')?;
            let value = value.trim().strip_prefix('"')?.strip_suffix('"')?;
            let label = label.trim();
            (label != "job" && label != "instance").then(|| (label.to_owned(), value.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, expected: &[&str]) {
        let names: Vec<String> = selectors(expression).iter().map(ToString::to_string).collect();
        assert_eq!(names, expected, "{expression}");
    }

    #[test]
    fn metrics_are_told_from_functions_labels_and_words() {
        check("up == 0 or absent(up{job=\"a\"})", &["up{}"]);
        check("sum by (topic) (rate(a_total[5m])) > 1e3", &["a_total{}"]);
        check("sum(x:y:rate1m) by (le)", &["x:y:rate1m{}"]);
        check("a and on (job, instance) b unless c offset 1h", &["a{}", "b{}", "c{}"]);
        check("a{context=\"streaming\", le=~\"x\"} > 0", &["a{\"context\": \"streaming\"}"]);
        check("a / on (job) group_left (topic) b # c d\n+ e", &["a{}", "b{}", "e{}"]);
        check("label_replace(a, \"x\", \"$1\", \"y\", \"(.*) z\")", &["a{}"]);
        check("vector(0) + 5", &[]);
    }
}
