//! How the nodes of a cluster are connected.
//!
//! In: one network for all, or a network namespace for each node. Out: the nodes' addresses, the words that run a
//! program there, and cables that can be pulled. With namespaces, each node hangs on a bridge by a cable of its own;
//! etcd, HAProxy and clients are on this machine's side of the bridge. Namespaces need root. Invariant: what was made
//! here is removed here, or by the next cluster when its maker was killed. Names hold the maker's process id, and
//! addresses are those that no route leads to, so that a cluster meets no other network.

mod free;

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

/// How all names begin.
const TAG: &str = "vs";

/// How the nodes are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterNetwork {
    /// All nodes listen on 127.0.0.1.
    Loopback,
    /// Each node has a network namespace of its own, and can be cut off. This needs root.
    Namespaces,
}

/// The network of a cluster.
#[derive(Debug)]
pub(super) enum Network {
    Loopback,
    Namespaces(Namespaces),
}

/// A bridge, and the namespaces that hang on it.
#[derive(Debug)]
pub(super) struct Namespaces {
    /// First part of every name, which has at most 15 bytes.
    tag: String,
    /// The first three numbers of every address.
    prefix: String,
    nodes: usize,
}

impl Network {
    pub(super) fn make(kind: ClusterNetwork, nodes: usize) -> anyhow::Result<Self> {
        match kind {
            ClusterNetwork::Loopback => Ok(Self::Loopback),
            ClusterNetwork::Namespaces => {
                anyhow::ensure!(
                    rustix::process::geteuid().is_root(),
                    "network namespaces need root; run as root, or use a cluster on 127.0.0.1, whose nodes cannot be cut off"
                );
                sweep()?;
                let pid = std::process::id();
                let routes = ip("-4 route show table all")?;
                let network = Namespaces {
                    tag: format!("{TAG}{pid}"),
                    prefix: free::prefix(&routes, pid)
                        .context("routes lead to all networks that a cluster could have")?,
                    nodes,
                };
                // What could be made before an error goes when the value goes.
                network.make()?;
                Ok(Self::Namespaces(network))
            }
        }
    }

    /// The address of this machine's side.
    pub(super) fn host(&self) -> String {
        match self {
            Self::Loopback => "127.0.0.1".to_owned(),
            Self::Namespaces(network) => network.host(),
        }
    }

    /// The address of a node.
    pub(super) fn node(&self, number: usize) -> String {
        match self {
            Self::Loopback => "127.0.0.1".to_owned(),
            Self::Namespaces(network) => network.node(number),
        }
    }

    /// From where clients and nodes come.
    pub(super) fn access(&self) -> String {
        match self {
            Self::Loopback => "127.0.0.1/32".to_owned(),
            Self::Namespaces(network) => format!("{}.0/24", network.prefix),
        }
    }

    /// The words that run a command on a node.
    pub(super) fn wrap(&self, number: usize, command: Vec<OsString>) -> Vec<OsString> {
        match self {
            Self::Loopback => command,
            Self::Namespaces(network) => {
                let mut words: Vec<OsString> =
                    ["ip", "netns", "exec"].into_iter().map(OsString::from).collect();
                words.push(network.namespace(number).into());
                words.extend(command);
                words
            }
        }
    }

    pub(super) fn cut_off(&self, number: usize) -> anyhow::Result<()> {
        let network = self.namespaces()?;
        ip(&format!("link set {} nomaster", network.cable(number))).map(drop)
    }

    pub(super) fn reconnect(&self, number: usize) -> anyhow::Result<()> {
        let network = self.namespaces()?;
        ip(&format!("link set {} master {}", network.cable(number), network.bridge())).map(drop)
    }

    fn namespaces(&self) -> anyhow::Result<&Namespaces> {
        match self {
            Self::Namespaces(network) => Ok(network),
            Self::Loopback => {
                anyhow::bail!("the nodes share the network of this machine and cannot be cut off")
            }
        }
    }

