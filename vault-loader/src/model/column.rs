//! The PostgreSQL types that a model may name, and what the vault stores for each.
//!
//! In goes a type as PostgreSQL prints it (`numeric(10,2)`, `char(3)`), out comes a [`ColumnType`] and its vault DDL.
//! Two spellings of one type are one value; a type outside the list is refused, never approximated.

/// A column's type, as far as decoding, hashing and storing it differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// `smallint`
    SmallInt,
    /// `integer`
    Integer,
    /// `bigint`
    BigInt,
    /// `numeric(p,s)`; the scale is part of the wire format
    Numeric {
        /// digits in all
        precision: u32,
        /// digits after the point
        scale: u32,
    },
    /// `numeric` without bounds: each value carries its scale
    NumericUnbounded,
    /// `real`
    Real,
    /// `double precision`
    Double,
    /// `boolean`
    Boolean,
    /// `text`, `varchar(n)`, and what travels as text: network addresses, ranges, `xml`, `tsvector`
    Text,
    /// `char(n)`: blanks at the end are padding, not data
    Char,
    /// `date`
    Date,
    /// `time(p)` without time zone
    Time {
        /// fractional digits; up to 3 travel as milliseconds
        precision: u32,
    },
    /// `time with time zone`; travels in UTC
    TimeTz,
    /// `interval`; travels as microseconds, a month counted as 30.4375 days
    Interval,
    /// `bit(n)` of more than one bit
    Bits {
        /// how many
        length: u32,
    },
    /// `timestamp(p)` without time zone
    Timestamp {
        /// fractional digits; up to 3 travel as milliseconds
        precision: u32,
    },
    /// `timestamptz`
    TimestampTz,
    /// `json`
    Json,
    /// `jsonb`
    Jsonb,
    /// `uuid`
    Uuid,
    /// `bytea`
    Bytea,
}

impl ColumnType {
    /// Reads a type as PostgreSQL writes it, short or long form; `None` for one the loader does not know.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let (name, arguments) = split_arguments(&text)?;
        let simple = |kind: Self| arguments.is_empty().then_some(kind);
        match name.as_str() {
            "smallint" | "int2" => simple(Self::SmallInt),
            "integer" | "int" | "int4" => simple(Self::Integer),
            "bigint" | "int8" => simple(Self::BigInt),
            "numeric" | "decimal" => parse_numeric(&arguments),
            "real" | "float4" => simple(Self::Real),
            "double precision" | "float8" => simple(Self::Double),
            "boolean" | "bool" => simple(Self::Boolean),
            "text" | "inet" | "cidr" | "macaddr" | "macaddr8" | "xml" | "tsvector"
            | "int4range" | "int8range" | "numrange" | "daterange" | "tsrange" | "tstzrange" => {
                simple(Self::Text)
            }
            "money" => simple(MONEY),
            "bit" => parse_bits(&arguments),
            "interval" => fraction(&arguments).map(|_| Self::Interval),
            "timetz" | "time with time zone" => fraction(&arguments).map(|_| Self::TimeTz),
            "varchar" | "character varying" => (arguments.len() <= 1).then_some(Self::Text),
            "char" | "character" | "bpchar" => (arguments.len() <= 1).then_some(Self::Char),
            "date" => simple(Self::Date),
            "time" | "time without time zone" => {
                Some(Self::Time { precision: fraction(&arguments)? })
            }
            "timestamp" | "timestamp without time zone" => {
                Some(Self::Timestamp { precision: fraction(&arguments)? })
            }
            "timestamptz" | "timestamp with time zone" => {
                fraction(&arguments).map(|_| Self::TimestampTz)
            }
            "json" => simple(Self::Json),
            "jsonb" => simple(Self::Jsonb),
            "uuid" => simple(Self::Uuid),
            "bytea" => simple(Self::Bytea),
            _ => None,
        }
    }

    /// The type of the vault's column, exactly as `format_type` prints it, so that it can be compared with the catalog.
    #[must_use]
    pub fn vault_type(self) -> String {
        match self {
            Self::SmallInt => "smallint".to_owned(),
            Self::Integer => "integer".to_owned(),
            // Months are days in it: it must not be taken for the interval that it was.
            Self::BigInt | Self::Interval => "bigint".to_owned(),
            Self::Numeric { precision, scale } => format!("numeric({precision},{scale})"),
            Self::NumericUnbounded => "numeric".to_owned(),
            Self::Real => "real".to_owned(),
            Self::Double => "double precision".to_owned(),
            Self::Boolean => "boolean".to_owned(),
            Self::Text | Self::Char | Self::Bits { .. } => "text".to_owned(),
            Self::TimeTz => "time with time zone".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Time { .. } => "time without time zone".to_owned(),
            Self::Timestamp { .. } => "timestamp without time zone".to_owned(),
            Self::TimestampTz => "timestamp with time zone".to_owned(),
            Self::Json => "json".to_owned(),
            Self::Jsonb => "jsonb".to_owned(),
            Self::Uuid => "uuid".to_owned(),
            Self::Bytea => "bytea".to_owned(),
        }
    }

    /// Whether the server may store a value of this type out of line, so that an update can leave it out.
    #[must_use]
    pub fn may_be_toasted(self) -> bool {
        matches!(self, Self::Text | Self::Char | Self::Json | Self::Jsonb | Self::Bytea)
    }

    /// Whether keys of these two types hash alike for equal values.
    #[must_use]
    pub fn hashes_like(self, other: Self) -> bool {
        family(self) == family(other)
    }
}

