//! An array: a JSON array of values, or an array of arrays, read as the model's element type.
//!
//! In: a JSON token and the type of the elements. Out: a [`Value::Array`] whose dimensions are those of PostgreSQL:
//! every array of one level has the same length. What stands for an unchanged array is [`Value::Unchanged`].

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use shared::debezium::envelope::{
    UNAVAILABLE_BASE64, UNAVAILABLE_OBJECT, UNAVAILABLE_UUID, UNAVAILABLE_VALUE,
};

use shared::debezium::types::{array::DIMENSIONS_MAX, bits};

use super::value::{ArrayValue, Reads, ScalarSeed, Value, parse_uuid};
use crate::model::ScalarType;

/// Reads an array whose elements are of a known type.
pub(super) struct ArraySeed(pub(super) ScalarType, pub(super) Reads);

impl<'de> DeserializeSeed<'de> for ArraySeed {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        let mismatch =
            || D::Error::custom(format_args!("the value is no {}[]", self.0.vault_type()));
        let mut shape = Shape::default();
        let may_be_unchanged = self.1 == Reads::DataOrPlaceholder;
        let seed = NodeSeed { kind: self.0, reads: self.1, depth: 0, shape: &mut shape };
        match seed.deserialize(deserializer)? {
            Node::Level
                if may_be_unchanged
                    && shape.lengths.len() == 1
                    && is_unchanged(self.0, &shape.elements) =>
            {
                Ok(Value::Unchanged)
            }
            Node::Level => {
                let Shape { lengths, elements, .. } = shape;
                let dimensions: Vec<usize> = lengths.into_iter().flatten().collect();
                let dimensions = if elements.is_empty() { Vec::new() } else { dimensions };
                let is_rectangular = dimensions.iter().product::<usize>() == elements.len();
                if !elements.is_empty() && !is_rectangular || elements.contains(&Value::Unchanged) {
                    return Err(mismatch());
                }
                Ok(Value::Array(Box::new(ArrayValue { dimensions, elements })))
            }
            Node::Value(Value::Null) => Ok(Value::Null),
            Node::Value(_) => Err(mismatch()),
        }
    }
}

/// What a JSON token is inside an array.
enum Node<'a> {
    /// An array. Its elements have been appended.
    Level,
    /// A value.
    Value(Value<'a>),
}

/// What is known of an array while it is read.
#[derive(Default)]
struct Shape<'a> {
    /// Length of the arrays of each level; none until the first one has ended.
    lengths: Vec<Option<usize>>,
    /// The depth at which values stand; none until the first one.
    leaves_at: Option<usize>,
    elements: Vec<Value<'a>>,
}

/// Reads a value, or one level of an array, whose values are appended to those of `shape`.
struct NodeSeed<'r, 'a> {
    kind: ScalarType,
    reads: Reads,
    depth: usize,
    shape: &'r mut Shape<'a>,
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_, 'de> {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl NodeSeed<'_, '_> {
    fn scalar(&self) -> ScalarSeed {
        ScalarSeed(self.kind, self.reads)
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_, 'de> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[]", self.kind.vault_type())
    }

