//! One address behind which stands one server after the other, or two at once: a failover, or a load balancer.
//!
//! In: where replication connections lead, and where the others do. Out: an address for the client, which must connect
//! without TLS, because the startup message says what a connection is for. An open connection stays where it is.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use devstack::PostgresAddress;

use super::Connector;

/// The address; its connections end with the test's process.
pub(crate) struct Switch {
    port: u16,
    routes: Arc<Mutex<Routes>>,
}

#[derive(Clone)]
struct Routes {
    replication: String,
    others: String,
}

fn address(server: &PostgresAddress) -> String {
    format!("{}:{}", server.host, server.port)
}

impl Switch {
    /// Everything leads to this server.
    pub(crate) fn to(server: &PostgresAddress) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (replication, others) = (address(server), address(server));
        let routes = Arc::new(Mutex::new(Routes { replication, others }));
        let followed = Arc::clone(&routes);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let routes = followed.lock().unwrap().clone();
                thread::spawn(move || lead(client, &routes));
            }
        });
        Self { port, routes }
    }

    /// From now on every new connection leads to this server.
    pub(crate) fn lead_to(&self, server: &PostgresAddress) {
        self.routes.lock().unwrap().replication = address(server);
        self.lead_others_to(server);
    }

    /// From now on every new connection leads to this server, unless it is for replication.
    pub(crate) fn lead_others_to(&self, server: &PostgresAddress) {
        self.routes.lock().unwrap().others = address(server);
    }

    /// The connector, at this address.
    pub(crate) fn in_front_of(&self, connector: Connector) -> Connector {
        connector
            .set("database.hostname", "127.0.0.1")
            .set("database.port", &self.port.to_string())
            .set("database.sslmode", "disable")
    }
}

/// Passes a connection on; without a server at the other end, it is closed.
fn lead(mut client: TcpStream, routes: &Routes) -> Option<()> {
    let mut length = [0; 4];
    client.read_exact(&mut length).ok()?;
    let mut startup = vec![0; usize::try_from(u32::from_be_bytes(length)).ok()?.checked_sub(4)?];
    client.read_exact(&mut startup).ok()?;
    let is_replication = startup.windows(12).any(|word| word == b"replication\0");
    let target = if is_replication { &routes.replication } else { &routes.others };
    let mut upstream = TcpStream::connect(target).ok()?;
    upstream.write_all(&[&length[..], &startup].concat()).ok()?;
    let (back, forth) = (upstream.try_clone().ok()?, client.try_clone().ok()?);
    thread::spawn(move || pass(back, forth));
    pass(client, upstream);
    Some(())
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
