//! The expressions of the files below `dashboards/`.
//!
//! In: rule files and dashboard as they are in the repository. Out: expressions by rule and panel.
//! Invariant: a rule or a panel without an expression is a panic, so that none is left out unnoticed.

use std::collections::BTreeMap;

use serde_json::Value;

/// A file below `dashboards/`.
pub(crate) fn text(name: &str) -> String {
    let path = devstack::workspace_root().join("dashboards").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

/// The rule files.
pub(crate) struct Rules {
    /// Expressions by the recorded metric.
    pub(crate) recorded: BTreeMap<String, String>,
    /// Expressions by alert.
    pub(crate) alerts: BTreeMap<String, String>,
    /// Everything that the file says about an alert.
    pub(crate) alert_texts: BTreeMap<String, String>,
}

impl Rules {
    pub(crate) fn read() -> Self {
        let alert_texts = blocks(&text("prometheus/rules/alerts.yml"), "alert");
        let expressions = |blocks: &BTreeMap<String, String>| {
            blocks.iter().map(|(name, block)| (name.clone(), expression(block))).collect()
        };
        Self {
            recorded: expressions(&blocks(&text("prometheus/rules/recording.yml"), "record")),
            alerts: expressions(&alert_texts),
            alert_texts,
        }
    }
}

/// The rules of a file by the value of their first key.
fn blocks(file: &str, key: &str) -> BTreeMap<String, String> {
    let start = format!("- {key}: ");
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut open = None;
    for line in file.lines() {
        if let Some(name) = line.trim_start().strip_prefix(&start) {
            assert!(!found.contains_key(name), "there are two rules {name}");
            open = Some(name.to_owned());
        }
        if line.starts_with("  - name: ") {
            open = None;
        }
        if let Some(name) = &open {
            let block = found.entry(name.clone()).or_default();
            block.push_str(line);
            block.push('\n');
        }
    }
    assert!(!found.is_empty(), "no {key} in a rule file");
    found
}

/// The expression of a rule, on its line or in the deeper lines that follow.
fn expression(block: &str) -> String {
    let mut lines = block.lines().skip_while(|line| !line.trim_start().starts_with("expr: "));
    let first = lines.next().unwrap_or_else(|| panic!("no expr in {block}"));
    let (indent, value) = first.split_at(first.find("expr: ").unwrap());
    match value.strip_prefix("expr: ").unwrap() {
        "|" => {
            let deeper = |line: &&str| {
                line.trim().is_empty() || line.len() - line.trim_start().len() > indent.len()
            };
            lines.take_while(deeper).collect::<Vec<_>>().join("\n")
        }
        one_line => one_line.to_owned(),
    }
}

/// The dashboard.
pub(crate) struct Dashboard {
    /// Expressions by the panel's title.
    pub(crate) panels: Vec<(String, Vec<String>)>,
    /// Expressions of what is drawn over all panels.
    pub(crate) annotations: Vec<String>,
}

impl Dashboard {
    pub(crate) fn read() -> Self {
        let json: Value =
            serde_json::from_str(&text("grafana/dashboards/vaultstream.json")).unwrap();
        let panels = json["panels"].as_array().unwrap();
        let panels: Vec<_> = panels
            .iter()
            .filter(|panel| panel["type"] != "row")
            .map(|panel| {
                (panel["title"].as_str().unwrap().to_owned(), expressions(&panel["targets"]))
            })
            .collect();
        assert!(!panels.is_empty());
        Self { panels, annotations: expressions(&json["annotations"]["list"]) }
    }
}

fn expressions(targets: &Value) -> Vec<String> {
    let targets = targets.as_array().unwrap();
    targets.iter().map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}
