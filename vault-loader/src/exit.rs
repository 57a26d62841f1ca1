//! The process's exit codes, as `--help` lists them. Code 130 for a second signal is that of `shared::shutdown`.

/// The loader did what it was asked to do.
pub const OK: u8 = 0;
/// The loader failed while it ran. The last line of the log says why.
pub const FAILED: u8 = 1;
/// The configuration, the model or the warehouse as it is set up must be changed.
pub const CONFIGURATION: u8 = 2;
/// Going on could lose or double data: an operator has to decide how to go on.
pub const OPERATOR: u8 = 3;
/// The batch in flight did not end in time after a signal; it was rolled back and will be loaded again.
pub const FORCED: u8 = 4;
