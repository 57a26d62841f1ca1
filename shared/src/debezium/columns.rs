//! The header that says which types the columns of an event have.
//!
//! The reader writes it when its connector asks for it, and the loader compares it with its model. It holds one short
//! code for each column of the event's row, in the row's order. Behind them stand the places of the columns whose values
//! the server did not send: `t,n10.2,ts6;0` has three columns, the first one unchanged. Debezium has no such header.

use std::fmt::Write;

/// The header's name.
pub const COLUMNS_HEADER: &str = "__vaultstream.columns";

/// What stands in a type's brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arguments {
    /// Nothing.
    None,
    /// A number of characters or bits, if there is one.
    Length,
    /// Precision and scale, if there are any.
    Numeric,
    /// Digits of the fraction of a second; always written.
    Fraction,
}

/// For each built-in type its oid (`src/include/catalog/pg_type.dat`), its code, and its name in a model.
const CODES: [(u32, &str, &str, Arguments); 39] = [
    (16, "b", "boolean", Arguments::None),
    (17, "by", "bytea", Arguments::None),
    (18, "t", "text", Arguments::None),
    (19, "t", "text", Arguments::None),
    (20, "i8", "bigint", Arguments::None),
    (21, "i2", "smallint", Arguments::None),
    (23, "i4", "integer", Arguments::None),
    (25, "t", "text", Arguments::None),
    (26, "i8", "bigint", Arguments::None),
    (114, "json", "json", Arguments::None),
    (142, "xml", "xml", Arguments::None),
    (600, "point", "point", Arguments::None),
    (650, "cidr", "cidr", Arguments::None),
    (700, "f4", "real", Arguments::None),
    (701, "f8", "double precision", Arguments::None),
    (774, "macaddr8", "macaddr8", Arguments::None),
    (790, "money", "money", Arguments::None),
    (829, "macaddr", "macaddr", Arguments::None),
    (869, "inet", "inet", Arguments::None),
    (1042, "c", "char", Arguments::Length),
    (1043, "vc", "varchar", Arguments::Length),
    (1082, "d", "date", Arguments::None),
    (1083, "tm", "time", Arguments::Fraction),
    (1114, "ts", "timestamp", Arguments::Fraction),
    (1184, "tz", "timestamptz", Arguments::Fraction),
    (1186, "iv", "interval", Arguments::None),
    (1266, "tmz", "timetz", Arguments::None),
    (1560, "bit", "bit", Arguments::Length),
    (1562, "vbit", "varbit", Arguments::Length),
    (1700, "n", "numeric", Arguments::Numeric),
    (2950, "uuid", "uuid", Arguments::None),
    (3614, "tsvector", "tsvector", Arguments::None),
    (3802, "jsonb", "jsonb", Arguments::None),
    (3904, "int4range", "int4range", Arguments::None),
    (3906, "numrange", "numrange", Arguments::None),
    (3908, "tsrange", "tsrange", Arguments::None),
    (3910, "tstzrange", "tstzrange", Arguments::None),
    (3912, "daterange", "daterange", Arguments::None),
    (3926, "int8range", "int8range", Arguments::None),
];

/// Type modifiers of varlena types count their own four-byte header.
const VARHDRSZ: i32 = 4;

/// The code of a built-in type; `None` for a type that has none.
#[must_use]
pub fn code_of(type_oid: u32, modifier: i32) -> Option<String> {
    let (_, code, _, arguments) = CODES.iter().find(|(oid, ..)| *oid == type_oid)?;
    let mut code = (*code).to_owned();
    // Writing to a String cannot fail.
    let _ = match arguments {
        Arguments::None => Ok(()),
        // The modifier of bit strings is their length itself.
        Arguments::Length if matches!(type_oid, 1560 | 1562) && modifier >= 0 => {
            write!(code, "{modifier}")
        }
        Arguments::Length if modifier >= VARHDRSZ => write!(code, "{}", modifier - VARHDRSZ),
        Arguments::Numeric if modifier >= VARHDRSZ => {
            let packed = modifier - VARHDRSZ;
            // The scale has eleven bits and a sign.
            let scale = ((packed & 0x7FF) ^ 0x400) - 0x400;
            write!(code, "{}.{scale}", packed >> 16 & 0xFFFF)
        }
        Arguments::Fraction => write!(code, "{}", if modifier < 0 { 6 } else { modifier }),
        Arguments::Length | Arguments::Numeric => Ok(()),
    };
    Some(code)
}

