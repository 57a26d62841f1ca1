//! What a failure asks for. The connections to PostgreSQL and to Kafka both say it of their errors, so it stands before
//! them.

/// What a failure asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The world failed: connect again after a while and resume.
    Retry,
    /// Going on may lose data, or cannot succeed until somebody changes something.
    Stop,
}
