//! Test vectors of hash keys and hashdiffs, in `tests/data/hash_vectors.json`.
//!
//! In: for each vector what is hashed, with values as PostgreSQL prints them. Out: the canonical form and the hash,
//! which must be those of the file. A vector is never changed; `docs/HASHING.md` says how one is added.

use serde::{Deserialize, Serialize};

use super::cast;
use super::hash::{HASH_VERSION, Hash, Hasher, UNKNOWN};
use crate::decode::{Value, from_stored};
use crate::model::{Cast, ColumnType};

const VECTORS: &str = include_str!("../../tests/data/hash_vectors.json");
const SPECIFICATION: &str = include_str!("../../../docs/HASHING.md");

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    of: Of,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hubs: Vec<String>,
    values: Vec<VectorValue>,
    form: String,
    hash: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Of {
    Hub,
    Link,
    Hashdiff,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct VectorValue {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_type: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    fold: bool,
}

impl VectorValue {
    /// The value as it is hashed.
    fn read(&self) -> Value<'static> {
        let kind = |text: &str| ColumnType::parse(text).expect(text);
        let from = kind(&self.kind);
        let value = self.value.as_ref().map_or(Value::Null, |text| {
            from_stored(from, text).unwrap_or_else(|err| panic!("{} {text}: {err}", self.kind))
        });
        let to = self.key_type.as_ref().map_or(Cast::Same, |to| {
            Cast::between(from, kind(to)).unwrap_or_else(|| panic!("{} to {to}", self.kind))
        });
        cast(&value, to).into_owned()
    }
}

impl Vector {
    /// The same with form and hash as they are made now.
    fn made(&self) -> Self {
        let mut hasher = Hasher::default();
        let values: Vec<Value<'static>> = self.values.iter().map(VectorValue::read).collect();
        match self.of {
            Of::Hub => {
                hasher.hub(self.source.as_deref());
                for (written, value) in self.values.iter().zip(&values) {
                    if written.fold {
                        hasher.add_folded(value);
                    } else {
                        hasher.add(value);
                    }
                }
            }
            Of::Link => {
                hasher.link();
                for hub in &self.hubs {
                    let key: Hash = hex::decode(hub).unwrap().try_into().unwrap();
                    hasher.add_hash(&key);
                }
                values.iter().for_each(|value| hasher.add(value));
            }
            Of::Hashdiff => {
                hasher.diff();
                let mut named: Vec<_> =
                    self.values.iter().map(|of| &of.column).zip(&values).collect();
                named.sort_by_key(|(name, _)| *name);
                for (name, value) in named {
                    hasher.add_column(name.as_ref().expect("a column has a name"), value);
                }
            }
        }
        // `Projector` gives a key without a value the row "unknown".
        let is_unknown = self.of == Of::Hub && values.iter().all(|value| *value == Value::Null);
        let (form, hash) = match is_unknown {
            true => (String::new(), UNKNOWN),
            false => (hex::encode(hasher.form()), hasher.finish()),
        };
        Self { form, hash: hex::encode(hash), ..self.clone() }
    }
}

/// When a vector differs, the file as it would be now stands below `target/`, to be compared with the one that is kept.
#[test]
fn every_vector_has_the_form_and_the_hash_of_the_file() {
    let vectors: Vec<Vector> = serde_json::from_str(VECTORS).unwrap();
    let made: Vec<Vector> = vectors.iter().map(Vector::made).collect();
    let differ: Vec<&str> = std::iter::zip(&vectors, &made)
        .filter(|(kept, made)| kept != made)
        .map(|(kept, _)| kept.name.as_str())
        .collect();
    if !differ.is_empty() {
        let lines: Vec<String> = made
            .iter()
            .map(|vector| format!("  {}", serde_json::to_string(vector).unwrap()))
            .collect();
        let target = concat!(env!("CARGO_MANIFEST_DIR"), "/../target");
        std::fs::create_dir_all(target).unwrap();
        let path = format!("{target}/hash_vectors.json");
        std::fs::write(path, format!("[\n{}\n]\n", lines.join(",\n"))).unwrap();
        panic!(
            "these vectors have other hashes than before, see target/hash_vectors.json: {differ:#?}"
        );
    }
}

#[test]
fn every_tag_of_a_value_has_a_vector() {
    let vectors: Vec<Vector> = serde_json::from_str(VECTORS).unwrap();
    let tags: std::collections::BTreeSet<String> = vectors
        .iter()
        .filter(|vector| vector.of == Of::Hub && vector.source.is_none() && vector.form.len() > 4)
        .map(|vector| vector.form[4..6].to_owned())
        .collect();
    let known =
        ["00", "01", "02", "03", "04", "06", "07", "08", "09", "0a", "0b", "0c", "0d", "0e"];
    assert_eq!(tags.iter().map(String::as_str).collect::<Vec<_>>(), known);
}

/// Another version of either table may fold a text otherwise, and so give a stored key another hash. Then the hash
/// version has to change, or the tables stay as they are.
#[test]
fn the_tables_of_unicode_and_the_hash_version_are_those_of_the_specification() {
    assert_eq!(unicode_normalization::UNICODE_VERSION, (18, 0, 0), "NFC");
    assert_eq!(char::UNICODE_VERSION, (17, 0, 0), "upper case and blanks");
    for line in [
        "| NFC | `unicode-normalization` 0.1.26 | 18.0.0 |",
        "| blanks at the ends, upper case | the standard library of Rust 1.95.0 | 17.0.0 |",
    ] {
        assert!(SPECIFICATION.contains(line), "{line}");
    }
    assert_eq!(HASH_VERSION, 2);
    assert!(SPECIFICATION.contains("version 2"));
}
