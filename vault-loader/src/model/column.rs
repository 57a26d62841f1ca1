//! The PostgreSQL types that a model may name, and what the vault stores for each.
//!
//! In: a type as PostgreSQL prints it (`numeric(10,2)`, `text[]`). Out: a [`ColumnType`] and its vault DDL. Two
//! spellings of one type give the same value. A type outside the list is refused.

/// A column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// One value.
    Scalar(ScalarType),
    /// An array of values, of any number of dimensions.
    Array(ScalarType),
}

/// Types of which Debezium leaves arrays out of events.
const NO_ELEMENTS: [&str; 4] = ["interval", "money", "point", "xml"];

impl ColumnType {
    /// `text`.
    pub const TEXT: Self = Self::Scalar(ScalarType::Text);

    /// Reads a type as PostgreSQL writes it, in short or long form. `None` for a type that the loader does not know.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        match text.strip_suffix("[]") {
            // However many dimensions a column declares, its values may have any number.
            Some(element) => {
                let element = element.trim_end_matches("[]").trim_end();
                let has_arrays = !NO_ELEMENTS.contains(&element);
                has_arrays.then(|| ScalarType::parse(element)).flatten().map(Self::Array)
            }
            None => dense_vector(&text)
                .map(Self::Array)
                .or_else(|| ScalarType::parse(&text).map(Self::Scalar)),
        }
    }

    /// The type of the vault's column, exactly as `format_type` prints it, so that it can be compared with the catalog.
    #[must_use]
    pub fn vault_type(self) -> String {
        match self {
            Self::Scalar(kind) => kind.vault_type(),
            Self::Array(kind) => format!("{}[]", kind.vault_type()),
        }
    }

    /// Whether the server may store a value of this type out of line, so that an update can leave it out.
    #[must_use]
    pub fn may_be_toasted(self) -> bool {
        match self {
            Self::Scalar(kind) => kind.may_be_toasted(),
            Self::Array(_) => true,
        }
    }

    /// Whether a column of this type holds every value of another type, without a change of the value.
    #[must_use]
    pub fn holds(self, other: Self) -> bool {
        match (self, other) {
            (Self::Scalar(one), Self::Scalar(other)) | (Self::Array(one), Self::Array(other)) => {
                one.holds(other)
            }
            _ => false,
        }
    }

    /// The narrowest type that holds all values of both types, if there is one.
    #[must_use]
    pub fn widest(self, other: Self) -> Option<Self> {
        match (self, other) {
            _ if self.holds(other) => Some(self),
            _ if other.holds(self) => Some(other),
            (
                Self::Scalar(ScalarType::Numeric { precision: p, scale: s }),
                Self::Scalar(ScalarType::Numeric { precision: q, scale: t }),
            ) => {
                let scale = s.max(t);
                let whole = (i64::from(p) - i64::from(s)).max(i64::from(q) - i64::from(t));
                let precision = u32::try_from(whole + i64::from(scale)).ok()?;
                Some(Self::Scalar(ScalarType::Numeric { precision, scale }))
            }
            _ => None,
        }
    }

    /// Whether keys of these two types hash alike for equal values.
    #[must_use]
    pub fn hashes_like(self, other: Self) -> bool {
        match (self, other) {
            (Self::Scalar(one), Self::Scalar(other)) | (Self::Array(one), Self::Array(other)) => {
                family(one) == family(other)
            }
            _ => false,
        }
    }
}

/// The type of one value, as far as decoding, hashing and storing it differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScalarType {
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
        /// digits after the point; below zero, digits before the point that are always 0
        scale: i32,
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
    /// `hstore`; travels as a JSON object
    Hstore,
    /// `point`
    Point,
    /// `geometry` and `geography` of PostGIS; stored as extended well-known binary, so that the warehouse needs no
    /// PostGIS
    Geometry,
    /// `sparsevec` of pgvector; stored as its text
    SparseVector,
}

impl ScalarType {
    /// Reads the lower-case spelling of a type.
    fn parse(text: &str) -> Option<Self> {
        if is_geometry(text) {
            return Some(Self::Geometry);
        }
        let (name, arguments) = split_arguments(text)?;
        let simple = |kind: Self| arguments.is_empty().then_some(kind);
        match name.as_str() {
            "smallint" | "int2" => simple(Self::SmallInt),
            "integer" | "int" | "int4" => simple(Self::Integer),
            "bigint" | "int8" => simple(Self::BigInt),
            "numeric" | "decimal" => parse_numeric(&arguments),
            "real" | "float4" => simple(Self::Real),
            "double precision" | "float8" => simple(Self::Double),
            "boolean" | "bool" => simple(Self::Boolean),
            "text" | "citext" | "ltree" | "isbn" | "inet" | "cidr" | "macaddr" | "macaddr8"
            | "xml" | "tsvector" | "int4range" | "int8range" | "numrange" | "daterange"
            | "tsrange" | "tstzrange" => simple(Self::Text),
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
            "hstore" => simple(Self::Hstore),
            "point" => simple(Self::Point),
            "sparsevec" => (arguments.len() <= 1).then_some(Self::SparseVector),
            _ => None,
        }
    }

