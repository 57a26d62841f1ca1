//! The REST interface. It answers as a Kafka Connect worker with one Debezium connector, and has `/health`,
//! `/ready` and `/metrics` beside that.
//!
//! In: HTTP requests and the state that the sessions report. Out: Kafka Connect 4.3's own bodies and status codes. The
//! interface changes nothing. A request that would change the connector is answered as a method that is not allowed.
//!
//! It differs from a worker on purpose in four ways: a secret that is written into the connector file is shown as
//! `***`; properties come in the order of the file and not in that of a hash table; errors always have `Content-Type:
//! application/json`; `/health` answers 503 once the connector has failed, because it is the only connector here, and
//! 200 before source and Kafka have answered, because the process lives then (`/ready` says that it waits).

mod answer;
mod health;
mod probe;
mod routes;
mod server;
mod state;

pub use probe::{HealthError, Question, check};
pub use server::{ServeError, bind, serve, worker_id};
pub use state::{ConnectorState, Identity, RestState, Status};

#[cfg(test)]
mod tests;
