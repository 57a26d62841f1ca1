//! Values of a hub's key in the key's own type.
//!
//! In: a value as the source has it, and a [`Cast`]. Out: the value that the hub's key has, which is hashed and stored.
//! NULL stays NULL. A cast cannot fail, because the model names only casts that every value survives.

use std::borrow::Cow;
use std::fmt::Write;

use crate::decode::Value;
use crate::model::Cast;

/// The value as one of the key's type.
#[must_use]
pub fn cast<'v, 'a>(value: &'v Value<'a>, cast: Cast) -> Cow<'v, Value<'a>> {
    match (cast, value) {
        (Cast::IntegerToText, Value::Int(number)) => {
            Cow::Owned(Value::Text(number.to_string().into()))
        }
        (Cast::IntegerToNumeric, Value::Int(number)) => {
            Cow::Owned(Value::Numeric(number.to_string()))
        }
        (Cast::UuidToText, Value::Uuid(bytes)) => Cow::Owned(Value::Text(uuid_text(bytes).into())),
        // NULL, and values that were left out of an event, are the same in every type.
        (Cast::Same | Cast::IntegerToText | Cast::IntegerToNumeric | Cast::UuidToText, value) => {
            Cow::Borrowed(value)
        }
    }
}

/// As PostgreSQL prints it: `uuid_out` in `src/backend/utils/adt/uuid.c`.
fn uuid_text(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_postgresql_s_own_casts_give() {
        let text = |value: &str| Value::Text(value.to_owned().into());
        assert_eq!(*cast(&Value::Int(-42), Cast::IntegerToText), text("-42"));
        let least = i64::MIN.to_string();
        assert_eq!(*cast(&Value::Int(i64::MIN), Cast::IntegerToText), text(&least));
        let number = Value::Numeric("7".to_owned());
        assert_eq!(*cast(&Value::Int(7), Cast::IntegerToNumeric), number);
        let uuid =
            Value::Uuid(*b"\xa0\xee\xbc\x99\x9c\x0b\x4e\xf8\xbb\x6d\x6b\xb9\xbd\x38\x0a\x11");
        assert_eq!(*cast(&uuid, Cast::UuidToText), text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"));
        assert_eq!(*cast(&text("SVO"), Cast::Same), text("SVO"));
        assert_eq!(*cast(&Value::Null, Cast::UuidToText), Value::Null);
    }
}
