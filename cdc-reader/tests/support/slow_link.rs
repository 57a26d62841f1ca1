//! A TCP proxy in front of a server: a slow link, or one that loses what it is given.
//!
//! In: the server's address and a rate. Out: an address for the client. What the server sends passes at the rate; what
//! the client sends passes at once. A severed link takes all bytes of both sides and passes none on.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use devstack::PostgresAddress;
use socket2::SockRef;

/// The buffers on the way are small, so that the server's send waits for the link.
const BUFFER_BYTES: usize = 32 << 10;

/// The proxy; its connections end with the test's process.
pub(crate) struct SlowLink {
    port: u16,
    severed: Arc<AtomicBool>,
}

impl SlowLink {
    /// A link to the server at so many bytes a second.
    pub(crate) fn to(server: &PostgresAddress, bytes_per_second: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = format!("{}:{}", server.host, server.port);
        let severed = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&severed);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(upstream) = TcpStream::connect(&target) else { continue };
                SockRef::from(&upstream).set_recv_buffer_size(BUFFER_BYTES).unwrap();
                let (back, forth) = (Arc::clone(&flag), Arc::clone(&flag));
                let (client_in, upstream_out) =
                    (client.try_clone().unwrap(), upstream.try_clone().unwrap());
                thread::spawn(move || pass(client_in, upstream_out, None, &forth));
                thread::spawn(move || pass(upstream, client, Some(bytes_per_second), &back));
            }
        });
        Self { port, severed }
    }

    /// The port for the client, on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on nothing passes on any connection, and each stays open.
    pub(crate) fn sever(&self) {
        self.severed.store(true, Ordering::Relaxed);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, rate: Option<u32>, severed: &AtomicBool) {
    let mut buffer = vec![0; BUFFER_BYTES];
    let started = Instant::now();
    let mut passed = 0.0;
    while let Ok(count) = from.read(&mut buffer) {
        if severed.load(Ordering::Relaxed) {
            // Keeps both sides open: neither learns that the other one is gone.
            if count == 0 {
                loop {
                    thread::park();
                }
            }
            continue;
        }
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
        if let Some(rate) = rate {
            passed += f64::from(u32::try_from(count).unwrap());
            let due = Duration::from_secs_f64(passed / f64::from(rate));
            // The allowance of an idle time is not saved up for later.
            thread::sleep(due.saturating_sub(started.elapsed()));
        }
    }
    let _ = from.shutdown(std::net::Shutdown::Both);
    let _ = to.shutdown(std::net::Shutdown::Both);
}
