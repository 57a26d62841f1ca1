//! A column's default as Debezium reads it. Debezium reads the text of the expression and misreads some expressions.
//! This module does the same, so that consumers get the bytes that they know.
//!
//! In: a default's expression as `pg_get_expr` prints it. Out: the JSON that stands for it, or nothing. What Debezium
//! cannot read counts as no default. Three of its rules look like mistakes and are kept for the same bytes: a literal
//! ends at its first quotation mark, doubled or not (`'it''s'` is `it`); of `'a' || 'b'` the first literal is taken; a
//! literal of several lines counts as no default.

use shared::debezium::types::temporal;

use super::form::Form;
use super::kind::Kind;
use super::table::{ColumnInfo, TypeClass};

/// Built-in types whose defaults Debezium does not read: `bytea`, `"char"`, `name`, `oid`, `cidr`, `inet`, `macaddr`,
/// `macaddr8`, `money`, `timetz`, `tsvector`, ranges.
const TYPES_WITHOUT_DEFAULT: [u32; 17] =
    [17, 18, 19, 26, 650, 869, 829, 774, 790, 1266, 3614, 3904, 3906, 3908, 3910, 3912, 3926];

/// The functions without parentheses that Debezium knows. `CURRENT_USER` and similar ones are not among them.
const FUNCTIONS_WITHOUT_PARENTHESES: [&str; 5] =
    ["CURRENT_DATE", "CURRENT_TIMESTAMP", "CURRENT_TIME", "LOCALTIMESTAMP", "LOCALTIME"];

/// The kind as which a default of such a column is read; none when Debezium does not read it: only defaults of built-in
/// types and of enumerations are read, and of no domain.
pub(super) fn kind_of_default(column: &ColumnInfo, form: Form) -> Option<Kind> {
    let Form::Plain(kind) = form else { return None };
    let is_known = match column.type_class {
        TypeClass::BuiltIn => !TYPES_WITHOUT_DEFAULT.contains(&column.type_oid),
        TypeClass::Enum => true,
        TypeClass::Array { .. } | TypeClass::LeftOut | TypeClass::OfExtension(_) => false,
    };
    // In Kafka Connect a struct cannot be a default.
    let has_form = !matches!(kind, Kind::VariableDecimal | Kind::Point);
    (is_known && !column.is_domain && has_form).then_some(kind)
}

/// The JSON of a default expression. `None` when the default is NULL or cannot be read.
pub(super) fn literal(expression: &str, kind: Kind) -> Option<Vec<u8>> {
    if expression.starts_with("NULL::") {
        return None;
    }
    if is_function_call(expression) {
        return Some(of_function(kind));
    }
    let text = if expression.contains('\'') { first_literal(expression)? } else { expression };
    let text = match (kind, text) {
        (Kind::Bool, "true") => "t",
        (Kind::Bool, "false") => "f",
        _ => text,
    };
    let mut json = Vec::new();
    kind.write(&mut json, text.as_bytes()).ok().map(|()| json)
}

/// `now()`, `nextval('s'::regclass)`, `(now() + …)`, `CURRENT_DATE`.
fn is_function_call(expression: &str) -> bool {
    let inner = expression.strip_prefix('(').unwrap_or(expression);
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let rest = inner.trim_start_matches(is_name);
    let calls = rest.len() < inner.len() && rest.starts_with('(') && rest.contains(')');
    calls || FUNCTIONS_WITHOUT_PARENTHESES.iter().any(|name| inner.starts_with(name))
}

/// The value that stands for the result of a function.
fn of_function(kind: Kind) -> Vec<u8> {
    match kind {
        Kind::Uuid => b"\"00000000-0000-0000-0000-000000000000\"".to_vec(),
        Kind::Json => b"\"{}\"".to_vec(),
        Kind::ZonedTimestamp { digits } => {
            let mut json = vec![b'"'];
            temporal::write_zoned(&mut json, 0, digits);
            json.push(b'"');
            json
        }
        other => other.fallback().to_vec(),
    }
}

/// What stands between the first two quotation marks that are on one line.
fn first_literal(expression: &str) -> Option<&str> {
    // The line terminators of Java's regular expressions.
    let ends_line = |c: char| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut parts = expression.split('\'');
    parts.next();
    let closed = expression.matches('\'').count().saturating_sub(1);
    parts.take(closed).find(|text| !text.contains(ends_line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, kind: Kind, expected: Option<&str>) {
        let json = literal(expression, kind).map(|json| String::from_utf8(json).unwrap());
        assert_eq!(json.as_deref(), expected, "{expression}");
    }

    #[test]
    fn constants_are_read_and_functions_are_the_zero_value() {
        check("'XX'::character varying", Kind::Text, Some("\"XX\""));
        check("0", Kind::Integer, Some("0"));
        check("'-1.5'::numeric", Kind::Decimal { scale: 2 }, Some("\"/2o=\""));
        check("'-7'::integer", Kind::Integer, Some("-7"));
        check("true", Kind::Bool, Some("true"));
        check("NULL::character varying", Kind::Text, None);
        check("'x\ny'::text", Kind::Text, None);
        check("E'x\\\\y'::text", Kind::Text, Some(r#""x\\\\y""#));
        check("now()", Kind::ZonedTimestamp { digits: 6 }, Some("\"1970-01-01T00:00:00.000000Z\""));
        check("now()", Kind::ZonedTimestamp { digits: 0 }, Some("\"1970-01-01T00:00:00Z\""));
        check("(now() + '1 day'::interval)", Kind::TimestampMicros, Some("0"));
        check("nextval('s'::regclass)", Kind::Integer, Some("0"));
        check("CURRENT_DATE", Kind::Date, Some("0"));
        check("gen_random_uuid()", Kind::Uuid, Some("\"00000000-0000-0000-0000-000000000000\""));
    }

    #[test]
    fn what_debezium_misreads_is_misread_alike() {
        check("'it''s'::text", Kind::Text, Some("\"it\""));
        check("('a'::text || 'b'::text)", Kind::Text, Some("\"a\""));
        check("CURRENT_USER", Kind::Text, Some("\"CURRENT_USER\""));
        check("(1 + 1)", Kind::Integer, None);
        check("(CURRENT_DATE)::text", Kind::Text, Some("\"\""));
    }
}
