//! A proxy in front of a broker, which can show its clients a cluster without brokers for a while.
//!
//! In: the broker's port. Out: an address for the clients. The proxy passes everything on, and puts its own port where
//! the broker names its own, so all connections of a client lead through it. While the broker is shown as fenced, each
//! answer to a metadata request names no brokers, and its topics have no partitions. A real broker that was frozen
//! answers like this for a moment after it goes on, because the controller has taken it out of the cluster. Source: the
//! Kafka protocol guide, metadata request and response, versions 12 and 13, which are what librdkafka speaks with a
//! broker of today.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

const METADATA: i16 = 3;
const VERSIONS: std::ops::RangeInclusive<i16> = 12..=13;
const LEADER_NOT_AVAILABLE: i16 = 5;

/// The proxy; its connections end with the test's process.
pub(crate) struct FencedBroker {
    port: u16,
    view: Arc<View>,
}

#[derive(Default)]
struct View {
    is_fenced: AtomicBool,
    is_mute: AtomicBool,
    /// metadata requests that were answered without brokers
    answered: AtomicU32,
}

/// The versions of the metadata requests that wait for their answers on one connection, by correlation id.
type Waiting = Arc<Mutex<HashMap<i32, i16>>>;

impl FencedBroker {
    /// In front of the broker at this address of 127.0.0.1.
    pub(crate) fn of(bootstrap: &str) -> Self {
        let broker_port: u16 = bootstrap.rsplit(':').next().unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let view = Arc::new(View::default());
        let shown = Arc::clone(&view);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(broker) = TcpStream::connect(("127.0.0.1", broker_port)) else { continue };
                let (waiting, view) = (Waiting::default(), Arc::clone(&shown));
                let (back, forth) = (broker.try_clone().unwrap(), client.try_clone().unwrap());
                let asked = Arc::clone(&waiting);
                thread::spawn(move || {
                    let _ = pass_requests(&client, &broker, &asked);
                    let _ = broker.shutdown(Shutdown::Both);
                });
                let ports = (address(broker_port), address(port));
                thread::spawn(move || {
                    let _ = pass_answers(&back, &forth, &waiting, &view, &ports);
                    let _ = forth.shutdown(Shutdown::Both);
                });
            }
        });
        Self { port, view }
    }

    /// `host:port`, for `bootstrap.servers`.
    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Shows the broker as fenced, or as it is.
    pub(crate) fn fence(&self, is_fenced: bool) {
        self.view.is_fenced.store(is_fenced, Ordering::Relaxed);
    }

    /// Keeps all answers back, or passes them on again.
    pub(crate) fn mute(&self, is_mute: bool) {
        self.view.is_mute.store(is_mute, Ordering::Relaxed);
    }

    /// How many metadata requests were answered without brokers.
    pub(crate) fn answered(&self) -> u32 {
        self.view.answered.load(Ordering::Relaxed)
    }
}

/// A broker's address as its answers have it.
fn address(port: u16) -> Vec<u8> {
    [&b"127.0.0.1"[..], &u32::from(port).to_be_bytes()].concat()
}

fn pass_requests(
    client: &TcpStream,
    mut broker: &TcpStream,
    waiting: &Waiting,
) -> std::io::Result<()> {
    loop {
        let request = read_frame(client)?;
        let (key, version) = (number16(&request, 4), number16(&request, 6));
        if key == METADATA {
            assert!(VERSIONS.contains(&version), "a metadata request of version {version}");
            waiting.lock().unwrap().insert(number32(&request, 8), version);
        }
        broker.write_all(&request)?;
    }
}

fn pass_answers(
    broker: &TcpStream,
    mut client: &TcpStream,
    waiting: &Waiting,
    view: &View,
    (from, to): &(Vec<u8>, Vec<u8>),
) -> std::io::Result<()> {
    loop {
        let mut answer = read_frame(broker)?;
        let correlation = number32(&answer, 4);
        if view.is_mute.load(Ordering::Relaxed) {
            waiting.lock().unwrap().remove(&correlation);
            continue;
        }
        let version = waiting.lock().unwrap().remove(&correlation);
        if let Some(version) = version.filter(|_| view.is_fenced.load(Ordering::Relaxed)) {
            client.write_all(&without_brokers(correlation, version))?;
            view.answered.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let last = answer.len().saturating_sub(from.len());
        for at in 4..=last {
            if answer[at..].starts_with(from) {
                answer[at..at + to.len()].copy_from_slice(to);
            }
        }
        client.write_all(&answer)?;
    }
}

/// Answers with one topic, which has no leader.
fn without_brokers(correlation: i32, version: i16) -> Vec<u8> {
    let mut body = correlation.to_be_bytes().to_vec();
    // No tags; no throttling; no brokers; no cluster id; no controller.
    body.extend([0, 0, 0, 0, 0, 1, 0]);
    body.extend((-1_i32).to_be_bytes());
    // One topic: its error, its name, its id, not internal, no partitions, no rights, no tags.
    body.push(2);
    body.extend(LEADER_NOT_AVAILABLE.to_be_bytes());
    body.extend([2, b't']);
    body.extend([0; 16]);
    body.extend([0, 1]);
    body.extend(i32::MIN.to_be_bytes());
    body.push(0);
    if version >= 13 {
        body.extend([0, 0]); // no error of the whole
    }
    body.push(0);
    let length = i32::try_from(body.len()).unwrap();
    [&length.to_be_bytes()[..], &body].concat()
}

/// One request or answer with its length before it.
fn read_frame(mut from: &TcpStream) -> std::io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    from.read_exact(&mut frame)?;
    frame.resize(4 + usize::try_from(number32(&frame, 0)).unwrap(), 0);
    from.read_exact(&mut frame[4..])?;
    Ok(frame)
}

fn number16(frame: &[u8], at: usize) -> i16 {
    i16::from_be_bytes(frame[at..at + 2].try_into().unwrap())
}

fn number32(frame: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(frame[at..at + 4].try_into().unwrap())
}
