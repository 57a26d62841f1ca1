//! Why a database cannot be seeded.

use shared::postgres::ConnectError;

/// Longest history: ten years.
pub const DAYS_MAX: u64 = 3_653;

/// Largest scale: ten thousand orders a day.
pub const SCALE_MAX: f64 = 25.0;

/// Why seeding failed. A failed seeding writes nothing.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The number of days is out of range.
    #[error("{0} days are not between 1 and {DAYS_MAX}")]
    Days(u64),
    /// The scale is no usable number.
    #[error("scale {0} is not above 0 and at most {SCALE_MAX}")]
    Scale(f64),
    /// An interval is out of range.
    #[error("an interval of {0} s between two readings is not between 1 s and a day")]
    Interval(u32),
    /// The history would begin before there are dates.
    #[error("a history of {days} days cannot end on {until}")]
    Calendar {
        /// Its days.
        days: u64,
        /// The day after the last.
        until: chrono::NaiveDate,
    },
    /// The server could not be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The schema is not there.
    #[error(
        "table {0} does not exist: apply the files of sql/wideworld in the order of their names"
    )]
    NoTable(String),
    /// The database is in use.
    #[error(
        "table {0} holds rows: seed an empty database, or pass --truncate with the connection string of the tables' owner \
         to remove the rows of all tables"
    )]
    NotEmpty(String),
    /// The server refused.
    #[error("cannot {step}")]
    Database {
        /// What was being done.
        step: String,
        /// The server's answer.
        #[source]
        source: tokio_postgres::Error,
    },
}

impl SeedError {
    pub(super) fn at(step: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Database { step: step.into(), source }
    }
}
