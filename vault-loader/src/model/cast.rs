//! Casts of a hub's key: how a column of one type feeds a hub whose key has another type.
//!
//! In: the column's type and the key's. Out: the [`Cast`] between them, if there is one. Only casts are known that
//! every value survives, each as another value, so two keys of a source never become one key of the hub. The text is
//! the one that PostgreSQL's own cast to `text` gives.

use super::{ColumnType, ScalarType};

/// How a value becomes one of another type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cast {
    /// the value stays as it is: a wider type of the same family, and `char(n)` or `varchar(n)` as `text`; the blanks
    /// that pad a `char(n)` are no part of its value
    Same,
    /// an integer in decimal digits
    IntegerToText,
    /// an integer as a number with a point
    IntegerToNumeric,
    /// 32 hexadecimal digits in lower case, in five groups
    UuidToText,
}

impl Cast {
    /// The cast from one type to another; `None` when it could lose something or fail.
    #[must_use]
    pub fn between(from: ColumnType, to: ColumnType) -> Option<Self> {
        use ScalarType as Type;
        let (ColumnType::Scalar(from), ColumnType::Scalar(to)) = (from, to) else { return None };
        match (from, to) {
            (Type::SmallInt, Type::Integer | Type::BigInt) | (Type::Integer, Type::BigInt) => {
                Some(Self::Same)
            }
            (Type::Text | Type::Char, Type::Text) => Some(Self::Same),
            (Type::SmallInt | Type::Integer | Type::BigInt, Type::Text) => {
                Some(Self::IntegerToText)
            }
            (Type::SmallInt | Type::Integer | Type::BigInt, Type::NumericUnbounded) => {
                Some(Self::IntegerToNumeric)
            }
            (Type::SmallInt | Type::Integer | Type::BigInt, Type::Numeric { precision, scale }) => {
                let room = i64::from(precision) - i64::from(scale);
                (scale >= 0 && room >= digits(from)).then_some(Self::IntegerToNumeric)
            }
            (Type::Uuid, Type::Text) => Some(Self::UuidToText),
            _ => None,
        }
    }
}

/// Digits of the greatest value.
fn digits(kind: ScalarType) -> i64 {
    match kind {
        ScalarType::SmallInt => 5,
        ScalarType::Integer => 10,
        _ => 19,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: &str, to: &str, expected: Option<Cast>) {
        let kind = |text| ColumnType::parse(text).unwrap();
        assert_eq!(Cast::between(kind(from), kind(to)), expected, "{from} as {to}");
    }

    #[test]
    fn only_casts_that_every_value_survives_are_known() {
        check("integer", "text", Some(Cast::IntegerToText));
        check("bigint", "varchar(40)", Some(Cast::IntegerToText));
        check("smallint", "bigint", Some(Cast::Same));
        check("integer", "numeric", Some(Cast::IntegerToNumeric));
        check("integer", "numeric(12,2)", Some(Cast::IntegerToNumeric));
        check("uuid", "text", Some(Cast::UuidToText));
        check("char(3)", "text", Some(Cast::Same));
        check("varchar(3)", "text", Some(Cast::Same));
        check("bigint", "integer", None);
        check("integer", "numeric(11,2)", None);
        check("integer", "numeric(12,-1)", None);
        check("text", "integer", None);
        check("numeric", "text", None);
        check("timestamptz", "text", None);
        check("text", "uuid", None);
        check("integer[]", "text", None);
        check("double precision", "text", None);
    }
}
