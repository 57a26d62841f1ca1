//! Column names for SQL: quoted where PostgreSQL reserves the word.
//!
//! In: a column's legal name. Out: the same name as it may stand in any statement. Only columns need this: tables and
//! roles carry a prefix or a suffix, which no reserved word has.

use std::borrow::Cow;

/// Words that PostgreSQL 18 (and every version before) does not take for a column's name: `pg_get_keywords()`, R and T.
pub(crate) const RESERVED: &str = "\
     all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate \
     collation column concurrently constraint create cross current_catalog current_date current_role \
     current_schema current_time current_timestamp current_user default deferrable desc distinct do else end \
     except false fetch for foreign freeze from full grant group having ilike in initially inner intersect into \
     is isnull join lateral leading left like limit localtime localtimestamp natural not notnull null offset on \
     only or order outer overlaps placing primary references returning right select session_user similar some \
     symmetric system_user table tablesample then to trailing true union unique user using variadic verbose when \
     where window with";

/// System columns that every table has. A column cannot have such a name, even with quotes.
pub(crate) const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

/// A column's name for use in a statement.
#[must_use]
pub fn ident(name: &str) -> Cow<'_, str> {
    if RESERVED.split(' ').any(|word| word == name) {
        Cow::Owned(format!("\"{name}\""))
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_words_are_quoted_and_nothing_else_is() {
        for (name, expected) in [
            ("all", "\"all\""),
            ("user", "\"user\""),
            ("system_user", "\"system_user\""),
            ("with", "\"with\""),
            ("users", "users"),
            ("range", "range"),
        ] {
            assert_eq!(ident(name), expected);
        }
        assert!(RESERVED.split(' ').all(|word| !word.is_empty()), "one blank between words");
    }
}
