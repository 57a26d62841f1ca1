//! The connector's configuration: the JSON that is posted to Kafka Connect for Debezium's PostgreSQL connector.
//!
//! In: the text of a connector file. Out: typed [`Settings`] and the properties as written, for the REST API. Every
//! property that Debezium and Kafka Connect know is classified in one table ([`properties`]): a property that would
//! change what arrives in Kafka is either honoured or refused, never ignored. All problems are found in one pass, and
//! none of them shows a secret.

mod distance;
mod error;
mod filter;
mod json;
mod lookup;
mod producer;
pub mod properties;
mod settings;
mod variables;

use std::fmt;
use std::path::Path;

pub use error::{ConnectorError, Problem};
pub use filter::{MessageFilter, TableFilter};
pub use settings::{
    ConvertingFailures, KafkaSecurity, PublicationAutocreate, Settings, SkippedOperations,
    SnapshotMode, TopicCreation,
};
pub(crate) use variables::resolve;
pub use variables::{ProcessVariables, Variables};

/// The text that is shown in the place of a secret that is written into the file.
pub const MASK: &str = "***";

/// A connector file that can be run.
#[derive(Clone)]
pub struct Connector {
    /// The connector's name: part of the REST paths and of every stored offset's key.
    pub name: String,
    /// The properties in the order of the file, `${…}` as written; may hold a literal secret, so show
    /// [`Connector::shown`] instead.
    pub raw: Vec<(String, String)>,
    /// What the properties mean.
    pub settings: Settings,
    /// Warnings to be logged once at the start.
    pub warnings: Vec<String>,
}

impl Connector {
    /// The properties as they may be shown: `${…}` as written, and [`MASK`] in the place of every other value that is
    /// not known to be harmless.
    #[must_use]
    pub fn shown(&self) -> Vec<(String, String)> {
        self.raw
            .iter()
            .map(|(name, value)| {
                let value = if lookup::is_shown(name, value) { value.as_str() } else { MASK };
                (properties::shown_name(name), value.to_owned())
            })
            .collect()
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("name", &self.name)
            .field("properties", &self.shown())
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// Reads a connector file; variables come from the process's environment and from files.
///
/// # Errors
/// See [`ConnectorError`].
pub fn load(path: &Path) -> Result<Connector, ConnectorError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConnectorError::Read { path: path.to_owned(), source })?;
    parse(&text, &ProcessVariables)
}

/// Reads a connector's text: `{"name": …, "config": {…}}`, or the properties alone with `name` among them.
///
/// # Errors
/// [`ConnectorError::Invalid`] with every problem found.
pub fn parse(text: &str, variables: &dyn Variables) -> Result<Connector, ConnectorError> {
    let mut problems = Vec::new();
    let raw = json::properties(text, &mut problems)?;
    let mut lookup = lookup::Lookup::new(&raw, variables, &mut problems);
    lookup.require(&properties::REQUIRED);
    let settings = settings::read(&mut lookup);
    let name = lookup.text("name");
    let warnings = lookup.into_warnings();
    if !problems.is_empty() {
        return Err(ConnectorError::Invalid(problems));
    }
    Ok(Connector { name, raw, settings, warnings })
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod worker_tests;