    /// Leaves the network as it is.
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Namespaces {
    fn make(&self) -> anyhow::Result<()> {
        let bridge = self.bridge();
        ip(&format!("link add name {bridge} type bridge"))?;
        ip(&format!("addr add {}/24 dev {bridge}", self.host()))?;
        ip(&format!("link set {bridge} up"))?;
        for number in 0..self.nodes {
            let (namespace, cable) = (self.namespace(number), self.cable(number));
            ip(&format!("netns add {namespace}"))?;
            ip(&format!("link add {cable} type veth peer name eth0 netns {namespace}"))?;
            ip(&format!("link set {cable} master {bridge}"))?;
            ip(&format!("link set {cable} up"))?;
            ip(&format!("-n {namespace} addr add {}/24 dev eth0", self.node(number)))?;
            ip(&format!("-n {namespace} link set eth0 up"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
        }
        Ok(())
    }

    fn host(&self) -> String {
        format!("{}.1", self.prefix)
    }

    fn node(&self, number: usize) -> String {
        format!("{}.{}", self.prefix, 11 + number)
    }

    fn bridge(&self) -> String {
        format!("{}b", self.tag)
    }

    fn namespace(&self, number: usize) -> String {
        format!("{}n{}", self.tag, number + 1)
    }

    fn cable(&self, number: usize) -> String {
        format!("{}c{}", self.tag, number + 1)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for number in 0..self.nodes {
            // The cable goes with the end that is in the namespace.
            let _ = ip(&format!("netns del {}", self.namespace(number)));
        }
        let _ = ip(&format!("link del {}", self.bridge()));
    }
}

/// Removes what a cluster has left whose maker was killed.
fn sweep() -> anyhow::Result<()> {
    let is_left = |name: &str, part: char| {
        maker(name, part).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
    };
    for line in ip("netns list")?.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        // Two sweeps may meet, so that something is gone already. What still runs there has its network for as long.
        if is_left(name, 'n') && ip(&format!("netns pids {name}")).is_ok_and(|pids| pids.is_empty())
        {
            let _ = ip(&format!("netns del {name}"));
        }
    }
    for line in ip("-o link show type bridge")?.lines() {
        let name = line.split(": ").nth(1).unwrap_or_default();
        if is_left(name, 'b') {
            let _ = ip(&format!("link del {name}"));
        }
    }
    Ok(())
}

/// The process id in the name of a bridge (`b`) or of a namespace (`n` and a number), if it is one of a cluster.
fn maker(name: &str, part: char) -> Option<u32> {
    let (pid, number) = name.strip_prefix(TAG)?.split_once(part)?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    pid.parse().ok()
}

/// Runs `ip`, and gives what it printed.
fn ip(words: &str) -> anyhow::Result<String> {
    let output = Command::new("ip")
        .args(words.split(' '))
        .output()
        .context("cannot run ip; install iproute2")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "ip {words} failed: {}", complaint.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_share_a_network_cannot_be_cut_off() {
        let network = Network::make(ClusterNetwork::Loopback, 3).unwrap();
        let error = network.cut_off(0).unwrap_err().to_string();
        assert!(error.contains("cannot be cut off"), "{error}");
        assert_eq!(network.wrap(0, vec!["true".into()]), ["true"]);
    }

    #[test]
    fn names_fit_into_what_the_kernel_takes() {
        let network =
            Namespaces { tag: format!("{TAG}{}", 4_194_304), prefix: "10.192.1".into(), nodes: 0 };
        assert!(network.cable(2).len() <= 15, "{}", network.cable(2));
        assert_eq!((network.host(), network.node(2)), ("10.192.1.1".into(), "10.192.1.13".into()));
    }
    #[test]
    fn only_names_of_a_cluster_name_their_maker() {
        assert_eq!(maker("vs4194304b", 'b'), Some(4_194_304));
        assert_eq!(maker("vs17n3", 'n'), Some(17));
        for other in ["vsb", "docker0", "vs1x", "vs17bridge", "vs17n3"] {
            assert_eq!(maker(other, 'b'), None, "{other}");
        }
    }

    #[test]
    fn what_a_killed_cluster_has_left_is_removed_by_the_next_one() {
        assert!(rustix::process::geteuid().is_root(), "network namespaces need root");
        let mut maker = Command::new("true").spawn().unwrap();
        let pid = maker.id();
        maker.wait().unwrap();
        let left = Namespaces { tag: format!("{TAG}{pid}"), prefix: "198.19.255".into(), nodes: 2 };
        left.make().unwrap();
        let bridge = left.bridge();
        std::mem::forget(left);
        let next = Network::make(ClusterNetwork::Namespaces, 1).unwrap();
        assert!(ip(&format!("link show {bridge}")).is_err());
        assert!(!ip("netns list").unwrap().contains(&format!("{TAG}{pid}n")));
        let own = format!("{TAG}{}", std::process::id());
        assert!(ip(&format!("link show {own}b")).is_ok());
        drop(next);
        assert!(ip(&format!("link show {own}b")).is_err());
    }
}
