//! How a column's text becomes JSON: one kind for each form on the wire.

use shared::debezium::types::text::{push_base64, write_json_string};
use shared::debezium::types::{
    ValueError, bits, decimal, double, geometry, hstore, interval, temporal, vector,
};

/// The form that a column's values have on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `t` and `f` to true and false.
    Bool,
    /// Digits, copied.
    Integer,
    /// A float in Java's notation.
    Float,
    /// A double in Java's notation.
    Double,
    /// A string.
    Text,
    /// `org.apache.kafka.connect.data.Decimal`: base64 of the unscaled value.
    Decimal {
        /// Digits after the point.
        scale: usize,
    },
    /// `io.debezium.data.VariableScaleDecimal`: a numeric without a declared scale.
    VariableDecimal,
    /// `io.debezium.time.Date`: days.
    Date,
    /// `io.debezium.time.Time`: milliseconds, of a time with up to 3 digits.
    TimeMillis,
    /// `io.debezium.time.MicroTime`: microseconds.
    TimeMicros,
    /// `io.debezium.time.Timestamp`: milliseconds, of a timestamp with up to 3 digits.
    TimestampMillis,
    /// `io.debezium.time.MicroTimestamp`: microseconds.
    TimestampMicros,
    /// `io.debezium.time.ZonedTimestamp`: ISO 8601 in UTC.
    ZonedTimestamp {
        /// Digits of the fraction of a second.
        digits: usize,
    },
    /// `io.debezium.time.ZonedTime`: ISO 8601 in UTC.
    ZonedTime,
    /// `io.debezium.time.MicroDuration`: microseconds.
    Duration,
    /// `0` and `1` to false and true: a bit string of one bit.
    Bit,
    /// `io.debezium.data.Bits`: bytes in base64, the lowest first.
    Bits,
    /// An amount of money as a decimal of two digits after the point.
    Money,
    /// `io.debezium.data.Json`: a string that holds JSON.
    Json,
    /// `io.debezium.data.Uuid`.
    Uuid,
    /// Bytes in base64.
    Bytes,
    /// `hstore`: a string that holds a JSON object.
    Hstore,
    /// `io.debezium.data.geometry.Point`.
    Point,
    /// `io.debezium.data.geometry.Geometry` or `Geography`: PostGIS's types.
    Geometry,
    /// `io.debezium.data.DoubleVector`: pgvector's `vector`.
    DoubleVector,
    /// `io.debezium.data.FloatVector`: pgvector's `halfvec`.
    FloatVector,
    /// `io.debezium.data.SparseDoubleVector`: pgvector's `sparsevec`.
    SparseVector,
}

/// Type modifiers of varlena types count their own four-byte header.
const VARHDRSZ: i32 = 4;

/// Digits of a time or timestamp: the modifier, or 6.
fn fraction_digits(modifier: i32) -> i32 {
    if modifier < 0 { 6 } else { modifier }
}

/// The kind of a built-in type, none when it has none; oids are fixed in `src/include/catalog/pg_type.dat`.
#[must_use]
pub fn kind_of(type_oid: u32, modifier: i32) -> Option<Kind> {
    Some(match type_oid {
        16 => Kind::Bool,
        20 | 21 | 23 | 26 => Kind::Integer,
        700 => Kind::Float,
        701 => Kind::Double,
        // Strings, cidr, inet, macaddr, macaddr8, xml, tsvector, and the ranges of integers, numerics, dates and
        // timestamps.
        18 | 19 | 25 | 1042 | 1043 | 650 | 869 | 829 | 774 | 142 | 3614 | 3904 | 3906 | 3908
        | 3910 | 3912 | 3926 => Kind::Text,
        1700 if modifier < VARHDRSZ => Kind::VariableDecimal,
        // Precision in the upper half, scale in the lower eleven bits. Debezium takes the scale for unsigned: of
        // numeric(5,-2) it writes 2046 digits after the point.
        1700 => Kind::Decimal { scale: usize::try_from((modifier - VARHDRSZ) & 0x7FF).ok()? },
        1082 => Kind::Date,
        1083 if fraction_digits(modifier) <= 3 => Kind::TimeMillis,
        1083 => Kind::TimeMicros,
        1114 if fraction_digits(modifier) <= 3 => Kind::TimestampMillis,
        1114 => Kind::TimestampMicros,
        1184 => {
            Kind::ZonedTimestamp { digits: usize::try_from(fraction_digits(modifier)).unwrap_or(6) }
        }
        1266 => Kind::ZonedTime,
        1186 => Kind::Duration,
        // The modifier of bit strings is their length.
        1560 | 1562 if modifier == 1 => Kind::Bit,
        1560 | 1562 => Kind::Bits,
        790 => Kind::Money,
        114 | 3802 => Kind::Json,
        2950 => Kind::Uuid,
        17 => Kind::Bytes,
        600 => Kind::Point,
        _ => return None,
    })
}

