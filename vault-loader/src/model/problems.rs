//! What is wrong with a model file: the list of problems, and the checks of names and types that every part needs.
//!
//! In: names and types as their author wrote them, each with its place in the file. Out: the list of problems. Problems
//! are collected, so that all of them are reported at once. The checks of hubs, links and tables are in `resolve` and
//! `tables`.

use std::collections::HashSet;
use std::fmt;

use super::ColumnType;
use super::ident::SYSTEM_COLUMNS;

/// PostgreSQL cuts longer names silently.
const NAME_BYTES_MAX: usize = 63;

/// One thing that is wrong with a model file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelProblem {
    /// table and field, as the author named them
    pub place: String,
    /// what is wrong
    pub problem: String,
    /// what to do about it
    pub remedy: String,
}

impl fmt::Display for ModelProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.problem, self.remedy)
    }
}

/// Why a model file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The text is not a model file.
    #[error("the model file cannot be read: {}", .0.message())]
    Syntax(#[source] Box<toml::de::Error>),
    /// The file is well formed and says something impossible.
    #[error("{}", join(.0))]
    Invalid(Vec<ModelProblem>),
}

fn join(problems: &[ModelProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Collects problems, and the names of vault tables that are taken.
#[derive(Default)]
pub(super) struct Problems {
    found: Vec<ModelProblem>,
    names: HashSet<String>,
}

impl Problems {
    /// How many problems were found so far.
    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// All problems in the order in which they were found.
    pub(super) fn into_list(self) -> Vec<ModelProblem> {
        self.found
    }

    pub(super) fn complain(
        &mut self,
        place: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.found.push(ModelProblem {
            place: place.into(),
            problem: problem.into(),
            remedy: remedy.into(),
        });
    }

    pub(super) fn column_type(&mut self, place: &str, text: &str) -> Option<ColumnType> {
        let kind = ColumnType::parse(text);
        if kind.is_none() {
            let problem = format!("type {text} is not supported");
            self.complain(place, problem, "write it as PostgreSQL prints it in \\d");
        }
        kind
    }

    /// Checks the name of a vault table: prefix, length, and that nobody else has it.
    pub(super) fn entity_name(&mut self, name: &str, prefix: &str) {
        self.identifier(name, name);
        if !name.starts_with(prefix) {
            self.complain(name, format!("does not begin with {prefix}"), "rename it");
        }
        if !self.names.insert(name.to_owned()) {
            self.complain(name, "two vault tables have that name", "rename one");
        }
    }

    pub(super) fn identifier(&mut self, place: &str, name: &str) {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let begins = name.chars().next().is_some_and(|c| c.is_ascii_lowercase() || c == '_');
        if !begins || !name.chars().all(legal) {
            let remedy = "use lower-case letters, digits and '_', and begin with a letter; a source's column can be stored under another \
                          name: { type = \"…\", stored_as = \"…\" }";
            self.complain(place, format!("{name:?} is not a legal name"), remedy);
        }
        if SYSTEM_COLUMNS.contains(&name) {
            let problem = format!("{name} is a column that every table has by itself");
            self.complain(place, problem, "choose another name");
        }
        if name.len() > NAME_BYTES_MAX {
            let problem = format!("{name} is longer than {NAME_BYTES_MAX} bytes");
            self.complain(place, problem, "shorten it: PostgreSQL would cut it");
        }
    }
}
