//! JSON text to properties, in the order of the file.
//!
//! In: a connector file, in either of the two forms that are in use. Out: names and values as text, as Kafka Connect
//! reads them: numbers and booleans become their text, null means not set. A name that stands twice is a problem,
//! because only one of its values could count.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::error::{ConnectorError, Problem};
use super::properties::shown_name;

/// A JSON value that still knows its repeated names.
enum Node {
    Null,
    Scalar(String),
    Array,
    Object(Vec<(String, Node)>),
}

pub(super) fn properties(
    text: &str,
    problems: &mut Vec<Problem>,
) -> Result<Vec<(String, String)>, ConnectorError> {
    let node: Node = serde_json::from_str(text).map_err(ConnectorError::Json)?;
    let Node::Object(mut entries) = node else {
        let line = "the connector file must hold one JSON object";
        return Err(ConnectorError::Invalid(vec![Problem::new("", line)]));
    };
    let config = entries
        .iter()
        .position(|(name, node)| name == "config" && matches!(node, Node::Object(_)))
        .map(|index| entries.remove(index).1);
    let Some(Node::Object(config)) = config else {
        return Ok(flatten(entries, problems));
    };
    let mut raw = flatten(config, problems);
    for (name, value) in flatten(entries, problems) {
        match name.as_str() {
            "name" => add_name(&mut raw, value, problems),
            "initial_state" if value == "RUNNING" => {}
            "initial_state" => problems.push(Problem::new(
                "initial_state",
                "\"initial_state\" must be RUNNING; no other state is supported",
            )),
            other => problems.push(Problem::new(
                other,
                format!(
                    "unknown member {:?} beside \"config\" (properties belong inside it)",
                    shown_name(other)
                ),
            )),
        }
    }
    Ok(raw)
}

/// Puts the outer name where Kafka Connect puts it: among the properties, in last place.
fn add_name(raw: &mut Vec<(String, String)>, name: String, problems: &mut Vec<Problem>) {
    match raw.iter().find(|(property, _)| property == "name") {
        None => raw.push(("name".to_owned(), name)),
        Some((_, inner)) if *inner == name => {}
        Some((_, inner)) => problems.push(Problem::new(
            "name",
            format!("\"name\" is {name:?} beside \"config\" but {inner:?} inside it"),
        )),
    }
}

fn flatten(entries: Vec<(String, Node)>, problems: &mut Vec<Problem>) -> Vec<(String, String)> {
    let mut seen = std::collections::HashSet::new();
    let mut flat: Vec<(String, String)> = Vec::with_capacity(entries.len());
    for (name, node) in entries {
        if !seen.insert(name.clone()) {
            problems.push(Problem::new(
                &name,
                format!("property {:?} stands twice", shown_name(&name)),
            ));
            continue;
        }
        match node {
            Node::Null => {}
            Node::Scalar(value) => flat.push((name, value)),
            Node::Array | Node::Object(_) => problems.push(Problem::new(
                &name,
                format!("property {:?} must be a string, a number or a boolean", shown_name(&name)),
            )),
        }
    }
    flat
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        while items.next_element::<Node>()?.is_some() {}
        Ok(Node::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = members.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Object(entries))
    }
}
