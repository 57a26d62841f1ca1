//! What the reader, the loader and the topics agree on.
//!
//! Positions, Debezium's contract on the topics in both directions, and the few things that both programs do the same
//! way: connecting to PostgreSQL, logging, backing off, shutting down, asking a running program for its health. A type
//! enters only if both sides need it.

pub mod position;
pub mod secret;

pub mod debezium;

pub mod backoff;
pub mod postgres;
pub mod probe;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
