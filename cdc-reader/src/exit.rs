//! The process's exit codes, as `--help` lists them.

/// The reader did what it was asked to do.
pub const OK: u8 = 0;
/// The reader failed while it ran. The last line of the log says why.
pub const FAILED: u8 = 1;
/// The configuration, or the source as it is set up, must be changed.
pub const CONFIGURATION: u8 = 2;
/// Nobody can go on from the stored offset without a gap: an operator has to decide how to go on.
pub const OPERATOR: u8 = 3;
