//! Several instances of the service as processes of their own, with what stands around them.
//!
//! In: how many, and what they share. Out: one address before them, and a customer who is signed in there.

use std::net::SocketAddr;
use std::time::Duration;

use devstack::{
    CompanionOptions, Haproxy, Pgbouncer, PostgresAddress, Process, ProcessOptions, Redis,
    free_port, http, wait_for_async,
};
use tempfile::TempDir;

use super::client::Client;
use super::shop::{SERVICE_FILES, fill, sign_up};
use crate::support::Airline;

/// How long instances may take to be ready.
const WAIT: Duration = Duration::from_secs(60);

/// What the instances share beside the database.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Around {
    pub(crate) redis: bool,
    pub(crate) pooler: bool,
}

/// The instances.
pub(crate) struct Fleet {
    pub(crate) airline: Airline,
    pub(crate) instances: Vec<Process>,
    /// Where each instance itself listens.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) proxy: Haproxy,
    /// Signed in, at the one address.
    pub(crate) client: Client,
    _redis: Option<Redis>,
    _pooler: Option<Pgbouncer>,
    _dir: TempDir,
}

impl Fleet {
    /// Instances on the shared server.
    pub(crate) async fn open(count: usize, around: Around) -> Self {
        Self::open_on(&devstack::shared::stack().postgres15, count, around).await
    }

    /// Instances on a server of the test's own.
    pub(crate) async fn open_on(server: &PostgresAddress, count: usize, around: Around) -> Self {
        let airline = Airline::create_with(server, &devstack::unique("fleet"), &SERVICE_FILES);
        fill(&airline).await;
        let options = CompanionOptions::default();
        let redis = around.redis.then(|| Redis::start(&options, "secret").unwrap());
        let pooler =
            around.pooler.then(|| Pgbouncer::start(&options, server, &[&server.user], 10).unwrap());
        let port = pooler.as_ref().map_or(server.port, Pgbouncer::port);
        let url = format!(
            "postgres://{}:{}@127.0.0.1:{port}/{}?sslmode=disable",
            server.user, server.password, airline.name
        );
        let dir = tempfile::tempdir().unwrap();
        let ports: Vec<u16> = (0..count).map(|_| free_port().unwrap()).collect();
        let instances = ports
            .iter()
            .map(|port| {
                let log = dir.path().join(format!("instance-{port}.log"));
                let mut options = ProcessOptions::new(env!("CARGO_BIN_EXE_booking"), log)
                    .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
                    .args(["--rate", "0", "--sign-in-rate", "0", "--chat-rate", "0"])
                    .args(["--request-time", "55s", "--pool-wait", "50s", "--behind-proxy"])
                    .env("BOOKING_DATABASE_URL", &url);
                if let Some(redis) = &redis {
                    options = options.env("BOOKING_REDIS_URL", redis.url());
                }
                Process::start(&options).unwrap()
            })
            .collect();
        let proxy = Haproxy::start(&CompanionOptions::default(), &ports).unwrap();
        let addresses: Vec<_> =
            ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect();
        for address in addresses.iter().chain([&proxy.address()]) {
            let url = format!("http://{address}/health/ready");
            wait_for_async(WAIT, "an instance to be ready", async || {
                http::get(&url).map(|answer| answer.status == 200)
            })
            .await;
        }
        let (client, _) = sign_up(proxy.address(), "ann@example.org").await;
        Self {
            airline,
            instances,
            addresses,
            proxy,
            client,
            _redis: redis,
            _pooler: pooler,
            _dir: dir,
        }
    }

    /// A number among the metrics of an instance; zero when it is not there.
    pub(crate) async fn metric(&self, instance: usize, line: &str) -> f64 {
        let client = Client { address: self.addresses[instance], token: None };
        metric(&client, line).await
    }
}

/// A number among the metrics of whoever answers a client; zero when it is not there.
pub(crate) async fn metric(client: &Client, line: &str) -> f64 {
    let text = client.get("/metrics").await.expect(200).body;
    let value = text.lines().find_map(|one| one.strip_prefix(line)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}
