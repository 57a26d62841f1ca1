//! Which tables and which logical decoding messages are captured: Debezium's include and exclude lists.
//!
//! In: comma-separated lists of regular expressions. Out: a yes or no for a schema and a table. An expression must
//! match the whole name (`schema`, or `schema.table`), upper or lower case, as in Debezium. Look-around and
//! back-references, which Java has, are refused. Case is ignored beyond ASCII too, which Java does not do.

use regex::{Regex, RegexBuilder};

/// Schemas that belong to the server.
const BUILTIN_SCHEMAS: [&str; 2] = ["pg_catalog", "information_schema"];

/// A table that PostGIS brings and that Debezium counts among the server's own.
const BUILTIN_TABLE: &str = "spatial_ref_sys";

/// The memory that one compiled expression may take. A list of thousands of names fits, and an extreme repetition is
/// refused.
const REGEX_BYTES_MAX: usize = 16 << 20;

/// The lists, compiled. No list means every name.
#[derive(Debug, Clone, Default)]
pub struct TableFilter {
    schemas: Names,
    tables: Names,
    keep_builtin: bool,
}

#[derive(Debug, Clone, Default)]
enum Names {
    #[default]
    All,
    Included(Vec<Regex>),
    Excluded(Vec<Regex>),
}

/// The text of an include list and of its exclude list. An empty text means that the list is not given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lists<'a> {
    pub(super) include: &'a str,
    pub(super) exclude: &'a str,
}

/// Which of the two lists is wrong, and why. The text of the list is not repeated.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ListError {
    Include(String),
    Exclude(String),
    Both,
}

impl TableFilter {
    /// A filter that captures all tables but the server's own.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    pub(super) fn with_schemas(mut self, lists: Lists<'_>) -> Result<Self, ListError> {
        self.schemas = Names::compile(lists)?;
        Ok(self)
    }

    pub(super) fn with_tables(mut self, lists: Lists<'_>) -> Result<Self, ListError> {
        self.tables = Names::compile(lists)?;
        Ok(self)
    }

    pub(super) fn with_builtin(mut self) -> Self {
        self.keep_builtin = true;
        self
    }

    /// Whether changes of the table are captured.
    #[must_use]
    pub fn captures(&self, schema: &str, table: &str) -> bool {
        (self.keep_builtin || !is_builtin(schema, table))
            && self.schemas.contain(schema)
            && (matches!(self.tables, Names::All)
                || self.tables.contain(&format!("{schema}.{table}")))
    }
}

impl TableFilter {
    /// The place of a captured table in the order in which a snapshot reads the tables: that of the first expression of
    /// `table.include.list` that matches it. Tables with the same place are ordered by their names.
    #[must_use]
    pub fn place(&self, schema: &str, table: &str) -> usize {
        let Names::Included(list) = &self.tables else { return 0 };
        let name = format!("{schema}.{table}");
        list.iter().position(|expression| expression.is_match(&name)).unwrap_or(list.len())
    }
}

/// Which logical decoding messages are published, by their prefixes.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter(Names);

impl MessageFilter {
    pub(super) fn new(lists: Lists<'_>) -> Result<Self, ListError> {
        Names::compile(lists).map(Self)
    }

    /// Whether messages of the prefix are published.
    #[must_use]
    pub fn captures(&self, prefix: &str) -> bool {
        self.0.contain(prefix)
    }
}

fn is_builtin(schema: &str, table: &str) -> bool {
    BUILTIN_SCHEMAS.iter().any(|builtin| builtin.eq_ignore_ascii_case(schema))
        || schema.starts_with("pg_toast")
        || table.eq_ignore_ascii_case(BUILTIN_TABLE)
}

impl Names {
    fn compile(lists: Lists<'_>) -> Result<Self, ListError> {
        let include = expressions(lists.include).map_err(ListError::Include)?;
        let exclude = expressions(lists.exclude).map_err(ListError::Exclude)?;
        match (include.is_empty(), exclude.is_empty()) {
            (true, true) => Ok(Self::All),
            (false, true) => Ok(Self::Included(include)),
            (true, false) => Ok(Self::Excluded(exclude)),
            (false, false) => Err(ListError::Both),
        }
    }

