//! What to do after a failure. The errors of PostgreSQL's and of Kafka's connections both answer this question, so this
//! module stands before theirs.

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// A server or the network failed: connect again after a while and resume.
    Retry,
    /// Going on may lose data, or cannot succeed before somebody changes something.
    Stop,
}
