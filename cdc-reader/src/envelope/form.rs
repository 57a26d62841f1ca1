//! The form of a column: one value of a kind, or an array of them.
//!
//! In: a column as the catalog describes it. Out: the form in which its values travel, or nothing where Debezium leaves
//! the column out.

use shared::debezium::types::text::{push_base64, write_json_string};
use shared::debezium::types::{ValueError, array, bits, double, geometry, hstore, vector};

use super::kind::{Kind, kind_of, write_integer};
use super::table::{ColumnInfo, TypeClass};

/// The form of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One value.
    Plain(Kind),
    /// A JSON array of values; of several dimensions, an array of arrays.
    Array(Kind),
}

/// How much of a value was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// All of it.
    Whole,
    /// NULL was written in place of a value that has no form, see [`Kind::has_no_form_for`].
    NullInstead,
}

/// Element types of which Debezium leaves arrays out: money, name, interval, varbit, xml, point.
const NO_ELEMENTS: [u32; 6] = [790, 19, 1186, 1562, 142, 600];

/// The form of a column; none when Debezium leaves columns of that type out.
#[must_use]
pub fn form_of(column: &ColumnInfo) -> Option<Form> {
    let modifier = column.type_modifier;
    match &column.type_class {
        TypeClass::Array { element_oid, .. } if NO_ELEMENTS.contains(element_oid) => None,
        TypeClass::Array { element_oid, element } => {
            scalar(*element_oid, modifier, element).map(Form::Array)
        }
        class => scalar(column.type_oid, modifier, class).map(Form::Plain),
    }
}

fn scalar(type_oid: u32, modifier: i32, class: &TypeClass) -> Option<Kind> {
    match class {
        TypeClass::BuiltIn => kind_of(type_oid, modifier),
        TypeClass::Enum => Some(Kind::Text),
        TypeClass::Array { .. } | TypeClass::LeftOut => None,
        TypeClass::OfExtension(name) => match name.as_str() {
            "citext" | "ltree" | "isbn" => Some(Kind::Text),
            "hstore" => Some(Kind::Hstore),
            "geometry" | "geography" => Some(Kind::Geometry),
            "vector" => Some(Kind::DoubleVector),
            "halfvec" => Some(Kind::FloatVector),
            "sparsevec" => Some(Kind::SparseVector),
            _ => None,
        },
    }
}

/// What stands between the elements of an array: the `typdelim` of the elements' type, which PostGIS sets to a colon.
fn delimiter(kind: Kind) -> u8 {
    if kind == Kind::Geometry { b':' } else { b',' }
}

impl Form {
    /// Appends the JSON of a value that PostgreSQL printed as `text`.
    ///
    /// # Errors
    /// When the text is not what the type prints.
    pub fn write(self, out: &mut Vec<u8>, text: &[u8]) -> Result<Written, ValueError> {
        match self {
            Self::Plain(kind) => write_or_null(kind, out, text),
            Self::Array(kind) => {
                let mut written = Written::Whole;
                array::write_json(out, delimiter(kind), text, |out, element| {
                    if write_or_null(kind, out, element)? == Written::NullInstead {
                        written = Written::NullInstead;
                    }
                    Ok(())
                })?;
                Ok(written)
            }
        }
    }

    /// Appends a value of a key as it stands in the header that names a row's other key, see [`Kind::write_in_header`].
    ///
    /// # Errors
    /// As [`Form::write`]; a numeric that is not a finite number has no form here.
    pub fn write_in_header(self, out: &mut Vec<u8>, text: &[u8]) -> Result<(), ValueError> {
        match self {
            Self::Plain(kind) => kind.write_in_header(out, text),
            Self::Array(kind) => {
                let write = |out: &mut Vec<u8>, element: &[u8]| kind.write_in_header(out, element);
                array::write_json(out, delimiter(kind), text, write)
            }
        }
    }

