//! One node: a Patroni and the PostgreSQL server that it runs.
//!
//! In: a configuration. Out: a process that is started, killed and asked. The server is no child of its Patroni and
//! lives on without it, so a kill finds it by its own file of process ids.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use base64::Engine as _;
use rustix::process::Signal;
use serde::Deserialize;

use super::network::Network;
use super::part::{Role, Running};
use super::place::Place;
use crate::http;
use crate::postmaster;
use crate::process::{Frozen, ProcessOptions};
use crate::server::Server;

/// How long Patroni may take to answer.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// How long a question may take: a node that is cut off never answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs Patroni with a short lease.
const RUN: &str = include_str!("../../../deploy/patroni/run.py");

/// Drops a slot that keeps a standby from copying the primary's.
const DROP_OWN_SLOTS: &str = include_str!("../../../deploy/patroni/drop-own-slots.sh");

/// The file of the password that this script needs.
pub(super) const PGPASS: &str = "pgpass-superuser";

/// Who may ask a Patroni for a switchover.
pub(super) const REST_USER: &str = "patroni";

/// A member of the cluster, as Patroni sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// `leader`, or what kind of standby.
    pub role: String,
    /// `running`, `streaming` or what it does instead.
    pub state: String,
    /// The timeline that it is on.
    #[serde(default)]
    pub timeline: Option<u32>,
}

impl Member {
    /// Whether it is the primary.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.role == "leader"
    }

    /// Whether it is the running leader, or a standby that streams on the leader's timeline and may be promoted.
    pub(super) fn is_well(&self, leader: &Self) -> bool {
        if self.is_leader() {
            return self.state == "running";
        }
        let is_candidate = ["quorum_standby", "sync_standby"].contains(&self.role.as_str());
        is_candidate && self.state == "streaming" && self.timeline == leader.timeline
    }
}

/// A node, whether it runs or not.
#[derive(Debug)]
pub(super) struct Node {
    name: String,
    host: String,
    port: u16,
    rest_port: u16,
    dir: PathBuf,
    /// What runs a command in the node's network.
    prefix: Vec<OsString>,
    server: Server,
    /// Whether the node ends with this value.
    is_ours: bool,
}

impl Node {
    /// A node that does not run yet, with the ports of its server and of its Patroni.
    pub(super) fn new(
        place: &Place,
        network: &Network,
        number: usize,
        [port, rest_port]: [u16; 2],
    ) -> anyhow::Result<Self> {
        let name = format!("node{}", number + 1);
        Ok(Self {
            host: network.node(number),
            port,
            rest_port,
            dir: place.dir(&name)?,
            prefix: network.wrap(number, Vec::new()),
            server: Server::new(&name, place.log(&name)),
            name,
            is_ours: true,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn rest_port(&self) -> u16 {
        self.rest_port
    }

    pub(super) fn log(&self) -> &Path {
        self.server.log()
    }

    /// A file of the node's own directory.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn data(&self) -> PathBuf {
        self.file("data")
    }

    /// Starts Patroni and waits until it answers.
    pub(super) fn start(
        &mut self,
        place: &Place,
        configuration: &str,
        pgpass: &str,
    ) -> anyhow::Result<()> {
        let file = |name: &str| self.file(name);
        place.write(&file(PGPASS), pgpass)?;
        place.write(&file("run.py"), RUN)?;
        place.write_script(&file("drop-own-slots.sh"), DROP_OWN_SLOTS)?;
        // JSON is YAML, too.
        place.write(&file("patroni.yml"), configuration)?;
        let mut words = self.prefix.clone();
        words.extend(place.wrap(vec![
            place.python().into(),
            file("run.py").into(),
            file("patroni.yml").into(),
        ]));
        let mut options = ProcessOptions::new(&words[0], self.server.log())
            .args(&words[1..])
            .env("LC_ALL", "C.UTF-8")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .on_our_death(Signal::TERM)
            .with_server_on(self.data());
        for (name, _) in std::env::vars() {
            if ["PG", "PATRONI_", "LANG"].iter().any(|prefix| name.starts_with(prefix)) {
                options = options.without_env(name);
            }
        }
        let url = self.url("/liveness");
        self.server.start(&options, self.rest_port, START_DEADLINE, || {
            http::get_within(&url, ANSWER_TIMEOUT).map(drop)
        })
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}:{}{path}", self.host, self.rest_port)
    }

    /// Kills Patroni first, which would start the server again, and then the server with all its processes.
    pub(super) fn kill9(&mut self) -> anyhow::Result<()> {
        self.server.kill9();
        postmaster::kill(&self.data())
    }

    /// Stops Patroni and the server with all its processes until the guards are dropped. Their kernel still accepts
    /// connections.
    pub(super) fn freeze(&self) -> anyhow::Result<Vec<Frozen>> {
        let patroni = Frozen::with_children(self.server.identity()?);
        let server = postmaster::find(&self.data())?.context("the server does not run")?;
        Ok(vec![patroni, Frozen::with_children(server)])
    }

    /// Whether it says that it is the primary and has the lease.
    pub(super) fn is_primary(&self) -> bool {
        http::get_within(&self.url("/primary"), ANSWER_TIMEOUT)
            .is_ok_and(|answer| answer.status == 200)
    }

    pub(super) fn members(&self) -> anyhow::Result<Vec<Member>> {
        let answer = http::get_within(&self.url("/cluster"), ANSWER_TIMEOUT)?.json()?;
        serde_json::from_value(answer["members"].clone()).context("Patroni names no members")
    }

    pub(super) fn switch_over(&self, from: &str, to: &str, password: &str) -> anyhow::Result<()> {
        let proof =
            base64::engine::general_purpose::STANDARD.encode(format!("{REST_USER}:{password}"));
        let body = serde_json::json!({"leader": from, "candidate": to}).to_string();
        let headers = [("authorization", format!("Basic {proof}"))];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let answer = http::send("POST", &self.url("/switchover"), &headers, Some(&body))?;
        anyhow::ensure!(
            answer.status == 200,
            "Patroni refuses the switchover from {from} to {to} with status {}: {}",
            answer.status,
            answer.body
        );
        Ok(())
    }

    pub(super) fn running(&self) -> anyhow::Result<Running> {
        Ok(Running {
            name: self.name.clone(),
            role: Role::Patroni,
            identity: self.server.identity()?,
            endpoint: format!("{}:{}", self.host, self.port),
            log: self.server.log().to_owned(),
            data: Some(self.data()),
        })
    }

    pub(super) fn detach(mut self) -> anyhow::Result<()> {
        self.is_ours = false;
        self.server.detach()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.is_ours
            && let Err(err) = self.kill9()
        {
            tracing::warn!(node = self.name, error = %err, "cannot end a node");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(role: &str, state: &str, timeline: u32) -> Member {
        let (role, state) = (role.to_owned(), state.to_owned());
        Member { name: "node".to_owned(), role, state, timeline: Some(timeline) }
    }

    #[test]
    fn a_standby_is_well_when_it_streams_on_the_timeline_of_the_leader_and_may_be_promoted() {
        let leader = member("leader", "running", 3);
        assert!(leader.is_well(&leader));
        assert!(member("quorum_standby", "streaming", 3).is_well(&leader));
        assert!(!member("quorum_standby", "streaming", 2).is_well(&leader));
        assert!(!member("quorum_standby", "in archive recovery", 3).is_well(&leader));
        assert!(!member("replica", "streaming", 3).is_well(&leader));
    }
}