impl Kind {
    /// Appends the JSON of a value that PostgreSQL printed as `text`.
    ///
    /// # Errors
    /// When the text is not what the type prints, or [`Kind::has_no_form_for`] the value.
    pub fn write(self, out: &mut Vec<u8>, text: &[u8]) -> Result<(), ValueError> {
        match self {
            Self::Bool => write_bool(out, text)?,
            Self::Integer => copy_integer(out, text)?,
            Self::Float => double::write_f32(out, parse_number(text)?),
            Self::Double => double::write_f64(out, parse_number(text)?),
            Self::Text | Self::Json | Self::Uuid => write_json_string(out, utf8(text)?),
            Self::Decimal { scale } => {
                out.push(b'"');
                decimal::write_base64(out, utf8(text)?, scale)?;
                out.push(b'"');
            }
            Self::VariableDecimal => write_variable_decimal(out, utf8(text)?)?,
            Self::Date => write_integer(out, i64::from(days(text)?)),
            Self::TimeMillis => write_integer(out, temporal::parse_time(text)? / 1000),
            Self::TimeMicros => write_integer(out, temporal::parse_time(text)?),
            Self::TimestampMillis => write_integer(
                out,
                match infinite_timestamp(text) {
                    Some(micros) => micros / 1000,
                    None => temporal::millis(temporal::parse_timestamp(text)?),
                },
            ),
            Self::TimestampMicros => write_integer(
                out,
                match infinite_timestamp(text) {
                    Some(micros) => micros,
                    None => temporal::parse_timestamp(text)?,
                },
            ),
            Self::ZonedTimestamp { digits } => write_zoned_timestamp(out, text, digits)?,
            Self::ZonedTime => {
                out.push(b'"');
                temporal::write_zoned_time(out, temporal::parse_timetz(text)?);
                out.push(b'"');
            }
            Self::Duration => write_integer(out, interval::parse_micros(utf8(text)?)?),
            Self::Bit => write_bit(out, text)?,
            Self::Bits => {
                out.push(b'"');
                bits::write_base64(out, text)?;
                out.push(b'"');
            }
            Self::Money => write_money(out, utf8(text)?)?,
            Self::Bytes => write_bytes(out, text)?,
            Self::Hstore => hstore::write_json(out, utf8(text)?)?,
            Self::Point => geometry::write_point(out, utf8(text)?)?,
            Self::Geometry => geometry::write_geometry(out, text)?,
            Self::DoubleVector => vector::write_doubles(out, utf8(text)?)?,
            Self::FloatVector => vector::write_floats(out, utf8(text)?)?,
            Self::SparseVector => vector::write_sparse(out, utf8(text)?)?,
        }
        Ok(())
    }

    /// Whether the value cannot be shown: a numeric that is not a finite number, or a sparse vector of more than 32767
    /// dimensions. Debezium writes NULL in its place.
    #[must_use]
    pub fn has_no_form_for(self, text: &[u8]) -> bool {
        match self {
            Self::Decimal { .. } | Self::VariableDecimal => {
                matches!(text, b"NaN" | b"Infinity" | b"-Infinity")
            }
            Self::SparseVector => vector::has_too_many_dimensions(text),
            _ => false,
        }
    }

