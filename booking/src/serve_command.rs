//! `booking serve`: its options, and its life between start and signal.
//!
//! In: options and variables of the environment. Out: the service, until SIGINT or SIGTERM. The first signal lets open
//! requests end, the second ends the process at once.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use booking::serve::{RedisTarget, ServeOptions, UploadOptions, UploadStore, document, serve};
use clap::Args;
use shared::postgres::ConnectOptions;
use shared::source_url::{AddressError, source_options};
use shared::telemetry::{LogFormat, init_without_values};
use synthetic::duration::parse_duration;
use tokio::net::TcpListener;

/// The options.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  booking serve --database-url postgres://booking_service:secret@db.example/airline_tickets?sslmode=require
  booking serve --listen 0.0.0.0:4000 --behind-proxy
  booking serve --print-openapi > openapi.json

The database needs sql/source, the role booking_service has the rights that the service needs, and no others.
/docs shows the interface, /openapi.json describes it for programs, /health/live and /health/ready are for
whoever starts and watches it, /metrics is for Prometheus.

Several instances may serve one database: sessions, idempotency keys, seats and chats are in the database. With
--redis-url they hear of each other's chat messages at once, and share what searches have found.
RUST_LOG sets what is logged (default: info).")]
pub(crate) struct ServeArgs {
    /// Address and port to listen on; the default is reached from this machine only
    #[arg(long, env = "BOOKING_LISTEN", default_value = "127.0.0.1:4000")]
    listen: SocketAddr,

    /// The database that takes writes: postgres://user:password@host:port/database?sslmode=…&sslrootcert=…
    #[arg(long, env = "BOOKING_DATABASE_URL", hide_env_values = true)]
    #[arg(required_unless_present = "print_openapi")]
    database_url: Option<String>,

    /// A replica for searches, flights and seat maps; when it fails, the primary answers them
    #[arg(long, env = "BOOKING_REPLICA_URL", hide_env_values = true)]
    replica_url: Option<String>,

    /// The warehouse for the reports; its role needs to read the marts, as mart_reader does
    #[arg(long, env = "BOOKING_WAREHOUSE_URL", hide_env_values = true)]
    warehouse_url: Option<String>,

    /// Connections to each database at most
    #[arg(long, env = "BOOKING_POOL_SIZE", default_value_t = 16)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pool_size: u16,

    /// How long a request waits for a connection to the database
    #[arg(long, env = "BOOKING_POOL_WAIT", value_parser = parse_duration, default_value = "5s")]
    pool_wait: Duration,

    /// How long a request may take; after a failover work is begun again for four fifths of it
    #[arg(long, env = "BOOKING_REQUEST_TIME", value_parser = parse_duration, default_value = "10s")]
    request_time: Duration,

    /// How long open requests may take after the first signal
    #[arg(long, env = "BOOKING_DRAIN_TIME", value_parser = parse_duration, default_value = "10s")]
    drain_time: Duration,

    /// Bytes of a request's body at most
    #[arg(long, env = "BOOKING_BODY_BYTES_MAX", default_value_t = 64 << 10)]
    #[arg(value_parser = clap::value_parser!(u32).range(1024..))]
    body_bytes_max: u32,

    /// Connections of clients at a time; further ones wait
    #[arg(long, env = "BOOKING_CONNECTIONS_MAX", default_value_t = 4096)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    connections_max: u32,

    /// Requests a second from one address on the long run; 0 sets no limit
    #[arg(long, env = "BOOKING_RATE", value_parser = parse_rate, default_value = "100")]
    rate: f64,

    /// Requests at once from one address
    #[arg(long, env = "BOOKING_BURST", value_parser = parse_rate, default_value = "200")]
    burst: f64,

    /// Attempts a second to sign up or in from one address on the long run; 0 sets no limit
    #[arg(long, env = "BOOKING_SIGN_IN_RATE", value_parser = parse_rate, default_value = "1")]
    sign_in_rate: f64,

    /// Attempts at once to sign up or in from one address
    #[arg(long, env = "BOOKING_SIGN_IN_BURST", value_parser = parse_rate, default_value = "10")]
    sign_in_burst: f64,