/// Types of one family have one canonical form.
fn family(kind: ColumnType) -> u8 {
    match kind {
        ColumnType::SmallInt | ColumnType::Integer | ColumnType::BigInt => 0,
        ColumnType::Numeric { .. } | ColumnType::NumericUnbounded => 1,
        ColumnType::Real | ColumnType::Double => 2,
        ColumnType::Boolean => 3,
        ColumnType::Text | ColumnType::Char => 4,
        ColumnType::Date => 5,
        ColumnType::Time { .. } => 6,
        ColumnType::Timestamp { .. } => 7,
        ColumnType::TimestampTz => 8,
        ColumnType::Jsonb => 9,
        ColumnType::Uuid => 10,
        ColumnType::Bytea => 11,
        ColumnType::Json => 12,
        ColumnType::TimeTz => 13,
        ColumnType::Interval => 14,
        ColumnType::Bits { .. } => 15,
    }
}

/// Money travels with two digits after the point; eight bytes hold 17 before it.
const MONEY: ColumnType = ColumnType::Numeric { precision: 19, scale: 2 };

/// The longest `bit(n)`: `MaxAttrSize` in bits (`src/include/access/htup_details.h`).
const BITS_MAX: u32 = 83_886_080;

/// `numeric(10, 2)` becomes `("numeric", [10, 2])`; `timestamp(3) with time zone` keeps its tail in the name.
fn split_arguments(text: &str) -> Option<(String, Vec<i64>)> {
    let Some((name, rest)) = text.split_once('(') else {
        return Some((text.to_owned(), Vec::new()));
    };
    let (inner, tail) = rest.split_once(')')?;
    let arguments =
        inner.split(',').map(|part| part.trim().parse().ok()).collect::<Option<Vec<i64>>>()?;
    let name = match tail.trim() {
        "" => name.trim().to_owned(),
        tail => format!("{} {tail}", name.trim()),
    };
    Some((name, arguments))
}

fn parse_numeric(arguments: &[i64]) -> Option<ColumnType> {
    let bounded = |precision: i64, scale: i64| {
        let precision = u32::try_from(precision).ok().filter(|p| (1..=1000).contains(p))?;
        let scale = u32::try_from(scale).ok().filter(|s| *s <= precision)?;
        Some(ColumnType::Numeric { precision, scale })
    };
    match arguments {
        [] => Some(ColumnType::NumericUnbounded),
        [precision] => bounded(*precision, 0),
        [precision, scale] => bounded(*precision, *scale),
        _ => None,
    }
}

/// One bit travels as a boolean.
fn parse_bits(arguments: &[i64]) -> Option<ColumnType> {
    match arguments {
        [] | [1] => Some(ColumnType::Boolean),
        [length] => Some(ColumnType::Bits {
            length: u32::try_from(*length).ok().filter(|bits| (1..=BITS_MAX).contains(bits))?,
        }),
        _ => None,
    }
}

fn fraction(arguments: &[i64]) -> Option<u32> {
    match arguments {
        [] => Some(6),
        [digits] => u32::try_from(*digits).ok().filter(|digits| *digits <= 6),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, vault: Option<&str>) {
        assert_eq!(ColumnType::parse(text).map(ColumnType::vault_type).as_deref(), vault, "{text}");
    }

    #[test]
    fn types_are_read_as_postgresql_prints_them() {
        check("char(3)", Some("text"));
        check("character varying(20)", Some("text"));
        check("NUMERIC(10, 2)", Some("numeric(10,2)"));
        check("numeric(4)", Some("numeric(4,0)"));
        check("numeric", Some("numeric"));
        check("timestamp(3) with time zone", Some("timestamp with time zone"));
        check("timestamptz", Some("timestamp with time zone"));
        check("double precision", Some("double precision"));
        check("money", Some("numeric(19,2)"));
        check("bit(1)", Some("boolean"));
        check("bit(10)", Some("text"));
        check("interval", Some("bigint"));
        check("time(3) with time zone", Some("time with time zone"));
        check("tstzrange", Some("text"));
    }

    #[test]
    fn unknown_or_malformed_types_are_refused() {
        for text in [
            "geometry",
            "integer[]",
            "numeric(2,3)",
            "numeric(a)",
            "text(3)",
            "time(7)",
            "bit(0)",
            "",
        ] {
            check(text, None);
        }
    }
}