    /// Appends a value of a key as it stands in the header that names a row's other key.
    ///
    /// Kafka Connect's header converter writes other JSON than its value converter: a decimal is a number, and in a
    /// string only the quotation mark and the backslash are escaped.
    ///
    /// # Errors
    /// As [`Kind::write`].
    pub fn write_in_header(self, out: &mut Vec<u8>, text: &[u8]) -> Result<(), ValueError> {
        match self {
            Self::Decimal { .. } => write_big_decimal(out, utf8(text)?),
            Self::Text | Self::Json | Self::Uuid => {
                write_header_string(out, utf8(text)?);
                Ok(())
            }
            Self::Hstore => {
                write_header_string(out, &hstore::json(utf8(text)?)?);
                Ok(())
            }
            other => other.write(out, text),
        }
    }

    /// What [`Kind::write_in_header`] appends for the value whose JSON this is.
    #[must_use]
    pub fn json_in_header(self, json: &[u8]) -> Vec<u8> {
        let string = serde_json::from_slice::<String>(json);
        let mut out = Vec::new();
        match (self, string) {
            (Self::Decimal { scale }, Ok(base64)) => {
                let text = decimal::text_from_base64(&base64, scale);
                if text.and_then(|text| write_big_decimal(&mut out, &text)).is_err() {
                    return json.to_vec();
                }
            }
            (Self::Text | Self::Json | Self::Uuid | Self::Hstore, Ok(text)) => {
                write_header_string(&mut out, &text);
            }
            _ => return json.to_vec(),
        }
        out
    }

    /// What stands in a NOT NULL column whose value is not known (`before` of a delete): Debezium's fallback for the
    /// type.
    #[must_use]
    pub fn fallback(self) -> &'static [u8] {
        match self {
            Self::Bool | Self::Bit => b"false",
            Self::Integer
            | Self::Duration
            | Self::Date
            | Self::TimeMillis
            | Self::TimeMicros
            | Self::TimestampMillis
            | Self::TimestampMicros => b"0",
            Self::Float | Self::Double => b"0.0",
            Self::Text | Self::Bytes | Self::Bits | Self::Uuid | Self::Json => b"\"\"",
            Self::Decimal { .. } | Self::Money => b"\"AA==\"",
            Self::ZonedTime => b"\"00:00:00Z\"",
            Self::VariableDecimal => b"{\"scale\":0,\"value\":\"AA==\"}",
            Self::ZonedTimestamp { .. } => b"\"1970-01-01T00:00:00Z\"",
            Self::Hstore => b"\"{}\"",
            Self::Point => {
                b"{\"x\":0.0,\"y\":0.0,\"wkb\":\"AQEAAAAAAAAAAAAAAAAAAAAAAAAA\",\"srid\":null}"
            }
            // An empty collection.
            Self::Geometry => b"{\"wkb\":\"AQcAAAAAAAAA\",\"srid\":null}",
            Self::DoubleVector | Self::FloatVector => b"[]",
            Self::SparseVector => b"{\"dimensions\":0,\"vector\":[]}",
        }
    }
}

fn utf8(text: &[u8]) -> Result<&str, ValueError> {
    std::str::from_utf8(text).map_err(|_| ValueError("UTF-8 string"))
}

fn write_bool(out: &mut Vec<u8>, text: &[u8]) -> Result<(), ValueError> {
    out.extend_from_slice(match text {
        b"t" => b"true".as_slice(),
        b"f" => b"false",
        _ => return Err(ValueError("boolean")),
    });
    Ok(())
}

fn write_bit(out: &mut Vec<u8>, text: &[u8]) -> Result<(), ValueError> {
    out.extend_from_slice(match text {
        b"1" => b"true".as_slice(),
        b"0" | b"" => b"false",
        _ => return Err(ValueError("bit")),
    });
    Ok(())
}

fn copy_integer(out: &mut Vec<u8>, text: &[u8]) -> Result<(), ValueError> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ValueError("integer"));
    }
    out.extend_from_slice(text);
    Ok(())
}

fn write_zoned_timestamp(out: &mut Vec<u8>, text: &[u8], digits: usize) -> Result<(), ValueError> {
    out.push(b'"');
    match text {
        b"infinity" | b"-infinity" => out.extend_from_slice(text),
        _ => temporal::write_zoned(out, temporal::parse_timestamptz(text)?, digits),
    }
    out.push(b'"');
    Ok(())
}