    /// A proxy stands before the service: the last address in X-Forwarded-For is the client's
    #[arg(long, env = "BOOKING_BEHIND_PROXY")]
    behind_proxy: bool,

    /// How long a session lasts
    #[arg(long, env = "BOOKING_SESSION_TIME", value_parser = parse_duration, default_value = "12h")]
    session_time: Duration,

    /// How long an idempotency key is remembered
    #[arg(long, env = "BOOKING_KEY_TIME", value_parser = parse_duration, default_value = "24h")]
    key_time: Duration,

    /// Redis, by which several instances ring for each other and share searches: redis://user:password@host:port
    #[arg(long, env = "BOOKING_REDIS_URL", hide_env_values = true)]
    redis_url: Option<String>,

    /// How long found flights stay in Redis; how old a search's answer may be when the airline itself changes a flight
    #[arg(long, env = "BOOKING_SEARCH_TIME", value_parser = parse_duration, default_value = "2s")]
    search_time: Duration,

    /// A site whose pages may open WebSockets, beside the service itself: https://host; may be repeated
    #[arg(long = "allowed-origin", env = "BOOKING_ALLOWED_ORIGINS", value_delimiter = ',')]
    allowed_origins: Vec<String>,

    /// WebSockets at a time
    #[arg(long, env = "BOOKING_LIVE_CONNECTIONS_MAX", default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    live_connections_max: u32,

    /// WebSockets of one customer, or of one address, at a time
    #[arg(long, env = "BOOKING_LIVE_CONNECTIONS_EACH_MAX", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    live_connections_each_max: u32,

    /// Chat messages a second from one customer on the long run; 0 sets no limit
    #[arg(long, env = "BOOKING_CHAT_RATE", value_parser = parse_rate, default_value = "1")]
    chat_rate: f64,

    /// Chat messages at once from one customer
    #[arg(long, env = "BOOKING_CHAT_BURST", value_parser = parse_rate, default_value = "10")]
    chat_burst: f64,

    /// What this instance is called on its pages [default: its host and port]
    #[arg(long, env = "BOOKING_INSTANCE_NAME")]
    instance_name: Option<String>,

    /// Browsers reach the service over TLS only: their cookies are for TLS, whatever a proxy says
    #[arg(long, env = "BOOKING_SECURE_COOKIES")]
    secure_cookies: bool,

    /// Where the files of customers are: file:///DIRECTORY, or s3://BUCKET/PREFIX with AWS_ACCESS_KEY_ID,
    /// AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT in the environment; without it no file is taken
    #[arg(long, env = "BOOKING_UPLOADS_URL")]
    uploads_url: Option<String>,

    /// Bytes of a file at most
    #[arg(long, env = "BOOKING_UPLOAD_BYTES_MAX", default_value_t = 5 << 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    upload_bytes_max: u32,

    /// Bytes of all files of a customer at most
    #[arg(long, env = "BOOKING_UPLOADS_ACCOUNT_BYTES_MAX", default_value_t = 50 << 20)]
    uploads_account_bytes_max: u64,

    /// How long a request with a file may take
    #[arg(long, env = "BOOKING_UPLOAD_TIME", value_parser = parse_duration, default_value = "60s")]
    upload_time: Duration,

    /// Form of the log: auto (JSON unless on a terminal), json or text
    #[arg(long, env = "BOOKING_LOG_FORMAT", default_value = "auto")]
    log_format: LogFormat,

    /// Print the OpenAPI document and end
    #[arg(long)]
    print_openapi: bool,
}

