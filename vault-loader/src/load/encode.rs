//! PostgreSQL's binary COPY format, written by hand into a buffer for each table.
//!
//! In: typed values. Out: the bytes of `COPY … (FORMAT binary)`. Encoding cannot fail: the decoder has checked the
//! ranges of integers, and the server refuses a time that its type does not hold.
//!
//! ```text
//! "PGCOPY\n\xff\r\n\0"  flags i32 = 0  extension i32 = 0
//! per row:  field count i16, per field: length i32 (-1 = NULL), bytes     (server: CopyGetInt16, ReceiveFunctionCall)
//! end:      i16 = -1
//! ```
//!
//! Manual: <https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format".

use bytes::{BufMut, Bytes, BytesMut};

use crate::decode::{ArrayValue, Value};
use crate::model::{ColumnType, ScalarType};

/// PostgreSQL counts from 2000-01-01. This is the difference to the Unix epoch.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A part of the rows that is sent at once. One that fits the processor's cache is copied several times on its way to
/// the socket in less time than a longer one.
const PART_BYTES: usize = 128 << 10;

/// Rows in binary COPY format.
#[derive(Debug)]
pub(super) struct CopyBuffer {
    parts: Vec<Bytes>,
    bytes: BytesMut,
}

impl CopyBuffer {
    pub(super) fn new() -> Self {
        let mut bytes = BytesMut::new();
        bytes.put_slice(b"PGCOPY\n\xff\r\n\0");
        bytes.put_i32(0);
        bytes.put_i32(0);
        Self { parts: Vec::new(), bytes }
    }

    pub(super) fn begin_row(&mut self, field_count: usize) {
        let count = i16::try_from(field_count).expect("a table has at most 1600 columns");
        if self.bytes.len() >= PART_BYTES {
            let full = std::mem::replace(
                &mut self.bytes,
                BytesMut::with_capacity(PART_BYTES + PART_BYTES / 8),
            );
            self.parts.push(full.freeze());
        }
        self.bytes.put_i16(count);
    }

    /// The bytes of all rows, in parts.
    pub(super) fn finish(mut self) -> Vec<Bytes> {
        self.bytes.put_i16(-1);
        self.parts.push(self.bytes.freeze());
        self.parts
    }

    pub(super) fn null(&mut self) {
        self.bytes.put_i32(-1);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.put_i32(length(bytes.len()));
        self.bytes.put_slice(bytes);
    }

    pub(super) fn bool(&mut self, value: bool) {
        self.bytes(&[u8::from(value)]);
    }

    pub(super) fn int2(&mut self, value: i16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn int4(&mut self, value: i32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn int8(&mut self, value: i64) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn timestamp(&mut self, unix_micros: i64) {
        self.int8(match unix_micros {
            i64::MAX | i64::MIN => unix_micros, // infinity and -infinity, on both sides
            // What does not fit must not become infinite: the server refuses it.
            // The last years of PostgreSQL's range have wrapped around once; see `shared::debezium::types::temporal`.
            finite => finite.wrapping_sub(EPOCH_MICROS).clamp(i64::MIN + 1, i64::MAX - 1),
        });
    }

    pub(super) fn optional_int8(&mut self, value: Option<i64>) {
        match value {
            Some(value) => self.int8(value),
            None => self.null(),
        }
    }

    /// Writes a value as its vault column's type.
    pub(super) fn value(&mut self, kind: ColumnType, value: &Value<'_>) {
        let (ColumnType::Scalar(element) | ColumnType::Array(element)) = kind;
        match value {
            Value::Array(array) => self.array(element, array),
            value => self.scalar(element, value),
        }
    }

    /// `array_recv`: dimensions, whether there are NULLs, the elements' type; for each dimension its length and lower
    /// bound; elements.
    fn array(&mut self, kind: ScalarType, array: &ArrayValue<'_>) {
        let at = self.bytes.len();
        self.bytes.put_i32(0);
        self.bytes.put_i32(length(array.dimensions.len()));
        self.bytes.put_i32(i32::from(array.elements.contains(&Value::Null)));
        self.bytes.put_u32(kind.vault_oid());
        for dimension in &array.dimensions {
            self.bytes.put_i32(length(*dimension));
            self.bytes.put_i32(1);
        }
        for element in &array.elements {
            self.scalar(kind, element);
        }
        let written = length(self.bytes.len() - at - 4);
        self.bytes[at..at + 4].copy_from_slice(&written.to_be_bytes());
    }

    fn scalar(&mut self, kind: ScalarType, value: &Value<'_>) {
        match value {
            Value::Null => self.null(),
            Value::Int(value) => match kind {
                ScalarType::SmallInt => {
                    self.int2(i16::try_from(*value).expect("range was checked"));
                }
                ScalarType::Integer => self.int4(i32::try_from(*value).expect("range was checked")),
                _ => self.int8(*value),
            },
            Value::Bool(value) => self.bool(*value),
            Value::Real(value) => self.bytes(&value.to_be_bytes()),
            Value::Double(value) => self.bytes(&value.to_be_bytes()),
            Value::Numeric(text) => self.numeric(text),
            Value::Text(text) => self.bytes(text.as_bytes()),
            Value::Json(text) => {
                self.bytes.put_i32(length(text.len() + 1));
                self.bytes.put_u8(1); // version of the jsonb wire format
                self.bytes.put_slice(text.as_bytes());
            }
            Value::Date(days) => self.int4(match *days {
                i32::MAX | i32::MIN => *days, // infinity and -infinity, on both sides
                finite => finite.saturating_sub(EPOCH_DAYS).max(i32::MIN + 1),
            }),
            Value::Time(micros) if kind == ScalarType::TimeTz => {
                self.bytes.put_i32(12);
                self.bytes.put_i64(*micros);
                self.bytes.put_i32(0); // seconds west of Greenwich
            }
            Value::Time(micros) => self.int8(*micros),
            Value::Timestamp(micros) => self.timestamp(*micros),
            Value::Uuid(bytes) => self.bytes(bytes),
            Value::Bytes(bytes) => self.bytes(bytes),
            Value::Point(x, y) => {
                self.bytes.put_i32(16);
                self.bytes.put_f64(*x);
                self.bytes.put_f64(*y);
            }
            Value::Array(_) => unreachable!("the decoder flattens arrays"),
            Value::Absent | Value::Unchanged => {
                unreachable!("absent and unchanged values are resolved before encoding")
            }
        }
    }

    /// `numeric`: groups of four decimal digits; group count, weight of the first, sign, digits after the point.
    fn numeric(&mut self, text: &str) {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let whole_width = whole.len().div_ceil(4) * 4;
        let fraction_width = fraction.len().div_ceil(4) * 4;
        let digits = format!("{whole:0>whole_width$}{fraction:0<fraction_width$}");
        let groups: Vec<i16> = digits
            .as_bytes()
            .chunks(4)
            .map(|group| group.iter().fold(0, |sum, digit| sum * 10 + i16::from(digit - b'0')))
            .collect();
        let leading = groups.iter().take_while(|group| **group == 0).count();
        let trailing = groups.iter().rev().take_while(|group| **group == 0).count();
        let kept =
            if leading == groups.len() { &[] } else { &groups[leading..groups.len() - trailing] };
        let weight = i64::try_from(whole_width / 4).ok().zip(i64::try_from(leading).ok());
        let weight = weight.and_then(|(whole, leading)| i16::try_from(whole - 1 - leading).ok());
        let count = i16::try_from(kept.len()).unwrap_or(i16::MAX);
        self.bytes.put_i32(length(8 + kept.len() * 2));
        self.bytes.put_i16(count);
        self.bytes.put_i16(if kept.is_empty() { 0 } else { weight.unwrap_or(i16::MAX) });
        self.bytes.put_u16(if negative && !kept.is_empty() { 0x4000 } else { 0 });
        self.bytes.put_u16(u16::try_from(fraction.len()).unwrap_or(u16::MAX));
        for group in kept {
            self.bytes.put_i16(*group);
        }
    }
}

fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).expect("a value is shorter than 2 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(text: &str) -> Vec<u8> {
        let mut buffer = CopyBuffer::new();
        let start = buffer.bytes.len();
        buffer.numeric(text);
        buffer.bytes[start + 4..].to_vec()
    }

