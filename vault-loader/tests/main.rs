//! The loader on real servers: Kafka, PostgreSQL, the binary itself. Events are hand-made, so that each case is exact.
//!
//! Every test has its own database and its own topics, and waits for what the warehouse says. A missing server is a
//! failure.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod carried;
mod clocks;
mod comparing;
mod epochs;
mod faults;
mod forms;
mod gaps;
mod growing;
mod guessing;
mod handover;
mod hashing;
mod key_secrets;
mod keys;
mod loading;
mod migrating;
mod non_historized;
mod not_historized;
mod operating;
mod parking;
mod pausing;
mod proving;
mod rebalancing;
mod rebuilding;
mod rebuilding_beside;
mod reconciling;
mod rehashing;
mod replaying;
mod retrying;
mod scaled;
mod securing;
mod serving;
mod snapshots;
mod snapshots_late;
mod snapshots_models;
mod sources;
mod spellings;
mod static_members;
mod support;
mod tracking;
mod truncating;
mod truncating_again;
mod unchanged_values;
mod views;
mod watermark;
mod writers;