/// The type that a code stands for, as a model spells it. A code that is not in the list stands for the type of that
/// name.
#[must_use]
pub fn type_of(code: &str) -> String {
    if let Some(element) = code.strip_suffix("[]") {
        return format!("{}[]", type_of(element));
    }
    if let Some((.., name, _)) = CODES.iter().find(|(_, known, ..)| *known == code) {
        return (*name).to_owned();
    }
    let is_argument = |letter: char| letter.is_ascii_digit() || matches!(letter, '.' | '-');
    let (letters, arguments) = code.split_at(code.find(is_argument).unwrap_or(code.len()));
    let takes = |arguments: Arguments| arguments != Arguments::None;
    let known = CODES.iter().find(|(_, known, _, has)| *known == letters && takes(*has));
    match known {
        Some((.., name, _)) if arguments.chars().all(is_argument) => {
            format!("{name}({})", arguments.replace('.', ","))
        }
        _ => code.to_owned(),
    }
}

/// A header's value, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnTypes<'h> {
    /// The code of each column, in the row's order.
    pub codes: Vec<&'h str>,
    /// The places of the columns that the server did not send.
    pub unchanged: Vec<usize>,
}

/// Reads the header's value; `None` when it is none.
#[must_use]
pub fn parse(header: &[u8]) -> Option<ColumnTypes<'_>> {
    let text = std::str::from_utf8(header).ok()?;
    let (codes, unchanged) = text.split_once(';').unwrap_or((text, ""));
    let codes: Vec<&str> = codes.split(',').collect();
    let unchanged = unchanged.split(',').filter(|place| !place.is_empty());
    let unchanged: Vec<usize> = unchanged.map(|place| place.parse().ok()).collect::<Option<_>>()?;
    let fits = unchanged.iter().all(|place| *place < codes.len());
    (fits && codes.iter().all(|code| !code.is_empty())).then_some(ColumnTypes { codes, unchanged })
}

/// Appends the places of unchanged columns to the codes.
pub fn write_unchanged(out: &mut Vec<u8>, places: &[usize]) {
    for (index, place) in places.iter().enumerate() {
        out.push(if index == 0 { b';' } else { b',' });
        out.extend_from_slice(place.to_string().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(type_oid: u32, modifier: i32, code: &str, name: &str) {
        assert_eq!(code_of(type_oid, modifier).as_deref(), Some(code));
        assert_eq!(type_of(code), name);
    }

    #[test]
    fn a_code_keeps_what_a_value_s_form_depends_on() {
        check(23, -1, "i4", "integer");
        check(1700, -1, "n", "numeric");
        check(1700, (10 << 16 | 2) + 4, "n10.2", "numeric(10,2)");
        check(1700, (5 << 16 | (-2 & 0x7FF)) + 4, "n5.-2", "numeric(5,-2)");
        check(1114, -1, "ts6", "timestamp(6)");
        check(1114, 3, "ts3", "timestamp(3)");
        check(1184, 0, "tz0", "timestamptz(0)");
        check(1043, 24, "vc20", "varchar(20)");
        check(1043, -1, "vc", "varchar");
        check(1042, 7, "c3", "char(3)");
        check(1560, 5, "bit5", "bit(5)");
        check(3904, -1, "int4range", "int4range");
        check(774, -1, "macaddr8", "macaddr8");
        assert_eq!(type_of("n10.2[]"), "numeric(10,2)[]");
        assert_eq!(type_of("sparsevec"), "sparsevec");
        assert_eq!(code_of(4711, -1), None);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut header = b"t,n10.2,ts6".to_vec();
        let codes = vec!["t", "n10.2", "ts6"];
        assert_eq!(
            parse(&header).unwrap(),
            ColumnTypes { codes: codes.clone(), unchanged: vec![] }
        );
        write_unchanged(&mut header, &[0, 2]);
        assert_eq!(header, b"t,n10.2,ts6;0,2");
        assert_eq!(parse(&header).unwrap(), ColumnTypes { codes, unchanged: vec![0, 2] });
        for wrong in ["", "t,,t", "t;1", "t;x", "t;-1"] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(parse(&[0xFF]), None);
    }
}
