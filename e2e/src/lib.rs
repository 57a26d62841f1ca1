//! Support of the end-to-end tests and benchmarks: a whole pipeline on real servers, and a workload that knows what it did.

pub mod bench;
pub mod oracle;
pub mod rig;
pub mod workload;
