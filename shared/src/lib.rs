//! What the reader, the loader and the topics agree on.
//!
//! Positions, Debezium's contract on the topics in both directions, and what both programs do in the same way:
//! connecting to PostgreSQL and to Kafka, logging, waiting between attempts, shutting down, serving HTTP within limits,
//! asking a running program for its health.
//! A type belongs here only if both programs need it.

pub mod position;
pub mod secret;

pub mod debezium;

pub mod authentication;
pub mod backoff;
pub mod end_point;
mod guarded;
pub mod http;
pub mod kafka;
pub mod postgres;
pub mod probe;
pub mod shutdown;
pub mod source_url;
pub mod telemetry;
pub mod tls;
pub mod vanished;