    /// What [`Form::write_in_header`] appends for the value whose JSON this is. An array stays as it is.
    #[must_use]
    pub fn json_in_header(self, json: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain(kind) => kind.json_in_header(json),
            Self::Array(_) => json.to_vec(),
        }
    }

    /// What stands in a NOT NULL column whose value is not known (`before` of a delete): Debezium's fallback for the
    /// type.
    #[must_use]
    pub fn fallback(self) -> &'static [u8] {
        match self {
            Self::Plain(kind) => kind.fallback(),
            Self::Array(_) => b"[]",
        }
    }

    /// Appends the placeholder of an unchanged TOASTed value. Returns false, and appends nothing, for a kind that the
    /// server never stores out of line.
    ///
    /// Debezium has a placeholder for strings, bytes, hstore, and arrays of strings, bytes, UUIDs, dates, and 32- and
    /// 64-bit integers. For every other type Debezium writes NULL, which a consumer takes for a value. So the other
    /// types have a placeholder here, in the same form as their values.
    pub fn write_unavailable(self, out: &mut Vec<u8>, placeholder: &str) -> bool {
        match self {
            Self::Plain(kind) => write_placeholder(kind, out, placeholder),
            Self::Array(kind) => {
                out.push(b'[');
                write_placeholder_elements(kind, out, placeholder);
                out.push(b']');
                true
            }
        }
    }
}

fn write_or_null(kind: Kind, out: &mut Vec<u8>, text: &[u8]) -> Result<Written, ValueError> {
    if kind.has_no_form_for(text) {
        out.extend_from_slice(b"null");
        return Ok(Written::NullInstead);
    }
    kind.write(out, text).map(|()| Written::Whole)
}

fn write_placeholder(kind: Kind, out: &mut Vec<u8>, placeholder: &str) -> bool {
    let base64 = |out: &mut Vec<u8>| {
        out.push(b'"');
        push_base64(out, placeholder.as_bytes());
        out.push(b'"');
    };
    match kind {
        Kind::Text | Kind::Json => write_json_string(out, placeholder),
        Kind::Hstore => hstore::write_unavailable(out, placeholder),
        Kind::Bytes | Kind::Bits | Kind::Decimal { .. } => base64(out),
        Kind::VariableDecimal => {
            out.extend_from_slice(b"{\"scale\":0,\"value\":");
            base64(out);
            out.push(b'}');
        }
        Kind::Geometry => geometry::write_unavailable_geometry(out, placeholder),
        Kind::DoubleVector | Kind::FloatVector => {
            out.push(b'[');
            write_placeholder_elements(Kind::Double, out, placeholder);
            out.push(b']');
        }
        Kind::SparseVector => vector::write_unavailable_sparse(out, placeholder),
        _ => return false,
    }
    true
}

fn write_placeholder_elements(kind: Kind, out: &mut Vec<u8>, placeholder: &str) {
    let mut each = |write: &dyn Fn(&mut Vec<u8>, u8)| {
        for (index, byte) in placeholder.bytes().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write(out, byte);
        }
    };
    match kind {
        Kind::Float | Kind::Double => each(&|out, byte| double::write_f64(out, f64::from(byte))),
        Kind::Bool | Kind::Bit => each(&|out, byte| {
            let bits: Vec<String> = bits::of_byte(byte).map(|bit| bit.to_string()).collect();
            out.extend_from_slice(bits.join(",").as_bytes());
        }),
        Kind::Integer
        | Kind::Date
        | Kind::TimeMillis
        | Kind::TimeMicros
        | Kind::TimestampMillis
        | Kind::TimestampMicros
        | Kind::Duration => each(&|out, byte| write_integer(out, i64::from(byte))),
        Kind::Uuid => write_json_string(out, &name_uuid(placeholder)),
        Kind::ZonedTime | Kind::ZonedTimestamp { .. } => write_json_string(out, placeholder),
        // Arrays of these two are left out.
        Kind::Money | Kind::Point => {}
        kind => {
            write_placeholder(kind, out, placeholder);
        }
    }
}