    fn visit_unit<E: Error>(self) -> Result<Node<'de>, E> {
        Ok(Node::Value(Value::Null))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node<'de>, E> {
        self.scalar().visit_bool(value).map(Node::Value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node<'de>, E> {
        self.scalar().visit_i64(value).map(Node::Value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node<'de>, E> {
        self.scalar().visit_u64(value).map(Node::Value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node<'de>, E> {
        self.scalar().visit_f64(value).map(Node::Value)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Node<'de>, E> {
        element(self.kind, self.reads, Cow::Borrowed(text)).map(Node::Value)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node<'de>, E> {
        element(self.kind, self.reads, Cow::Owned(text.to_owned())).map(Node::Value)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Node<'de>, A::Error> {
        self.scalar().visit_map(map).map(Node::Value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut levels: A) -> Result<Node<'de>, A::Error> {
        let Self { kind, reads, depth, shape } = self;
        let mismatch = || A::Error::custom(format_args!("the value is no {}[]", kind.vault_type()));
        if depth == DIMENSIONS_MAX {
            return Err(mismatch());
        }
        if shape.lengths.len() == depth {
            shape.lengths.push(None);
        }
        let mut length = 0;
        while let Some(node) = levels.next_element_seed(NodeSeed {
            kind,
            reads,
            depth: depth + 1,
            shape: &mut *shape,
        })? {
            length += 1;
            if let Node::Value(value) = node {
                if *shape.leaves_at.get_or_insert(depth + 1) != depth + 1 {
                    return Err(mismatch());
                }
                shape.elements.push(value);
            }
        }
        if *shape.lengths[depth].get_or_insert(length) != length {
            return Err(mismatch());
        }
        Ok(Node::Level)
    }
}

/// A string among the elements. A placeholder is data here, because only an array that holds nothing else is unchanged:
/// [`is_unchanged`] decides that.
fn element<'de, E: Error>(
    kind: ScalarType,
    reads: Reads,
    text: Cow<'de, str>,
) -> Result<Value<'de>, E> {
    let is_zoned = matches!(kind, ScalarType::TimestampTz | ScalarType::TimeTz);
    // For these types the placeholder is no value, or is longer than every value.
    let is_bits = matches!(kind, ScalarType::Bits { .. });
    let is_placeholder =
        is_zoned && text == UNAVAILABLE_VALUE || is_bits && text == UNAVAILABLE_BASE64;
    if reads == Reads::DataOrPlaceholder && is_placeholder {
        return Ok(Value::Unchanged);
    }
    ScalarSeed(kind, Reads::Data).data(text)
}

