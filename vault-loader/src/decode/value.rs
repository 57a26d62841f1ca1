//! One column's value: JSON as Debezium writes it, read as the model's type.
//!
//! In: a JSON token and a [`ScalarType`]. Out: a [`Value`] that can be encoded. Integers are in the type's range. The
//! server checks the range of times. What does not fit is an error that says what was expected, never what was found.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize as _;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use shared::debezium::envelope::{UNAVAILABLE_BASE64, UNAVAILABLE_OBJECT, UNAVAILABLE_VALUE};
use shared::debezium::types::{bits, decimal, temporal, vector};

use crate::model::ScalarType;

/// A typed value, borrowed from the message where JSON needs no unescaping.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// the event does not carry the column: a delete's columns outside the key
    Absent,
    /// SQL NULL
    Null,
    /// an out-of-line value that the update left as it was
    Unchanged,
    /// any integer type, in its range
    Int(i64),
    /// `boolean`
    Bool(bool),
    /// `real`
    Real(f32),
    /// `double precision`
    Double(f64),
    /// `numeric` in plain decimal notation
    Numeric(String),
    /// `text`, `varchar`, `json`, `char` without its padding
    Text(Cow<'a, str>),
    /// `jsonb` as text
    Json(Cow<'a, str>),
    /// days since 1970-01-01; the greatest and the least number are `infinity` and `-infinity`, as on PostgreSQL's wire
    Date(i32),
    /// microseconds since midnight, with a time zone in UTC
    Time(i64),
    /// microseconds since the epoch, with or without time zone; the greatest and the least number are `infinity` and
    /// `-infinity`, as on PostgreSQL's wire
    Timestamp(i64),
    /// `uuid`
    Uuid([u8; 16]),
    /// `bytea`
    Bytes(Vec<u8>),
    /// `point`: its two coordinates
    Point(f64, f64),
    /// an array
    Array(Box<ArrayValue<'a>>),
}

/// An array's elements in order. Lower bounds do not travel.
#[derive(Debug, Clone, PartialEq)]
pub struct ArrayValue<'a> {
    /// elements in each dimension; none when the array is empty
    pub dimensions: Vec<usize>,
    /// elements row by row, each a value or NULL
    pub elements: Vec<Value<'a>>,
}

/// Reads one value of a known type that is no array.
#[derive(Clone, Copy)]
pub(super) struct ScalarSeed(pub(super) ScalarType, pub(super) Reads);

/// What a placeholder's text stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// for itself: the event says by other means which values are unchanged, or cannot have any
    Data,
    /// for a value that the server did not send
    DataOrPlaceholder,
}

impl<'de> DeserializeSeed<'de> for ScalarSeed {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl ScalarSeed {
    fn mismatch<E: Error>(&self) -> E {
        E::custom(format_args!("the value is no {}", self.0.vault_type()))
    }

    fn integer<E: Error>(&self, value: i64) -> Result<Value<'static>, E> {
        let in_range = match self.0 {
            ScalarType::SmallInt => i16::try_from(value).is_ok(),
            ScalarType::Integer => i32::try_from(value).is_ok(),
            ScalarType::BigInt | ScalarType::Interval => true,
            ScalarType::Date => {
                let days = i32::try_from(value).map_err(|_| self.mismatch())?;
                return Ok(Value::Date(match temporal::infinite_date(days) {
                    Some(true) => i32::MAX,
                    Some(false) => i32::MIN,
                    None => days,
                }));
            }
            ScalarType::Time { precision } => {
                let factor = if precision <= 3 { 1000 } else { 1 };
                return match value.checked_mul(factor) {
                    Some(micros) => Ok(Value::Time(micros)),
                    None => Err(self.mismatch()),
                };
            }
            ScalarType::Timestamp { precision } => {
                return timestamp(value, precision)
                    .map(Value::Timestamp)
                    .ok_or_else(|| self.mismatch());
            }
            // A double without a fraction may be written without a point.
            ScalarType::Real | ScalarType::Double => return self.double(whole_to_double(value)),
            _ => false,
        };
        if in_range { Ok(Value::Int(value)) } else { Err(self.mismatch()) }
    }