    #[test]
    fn numeric_is_written_in_groups_of_four_digits() {
        // group count, weight, sign, scale, groups
        assert_eq!(numeric("12345.6"), [0, 3, 0, 1, 0, 0, 0, 1, 0, 1, 0x09, 0x29, 0x17, 0x70]);
        assert_eq!(numeric("-0.0001"), [0, 1, 0xff, 0xff, 0x40, 0, 0, 4, 0, 1]);
        assert_eq!(numeric("0.00"), [0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(numeric("10000"), [0, 1, 0, 1, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn an_array_has_its_dimensions_before_its_elements() {
        let mut buffer = CopyBuffer::new();
        let start = buffer.bytes.len();
        let elements = vec![Value::Int(7), Value::Null];
        let array = Value::Array(Box::new(ArrayValue { dimensions: vec![2], elements }));
        buffer.value(ColumnType::Array(ScalarType::SmallInt), &array);
        let expected = [
            [0, 0, 0, 30].as_slice(),
            &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 21],
            &[0, 0, 0, 2, 0, 0, 0, 1],
            &[0, 0, 0, 2, 0, 7, 0xff, 0xff, 0xff, 0xff],
        ];
        assert_eq!(buffer.bytes[start..], expected.concat());
    }

    #[test]
    fn the_last_years_and_infinity_stay_what_they_are() {
        let timestamp = |micros: i64| {
            let mut buffer = CopyBuffer::new();
            let start = buffer.bytes.len();
            buffer.timestamp(micros);
            i64::from_be_bytes(buffer.bytes[start + 4..].try_into().unwrap())
        };
        // 294276-12-31 23:59:59.999999, PostgreSQL's last instant.
        assert_eq!(timestamp(-9_222_426_057_709_551_617), 9_223_371_331_199_999_999);
        assert_eq!(timestamp(i64::MAX), i64::MAX);
        assert_eq!(timestamp(i64::MIN), i64::MIN);
        assert_eq!(timestamp(i64::MIN + EPOCH_MICROS - 1), i64::MAX - 1, "refused by the server");
    }

    #[test]
    fn time_counts_from_the_year_2000() {
        let mut buffer = CopyBuffer::new();
        let start = buffer.bytes.len();
        buffer.scalar(ScalarType::TimestampTz, &Value::Timestamp(EPOCH_MICROS + 1));
        buffer.scalar(ScalarType::Date, &Value::Date(EPOCH_DAYS - 1));
        assert_eq!(
            buffer.bytes[start..],
            [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff]
        );
    }
}
