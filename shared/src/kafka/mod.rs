//! Clients of Kafka: one way to set them up, by the names that Kafka's Java clients and Kafka Connect use.
//!
//! In: brokers and properties ([`Properties`]). Out: librdkafka's configuration ([`Cluster`]), the first answer of a
//! cluster ([`first_contact`]), and what a user has to change when a broker refuses us ([`Refusal`]). [`Security`] is
//! pure apart from reading the files that it names.
//!
//! Invariant: whatever is wrong, no secret is part of an error or a log line.

mod client;
mod contact;
mod jaas;
pub mod names;
mod pem;
mod properties;
mod refusal;
mod security;

pub use client::{Cluster, refused_property};
pub use contact::{ContactError, first_contact};
pub use properties::Properties;
pub use refusal::Refusal;
pub use security::{Mechanism, Security};
