//! The REST interface, answering as a Kafka Connect worker with one Debezium connector, and beside it `/health` and
//! `/metrics`.
//!
//! In come HTTP requests and the state that the sessions report, out come Kafka Connect 4.3's own bodies and status
//! codes. It only reads: what it would take to change the connector is answered as a method that is not allowed.
//!
//! Where it differs from a worker, on purpose: a secret that is written into the connector file is shown as `***`;
//! properties come in the order of the file, not of a hash table; errors always carry `Content-Type: application/json`;
//! `/health` answers 503 once the connector has failed, for it is the only one here.

mod answer;
mod health;
mod probe;
mod routes;
mod server;
mod state;

pub use probe::{HealthError, check};
pub use server::{ServeError, bind, serve, worker_id};
pub use state::{ConnectorState, Identity, RestState, Status};

#[cfg(test)]
mod tests;
