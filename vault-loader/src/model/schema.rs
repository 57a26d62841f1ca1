//! The JSON Schema of a model file, by which an editor completes and checks a model while its author writes it.
//!
//! In: the types of [`super::file`], with their comments. Out: a schema of draft 2020-12 as text, the same bytes each
//! time. The parser reads the same types, so the two know the same fields. The schema takes every model that the parser
//! takes. The parser refuses more: the schema cannot say that a name stands for a hub, or that no column is forgotten.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::Value;

use super::file::ModelFile;

/// The schema of a model file.
///
/// # Panics
/// Never: a schema is JSON.
#[must_use]
pub fn json_schema() -> String {
    let settings = SchemaSettings::draft2020_12().with_transform(InToml);
    let mut schema = settings.into_generator().into_root_schema_for::<ModelFile>();
    schema.insert("title".to_owned(), "Vault model of vault-loader".into());
    let text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    text + "\n"
}

/// What TOML and an editor need: TOML has no null, and the names of Rust's integers are no formats of JSON Schema.
/// Lines of a comment become one paragraph.
#[derive(Debug, Clone)]
struct InToml;

impl Transform for InToml {
    fn transform(&mut self, schema: &mut Schema) {
        schema.remove("format");
        if schema.get("default").is_some_and(Value::is_null) {
            schema.remove("default");
        }
        if let Some(Value::Array(kinds)) = schema.get_mut("type") {
            kinds.retain(|kind| kind != "null");
            if let [kind] = kinds.as_slice() {
                let kind = kind.clone();
                schema.insert("type".to_owned(), kind);
            }
        }
        if let Some(Value::String(text)) = schema.get_mut("description") {
            *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        }
        transform_subschemas(self, schema);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use regex::Regex;
    use serde::de::DeserializeOwned;

    use super::super::{file, parse};
    use super::*;

    const COMMITTED: &str = include_str!("../../../connectors/vault-model.schema.json");
    const AIRLINE: &str = include_str!("../../../connectors/airline/vault.toml");
    const WIDEWORLD: &str = include_str!("../../../connectors/wideworld/vault.toml");
    const SHOP: &str = include_str!("../../../e2e/tests/sources/entities.vault.toml");
    const LIBRARY: &str = include_str!("../../../e2e/tests/sources/library.vault.toml");

    const CARRIED: &str = include_str!("../../tests/support/shop.vault.toml");

    fn schema() -> Value {
        serde_json::from_str(&json_schema()).unwrap()
    }

    /// Checks a value by the keywords that this schema has. A keyword that this function does not know is an error, so
    /// nothing in the schema is passed over.
    fn check(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let schema = schema.as_object().unwrap();
        for (keyword, wanted) in schema {
            let is_right = match keyword.as_str() {
                "$schema"
                | "title"
                | "description"
                | "default"
                | "$defs"
                | "required"
                | "additionalProperties" => true,
                "$ref" => {
                    let place = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                    check(root, root.pointer(place).unwrap(), value, at)?;
                    true
                }
                "anyOf" | "oneOf" => {
                    let ways = wanted.as_array().unwrap().iter();
                    let count = ways.filter(|way| check(root, way, value, at).is_ok()).count();
                    if keyword == "anyOf" { count > 0 } else { count == 1 }
                }
                "type" => wanted == kind_of(value),
                "const" => value == wanted,
                "minimum" => value.as_i64().is_none_or(|n| n >= wanted.as_i64().unwrap()),
                "maximum" => value.as_i64().is_none_or(|n| n <= wanted.as_i64().unwrap()),
                "minItems" => value.as_array().is_none_or(|items| {
                    u64::try_from(items.len()).unwrap() >= wanted.as_u64().unwrap()
                }),
                "maxLength" => value.as_str().is_none_or(|text| {
                    u64::try_from(text.chars().count()).unwrap() <= wanted.as_u64().unwrap()
                }),
                "pattern" => {
                    let pattern = Regex::new(wanted.as_str().unwrap()).unwrap();
                    value.as_str().is_none_or(|text| pattern.is_match(text))
                }
                "items" => {
                    for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                        check(root, wanted, item, &format!("{at}[{place}]"))?;
                    }
                    true
                }
                "properties" => fields(root, schema, value, at)?,
                unknown => panic!("the test does not know the keyword {unknown}"),
            };
            if !is_right {
                return Err(format!("{at}: {keyword} is {wanted}"));
            }
        }
        if schema.contains_key("properties") || !schema.contains_key("additionalProperties") {
            return Ok(());
        }
        fields(root, schema, value, at).map(drop)
    }

