//! Dashboard, rules and alerts show what the programs export, and nothing else.
//!
//! In: the files below `dashboards/`, and the `/metrics` of a reader, a loader and a booking service that have had
//! something to count.
//! Out: the names and labels of every expression are found there.
//! Invariant: a name counts as exported only when a running program has printed it, not because a source file mentions
//! it.

#![allow(clippy::unwrap_used, reason = "tests panic where they fail")]

mod exporters;
mod files;
mod promql;

use std::collections::{BTreeMap, BTreeSet};

use exporters::Exported;
use files::{Dashboard, Rules, text};
use promql::{Selector, selectors};

/// What Prometheus itself makes of a scrape and of its alerts.
const PROMETHEUS_OWN: [&str; 2] = ["up", "ALERTS"];

/// The metrics that an expression asks for, recorded ones replaced by those that they are recorded from.
fn resolved(expression: &str, recorded: &BTreeMap<String, String>) -> BTreeSet<Selector> {
    let mut found = BTreeSet::new();
    let mut open = vec![expression.to_owned()];
    while let Some(expression) = open.pop() {
        for selector in selectors(&expression) {
            match recorded.get(&selector.metric) {
                Some(from) => open.push(from.clone()),
                None => {
                    found.insert(selector);
                }
            }
        }
    }
    found
}

/// What is wrong with one expression: metrics that nobody exports, and none at all.
fn problems(place: &str, expression: &str, rules: &Rules, exported: &Exported) -> Vec<String> {
    let asked = resolved(expression, &rules.recorded);
    let mut problems: Vec<String> = asked
        .iter()
        .filter(|selector| !PROMETHEUS_OWN.contains(&selector.metric.as_str()))
        .filter(|selector| !exported.has(selector))
        .map(|selector| format!("{place}: no program exports {selector}"))
        .collect();
    if asked.is_empty() {
        problems.push(format!("{place}: asks for no metric: {expression}"));
    }
    problems
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_dashboard_and_rules_is_exported() {
    let exported = exporters::run().await;
    let rules = Rules::read();
    let dashboard = Dashboard::read();
    let mut found = Vec::new();
    for (name, expression) in rules.recorded.iter().chain(&rules.alerts) {
        found.extend(problems(&format!("rule {name}"), expression, &rules, &exported));
    }
    for (title, expressions) in &dashboard.panels {
        for expression in expressions {
            found.extend(problems(&format!("panel {title:?}"), expression, &rules, &exported));
        }
        let ours = |expression: &String| {
            resolved(expression, &rules.recorded).iter().any(|selector| exported.has(selector))
        };
        if !expressions.iter().any(ours) {
            found.push(format!("panel {title:?} shows no metric of ours"));
        }
    }
    for expression in &dashboard.annotations {
        found.extend(problems("annotation", expression, &rules, &exported));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_alert_says_what_to_do_and_is_tested() {
    let tests = text("prometheus/tests/alerts.test.yml");
    let rules = Rules::read();
    for (alert, block) in &rules.alert_texts {
        for needed in ["labels: {severity: ", "summary: ", "runbook: "] {
            assert!(block.contains(needed), "alert {alert} has no {needed:?}");
        }
        assert!(
            tests.contains(&format!("alertname=\"{alert}\", alertstate=\"firing\"")),
            "no test makes {alert} fire"
        );
    }
}

#[test]
fn the_two_scrape_files_differ_in_addresses_only() {
    let without_addresses = |name: &str| -> Vec<String> {
        let lines = text(name);
        lines
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| match line.split_once("- targets:") {
                Some((indent, _)) => format!("{indent}- targets:"),
                None => line.to_owned(),
            })
            .collect()
    };
    let composition = without_addresses("prometheus/prometheus.yml");
    assert!(composition.iter().any(|line| line.contains("- targets:")));
    assert_eq!(composition, without_addresses("prometheus/prometheus.demo.yml"));
}