/// PostgreSQL prints `NaN`, `Infinity` and `-Infinity` as Rust reads them.
fn parse_number<T: std::str::FromStr>(text: &[u8]) -> Result<T, ValueError> {
    utf8(text)?.parse().map_err(|_| ValueError("floating-point number"))
}

/// Microseconds of an infinite timestamp: those of the JDBC driver's constants, which is what Debezium writes.
fn infinite_timestamp(text: &[u8]) -> Option<i64> {
    match text {
        b"infinity" => Some(temporal::TIMESTAMP_INFINITY),
        b"-infinity" => Some(temporal::TIMESTAMP_NEGATIVE_INFINITY),
        _ => None,
    }
}

/// Days of a date; of an infinite one, what Debezium's stream writes.
fn days(text: &[u8]) -> Result<i32, ValueError> {
    match text {
        b"infinity" => Ok(temporal::DATE_INFINITY),
        b"-infinity" => Ok(temporal::DATE_NEGATIVE_INFINITY),
        _ => temporal::parse_date(text),
    }
}

/// A string in a header: only the quotation mark and the backslash are escaped.
fn write_header_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for &byte in text.as_bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

pub(super) fn write_integer(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn write_variable_decimal(out: &mut Vec<u8>, text: &str) -> Result<(), ValueError> {
    // Zeros at the end carry no value, and Debezium drops them: 2.50 and 2.5 are the same event.
    let text = match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => text.trim_end_matches('0'),
        None => text,
    };
    let scale = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    out.extend_from_slice(b"{\"scale\":");
    out.extend_from_slice(itoa::Buffer::new().format(scale).as_bytes());
    out.extend_from_slice(b",\"value\":\"");
    decimal::write_base64(out, text, scale)?;
    out.extend_from_slice(b"\"}");
    Ok(())
}

/// Text like `$1,234.50` or `-$0.05`. The sign and the digits are read, and everything that the server's `lc_monetary`
/// puts between and around them is passed over.
fn write_money(out: &mut Vec<u8>, text: &str) -> Result<(), ValueError> {
    let negative = text.starts_with('-') || text.starts_with('(');
    let mut plain = String::from(if negative { "-" } else { "" });
    plain.extend(text.chars().filter(|c| c.is_ascii_digit() || *c == '.'));
    out.push(b'"');
    decimal::write_base64(out, &plain, 2)?;
    out.push(b'"');
    Ok(())
}

/// A decimal as Java's `BigDecimal.toString` prints it: plain, but in scientific notation below 10^-6.
fn write_big_decimal(out: &mut Vec<u8>, text: &str) -> Result<(), ValueError> {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit())
    {
        return Err(ValueError("decimal"));
    }
    let significant = fraction.trim_start_matches('0');
    let zeros = fraction.len() - significant.len();
    // Zero counts as one digit.
    let (significant, exponent) = match significant {
        "" => ("0", fraction.len()),
        digits => (digits, zeros + 1),
    };
    if whole.trim_start_matches('0').is_empty() && exponent > 6 {
        let (first, rest) = significant.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        out.extend_from_slice(format!("{sign}{first}{point}{rest}E-{exponent}").as_bytes());
    } else {
        out.extend_from_slice(text.as_bytes());
    }
    Ok(())
}

