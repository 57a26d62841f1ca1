//! HAProxy as the one address of several instances of the booking service.
//!
//! In: the instances' ports. Out: an address on 127.0.0.1. An instance gets requests as long as `/health/ready` says
//! 200. While no instance is ready, as in a failover of the database, every instance that lives gets requests and waits
//! for the database with them. What is open at an instance that is not ready any more goes on. A connection that an
//! instance does not take goes to another one. A request whose instance dies is sent again only if it is a GET: nobody
//! knows whether a change was made. WebSockets stay with their instance until it ends. `deploy/haproxy` is the same for
//! the composition.

use std::fmt::Write as _;

use crate::companion::{Companion, CompanionOptions, companion_methods};

/// A running HAProxy; dropping it kills it.
#[derive(Debug)]
pub struct Haproxy {
    companion: Companion,
}

companion_methods!(Haproxy);

impl Haproxy {
    /// Starts a proxy before instances on these ports of 127.0.0.1.
    ///
    /// # Errors
    /// When the program is missing, or the proxy does not answer.
    pub fn start(options: &CompanionOptions, instances: &[u16]) -> anyhow::Result<Self> {
        anyhow::ensure!(!instances.is_empty(), "HAProxy needs at least one instance");
        let companion = Companion::start("haproxy", "haproxy", options, |companion, port| {
            let file = companion.write("haproxy.cfg", &configuration(port, instances))?;
            Ok(vec!["-db".into(), "-f".into(), file.into()])
        })?;
        Ok(Self { companion })
    }

    /// `host:port`.
    pub fn address(&self) -> std::net::SocketAddr {
        std::net::SocketAddr::from(([127, 0, 0, 1], self.port()))
    }
}

fn configuration(port: u16, instances: &[u16]) -> String {
    let mut text = format!(
        "global\n\
        \x20   maxconn 4000\n\
         \n\
         defaults\n\
        \x20   mode http\n\
        \x20   timeout connect 2s\n\
        \x20   timeout client 60s\n\
        \x20   timeout server 60s\n\
        \x20   timeout queue 10s\n\
        \x20   timeout http-request 10s\n\
        \x20   # A busy instance answers a check late, and must not lose its requests for that.\n\
        \x20   timeout check 10s\n\
        \x20   # The service sends a ping more often, so that a tunnel without one is dead.\n\
        \x20   timeout tunnel 2m\n\
        \x20   option forwardfor\n\
        \x20   option redispatch\n\
        \x20   retries 3\n\
        \x20   retry-on conn-failure empty-response\n\
         \n\
         frontend booking\n\
        \x20   bind 127.0.0.1:{port}\n\
        \x20   http-request disable-l7-retry unless METH_GET\n\
        \x20   # No client may say that it came over TLS.\n\
        \x20   http-request del-header X-Forwarded-Proto\n\
        \x20   use_backend alive if {{ nbsrv(instances) eq 0 }}\n\
        \x20   default_backend instances\n"
    );
    for (name, path) in [("instances", "/health/ready"), ("alive", "/health/live")] {
        let _ = write!(
            text,
            "\n\
             backend {name}\n\
            \x20   balance leastconn\n\
            \x20   option httpchk GET {path}\n\
            \x20   http-check expect status 200\n\
            \x20   default-server check inter 1s fastinter 300ms fall 3 rise 1\n"
        );
        for (number, instance) in instances.iter().enumerate() {
            let _ = writeln!(text, "    server instance{} 127.0.0.1:{instance}", number + 1);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployed::differences;

    #[test]
    fn the_composition_has_the_same_proxy() {
        let (ours, theirs) = differences(&configuration(1, &[2]), "deploy/haproxy/haproxy.cfg");
        let server = "server instance1 127.0.0.1:2";
        assert_eq!(ours, ["bind 127.0.0.1:1", server, server]);
        let here = "default-server resolvers docker init-addr last,libc,none";
        let servers = [
            "server one booking-serve-1:4000",
            "server two booking-serve-2:4000",
            "server three booking-serve-3:4000",
        ];
        let mut expected = vec![
            "log stdout format raw local0 notice",
            "log global",
            "resolvers docker",
            "nameserver engine 127.0.0.11:53",
            "hold valid 5s",
            "bind :4000",
            "monitor-uri /proxy/live",
            "http-request deny if { path /metrics }",
        ];
        for _ in ["instances", "alive"] {
            expected.push(here);
            expected.extend(servers);
        }
        assert_eq!(theirs, expected);
    }
}
