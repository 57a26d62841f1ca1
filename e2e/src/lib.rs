//! Support of the end-to-end tests and benchmarks: a whole pipeline on real servers, and a workload that records what
//! it did.
//!
//! A module imports only from those that stand before it.

pub mod airline;
pub mod service;
pub mod sql;

pub mod rig;
pub mod workload;

pub mod oracle;

pub mod bench;
