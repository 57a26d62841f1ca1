//! Structured logs on standard error.

use std::io::IsTerminal;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `json` unless standard error is a terminal.
    #[default]
    Auto,
    /// One JSON object a line, for collectors.
    Json,
    /// One readable line, for people.
    Text,
}

impl std::str::FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            other => Err(format!("log format {other:?} is none of auto, json, text")),
        }
    }
}

/// Installs the subscriber for the whole process; the filter is `RUST_LOG`'s, else `info`.
///
/// A second call changes nothing.
pub fn init(format: LogFormat) {
    install(format, filter());
}

/// The same for a program whose statements hold personal data: the driver of the database, which logs the values of
/// statements below `info`, says no more than that whatever the filter asks for.
pub fn init_without_values(format: LogFormat) {
    let driver = "tokio_postgres=info"
        .parse()
        .expect("the directive is a constant that is known to be right");
    install(format, filter().add_directive(driver));
}

fn filter() -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"))
}

fn install(format: LogFormat, filter: EnvFilter) {
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal);
    let installed = if json {
        builder.json().flatten_event(true).with_current_span(false).try_init()
    } else {
        builder.with_target(false).try_init()
    };
    if installed.is_err() {
        tracing::debug!("telemetry is installed already");
    }
}