    fn double<E: Error>(&self, value: f64) -> Result<Value<'static>, E> {
        match self.0 {
            ScalarType::Real => Ok(Value::Real(narrow(value))),
            ScalarType::Double => Ok(Value::Double(value)),
            _ => Err(self.mismatch()),
        }
    }

    fn text<'de, E: Error>(&self, text: Cow<'de, str>) -> Result<Value<'de>, E> {
        if self.1 == Reads::DataOrPlaceholder
            && self.0.may_be_toasted()
            && is_placeholder(self.0, &text)
        {
            return Ok(Value::Unchanged);
        }
        self.data(text)
    }

    /// The value of a string that stands for nothing else.
    pub(super) fn data<'de, E: Error>(&self, text: Cow<'de, str>) -> Result<Value<'de>, E> {
        let wrong = |_| self.mismatch();
        match self.0 {
            // The server keeps the spelling of `json`, so the spelling is data. Of `jsonb` it keeps only the document.
            ScalarType::Text | ScalarType::Json => Ok(Value::Text(text)),
            ScalarType::Char => Ok(Value::Text(trim_padding(text))),
            ScalarType::Jsonb | ScalarType::Hstore => Ok(Value::Json(text)),
            ScalarType::Numeric { scale, .. } => {
                // A scale below zero travels without its sign, as the server's catalog holds it: -2 as 2046.
                let digits = usize::try_from(scale & 0x7FF).map_err(|_| self.mismatch())?;
                let mut number = decimal::text_from_base64(&text, digits).map_err(wrong)?;
                if scale < 0 {
                    number.truncate(number.find('.').unwrap_or(number.len()));
                }
                Ok(Value::Numeric(number))
            }
            ScalarType::TimestampTz if text == "infinity" => Ok(Value::Timestamp(INFINITE)),
            ScalarType::TimestampTz if text == "-infinity" => Ok(Value::Timestamp(-INFINITE - 1)),
            ScalarType::TimestampTz => {
                let micros = temporal::parse_zoned(&text).map_err(wrong)?;
                let is_infinite = matches!(micros, i64::MIN | i64::MAX);
                if is_infinite { Err(self.mismatch()) } else { Ok(Value::Timestamp(micros)) }
            }
            ScalarType::TimeTz => temporal::parse_zoned_time(&text).map(Value::Time).map_err(wrong),
            ScalarType::Bits { length } => {
                let length = usize::try_from(length).map_err(|_| self.mismatch())?;
                let bits = bits::text_from_base64(&text, length).map_err(wrong)?;
                Ok(Value::Text(Cow::Owned(bits)))
            }
            ScalarType::Uuid => parse_uuid(&text).map(Value::Uuid).ok_or_else(|| self.mismatch()),
            ScalarType::Bytea => {
                BASE64.decode(text.as_bytes()).map(Value::Bytes).map_err(|_| self.mismatch())
            }
            ScalarType::Real | ScalarType::Double => match text.as_ref() {
                "NaN" => self.double(f64::NAN),
                "Infinity" => self.double(f64::INFINITY),
                "-Infinity" => self.double(f64::NEG_INFINITY),
                _ => Err(self.mismatch()),
            },
            _ => Err(self.mismatch()),
        }
    }
}