    fn kind_of(value: &Value) -> &'static str {
        match value {
            Value::Object(_) => "object",
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_i64() => "integer",
            _ => "something else",
        }
    }

    fn fields(
        root: &Value,
        schema: &serde_json::Map<String, Value>,
        value: &Value,
        at: &str,
    ) -> Result<bool, String> {
        let Some(fields) = value.as_object() else { return Ok(true) };
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if !fields.contains_key(name.as_str().unwrap()) {
                return Err(format!("{at}: {name} is missing"));
            }
        }
        for (name, field) in fields {
            let known = schema.get("properties").and_then(|known| known.get(name));
            match known.or_else(|| schema.get("additionalProperties")) {
                Some(Value::Bool(false)) => return Err(format!("{at}: {name} is unknown")),
                Some(of_field) => check(root, of_field, field, &format!("{at}.{name}"))?,
                None => {}
            }
        }
        Ok(true)
    }

    fn outcome(model: &str) -> Result<(), String> {
        let value: Value = toml::from_str(model).unwrap();
        check(&schema(), &schema(), &value, "model")
    }

    #[test]
    fn the_committed_schema_is_what_the_command_prints() {
        assert_eq!(
            COMMITTED,
            json_schema(),
            "run scripts/pictures.sh, which writes connectors/vault-model.schema.json"
        );
    }

    #[test]
    fn the_airline_s_model_an_inferred_one_and_one_with_every_kind_are_taken() {
        assert_eq!(outcome(AIRLINE), Ok(()));
        assert_eq!(outcome(WIDEWORLD), Ok(()));
        assert_eq!(outcome(LIBRARY), Ok(()));
        parse(SHOP).unwrap();
        assert_eq!(outcome(SHOP), Ok(()));
        assert_eq!(outcome(CARRIED), Ok(()));
        let whole = AIRLINE
            .replacen("range = \"integer\"", "range = { type = \"integer\", stored_as = \"r\" }", 1)
            .replacen(
                "status = \"sat_airports_status\"",
                "status = \"sat_airports_status\"\nalso_named = { city = [\"town\"] }\nadded_later = [\"city\"]",
                1,
            )
            .replacen("type = \"varchar(20)\" }]", "type = \"varchar(20)\", fold = true }]", 1);
        parse(&whole).unwrap();
        assert_eq!(outcome(&whole), Ok(()));
    }

    #[test]
    fn what_no_model_can_say_is_refused() {
        for (from, to, expected) in [
            ("schema = \"public\"", "schema = \"public\"\nspeed = 1", "speed is unknown"),
            ("system_id = 1", "system_id = \"1\"", "system_id: type is \"integer\""),
            ("system_id = 1", "system_id = 0", "system_id: minimum is 1"),
            ("format_version = 1", "format_version = 2", "format_version: const is 1"),
            ("scope = \"source\"", "scope = \"mine\"", "scope: oneOf is"),
            ("name = \"hub_airports\"", "name = \"airports\"", "hub[0].name: pattern is"),
            ("range = \"integer\"", "range = 5", "columns.range: anyOf is"),
            ("range = \"integer\"", "range = { stored_as = \"r\" }", "columns.range: anyOf is"),
            ("key = [\"airport_code\"]\n", "", "table[0]: \"key\" is missing"),
            ("columns = [\"model\", \"range\"]", "columns = []", "columns: minItems is 1"),
        ] {
            assert!(AIRLINE.contains(from), "the model no longer holds {from:?}");
            let model = AIRLINE.replacen(from, to, 1);
            parse(&model).expect_err("the parser refuses it too");
            let err = outcome(&model).expect_err(from);
            assert!(err.contains(expected), "{err}");
        }
    }

    /// The fields that the parser names when it finds one that it does not know.
    fn known_to_the_parser<T: DeserializeOwned>() -> BTreeSet<String> {
        let err = toml::from_str::<T>("nonsense = 1").err().unwrap();
        let message = err.message().to_owned();
        assert!(message.contains("unknown field `nonsense`"), "{message}");
        message.split('`').skip(3).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn the_schema_has_the_fields_of_the_parser_and_no_others() {
        let parsers = [
            ("SourceEntry", known_to_the_parser::<file::SourceEntry>()),
            ("ColumnEntry", known_to_the_parser::<file::ColumnEntry>()),
            ("HubKeyEntry", known_to_the_parser::<file::HubKeyEntry>()),
            ("HubEntry", known_to_the_parser::<file::HubEntry>()),
            ("ReferenceEntry", known_to_the_parser::<file::ReferenceEntry>()),
            ("LinkRoleEntry", known_to_the_parser::<file::LinkRoleEntry>()),
            ("LinkEntry", known_to_the_parser::<file::LinkEntry>()),
            ("TableColumnEntry", known_to_the_parser::<file::TableColumnEntry>()),
            ("CastColumnEntry", known_to_the_parser::<file::CastColumnEntry>()),
            ("HubBindingEntry", known_to_the_parser::<file::HubBindingEntry>()),
            ("LinkBindingEntry", known_to_the_parser::<file::LinkBindingEntry>()),
            ("SatelliteEntry", known_to_the_parser::<file::SatelliteEntry>()),
            ("TableEntry", known_to_the_parser::<file::TableEntry>()),
            ("SnapshotsEntry", known_to_the_parser::<file::SnapshotsEntry>()),
            ("PitEntry", known_to_the_parser::<file::PitEntry>()),
            ("BridgeEntry", known_to_the_parser::<file::BridgeEntry>()),
            ("LinkStepEntry", known_to_the_parser::<file::LinkStepEntry>()),
        ];
        let schema = schema();
        let fields = |object: &Value| -> BTreeSet<String> {
            object["properties"].as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(fields(&schema), known_to_the_parser::<ModelFile>());
        let defined = schema["$defs"].as_object().unwrap();
        let objects = defined.iter().filter(|(_, definition)| definition["type"] == "object");
        let objects: BTreeSet<_> =
            objects.map(|(name, object)| (name.as_str(), fields(object))).collect();
        assert_eq!(objects, parsers.into_iter().collect());
    }

    #[test]
    fn every_field_is_described_and_no_object_takes_others() {
        let schema = schema();
        let defined = schema["$defs"].as_object().unwrap().values();
        let objects = defined.chain([&schema]).filter(|object| object["type"] == "object");
        for object in objects {
            assert_eq!(object["additionalProperties"], false, "{object}");
            for (name, field) in object["properties"].as_object().unwrap() {
                let text = field["description"].as_str().unwrap_or_default();
                assert!(text.ends_with('.'), "{name} has no description: {field}");
            }
        }
    }
}