    /// Whether the vault's column of this type holds every value of another type, in the form in which that type is read.
    fn holds(self, other: Self) -> bool {
        match (self, other) {
            (Self::Integer | Self::BigInt, Self::SmallInt)
            | (Self::BigInt, Self::Integer)
            | (Self::NumericUnbounded, Self::Numeric { .. })
            | (Self::Text, Self::Char)
            // The vault keeps times to the microsecond, and bits as text.
            | (Self::Time { .. }, Self::Time { .. })
            | (Self::Timestamp { .. }, Self::Timestamp { .. })
            | (Self::Bits { .. }, Self::Bits { .. }) => true,
            (
                Self::Numeric { precision, scale },
                Self::Numeric { precision: other_precision, scale: other_scale },
            ) => {
                let whole = |precision: u32, scale: i32| i64::from(precision) - i64::from(scale);
                scale >= other_scale && whole(precision, scale) >= whole(other_precision, other_scale)
            }
            _ => self == other,
        }
    }

    /// The type of the vault's column as `format_type` prints it.
    #[must_use]
    pub fn vault_type(self) -> String {
        match self {
            Self::SmallInt => "smallint".to_owned(),
            Self::Integer => "integer".to_owned(),
            // The number counts a month as days, so it must not be stored as the interval that it was.
            Self::BigInt | Self::Interval => "bigint".to_owned(),
            Self::Numeric { precision, scale } => format!("numeric({precision},{scale})"),
            Self::NumericUnbounded => "numeric".to_owned(),
            Self::Real => "real".to_owned(),
            Self::Double => "double precision".to_owned(),
            Self::Boolean => "boolean".to_owned(),
            Self::Text | Self::Char | Self::Bits { .. } | Self::SparseVector => "text".to_owned(),
            Self::TimeTz => "time with time zone".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Time { .. } => "time without time zone".to_owned(),
            Self::Timestamp { .. } => "timestamp without time zone".to_owned(),
            Self::TimestampTz => "timestamp with time zone".to_owned(),
            Self::Json => "json".to_owned(),
            Self::Jsonb | Self::Hstore => "jsonb".to_owned(),
            Self::Point => "point".to_owned(),
            Self::Uuid => "uuid".to_owned(),
            Self::Bytea | Self::Geometry => "bytea".to_owned(),
        }
    }

    /// The oid of the vault's type (`src/include/catalog/pg_type.dat`).
    #[must_use]
    pub fn vault_oid(self) -> u32 {
        match self {
            Self::SmallInt => 21,
            Self::Integer => 23,
            Self::BigInt | Self::Interval => 20,
            Self::Numeric { .. } | Self::NumericUnbounded => 1700,
            Self::Real => 700,
            Self::Double => 701,
            Self::Boolean => 16,
            Self::Text | Self::Char | Self::Bits { .. } | Self::SparseVector => 25,
            Self::Date => 1082,
            Self::Time { .. } => 1083,
            Self::TimeTz => 1266,
            Self::Timestamp { .. } => 1114,
            Self::TimestampTz => 1184,
            Self::Json => 114,
            Self::Jsonb | Self::Hstore => 3802,
            Self::Uuid => 2950,
            Self::Bytea | Self::Geometry => 17,
            Self::Point => 600,
        }
    }

    /// Whether the server may store a value of this type out of line.
    pub(crate) fn may_be_toasted(self) -> bool {
        matches!(
            self,
            Self::Text
                | Self::Char
                | Self::Json
                | Self::Jsonb
                | Self::Bytea
                | Self::Hstore
                | Self::Bits { .. }
                | Self::Numeric { .. }
                | Self::NumericUnbounded
                | Self::Geometry
                | Self::SparseVector
        )
    }
}

/// Types of one family have one canonical form.
fn family(kind: ScalarType) -> u8 {
    match kind {
        ScalarType::SmallInt | ScalarType::Integer | ScalarType::BigInt => 0,
        ScalarType::Numeric { .. } | ScalarType::NumericUnbounded => 1,
        ScalarType::Real | ScalarType::Double => 2,
        ScalarType::Boolean => 3,
        ScalarType::Text | ScalarType::Char => 4,
        ScalarType::Date => 5,
        ScalarType::Time { .. } => 6,
        ScalarType::Timestamp { .. } => 7,
        ScalarType::TimestampTz => 8,
        ScalarType::Jsonb | ScalarType::Hstore => 9,
        ScalarType::Uuid => 10,
        ScalarType::Bytea => 11,
        ScalarType::Json => 12,
        ScalarType::TimeTz => 13,
        ScalarType::Interval => 14,
        ScalarType::Bits { .. } => 15,
        ScalarType::Point => 16,
        ScalarType::Geometry => 17,
        ScalarType::SparseVector => 18,
    }
}

