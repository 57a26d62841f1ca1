//! The process's exit codes, as `--help` lists them.

/// The reader did what it was asked to do.
pub const OK: u8 = 0;
/// The reader failed while it ran. The last line of the log says why.
pub const FAILED: u8 = 1;
/// The configuration, or the source as it is set up, must be changed.
pub const CONFIGURATION: u8 = 2;
/// The slot is lost or does not fit the stored offset: an operator has to decide.
pub const OPERATOR: u8 = 3;