/// Whether the elements are those that stand for an unchanged array.
fn is_unchanged(kind: ScalarType, elements: &[Value<'_>]) -> bool {
    match (kind, elements) {
        (_, [Value::Unchanged]) => true,
        (ScalarType::Hstore, [Value::Json(text)]) => text == UNAVAILABLE_OBJECT,
        (ScalarType::Uuid, [Value::Uuid(uuid)]) => {
            parse_uuid(UNAVAILABLE_UUID).as_ref() == Some(uuid)
        }
        (_, [Value::Text(text) | Value::Json(text)]) if text == UNAVAILABLE_VALUE => true,
        (_, [Value::Bytes(bytes)]) => bytes == UNAVAILABLE_VALUE.as_bytes(),
        (_, [number @ Value::Numeric(_)]) => {
            let text = Cow::Borrowed(UNAVAILABLE_BASE64);
            let placeholder = ScalarSeed(kind, Reads::Data).data::<serde::de::value::Error>(text);
            placeholder.is_ok_and(|placeholder| placeholder == *number)
        }
        (ScalarType::Boolean, bits) => {
            bits.len() == UNAVAILABLE_VALUE.len() * 8
                && std::iter::zip(bits, UNAVAILABLE_VALUE.bytes().flat_map(bits::of_byte))
                    .all(|(element, bit)| *element == Value::Bool(bit))
        }
        (kind, numbers) => {
            numbers.len() == UNAVAILABLE_VALUE.len()
                && std::iter::zip(numbers, UNAVAILABLE_VALUE.bytes()).all(|(element, byte)| {
                    let number = ScalarSeed(kind, Reads::Data)
                        .visit_i64::<serde::de::value::Error>(i64::from(byte));
                    number.is_ok_and(|number| number == *element)
                })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::column::ValueSeed;
    use super::*;
    use crate::model::ColumnType;

    fn read<'a>(kind: &str, json: &'a str) -> Result<Value<'a>, String> {
        let kind = ColumnType::parse(kind).unwrap();
        let mut deserializer = serde_json::Deserializer::from_str(json);
        ValueSeed(kind, Reads::DataOrPlaceholder)
            .deserialize(&mut deserializer)
            .map_err(|err| err.to_string())
    }

    #[track_caller]
    fn check(kind: &str, json: &str, dimensions: &[usize], elements: Vec<Value<'_>>) {
        let array = ArrayValue { dimensions: dimensions.to_vec(), elements };
        assert_eq!(read(kind, json), Ok(Value::Array(Box::new(array))), "{kind} {json}");
    }

    #[test]
    fn arrays_of_any_shape_are_read() {
        let int = Value::Int;
        check("integer[]", "[1,null,-2]", &[3], vec![int(1), Value::Null, int(-2)]);
        check(
            "integer[]",
            "[[1,2],[3,null],[5,6]]",
            &[3, 2],
            vec![int(1), int(2), int(3), Value::Null, int(5), int(6)],
        );
        check("integer[]", "[[[1],[2]],[[3],[4]]]", &[2, 2, 1], (1..=4).map(int).collect());
        check("text[]", "[]", &[], vec![]);
        check("text[]", r#"["a",""]"#, &[2], vec![Value::Text("a".into()), Value::Text("".into())]);
        check("numeric(10,2)[]", r#"["AJY="]"#, &[1], vec![Value::Numeric("1.50".to_owned())]);
        let numeric = r#"[{"scale":1,"value":"Dw=="}]"#;
        check("numeric[]", numeric, &[1], vec![Value::Numeric("1.5".to_owned())]);
        check("date[]", "[20455]", &[1], vec![Value::Date(20_455)]);
        assert_eq!(read("text[]", "null"), Ok(Value::Null));
    }

    #[test]
    fn what_is_no_array_of_that_type_is_refused_without_being_shown() {
        for (kind, json) in [
            ("integer[]", "4711"),
            ("integer[]", r#"["4711"]"#),
            ("integer[]", "[[1,2],[4711]]"),
            ("integer[]", "[[1],4711]"),
            ("integer[]", "[4711,[1]]"),
            ("integer[]", "[[],[4711]]"),
            ("integer[]", "[[4711],[[4711]]]"),
            ("integer[]", "[[[4711]],[4711]]"),
            ("integer[]", "[[[[[[[4711]]]]]]]"),
            ("text[]", "[4711]"),
            ("text", r#"["4711"]"#),
        ] {
            let message = read(kind, json).expect_err(json);
            assert!(!message.contains("4711"), "{message}");
        }
    }

    #[test]
    fn an_unchanged_array_is_neither_null_nor_data() {
        let bytes: Vec<String> = UNAVAILABLE_VALUE.bytes().map(|byte| byte.to_string()).collect();
        let numbers = format!("[{}]", bytes.join(","));
        let base64 = "[\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"]";
        let bits: Vec<String> =
            UNAVAILABLE_VALUE.bytes().flat_map(bits::of_byte).map(|bit| bit.to_string()).collect();
        for (kind, json) in [
            ("text[]", format!("[\"{UNAVAILABLE_VALUE}\"]")),
            ("jsonb[]", format!("[\"{UNAVAILABLE_VALUE}\"]")),
            ("timestamptz[]", format!("[\"{UNAVAILABLE_VALUE}\"]")),
            ("bytea[]", base64.to_owned()),
            ("numeric(10,2)[]", base64.to_owned()),
            ("bit(5)[]", base64.to_owned()),
            ("numeric[]", format!("[{{\"scale\":0,\"value\":{}}}]", &base64[1..base64.len() - 1])),
            ("uuid[]", format!("[\"{UNAVAILABLE_UUID}\"]")),
            ("integer[]", numbers.clone()),
            ("date[]", numbers.clone()),
            ("timestamp(3)[]", numbers.clone()),
            ("real[]", format!("[{}.0]", bytes.join(".0,"))),
            ("boolean[]", format!("[{}]", bits.join(","))),
        ] {
            assert_eq!(read(kind, &json), Ok(Value::Unchanged), "{kind} {json}");
        }
        let two_levels = format!("[[\"{UNAVAILABLE_VALUE}\"]]");
        check("text[]", &two_levels, &[1, 1], vec![Value::Text(UNAVAILABLE_VALUE.into())]);
        let bytes = vec![Value::Bytes(UNAVAILABLE_VALUE.into()), Value::Bytes(vec![0])];
        check("bytea[]", &format!("[{},\"AA==\"]", &base64[1..base64.len() - 1]), &[2], bytes);
        let among_others = format!("[\"{UNAVAILABLE_VALUE}\",\"x\"]");
        let texts = vec![Value::Text(UNAVAILABLE_VALUE.into()), Value::Text("x".into())];
        check("text[]", &among_others, &[2], texts);
    }
}