/// Java's `UUID.nameUUIDFromBytes`: a version 3 UUID without a namespace.
fn name_uuid(name: &str) -> String {
    use md5::{Digest as _, Md5};
    uuid::Builder::from_md5_bytes(Md5::digest(name).into()).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACEHOLDER: &str = "__debezium_unavailable_value";

    fn unavailable(form: Form) -> String {
        let mut out = Vec::new();
        assert!(form.write_unavailable(&mut out, PLACEHOLDER), "{form:?}");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_array_is_written_element_by_element() {
        for (kind, text, expected) in [
            (Kind::Integer, "{1,NULL,-2}", "[1,null,-2]"),
            (Kind::Text, r#"{{a,"b\"c"},{NULL,""}}"#, r#"[["a","b\"c"],[null,""]]"#),
            (Kind::Decimal { scale: 2 }, "{1.50,NULL}", "[\"AJY=\",null]"),
            (Kind::VariableDecimal, "{1.50}", r#"[{"scale":1,"value":"Dw=="}]"#),
        ] {
            let mut out = Vec::new();
            assert_eq!(Form::Array(kind).write(&mut out, text.as_bytes()), Ok(Written::Whole));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        assert!(Form::Array(Kind::Integer).write(&mut Vec::new(), b"{x}").is_err());
    }

    #[test]
    fn a_number_that_is_not_finite_is_null_and_said_to_be() {
        for (form, text, expected) in [
            (Form::Plain(Kind::VariableDecimal), "NaN", "null"),
            (Form::Plain(Kind::Decimal { scale: 2 }), "-Infinity", "null"),
            (Form::Array(Kind::VariableDecimal), "{NaN,1}", r#"[null,{"scale":0,"value":"AQ=="}]"#),
        ] {
            let mut out = Vec::new();
            assert_eq!(form.write(&mut out, text.as_bytes()), Ok(Written::NullInstead));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    /// The first seven as Debezium 3.6 wrote them.
    #[test]
    fn every_type_that_can_be_toasted_has_a_placeholder() {
        let bytes: Vec<String> = PLACEHOLDER.bytes().map(|byte| byte.to_string()).collect();
        let base64 = "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"";
        let text = format!("\"{PLACEHOLDER}\"");
        for (form, expected) in [
            (Form::Plain(Kind::Text), text.clone()),
            (Form::Plain(Kind::Bytes), base64.to_owned()),
            (Form::Plain(Kind::Hstore), format!(r#""{{\"{PLACEHOLDER}\":\"{PLACEHOLDER}\"}}""#)),
            (Form::Array(Kind::Text), format!("[{text}]")),
            (Form::Array(Kind::Bytes), format!("[{base64}]")),
            (Form::Array(Kind::Date), format!("[{}]", bytes.join(","))),
            (Form::Array(Kind::Uuid), "[\"b68a35a7-17ad-35b3-af2a-ae46edb4545a\"]".to_owned()),
            (Form::Array(Kind::Double), format!("[{}.0]", bytes.join(".0,"))),
            (Form::Array(Kind::ZonedTimestamp { digits: 6 }), format!("[{text}]")),
            (Form::Plain(Kind::Decimal { scale: 2 }), base64.to_owned()),
            (Form::Plain(Kind::VariableDecimal), format!("{{\"scale\":0,\"value\":{base64}}}")),
            (Form::Array(Kind::Decimal { scale: 2 }), format!("[{base64}]")),
            (Form::Plain(Kind::Geometry), format!("{{\"wkb\":{base64},\"srid\":null}}")),
            (Form::Plain(Kind::DoubleVector), format!("[{}.0]", bytes.join(".0,"))),
        ] {
            assert_eq!(unavailable(form), expected, "{form:?}");
        }
        assert!(unavailable(Form::Array(Kind::Bool)).starts_with("[false,true,false,true,true,"));
        assert!(!Form::Plain(Kind::Integer).write_unavailable(&mut Vec::new(), PLACEHOLDER));
    }
}
