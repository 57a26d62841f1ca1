//! What is wrong with a connector file.
//!
//! Each problem is one line that names the property and the remedy. A value is shown only as the file has it, and only
//! when the property is known to hold no secret ([`super::properties::may_be_shown`]).

use std::fmt;
use std::path::PathBuf;

use super::properties::shown_name;

/// One thing that must be changed in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    property: String,
    line: String,
}

impl Problem {
    pub(crate) fn new(property: &str, line: impl Into<String>) -> Self {
        Self { property: shown_name(property), line: line.into() }
    }

    /// The property it is about.
    #[must_use]
    pub fn property(&self) -> &str {
        &self.property
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

/// Why a connector file cannot be used. Each reason needs a change of the configuration, so retrying does not help.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// The file cannot be read.
    #[error("cannot read the connector file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The text is not JSON. serde_json's message gives line and column and never the text.
    #[error("the connector file is not JSON")]
    Json(#[source] serde_json::Error),
    /// Properties that are unknown, wrong, missing or not supported.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