/// Money comes with two digits after the point. Its eight bytes hold 17 digits before the point.
const MONEY: ScalarType = ScalarType::Numeric { precision: 19, scale: 2 };

/// The longest `bit(n)`: `MaxAttrSize` in bits (`src/include/access/htup_details.h`).
const BITS_MAX: u32 = 83_886_080;

/// The numbers of pgvector's `vector(n)` and `halfvec(n)`, which travel and are stored as arrays.
fn dense_vector(text: &str) -> Option<ScalarType> {
    let (name, arguments) = split_arguments(text)?;
    match name.as_str() {
        "vector" if arguments.len() <= 1 => Some(ScalarType::Double),
        "halfvec" if arguments.len() <= 1 => Some(ScalarType::Real),
        _ => None,
    }
}

/// `geometry`, or `geography(point, 4326)` and the like, whose words in brackets restrict values and nothing else.
fn is_geometry(text: &str) -> bool {
    let (name, has_end) = match text.split_once('(') {
        Some((name, rest)) => (name.trim_end(), rest.ends_with(')')),
        None => (text, true),
    };
    has_end && matches!(name, "geometry" | "geography")
}

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

fn parse_numeric(arguments: &[i64]) -> Option<ScalarType> {
    let bounded = |precision: i64, scale: i64| {
        let precision = u32::try_from(precision).ok().filter(|p| (1..=1000).contains(p))?;
        let scale = i32::try_from(scale).ok().filter(|s| (-1000..=1000).contains(s))?;
        Some(ScalarType::Numeric { precision, scale })
    };
    match arguments {
        [] => Some(ScalarType::NumericUnbounded),
        [precision] => bounded(*precision, 0),
        [precision, scale] => bounded(*precision, *scale),
        _ => None,
    }
}

/// One bit travels as a boolean.
fn parse_bits(arguments: &[i64]) -> Option<ScalarType> {
    match arguments {
        [] | [1] => Some(ScalarType::Boolean),
        [length] => Some(ScalarType::Bits {
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
    fn holds(wide: &str, narrow: &str, expected: bool) {
        let [wide, narrow] = [wide, narrow].map(|text| ColumnType::parse(text).unwrap());
        assert_eq!(wide.holds(narrow), expected, "{wide:?} {narrow:?}");
    }

    #[test]
    fn a_wider_type_holds_a_narrower_one_and_not_the_reverse() {
        holds("bigint", "integer", true);
        holds("integer", "bigint", false);
        holds("numeric(12,2)", "numeric(10,2)", true);
        holds("numeric(10,3)", "numeric(10,2)", false);
        holds("numeric(11,3)", "numeric(10,2)", true);
        holds("numeric", "numeric(10,2)", true);
        holds("numeric(10,2)", "numeric", false);
        holds("varchar(5)", "text", true);
        holds("text", "char(3)", true);
        holds("char(3)", "text", false);
        holds("timestamp(3)", "timestamp(6)", true);
        holds("timestamp", "timestamptz", false);
        holds("text[]", "text", false);
        holds("bigint[]", "integer[]", true);
        holds("double precision", "real", false);
        let [one, other] =
            ["numeric(10,2)", "numeric(10,3)"].map(|text| ColumnType::parse(text).unwrap());
        assert_eq!(one.widest(other), ColumnType::parse("numeric(11,3)"));
        assert_eq!(one.widest(ColumnType::TEXT), None);
    }

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
        check("numeric(2,3)", Some("numeric(2,3)"));
        check("numeric(5,-2)", Some("numeric(5,-2)"));
        check("hstore", Some("jsonb"));
        check("point", Some("point"));
        check("geometry", Some("bytea"));
        check("geography(Point, 4326)", Some("bytea"));
        check("geometry[]", Some("bytea[]"));
        check("vector(3)", Some("double precision[]"));
        check("halfvec", Some("real[]"));
        check("sparsevec(5)", Some("text"));
        check("integer[]", Some("integer[]"));
        check("varchar(5)[][]", Some("text[]"));
        check("timestamp(3)[]", Some("timestamp without time zone[]"));
        check("NUMERIC(12, 4)[]", Some("numeric(12,4)[]"));
    }

    #[test]
    fn unknown_or_malformed_types_are_refused() {
        for text in [
            "geometry(",
            "vector(3,4)",
            "vector[]",
            "interval[]",
            "money[]",
            "numeric(2,1001)",
            "numeric(1001)",
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
