//! Why a database cannot be seeded.

use crate::database::ConnectError;

/// Largest scale: five million bookings, for which about two gigabytes of memory are needed. Flight numbers have four
/// digits and booking references six, which ends not far above.
pub const SCALE_MAX: f64 = 500.0;

/// Why seeding failed. A failed seeding writes nothing.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The scale is no usable number.
    #[error("scale {0} is not above 0 and at most {SCALE_MAX}")]
    Scale(f64),
    /// The server could not be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The database is in use.
    #[error(
        "table {0} holds rows: seed an empty database, or pass --truncate with the connection string of the tables' owner \
         to remove the rows of all eight tables"
    )]
    NotEmpty(&'static str),
    /// An airport or aircraft model exists already that the data set would insert.
    #[error(
        "table {table} holds {code} already, which the data set brings itself: delete that row, or pass --truncate with the \
         connection string of the tables' owner to remove the rows of all eight tables"
    )]
    Taken {
        /// The table.
        table: &'static str,
        /// The code of the row.
        code: String,
    },
    /// The generator found no room. That is a defect of the generator, because it plans the flights from the demand.
    #[error("the timetable has no room for the demand: choose another --seed or a larger --scale")]
    TimetableFull,
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
