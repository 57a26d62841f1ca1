//! Properties of a Kafka client, as they stand in a configuration file or in the environment.
//!
//! In: a table whose names may be written with dots (`security.protocol`), as tables within tables, which is how TOML
//! reads names with dots, or with underscores in the place of the dots, which is how they come from the environment.
//! Out: each name with dots, and its value.
//!
//! Invariant: a name with underscores wins over the same name with dots, because the environment wins over the file.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{self, Deserializer};

use crate::secret::Secret;

/// Names with dots, and their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, Secret>);

impl Properties {
    /// The names and values, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Sets a property; an earlier value of the same name is gone.
    pub fn set(&mut self, name: &str, value: Secret) {
        self.0.insert(name.to_owned(), value);
    }
}

impl<N: Into<String>> FromIterator<(N, Secret)> for Properties {
    fn from_iter<I: IntoIterator<Item = (N, Secret)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

/// A value of the file. The variants stand in the order in which they are tried.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(Secret),
    Table(BTreeMap<String, Value>),
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The library's error would show the value.
        let table = BTreeMap::<String, Value>::deserialize(deserializer).map_err(|_| {
            de::Error::custom("a property of Kafka must be a text, a number, true or false")
        })?;
        let mut pairs = Vec::new();
        flatten("", table, &mut pairs);
        pairs.sort_by_key(|(name, _)| name.contains('_'));
        Ok(pairs.into_iter().map(|(name, value)| (name.replace('_', "."), value)).collect())
    }
}

fn flatten(start: &str, table: BTreeMap<String, Value>, pairs: &mut Vec<(String, Secret)>) {
    for (name, value) in table {
        let name = format!("{start}{name}");
        let value = match value {
            Value::Table(inner) => {
                flatten(&format!("{name}."), inner, pairs);
                continue;
            }
            Value::Text(text) => text,
            Value::Boolean(value) => Secret::new(value.to_string()),
            Value::Integer(value) => Secret::new(value.to_string()),
            Value::Float(value) => Secret::new(value.to_string()),
        };
        pairs.push((name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: &[(&str, &str)]) {
        let properties: Properties = serde_json::from_str(json).unwrap();
        let found: Vec<_> = properties.iter().map(|(name, value)| (name, value.expose())).collect();
        assert_eq!(found, expected, "{json}");
    }

    #[test]
    fn names_may_be_written_in_three_ways() {
        check(r#"{"security.protocol": "SSL"}"#, &[("security.protocol", "SSL")]);
        check(
            r#"{"ssl": {"keystore": {"type": "PEM"}, "key.password": "x"}, "linger.ms": 5}"#,
            &[("linger.ms", "5"), ("ssl.key.password", "x"), ("ssl.keystore.type", "PEM")],
        );
        check(
            r#"{"sasl.jaas.config": "file", "sasl_jaas_config": "environment"}"#,
            &[("sasl.jaas.config", "environment")],
        );
    }

    #[test]
    fn a_wrong_value_is_not_shown() {
        let error = serde_json::from_str::<Properties>(r#"{"a": ["hunter2"]}"#).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
