//! The command line of `vault-loader`: its arguments and its exit codes.

pub(crate) mod arguments;
pub(crate) mod outcome;