    fn contain(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Included(list) => list.iter().any(|expression| expression.is_match(name)),
            Self::Excluded(list) => !list.iter().any(|expression| expression.is_match(name)),
        }
    }
}

fn expressions(list: &str) -> Result<Vec<Regex>, String> {
    split(list).iter().map(|expression| compile(expression)).collect()
}

/// Parts between commas, blanks around them removed; `\,` is a comma inside an expression.
fn split(list: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = list.chars().peekable();
    while let Some(letter) = letters.next() {
        let part = parts.last_mut().expect("the list of parts is never empty");
        match letter {
            ',' => parts.push(String::new()),
            '\\' if letters.peek() == Some(&',') => {
                part.push(',');
                letters.next();
            }
            '\\' => {
                part.push('\\');
                part.extend(letters.next());
            }
            other => part.push(other),
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// Whether a quantifier is possessive (`a++`, `a{2}+`), which would silently mean something else here.
fn has_possessive_quantifier(expression: &str) -> bool {
    let mut letters = expression.chars().peekable();
    let (mut class_depth, mut is_after_quantifier) = (0usize, false);
    while let Some(letter) = letters.next() {
        let was_after_quantifier = std::mem::replace(&mut is_after_quantifier, false);
        match letter {
            '\\' => {
                let escaped = letters.next();
                // `\p{Alpha}`: the braces hold a name, not a number of repetitions.
                if matches!(escaped, Some('p' | 'P' | 'x')) && letters.peek() == Some(&'{') {
                    letters.by_ref().find(|&letter| letter == '}');
                }
            }
            '[' => class_depth += 1,
            ']' => class_depth = class_depth.saturating_sub(1),
            _ if class_depth > 0 => {}
            '+' if was_after_quantifier => return true,
            '+' | '*' | '?' => is_after_quantifier = true,
            '{' => {
                letters.by_ref().find(|&letter| letter == '}');
                is_after_quantifier = true;
            }
            _ => {}
        }
    }
    false
}

/// Java's names of POSIX classes, which are of ASCII characters only (`java.util.regex.Pattern`).
const POSIX_CLASSES: [&str; 12] = [
    "Alnum", "Alpha", "ASCII", "Blank", "Cntrl", "Digit", "Graph", "Lower", "Print", "Punct",
    "Space", "Upper",
];

/// The expression with Java's POSIX classes in the spelling that is read here.
fn with_posix_classes(expression: &str) -> String {
    POSIX_CLASSES.iter().fold(expression.to_owned(), |expression, class| {
        let lower = class.to_ascii_lowercase();
        expression
            .replace(&format!("\\p{{{class}}}"), &format!("[[:{lower}:]]"))
            .replace(&format!("\\P{{{class}}}"), &format!("[[:^{lower}:]]"))
    })
}

fn compile(expression: &str) -> Result<Regex, String> {
    if has_possessive_quantifier(expression) {
        return Err("possessive quantifiers are not supported".to_owned());
    }
    RegexBuilder::new(&format!("^(?:{})$", with_posix_classes(expression)))
        .case_insensitive(true)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|error| match error {
            // The parser's message shows the expression first and names the error in its last line.
            regex::Error::Syntax(drawing) => {
                let last = drawing.lines().last().unwrap_or_default();
                last.trim_start_matches("error: ").to_owned()
            }
            other => other.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn include(list: &str) -> Lists<'_> {
        Lists { include: list, exclude: "" }
    }

    fn exclude(list: &str) -> Lists<'_> {
        Lists { include: "", exclude: list }
    }

    #[track_caller]
    fn check(filter: &TableFilter, name: &str, expected: bool) {
        let (schema, table) = name.split_once('.').unwrap();
        assert_eq!(filter.captures(schema, table), expected, "{name}");
    }

    #[test]
    fn expressions_match_whole_names_in_any_case() {
        let filter =
            TableFilter::all().with_tables(include("public.flights, Public\\.Seats ,a.*")).unwrap();
        check(&filter, "public.flights", true);
        check(&filter, "PUBLIC.seats", true);
        check(&filter, "public.flights_old", false);
        check(&filter, "xpublic.flights", false);
        check(&filter, "archive.x", true);
    }

    #[test]
    fn alternatives_are_anchored_as_a_whole() {
        let filter = TableFilter::all().with_tables(include("public.a|public.b")).unwrap();
        check(&filter, "public.a", true);
        check(&filter, "public.ab", false);
        check(&filter, "xpublic.b", false);
    }

    #[test]
    fn schema_and_table_lists_must_both_agree() {
        let filter = TableFilter::all()
            .with_schemas(include("public"))
            .and_then(|filter| filter.with_tables(exclude("public\\.secret.*")))
            .unwrap();
        check(&filter, "public.flights", true);
        check(&filter, "public.secret_a", false);
        check(&filter, "other.flights", false);
    }

    #[test]
    fn messages_are_chosen_by_their_whole_prefix() {
        let captured = |lists| {
            ["audit", "Audit", "audit2", ""]
                .map(|prefix| MessageFilter::new(lists).unwrap().captures(prefix))
        };
        assert_eq!(captured(include("")), [true; 4]);
        assert_eq!(captured(include("audit,x")), [true, true, false, false]);
        assert_eq!(captured(exclude("aud.*")), [false, false, false, true]);
    }

    #[test]
    fn the_server_s_own_tables_are_captured_only_on_request() {
        let filter = TableFilter::all();
        check(&filter, "pg_catalog.pg_class", false);
        check(&filter, "information_schema.tables", false);
        check(&filter, "public.spatial_ref_sys", false);
        check(&filter.with_builtin(), "pg_catalog.pg_class", true);
    }

    #[test]
    fn an_escaped_comma_belongs_to_the_expression() {
        let filter =
            TableFilter::all().with_tables(include(r"public\.a{1\,2},public.c\\d")).unwrap();
        check(&filter, "public.aa", true);
        check(&filter, "public.aaa", false);
        check(&filter, "public.c\\d", true);
    }

    #[test]
    fn javas_classes_are_read_and_their_braces_are_no_repetitions() {
        let filter = TableFilter::all()
            .with_tables(include(
                r"public\.\p{Alpha}+,public\.[\p{Digit}_]+,public\.\x{24}+,public\.\++",
            ))
            .unwrap();
        check(&filter, "public.flights", true);
        check(&filter, "public.fl1ghts", false);
        check(&filter, "public.flüge", false);
        check(&filter, "public.1_2", true);
        check(&filter, "public.$$", true);
        check(&filter, "public.++", true);
    }

    #[test]
    fn what_cannot_be_matched_as_java_does_is_refused() {
        for list in ["a(?=b)", r"(a)\1", "a++", "a*+", "a?+", "a{2}+", "[a]++", "(", "[a"] {
            let refused = TableFilter::all().with_tables(include(list)).unwrap_err();
            let ListError::Include(why) = refused else { panic!("{list}: {refused:?}") };
            assert!(!why.is_empty() && !why.contains('\n'), "{list}: {why}");
        }
        let both = Lists { include: "a", exclude: "b" };
        assert_eq!(TableFilter::all().with_schemas(both).unwrap_err(), ListError::Both);
    }

    proptest! {
        #[test]
        fn excluding_is_the_opposite_of_including(
            schema in "[a-z]{1,3}", table in "[a-z]{1,3}", listed in "[a-z]{1,3}\\.[a-z]{1,3}",
        ) {
            let included = TableFilter::all().with_tables(include(&listed)).unwrap();
            let excluded = TableFilter::all().with_tables(exclude(&listed)).unwrap();
            prop_assert_ne!(
                included.captures(&schema, &table),
                excluded.captures(&schema, &table)
            );
        }

        #[test]
        fn any_text_is_a_filter_or_an_error_and_never_a_panic(list in "\\PC{0,40}") {
            let _outcome = TableFilter::all().with_tables(include(&list));
        }
    }
}