impl<'de> Visitor<'de> for ScalarSeed {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.vault_type())
    }

    fn visit_unit<E: Error>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value<'de>, E> {
        match self.0 {
            ScalarType::Boolean => Ok(Value::Bool(value)),
            _ => Err(self.mismatch()),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value<'de>, E> {
        self.integer(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value<'de>, E> {
        match i64::try_from(value) {
            Ok(value) => self.integer(value),
            Err(_) => self.double(huge_to_double(value)),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value<'de>, E> {
        self.double(value)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Value<'de>, E> {
        self.text(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value<'de>, E> {
        self.text(Cow::Owned(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Value<'de>, A::Error> {
        Err(self.mismatch())
    }

    /// `numeric` without bounds is an object, `{"scale": 2, "value": "…"}`, and so is a point, `{"x": 1.0, "y": 2.0,
    /// …}`.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        match self.0 {
            ScalarType::NumericUnbounded => {}
            ScalarType::Point => return self.point(map),
            ScalarType::Geometry => return self.geometry(map),
            ScalarType::SparseVector => return self.sparse_vector(map),
            _ => return Err(self.mismatch()),
        }
        let (mut scale, mut digits): (Option<i32>, Option<String>) = (None, None);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match key.as_ref() {
                "scale" => {
                    scale = map.next_value().map(Some).map_err(|_: A::Error| self.mismatch())?;
                }
                "value" => {
                    digits = map.next_value().map(Some).map_err(|_: A::Error| self.mismatch())?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let (Some(scale), Some(digits)) = (scale, digits) else { return Err(self.mismatch()) };
        if self.1 == Reads::DataOrPlaceholder && scale == 0 && digits == UNAVAILABLE_BASE64 {
            return Ok(Value::Unchanged);
        }
        let places = usize::try_from(scale.max(0)).map_err(|_| self.mismatch())?;
        // A scale beyond PostgreSQL's is refused here, because the number is written out with as many digits as its
        // scale says.
        let mut text = decimal::text_from_base64(&digits, places).map_err(|_| self.mismatch())?;
        if scale < 0 && text != "0" {
            let zeros = usize::try_from(scale.unsigned_abs()).map_err(|_| self.mismatch())?;
            if zeros > NUMERIC_DIGITS_MAX {
                return Err(self.mismatch());
            }
            text.extend(std::iter::repeat_n('0', zeros));
        }
        Ok(Value::Numeric(text))
    }
}

/// What is needed of a geometry: its binary, which holds the number of the reference system as well.
#[derive(serde::Deserialize)]
struct Geometry<'a> {
    #[serde(borrow)]
    wkb: Cow<'a, str>,
}

/// A sparse vector.
#[derive(serde::Deserialize)]
struct SparseVector {
    dimensions: i64,
    vector: Vec<vector::Element>,
}

impl ScalarSeed {
    fn geometry<'de, A: MapAccess<'de>>(self, map: A) -> Result<Value<'de>, A::Error> {
        let geometry = Geometry::deserialize(MapAccessDeserializer::new(map))
            .map_err(|_: A::Error| self.mismatch())?;
        if self.1 == Reads::DataOrPlaceholder && geometry.wkb == UNAVAILABLE_BASE64 {
            return Ok(Value::Unchanged);
        }
        let bytes = BASE64.decode(geometry.wkb.as_bytes());
        bytes.map(Value::Bytes).map_err(|_| self.mismatch())
    }

    fn sparse_vector<'de, A: MapAccess<'de>>(self, map: A) -> Result<Value<'de>, A::Error> {
        let SparseVector { dimensions, vector: elements } =
            SparseVector::deserialize(MapAccessDeserializer::new(map))
                .map_err(|_: A::Error| self.mismatch())?;
        let is_data = self.1 == Reads::Data;
        if !is_data && vector::is_unavailable_sparse(dimensions, &elements, UNAVAILABLE_VALUE) {
            return Ok(Value::Unchanged);
        }
        Ok(Value::Text(Cow::Owned(vector::sparse_text(dimensions, elements))))
    }

    /// The coordinates of a point. The same point in well-known binary is not needed.
    fn point<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let (mut x, mut y) = (None, None);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match key.as_ref() {
                "x" => x = Some(map.next_value_seed(Self(ScalarType::Double, self.1))?),
                "y" => y = Some(map.next_value_seed(Self(ScalarType::Double, self.1))?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        match (x, y) {
            (Some(Value::Double(x)), Some(Value::Double(y))) => Ok(Value::Point(x, y)),
            _ => Err(self.mismatch()),
        }
    }
}

/// `infinity` on PostgreSQL's wire; `-infinity` is the least number.
const INFINITE: i64 = i64::MAX;

/// Microseconds of a timestamp without time zone. A type with up to three fractional digits comes as milliseconds, a
/// type with more as microseconds. Infinite ones travel as the JDBC driver's stand-ins, milliseconds that Debezium
/// scales.
fn timestamp(value: i64, precision: u32) -> Option<i64> {
    let in_millis = precision <= 3;
    let divisor = if in_millis { 1000 } else { 1 };
    match value {
        infinity if infinity == temporal::TIMESTAMP_INFINITY / divisor => Some(INFINITE),
        infinity if infinity == temporal::TIMESTAMP_NEGATIVE_INFINITY / divisor => {
            Some(-INFINITE - 1)
        }
        millis if in_millis => temporal::from_millis(millis),
        // Two microseconds of the year 294247 have the numbers of infinity.
        micros => (micros.unsigned_abs() < i64::MAX.unsigned_abs()).then_some(micros),
    }
}

/// PostgreSQL's `numeric` has at most 131072 digits before the point; an event cannot ask for more.
pub(super) const NUMERIC_DIGITS_MAX: usize = 131_072;

/// Whether a string stands for an unchanged value of this type.
fn is_placeholder(kind: ScalarType, text: &str) -> bool {
    match kind {
        ScalarType::Bytea | ScalarType::Numeric { .. } | ScalarType::Bits { .. } => {
            text == UNAVAILABLE_BASE64
        }
        ScalarType::Hstore => text == UNAVAILABLE_OBJECT,
        _ => text == UNAVAILABLE_VALUE,
    }
}

fn trim_padding(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_end_matches(' ')),
        Cow::Owned(text) => Cow::Owned(text.trim_end_matches(' ').to_owned()),
    }
}

