//! HAProxy before the servers: a port for writes, a port for reads, and a page that shows who is what.
//!
//! In: the nodes. Out: addresses on 127.0.0.1. HAProxy asks each node's Patroni who is the primary and who is a standby
//! that is not far behind. When a server is not the primary any more, its connections on the port for writes end, so
//! that no client waits at a server that takes no writes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::node::Node;
use super::options::ClusterOptions;
use super::part::{Role, Running};
use super::place::Place;
use crate::companion::{Companion, CompanionOptions};
use crate::ports::{free_port, require_free};

/// Its ports.
#[derive(Debug, Clone, Copy)]
struct Ports {
    write: u16,
    read: u16,
    statistics: u16,
}

/// The proxy; dropping it kills it.
#[derive(Debug)]
pub(super) struct Proxy {
    companion: Companion,
    read: u16,
    statistics: u16,
}

impl Proxy {
    pub(super) fn start(
        options: &ClusterOptions,
        place: &Place,
        nodes: &[Node],
    ) -> anyhow::Result<Self> {
        let chosen = |port: u16, service: &str, variable: &str| match port {
            0 => free_port(),
            port => require_free(port, service, Some(variable)).map(|()| port).map_err(Into::into),
        };
        let read = chosen(options.ports.read, "reads of the cluster", "VAULTSTREAM_HA_READ_PORT")?;
        let statistics =
            chosen(options.ports.statistics, "HAProxy's page", "VAULTSTREAM_HA_STATS_PORT")?;
        let companion = CompanionOptions {
            port: options.ports.write,
            port_variable: Some("VAULTSTREAM_HA_WRITE_PORT".to_owned()),
            dir: Some(place.proxy_dir()),
        };
        let companion = Companion::start("haproxy", "haproxy", &companion, |companion, write| {
            let ports = Ports { write, read, statistics };
            let text = configuration(ports, &options.statistics_password, &servers(nodes));
            Ok(vec!["-db".into(), "-f".into(), companion.write("haproxy.cfg", &text)?.into()])
        })?;
        Ok(Self { companion, read, statistics })
    }

    pub(super) fn write_port(&self) -> u16 {
        self.companion.port()
    }

    pub(super) fn read_port(&self) -> u16 {
        self.read
    }

    pub(super) fn statistics_port(&self) -> u16 {
        self.statistics
    }

    pub(super) fn log(&self) -> &Path {
        self.companion.log()
    }

    pub(super) fn running(&self) -> anyhow::Result<Running> {
        Ok(Running {
            name: "haproxy".to_owned(),
            role: Role::Proxy,
            identity: self.companion.identity()?,
            endpoint: format!("127.0.0.1:{}", self.write_port()),
            log: PathBuf::from(self.companion.log()),
            data: None,
        })
    }

    pub(super) fn detach(self) -> anyhow::Result<()> {
        self.companion.detach()
    }
}

/// A server as HAProxy knows it: name, address, port of its Patroni.
type Known = (String, String, u16);

fn servers(nodes: &[Node]) -> Vec<Known> {
    let known = |node: &Node| {
        (node.name().to_owned(), format!("{}:{}", node.host(), node.port()), node.rest_port())
    };
    nodes.iter().map(known).collect()
}

fn configuration(ports: Ports, password: &str, servers: &[Known]) -> String {
    let Ports { write, read, statistics } = ports;
    let mut text = format!(
        "global\n\
        \x20   maxconn 2000\n\
         \n\
         defaults\n\
        \x20   mode tcp\n\
        \x20   maxconn 1000\n\
        \x20   timeout connect 2s\n\
        \x20   # Sessions of pools are idle for long. The kernel notices a peer that is gone.\n\
        \x20   timeout client 1h\n\
        \x20   timeout server 1h\n\
        \x20   option clitcpka\n\
        \x20   option srvtcpka\n\
        \x20   # A node that is cut off does not answer.\n\
        \x20   timeout check 2s\n\
        \x20   default-server inter 1s fastinter 500ms downinter 500ms fall 2 rise 1 on-marked-down shutdown-sessions\n\
         \n\
         frontend statistics\n\
        \x20   bind 127.0.0.1:{statistics}\n\
        \x20   mode http\n\
        \x20   timeout client 10s\n\
        \x20   stats enable\n\
        \x20   stats uri /stats\n\
        \x20   stats refresh 2s\n\
        \x20   stats hide-version\n\
        \x20   stats auth admin:{password}\n"
    );
    let mut listen = |name: &str, port: u16, path: &str, more: &str| {
        let _ = write!(
            text,
            "\n\
             listen {name}\n\
            \x20   bind 127.0.0.1:{port}\n\
             {more}\
            \x20   option httpchk GET {path}\n\
            \x20   http-check expect status 200\n"
        );
        for (server, address, rest) in servers {
            let _ = writeln!(text, "    server {server} {address} check port {rest}");
        }
    };
    listen("writes", write, "/primary", "");
    listen("reads", read, "/replica?lag=16MB", "    balance leastconn\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_asks_for_its_own_role() {
        let ports = Ports { write: 1, read: 2, statistics: 3 };
        let servers = [("node1".to_owned(), "127.0.0.1:4".to_owned(), 5)];
        let text = configuration(ports, "secret", &servers);
        let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
        assert!(place("bind 127.0.0.1:1\n") < place("GET /primary\n"));
        assert!(place("GET /primary\n") < place("bind 127.0.0.1:2\n"));
        assert!(place("bind 127.0.0.1:2\n") < place("GET /replica?lag=16MB\n"));
        assert_eq!(text.matches("server node1 127.0.0.1:4 check port 5\n").count(), 2);
        assert!(text.contains("stats auth admin:secret\n"));
    }
}