impl ServeArgs {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        if self.print_openapi {
            println!("{}", serde_json::to_string_pretty(&document())?);
            return Ok(());
        }
        init_without_values(self.log_format);
        let listen = self.listen;
        let options = self.options()?;
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("cannot listen on {listen}: is another service there?"))?;
        let address = listener.local_addr()?;
        let stop = shared::shutdown::on_signals().context("cannot watch for signals")?;
        let database = options.primary.display();
        let replica = options.replica.as_ref().map(ConnectOptions::display);
        let redis = options.redis.as_ref().map(RedisTarget::display);
        tracing::info!(%address, database, replica, redis, "serving");
        serve(options, listener, stop).await;
        tracing::info!("ended");
        Ok(())
    }

    fn options(&self) -> anyhow::Result<ServeOptions> {
        let primary = self.database_url.as_deref().unwrap_or_default();
        let replica = self.replica_url.as_deref();
        Ok(ServeOptions {
            listen: self.listen,
            replica: replica.map(|url| target("--replica-url", url)).transpose()?,
            warehouse: self
                .warehouse_url
                .as_deref()
                .map(|url| target("--warehouse-url", url))
                .transpose()?,
            pool_size: usize::from(self.pool_size),
            pool_wait: self.pool_wait,
            request_time: self.request_time,
            drain_time: self.drain_time,
            body_bytes_max: usize::try_from(self.body_bytes_max)?,
            connections_max: usize::try_from(self.connections_max)?,
            rate: self.rate,
            burst: self.burst,
            sign_in_rate: self.sign_in_rate,
            sign_in_burst: self.sign_in_burst,
            behind_proxy: self.behind_proxy,
            session_time: self.session_time,
            key_time: self.key_time,
            redis: self.redis_url.as_deref().map(redis_target).transpose()?,
            search_time: self.search_time,
            allowed_origins: self.allowed_origins.clone(),
            live_connections_max: usize::try_from(self.live_connections_max)?,
            live_connections_each_max: usize::try_from(self.live_connections_each_max)?,
            chat_rate: self.chat_rate,
            chat_burst: self.chat_burst,
            instance: self.instance_name.clone(),
            secure_cookies: self.secure_cookies,
            uploads: self.uploads()?,
            ..ServeOptions::new(target("--database-url", primary)?)
        })
    }

    fn uploads(&self) -> anyhow::Result<Option<UploadOptions>> {
        let Some(url) = &self.uploads_url else { return Ok(None) };
        let store = UploadStore::open(url).context("--uploads-url cannot be used")?;
        let options = UploadOptions::new(store);
        Ok(Some(UploadOptions {
            file_bytes_max: usize::try_from(self.upload_bytes_max)?,
            account_bytes_max: self.uploads_account_bytes_max,
            time: self.upload_time,
            // A file of a request that is under way is no orphan.
            orphan_age: options.orphan_age.max(self.upload_time * 2),
            ..options
        }))
    }
}

/// Reads a database's URL. The URL is never repeated, because it may hold a password.
fn target(option: &str, url: &str) -> anyhow::Result<ConnectOptions> {
    source_options(url, "booking serve").map_err(|error| {
        let remedy = match error {
            AddressError::NoUrl => "write postgres://user:password@host:port/database".to_owned(),
            AddressError::Parameter(name) => {
                format!("the parameter {name} is not known here: sslmode and sslrootcert are")
            }
            AddressError::SslMode => {
                "sslmode must be disable, allow, prefer, require, verify-ca or verify-full".to_owned()
            }
            AddressError::NoRoot => "another machine's certificate is verified unless sslmode is set: add \
                 ?sslrootcert=FILE with the authority's certificates, or ?sslmode=disable, prefer or require"
                .to_owned(),
        };
        anyhow::anyhow!("{option} cannot be used: {remedy}")
    })
}

/// Reads the URL of Redis. The URL is never repeated, because it may hold a password.
fn redis_target(url: &str) -> anyhow::Result<RedisTarget> {
    RedisTarget::parse(url)
        .map_err(|remedy| anyhow::anyhow!("--redis-url cannot be used: {remedy}"))
}

/// Reads a rate: a number that is not negative.
fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate >= 0.0);
    rate.ok_or_else(|| format!("'{text}' is no rate: write a number such as 100 or 0.5"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_url_is_refused_with_the_option_and_without_the_url() {
        let refusal =
            target("--replica-url", "postgres://annabel:hidden@db.example/x").unwrap_err();
        let text = refusal.to_string();
        assert!(text.contains("--replica-url") && text.contains("sslrootcert"), "{text}");
        assert!(!text.contains("hidden") && !text.contains("annabel"), "{text}");
    }

    #[test]
    fn rates_are_numbers() {
        assert_eq!(parse_rate("0.5"), Ok(0.5));
        assert!(
            parse_rate("-1").is_err() && parse_rate("inf").is_err() && parse_rate("x").is_err()
        );
    }
}
