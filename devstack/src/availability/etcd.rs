//! The nodes of etcd, which hold who the primary is.
//!
//! In: an address and ports. Out: a group of nodes of which a majority agrees. All of them start at once, because none
//! of them answers before a majority is there.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;

use super::part::{Role, Running};
use super::place::Place;
use crate::http;
use crate::process::ProcessOptions;
use crate::server::Server;

/// How long a node may take to find the others.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// How often a leader says that it lives, and after which silence another one is elected. A loaded machine with slow
/// disks loses no leader by that, and an election is over within the lease of a primary.
const HEARTBEAT_MS: &str = "200";
const ELECTION_MS: &str = "2000";

/// A node that runs; dropping it kills it.
#[derive(Debug)]
pub(super) struct Etcd {
    name: String,
    client: String,
    server: Server,
    port: u16,
}

/// Starts all nodes, and waits until they answer. Each has a port for clients and one for the others.
pub(super) fn start(place: &Place, host: String, ports: &[[u16; 2]]) -> anyhow::Result<Vec<Etcd>> {
    let name = |number: usize| format!("etcd{}", number + 1);
    let peer = |port: u16| format!("http://{host}:{port}");
    let peers: Vec<String> = ports
        .iter()
        .enumerate()
        .map(|(number, [_, port])| format!("{}={}", name(number), peer(*port)))
        .collect();
    let all = peers.join(",");
    let one = |number: usize| -> anyhow::Result<Etcd> {
        let [client_port, peer_port] = ports[number];
        let (name, client) = (name(number), format!("{host}:{client_port}"));
        let mut etcd =
            Etcd { server: Server::new(&name, place.log(&name)), port: client_port, client, name };
        etcd.start(place, &peer(peer_port), &all)?;
        Ok(etcd)
    };
    std::thread::scope(|scope| {
        let one = &one;
        let starting: Vec<_> =
            (0..ports.len()).map(|number| scope.spawn(move || one(number))).collect();
        starting
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a start of etcd panicked"))?)
            .collect()
    })
}

impl Etcd {
    fn start(&mut self, place: &Place, peer: &str, all: &str) -> anyhow::Result<()> {
        let client = format!("http://{}", self.client);
        let data = place.dir(&self.name)?.display().to_string();
        let mut words: Vec<OsString> = vec![place.etcd().into()];
        for (option, value) in [
            ("--name", self.name.as_str()),
            ("--data-dir", data.as_str()),
            ("--listen-client-urls", client.as_str()),
            ("--advertise-client-urls", client.as_str()),
            ("--listen-peer-urls", peer),
            ("--initial-advertise-peer-urls", peer),
            ("--initial-cluster", all),
            ("--initial-cluster-state", "new"),
            ("--heartbeat-interval", HEARTBEAT_MS),
            ("--election-timeout", ELECTION_MS),
            // Old versions of the keys go, so that months of renewed leases fill no disk.
            ("--auto-compaction-retention", "1"),
            ("--logger", "zap"),
            ("--log-outputs", "stderr"),
        ] {
            words.extend([option.into(), value.into()]);
        }
        let words = place.wrap(words);
        let options = ProcessOptions::new(&words[0], self.server.log()).args(&words[1..]);
        let health = format!("{client}/health");
        self.server
            .start(&options, self.port, START_DEADLINE, || {
                let answer = http::get_within(&health, Duration::from_secs(2))?;
                anyhow::ensure!(answer.status == 200, "{}", answer.body);
                Ok(())
            })
            .context("etcd does not start")
    }

    /// `host:port` for clients.
    pub(super) fn client(&self) -> String {
        self.client.clone()
    }

    pub(super) fn running(&self) -> anyhow::Result<Running> {
        Ok(Running {
            name: self.name.clone(),
            role: Role::Etcd,
            identity: self.server.identity()?,
            endpoint: self.client.clone(),
            log: self.server.log().to_owned(),
            data: None,
        })
    }

    pub(super) fn detach(mut self) -> anyhow::Result<()> {
        self.server.detach()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        if let Err(err) = self.server.stop(Signal::TERM) {
            tracing::warn!(node = self.name, error = %err, "cannot stop etcd");
        }
    }
}
