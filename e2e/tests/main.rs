//! End-to-end tests over real servers and the built binaries.

mod arrival;
mod brokers;
mod failover;
mod faults;
mod marts;
mod monitoring;
mod proofs;
mod recovery;
mod remedies;
mod sources;
mod types;
mod workload;