/// `bytea_output = hex`: `\x` and two digits a byte.
fn write_bytes(out: &mut Vec<u8>, text: &[u8]) -> Result<(), ValueError> {
    let bytes = text
        .strip_prefix(b"\\x")
        .and_then(|digits| hex::decode(digits).ok())
        .ok_or(ValueError("bytea in hex form"))?;
    out.push(b'"');
    push_base64(out, &bytes);
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, text: &str, expected: &str) {
        let mut out = Vec::new();
        kind.write(&mut out, text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn each_kind_writes_what_debezium_writes() {
        check(Kind::Bool, "t", "true");
        check(Kind::Integer, "-42", "-42");
        check(Kind::Float, "0.1", "0.1");
        check(Kind::Double, "1e-07", "1.0E-7");
        check(Kind::Double, "NaN", "\"NaN\"");
        check(Kind::Text, "é \"q\" \\ /", r#""é \"q\" \\ /""#);
        check(Kind::Decimal { scale: 2 }, "-3.50", "\"/qI=\"");
        check(Kind::VariableDecimal, "12.34", r#"{"scale":2,"value":"BNI="}"#);
        check(Kind::VariableDecimal, "2.50", r#"{"scale":1,"value":"GQ=="}"#);
        check(Kind::VariableDecimal, "0.000", r#"{"scale":0,"value":"AA=="}"#);
        check(Kind::VariableDecimal, "100", r#"{"scale":0,"value":"ZA=="}"#);
        check(Kind::Date, "2026-01-02", "20455");
        check(Kind::TimeMillis, "10:11:12.345", "36672345");
        check(Kind::TimestampMicros, "2026-01-02 03:04:05.123456", "1767323045123456");
        check(
            Kind::ZonedTimestamp { digits: 6 },
            "2026-01-02 00:04:05.1+00",
            "\"2026-01-02T00:04:05.100000Z\"",
        );
        check(Kind::ZonedTimestamp { digits: 6 }, "-infinity", "\"-infinity\"");
        check(Kind::TimestampMicros, "infinity", "9223372036825200000");
        check(Kind::TimestampMillis, "-infinity", "-9223372036832400");
        check(Kind::TimestampMillis, "294276-12-31 23:59:59.999", "9224318015999999");
        check(Kind::Date, "infinity", "-2147472692");
        check(Kind::Date, "-infinity", "-2147472691");
        check(Kind::Date, "0044-03-15 BC", "-735160");
        check(Kind::Json, r#"{"a": [1, 2]}"#, r#""{\"a\": [1, 2]}""#);
        check(Kind::Bytes, "\\x00ff", "\"AP8=\"");
    }

    #[test]
    fn a_key_in_a_header_is_written_as_kafka_connects_header_converter_does() {
        let check = |kind: Kind, text: &str, expected: &str| {
            let mut out = Vec::new();
            kind.write_in_header(&mut out, text.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(Kind::Decimal { scale: 2 }, "-1.50", "-1.50");
        check(Kind::Decimal { scale: 6 }, "0.000001", "0.000001");
        check(Kind::Decimal { scale: 8 }, "0.00000120", "0.00000120");
        check(Kind::Decimal { scale: 8 }, "-0.00000012", "-1.2E-7");
        check(Kind::Decimal { scale: 8 }, "0.00000001", "1E-8");
        check(Kind::Decimal { scale: 8 }, "0.00000000", "0E-8");
        check(Kind::Text, "a \"b\" \\ \n🛫", "\"a \\\"b\\\" \\\\ \n🛫\"");
        check(Kind::Bytes, "\\x00ff", "\"AP8=\"");
    }

    #[test]
    fn text_that_the_type_never_prints_is_refused() {
        for (kind, text) in [
            (Kind::Bool, "true"),
            (Kind::Integer, "1.5"),
            (Kind::Integer, ""),
            (Kind::Decimal { scale: 2 }, "NaN"),
            (Kind::Date, "infinite"),
            (Kind::Point, "1,2"),
            (Kind::Hstore, "a"),
            (Kind::Bytes, "00ff"),
        ] {
            assert!(kind.write(&mut Vec::new(), text.as_bytes()).is_err(), "{kind:?} {text}");
        }
    }

    #[test]
    fn modifiers_choose_scale_and_unit() {
        assert_eq!(kind_of(1700, ((10 << 16) | 2) + 4), Some(Kind::Decimal { scale: 2 }));
        assert_eq!(kind_of(1700, ((5 << 16) | 0x7FE) + 4), Some(Kind::Decimal { scale: 2046 }));
        assert_eq!(kind_of(1700, -1), Some(Kind::VariableDecimal));
        assert_eq!(kind_of(1083, 3), Some(Kind::TimeMillis));
        assert_eq!(kind_of(1114, -1), Some(Kind::TimestampMicros));
        assert_eq!(kind_of(603, -1), None);
    }
}
