//! How a piece of work ended that somebody may ask to stop. A stop is no failure, so it is not an error.

/// How a piece of work ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything that was to be done is done.
    Done,
    /// Somebody asked for a stop before everything was done.
    Stopped,
}
