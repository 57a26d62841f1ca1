//! What the service is told at its start.

use std::net::SocketAddr;
use std::time::Duration;

use shared::postgres::ConnectOptions;

use super::redis_link::RedisTarget;
use super::uploads::UploadOptions;

/// The settings of [`super::serve`].
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The database that takes writes.
    pub primary: ConnectOptions,
    /// A replica for reads that may be a little old, if there is one.
    pub replica: Option<ConnectOptions>,
    /// The warehouse, for the reports, if there is one.
    pub warehouse: Option<ConnectOptions>,
    /// Connections to each database at most.
    pub pool_size: usize,
    /// How long a request waits for a connection.
    pub pool_wait: Duration,
    /// How long a request may take.
    pub request_time: Duration,
    /// How long requests that are open at the stop may take.
    pub drain_time: Duration,
    /// The size of a request's body.
    pub body_bytes_max: usize,
    /// Connections of clients at a time.
    pub connections_max: usize,
    /// Requests a second from one address; zero means no limit.
    pub rate: f64,
    /// Requests at once from one address.
    pub burst: f64,
    /// Attempts to sign up or in a second from one address; zero means no limit.
    pub sign_in_rate: f64,
    /// Attempts to sign up or in at once from one address.
    pub sign_in_burst: f64,
    /// Whether the last address in `X-Forwarded-For` is the client's.
    pub behind_proxy: bool,
    /// How long a session lasts.
    pub session_time: Duration,
    /// How long an idempotency key is remembered.
    pub key_time: Duration,
    /// Redis, through which instances ring for each other and share found flights, if there is one.
    pub redis: Option<RedisTarget>,
    /// How long a command to Redis may take, with the connection that it may need.
    pub redis_time: Duration,
    /// How long found flights are kept in Redis.
    pub search_time: Duration,
    /// Sites, beside this service itself, whose pages may open WebSockets.
    pub allowed_origins: Vec<String>,
    /// WebSockets at a time.
    pub live_connections_max: usize,
    /// WebSockets of a customer, or of an address, at a time.
    pub live_connections_each_max: usize,
    /// Chat messages a second from one customer; zero means no limit.
    pub chat_rate: f64,
    /// Chat messages at once from one customer.
    pub chat_burst: f64,
    /// Where the files of customers are; without it no file is taken.
    pub uploads: Option<UploadOptions>,
    /// What the instance is called on its pages; its host and port unless it is given.
    pub instance: Option<String>,
    /// Whether browsers reach the service over TLS only, whatever a proxy says.
    pub secure_cookies: bool,
}

impl ServeOptions {
    /// The defaults of the command line for everything but the database.
    #[must_use]
    pub fn new(primary: ConnectOptions) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4000)),
            primary,
            replica: None,
            warehouse: None,
            pool_size: 16,
            pool_wait: Duration::from_secs(5),
            request_time: Duration::from_secs(10),
            drain_time: Duration::from_secs(10),
            body_bytes_max: 64 << 10,
            connections_max: 4096,
            rate: 100.0,
            burst: 200.0,
            sign_in_rate: 1.0,
            sign_in_burst: 10.0,
            behind_proxy: false,
            session_time: Duration::from_secs(12 * 3600),
            key_time: Duration::from_secs(24 * 3600),
            redis: None,
            redis_time: Duration::from_millis(250),
            search_time: Duration::from_secs(2),
            allowed_origins: Vec::new(),
            live_connections_max: 1000,
            live_connections_each_max: 20,
            chat_rate: 1.0,
            chat_burst: 10.0,
            uploads: None,
            instance: None,
            secure_cookies: false,
        }
    }
}
