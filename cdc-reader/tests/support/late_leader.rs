//! A proxy in front of a broker that becomes the leader of a topic's new partition between two batches of a producer.
//!
//! In: the broker's address and a topic. Out: an address for the client. The proxy answers the first produce request
//! for the topic itself, with `NOT_LEADER_OR_FOLLOWER`, and passes everything else on. It waits a while for a second
//! request before it answers, so a client that sends a second batch without the first one's answer has it written
//! first. Real brokers do this while they apply the metadata of a new topic (KAFKA-15591). Sources: the Kafka protocol
//! guide, produce request and response, versions 9 and 10, which are what librdkafka speaks with a broker of today.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

const PRODUCE: i16 = 0;
const VERSIONS: std::ops::RangeInclusive<i16> = 9..=10;
const NOT_LEADER_OR_FOLLOWER: i16 = 6;

/// How long the first answer waits for a second request.
const SECOND_WITHIN: Duration = Duration::from_secs(1);

/// The proxy; its connections end with the test's process.
pub(crate) struct LateLeader {
    port: u16,
    refusals: Arc<AtomicU32>,
}

/// A produce request as far as its answer needs it.
struct Produce {
    correlation: i32,
    topic: String,
    partition: i32,
}

impl LateLeader {
    /// In front of the broker at this port of 127.0.0.1.
    pub(crate) fn of(broker_port: u16, topic: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let refusals = Arc::new(AtomicU32::new(0));
        let (topic, counted) = (topic.to_owned(), Arc::clone(&refusals));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(broker) = TcpStream::connect(("127.0.0.1", broker_port)) else { continue };
                let (topic, refusals) = (topic.clone(), Arc::clone(&counted));
                let (mut back, mut forth) =
                    (broker.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = std::io::copy(&mut back, &mut forth);
                    let _ = forth.shutdown(Shutdown::Both);
                });
                thread::spawn(move || {
                    let _ = pass_requests(&client, &broker, &topic, &refusals);
                    let _ = broker.shutdown(Shutdown::Both);
                });
            }
        });
        Self { port, refusals }
    }

    /// The port for the client, on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many batches were refused; at most one.
    pub(crate) fn refusals(&self) -> u32 {
        self.refusals.load(Ordering::Relaxed)
    }
}

/// Refuses the topic's first batch when the second one has come, or will not come.
fn pass_requests(
    mut client: &TcpStream,
    mut broker: &TcpStream,
    topic: &str,
    refusals: &AtomicU32,
) -> std::io::Result<()> {
    loop {
        let request = read_request(client)?;
        let refused = Produce::read(&request)
            .filter(|produce| produce.topic == topic)
            .filter(|_| refusals.swap(1, Ordering::Relaxed) == 0);
        let Some(refused) = refused else {
            broker.write_all(&request)?;
            continue;
        };
        client.set_read_timeout(Some(SECOND_WITHIN))?;
        let waited = client.peek(&mut [0]);
        client.set_read_timeout(None)?;
        client.write_all(&refused.refusal())?;
        if waited.is_ok() {
            // Whatever comes now was sent before the answer to the first one.
            broker.write_all(&read_request(client)?)?;
        }
    }
}

/// One request with its length before it.
fn read_request(mut client: &TcpStream) -> std::io::Result<Vec<u8>> {
    let mut request = vec![0; 4];
    client.read_exact(&mut request)?;
    let length = i32::from_be_bytes(request[..4].try_into().unwrap());
    request.resize(4 + usize::try_from(length).unwrap(), 0);
    client.read_exact(&mut request[4..])?;
    Ok(request)
}

impl Produce {
    /// `None` for any other request. One of librdkafka holds one partition of one topic.
    fn read(request: &[u8]) -> Option<Self> {
        let mut reader = Fields(&request[4..]);
        let (key, version) = (reader.i16(), reader.i16());
        if key != PRODUCE {
            return None;
        }
        assert!(VERSIONS.contains(&version), "a produce request of version {version}");
        let correlation = reader.i32();
        let client_id = reader.i16();
        reader.bytes(usize::try_from(client_id).unwrap_or(0));
        let _tags = reader.varint();
        let transactional_id = reader.varint();
        reader.bytes(transactional_id.saturating_sub(1));
        let (_acks, _timeout) = (reader.i16(), reader.i32());
        assert_eq!(reader.varint(), 2, "one topic");
        let length = reader.varint() - 1;
        let topic = String::from_utf8(reader.bytes(length).to_vec()).unwrap();
        assert_eq!(reader.varint(), 2, "one partition");
        Some(Self { correlation, topic, partition: reader.i32() })
    }

    fn refusal(&self) -> Vec<u8> {
        let name = u8::try_from(self.topic.len() + 1).unwrap();
        assert!(name < 128, "the name's length takes one byte");
        let mut body = self.correlation.to_be_bytes().to_vec();
        // No tags; one topic; its name; one partition.
        body.extend([0, 2, name]);
        body.extend(self.topic.as_bytes());
        body.push(2);
        body.extend(self.partition.to_be_bytes());
        body.extend(NOT_LEADER_OR_FOLLOWER.to_be_bytes());
        // Base offset, time of the append, start of the log.
        body.extend([-1_i64; 3].map(i64::to_be_bytes).concat());
        // No errors of records, no message, no tags of the partition and of the topic, no throttling, no tags.
        body.extend([1, 0, 0, 0, 0, 0, 0, 0, 0]);
        let length = i32::try_from(body.len()).unwrap();
        [&length.to_be_bytes()[..], &body].concat()
    }
}

/// What is left of a request.
struct Fields<'r>(&'r [u8]);

impl<'r> Fields<'r> {
    fn bytes(&mut self, count: usize) -> &'r [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.bytes(2).try_into().unwrap())
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.bytes(4).try_into().unwrap())
    }

    fn varint(&mut self) -> usize {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = self.bytes(1)[0];
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
}
