//! End-to-end tests over real servers and the built binaries.

mod arrival;
mod brokers;
mod faults;
mod marts;
mod monitoring;
mod proofs;
mod remedies;
mod sources;
mod types;
mod workload;