pub(super) fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let mut bytes = [0; 16];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "a real was written from an f32: nothing is lost"
)]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[allow(clippy::cast_precision_loss, reason = "the digits came from a double in the first place")]
fn whole_to_double(value: i64) -> f64 {
    value as f64
}

#[allow(
    clippy::cast_precision_loss,
    reason = "rounds to the nearest, as any number with digits enough does"
)]
fn huge_to_double(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::super::column::ValueSeed;
    use super::*;
    use crate::model::ColumnType;
    use proptest::prelude::*;
    use shared::debezium::types::double;

    fn read(kind: &str, json: &'static str) -> Result<Value<'static>, String> {
        let kind = ColumnType::parse(kind).unwrap();
        let mut deserializer = serde_json::Deserializer::from_str(json);
        ValueSeed(kind, Reads::DataOrPlaceholder)
            .deserialize(&mut deserializer)
            .map_err(|err| err.to_string())
    }

    #[track_caller]
    fn check(kind: &str, json: &'static str, expected: Value<'static>) {
        assert_eq!(read(kind, json), Ok(expected), "{kind} {json}");
    }

    #[test]
    fn values_are_read_as_debezium_writes_them() {
        check("integer", "7", Value::Int(7));
        check("numeric(10,2)", "\"BOI=\"", Value::Numeric("12.50".to_owned()));
        check("numeric", r#"{"scale":1,"value":"AQ=="}"#, Value::Numeric("0.1".to_owned()));
        check("double precision", "1.0E-7", Value::Double(1.0e-7));
        check("double precision", "\"-Infinity\"", Value::Double(f64::NEG_INFINITY));
        check("date", "20455", Value::Date(20455));
        check("time(3)", "36672345", Value::Time(36_672_345_000));
        check("timestamp", "1767323045123456", Value::Timestamp(1_767_323_045_123_456));
        check("timestamp(3)", "1767323045123", Value::Timestamp(1_767_323_045_123_000));
        check("timestamptz", "\"1970-01-01T00:00:01.500000Z\"", Value::Timestamp(1_500_000));
        check("timestamptz(0)", "\"1970-01-01T00:00:01Z\"", Value::Timestamp(1_000_000));
        check("timetz", "\"07:11:12.5Z\"", Value::Time(25_872_500_000));
        check("interval", "-1", Value::Int(-1));
        check("bit(5)", "\"BQ==\"", Value::Text("00101".into()));
        check("money", "\"/qI=\"", Value::Numeric("-3.50".to_owned()));
        check("inet", "\"10.0.0.1/8\"", Value::Text("10.0.0.1/8".into()));
        check("timestamptz", "\"infinity\"", Value::Timestamp(i64::MAX));
        check("timestamptz", "\"-infinity\"", Value::Timestamp(i64::MIN));
        check("timestamp", "9223372036825200000", Value::Timestamp(i64::MAX));
        check("timestamp(3)", "9223372036825200", Value::Timestamp(i64::MAX));
        check("timestamp(3)", "-9223372036832400", Value::Timestamp(i64::MIN));
        check("json", "\"{ }\"", Value::Text("{ }".into()));
        check("jsonb", "\"{ }\"", Value::Json("{ }".into()));
        check("bytea", "\"AP8=\"", Value::Bytes(vec![0, 255]));
        check("char(3)", "\"A  \"", Value::Text("A".into()));
        check("varchar(3)", "\"A  \"", Value::Text("A  ".into()));
        check("text", "null", Value::Null);
    }

    fn read_double(json: &str) -> u64 {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        match ScalarSeed(ScalarType::Double, Reads::Data).deserialize(&mut deserializer) {
            Ok(Value::Double(value)) => value.to_bits(),
            other => panic!("{json} is read as {other:?}"),
        }
    }

    fn read_real(json: &str) -> u32 {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        match ScalarSeed(ScalarType::Real, Reads::Data).deserialize(&mut deserializer) {
            Ok(Value::Real(value)) => value.to_bits(),
            other => panic!("{json} is read as {other:?}"),
        }
    }

    #[test]
    fn neighbours_of_full_precision_stay_apart() {
        let neighbours = ["94.95886283158103", "94.95886283158104", "94.95886283158102"];
        for json in neighbours {
            assert_eq!(read_double(json), json.parse::<f64>().unwrap().to_bits(), "{json}");
        }
        let least = 5e-324_f64;
        assert_eq!(read_double("4.9E-324"), least.to_bits());
        assert_eq!(read_double("1.7976931348623157E308"), f64::MAX.to_bits());
        assert_eq!(read_double("-0.0"), (-0.0_f64).to_bits());
        // Whole numbers without a point, as a transformation between source and loader may write them.
        assert_eq!(read_double("9007199254740993"), 9_007_199_254_740_992_f64.to_bits());
        assert_eq!(read_double("18446744073709551615"), 18_446_744_073_709_551_616_f64.to_bits());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn every_double_comes_back_to_the_bit(value in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL) {
            let mut json = Vec::new();
            double::write_f64(&mut json, value);
            prop_assert_eq!(read_double(std::str::from_utf8(&json).unwrap()), value.to_bits());
        }

        #[test]
        fn every_real_comes_back_to_the_bit(value in proptest::num::f32::NORMAL | proptest::num::f32::SUBNORMAL) {
            let mut json = Vec::new();
            double::write_f32(&mut json, value);
            prop_assert_eq!(read_real(std::str::from_utf8(&json).unwrap()), value.to_bits());
        }
    }

    #[test]
    fn values_at_the_edges_of_their_types_are_read() {
        check("date", "-2147472692", Value::Date(i32::MAX));
        check("date", "-625821272", Value::Date(i32::MIN));
        check("date", "-735160", Value::Date(-735_160));
        check("timestamp", "-9222426057709551617", Value::Timestamp(-9_222_426_057_709_551_617));
        check("timestamp(3)", "9224318015999999", Value::Timestamp(-9_222_426_057_709_552_616));
        let (wkb, bytes) =
            (r#"{"wkb":"AQcAAAAAAAAA","srid":null}"#, vec![1, 7, 0, 0, 0, 0, 0, 0, 0]);
        check("geography(Point, 4326)", wkb, Value::Bytes(bytes));
        check(
            "sparsevec",
            r#"{"dimensions":9,"vector":[[4,-2.0],[1,1.5]]}"#,
            Value::Text("{1:1.5,4:-2}/9".into()),
        );
        check("point", r#"{"x":1.5,"y":-2.0,"wkb":"","srid":null}"#, Value::Point(1.5, -2.0));
        check("hstore", r#""{\"a\":null}""#, Value::Json("{\"a\":null}".into()));
    }

    #[test]
    fn a_scale_below_zero_travels_as_two_thousand_digits() {
        use shared::debezium::types::decimal;
        let mut json = vec![b'"'];
        decimal::write_base64(&mut json, "-12300", 2046).unwrap();
        json.push(b'"');
        let json = String::from_utf8(json).unwrap().leak();
        check("numeric(5,-2)", json, Value::Numeric("-12300".to_owned()));
    }

    #[test]
    fn an_unchanged_value_is_neither_null_nor_text() {
        let base64 = "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"";
        check("numeric(10,2)", base64, Value::Unchanged);
        check("bit(10)", base64, Value::Unchanged);
        check("numeric", format!("{{\"scale\":0,\"value\":{base64}}}").leak(), Value::Unchanged);
        let object = r#""{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}""#;
        check("hstore", object, Value::Unchanged);
        check("text", "\"__debezium_unavailable_value\"", Value::Unchanged);
        check("jsonb", "\"__debezium_unavailable_value\"", Value::Unchanged);
        check("bytea", "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"", Value::Unchanged);
        let text = ColumnType::parse("text").unwrap();
        let mut json = serde_json::Deserializer::from_str("\"__debezium_unavailable_value\"");
        let read = ValueSeed(text, Reads::Data).deserialize(&mut json).unwrap();
        assert_eq!(read, Value::Text(UNAVAILABLE_VALUE.into()), "the event says that it is data");
    }

    #[test]
    fn a_value_of_another_type_is_refused_without_being_shown() {
        for (kind, json) in [
            ("integer", "\"secret\""),
            ("integer", "2147483648"),
            ("smallint", "40000"),
            ("text", "4711"),
            ("boolean", "[4711]"),
            ("numeric(10,2)", "{\"secret\":4711}"),
            ("timestamptz", "\"secret\""),
            ("uuid", "\"secret\""),
            ("numeric", r#"{"scale":16384,"value":"Emc="}"#),
            ("numeric", r#"{"scale":2147483647,"value":"Emc="}"#),
            ("numeric", r#"{"scale":-131073,"value":"Emc="}"#),
            ("numeric", r#"{"scale":-2147483648,"value":"Emc="}"#),
        ] {
            let message = read(kind, json).expect_err(json);
            assert!(!message.contains("secret") && !message.contains("4711"), "{message}");
        }
    }
}
