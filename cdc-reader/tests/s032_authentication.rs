//! Who gets the password, and who is taken for the source: real servers with every kind of certificate and method, and
//! somebody in the middle who takes offers away, asks for less, or knows no password.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;

use ::shared::authentication::ChannelBinding;
use ::shared::postgres::ConnectOptions;
use ::shared::secret::Secret;
use ::shared::tls::{SslMode, TlsFiles, client_config};
use cdc_reader::disposition::Disposition;
use cdc_reader::replication::{Client, Mode, ReplicationError, WaitLimit};
use devstack::{PasswordAuth, Postgres, PostgresAddress, PostgresOptions, Tls, shared};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConnection, ServerConfig, ServerConnection, StreamOwned};

use crate::support::{Connector, Launch, PATIENCE, Source, unique};

const PASSWORD: &str = "only-for-the-source-91c2";

/// Makes a certificate of a signature's kind, which vouches for itself.
fn certificate(dir: &Path, how: &str) -> Tls {
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let mut args: Vec<String> =
        "req -x509 -days 30 -nodes -subj /CN=localhost".split(' ').map(str::to_owned).collect();
    args.extend(["-keyout".to_owned(), path("server.key"), "-out".to_owned(), path("server.crt")]);
    args.extend(how.split(' ').map(str::to_owned));
    let output = Command::new("openssl").args(&args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let cert = dir.join("server.crt");
    Tls::Files { ca: cert.clone(), cert, key: dir.join("server.key") }
}

/// An address of this machine that is not the loopback's, where nobody takes the other end for a process of this
/// machine. Choosing a route sends nothing.
fn outside() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket
        .connect("192.0.2.1:9")
        .expect("this test needs a network address besides the loopback's");
    let address = socket.local_addr().unwrap().ip();
    assert!(!address.is_loopback(), "this test needs a network address besides the loopback's");
    address
}

/// A server that can be reached from outside, with a role for each method.
fn server(version: u16, tls: Option<Tls>) -> Postgres {
    let mut options = PostgresOptions::new(version)
        .fsync(false)
        .superuser("keeper", PASSWORD)
        .auth(PasswordAuth::Scram)
        .setting("listen_addresses", "*")
        .access("host all role_scram all scram-sha-256")
        .access("host all role_md5 all md5")
        .access("host all role_password all password")
        .access("host all role_trust all trust");
    if let Some(tls) = tls {
        options = options.tls(tls);
    }
    let server = Postgres::start(options).unwrap();
    let role = |name: &str| format!("CREATE ROLE {name} SUPERUSER LOGIN PASSWORD '{PASSWORD}';");
    let script = format!(
        "{}{}{} SET password_encryption = 'md5'; {}",
        role("role_scram"),
        role("role_password"),
        role("role_trust"),
        role("role_md5")
    );
    server.address().execute("postgres", &script).unwrap();
    server
}

fn options(host: IpAddr, port: u16, role: &str, ssl_mode: SslMode) -> ConnectOptions {
    let mut options = ConnectOptions::new(host.to_string(), port, "postgres");
    role.clone_into(&mut options.user);
    options.password = Secret::new(PASSWORD);
    options.ssl_mode = ssl_mode;
    options
}

/// At the server's address that others see.
fn from_outside(server: &PostgresAddress, role: &str, ssl_mode: SslMode) -> ConnectOptions {
    options(outside(), server.port, role, ssl_mode)
}

fn binding(mut options: ConnectOptions, binding: ChannelBinding) -> ConnectOptions {
    options.authentication.channel_binding = binding;
    options
}

fn allowing(mut options: ConnectOptions, methods: &str) -> ConnectOptions {
    options.authentication.allowed = methods.parse().unwrap();
    options
}

fn connect(options: &ConnectOptions) -> Result<Client, ReplicationError> {
    Client::connect(options, Mode::Replication, WaitLimit::brief())
}

/// The connection of the loader, by the driver that answers every request itself.
fn connect_by_driver(options: &ConnectOptions) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match ::shared::postgres::connect(options).await {
            Ok(client) => {
                let row = client.query_one("SELECT 1", &[]).await.unwrap();
                assert_eq!(row.get::<_, i32>(0), 1);
                Ok(())
            }
            Err(error) => Err(chain(&error)),
        }
    })
}

/// An error and its causes, as a log shows them.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[track_caller]
fn check_connects(options: &ConnectOptions) {
    assert_eq!(connect_by_driver(options), Ok(()));
    let rows = connect(options).unwrap().query("SELECT 1").unwrap();
    assert_eq!(rows, [[Some("1".to_owned())]]);
}

#[track_caller]
fn check_refused(options: &ConnectOptions, words: &[&str]) {
    let Err(error) = connect(options) else { panic!("it connects") };
    let line = error.to_string();
    for word in words {
        assert!(line.contains(word), "{word:?} in: {line}");
    }
    assert!(!line.contains(PASSWORD), "{line}");
    assert_eq!(error.disposition(), Disposition::Stop, "{line}");
}

/// With binding required, the server has compared its own certificate's hash with the reader's.
fn check_bound(version: u16, kinds: &[&str]) {
    for how in kinds {
        let dir = tempfile::tempdir().unwrap();
        let server = server(version, Some(certificate(dir.path(), how)));
        let plain = from_outside(server.address(), "role_scram", SslMode::Require);
        // The driver of the loader knows fewer hashes, and then does not bind.
        assert!(connect(&binding(plain.clone(), ChannelBinding::Require)).is_ok(), "{how}");
        check_connects(&binding(plain.clone(), ChannelBinding::Prefer));
        check_connects(&binding(plain, ChannelBinding::Disable));
    }
}

#[test]
fn scram_is_bound_to_certificates_of_every_hash() {
    check_bound(
        15,
        &[
            "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -sha256",
            "-newkey ec -pkeyopt ec_paramgen_curve:secp384r1 -sha384",
            "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -sha512",
            "-newkey rsa:2048 -sha1",
            "-newkey rsa:2048 -sha512",
            "-newkey rsa:2048 -sha384 -sigopt rsa_padding_mode:pss",
        ],
    );
    check_bound(
        18,
        &["-newkey rsa:2048 -sha224", "-newkey rsa:2048 -sha512 -sigopt rsa_padding_mode:pss"],
    );
}

#[test]
fn a_certificate_without_a_hash_is_not_bound_and_said_to_be_so_where_binding_is_required() {
    for version in [15, 18] {
        let dir = tempfile::tempdir().unwrap();
        let server = server(version, Some(certificate(dir.path(), "-newkey ed25519")));
        let plain = from_outside(server.address(), "role_scram", SslMode::Require);
        check_connects(&plain);
        check_refused(
            &binding(plain, ChannelBinding::Require),
            &["driver.channelBinding=require", "Ed25519"],
        );
    }
}

#[test]
fn a_password_is_sent_only_where_it_is_known_who_gets_it() {
    for version in [15, 18] {
        let server = server(version, Some(Tls::Generate));
        let address = server.address();
        for (role, method) in [("role_password", "password"), ("role_md5", "md5")] {
            for mode in [SslMode::Disable, SslMode::Prefer, SslMode::Require] {
                let outside = from_outside(address, role, mode);
                check_refused(&outside, &[method, &format!("driver.requireAuth={method}")]);
                let refused = connect_by_driver(&outside).unwrap_err();
                assert!(refused.contains(&format!("database.require_auth={method}")), "{refused}");
                check_refused(&allowing(outside.clone(), "!scram-sha-256"), &["is not sent"]);
                check_connects(&allowing(outside, &format!("{method},scram-sha-256")));
            }
            let mut verified = from_outside(address, role, SslMode::VerifyCa);
            verified.tls_files = TlsFiles { root_cert: address.ca.clone(), ..TlsFiles::default() };
            check_connects(&verified);
            check_refused(
                &allowing(verified.clone(), "scram-sha-256"),
                &[method, "driver.requireAuth"],
            );
            check_refused(&binding(verified, ChannelBinding::Require), &["does not ask for SCRAM"]);
            check_connects(&options([127, 0, 0, 1].into(), address.port, role, SslMode::Disable));
        }
        check_connects(&from_outside(address, "role_trust", SslMode::Disable));
        let trusted = from_outside(address, "role_trust", SslMode::Require);
        check_refused(&allowing(trusted.clone(), "scram-sha-256"), &["none", "driver.requireAuth"]);
        check_refused(&binding(trusted, ChannelBinding::Require), &["driver.channelBinding"]);
        let without_tls = from_outside(address, "role_scram", SslMode::Disable);
        check_connects(&without_tls);
        check_refused(&binding(without_tls, ChannelBinding::Require), &["has no TLS"]);
    }
}

/// A stream of either kind.
trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn read_message(stream: &mut dyn Stream, has_tag: bool) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; if has_tag { 5 } else { 4 }];
    stream.read_exact(&mut message)?;
    let length = message.last_chunk::<4>().unwrap();
    let rest = usize::try_from(u32::from_be_bytes(*length)).unwrap() - 4;
    let start = message.len();
    message.resize(start + rest, 0);
    stream.read_exact(&mut message[start..])?;
    Ok(message)
}

fn authentication(code: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(8 + body.len()).unwrap();
    [b"R", &length.to_be_bytes()[..], &code.to_be_bytes()[..], body].concat()
}

/// Somebody at an address outside who takes one connection, and afterwards gives every message of the client.
struct Impostor {
    address: SocketAddr,
    thread: JoinHandle<Vec<Vec<u8>>>,
}

impl Impostor {
    fn start(
        act: impl FnOnce(TcpStream, &mut Vec<Vec<u8>>) -> std::io::Result<()> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((outside(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let mut heard = Vec::new();
            let (client, _) = listener.accept().unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            // The client may leave at any moment; what it has said until then is what counts.
            let _end = act(client, &mut heard);
            heard
        });
        Self { address, thread }
    }

    /// Without TLS: sends one request after the other, and waits for an answer to each.
    fn asking(requests: Vec<Vec<u8>>) -> Self {
        Self::start(move |mut client, heard| {
            heard.push(read_message(&mut client, false)?);
            for request in requests {
                client.write_all(&request)?;
                heard.push(read_message(&mut client, true)?);
            }
            Ok(())
        })
    }

    /// Between the client and a server, with a certificate of its own: changes what the server says.
    fn between(server: SocketAddr, change: fn(Vec<u8>) -> Vec<u8>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        certificate(dir.path(), "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1");
        let chain = vec![CertificateDer::from_pem_file(dir.path().join("server.crt")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(dir.path().join("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Self::start(move |mut client, heard| {
            read_message(&mut client, false)?; // SSLRequest
            client.write_all(b"S")?;
            let tls = ServerConnection::new(Arc::new(config)).unwrap();
            let mut client = StreamOwned::new(tls, client);
            relay(&mut client, &mut over_tls(server)?, change, heard)
        })
    }

    fn options(&self, ssl_mode: SslMode) -> ConnectOptions {
        options(self.address.ip(), self.address.port(), "role_scram", ssl_mode)
    }

    /// What it heard from the client, but for the client's good-bye.
    fn heard(self) -> Vec<Vec<u8>> {
        let mut heard = self.thread.join().unwrap();
        heard.retain(|message| message.first() != Some(&b'X'));
        heard
    }
}

/// A connection to the real server, as anybody has it who does not look at certificates.
fn over_tls(server: SocketAddr) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut socket = TcpStream::connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(&[0, 0, 0, 8, 4, 210, 22, 47])?;
    let mut answer = [0];
    socket.read_exact(&mut answer)?;
    assert_eq!(answer, *b"S");
    let config = client_config(SslMode::Require, &TlsFiles::default()).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    Ok(StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket))
}

/// Carries messages to and fro until the server accepts or refuses.
fn relay(
    client: &mut dyn Stream,
    server: &mut dyn Stream,
    change: fn(Vec<u8>) -> Vec<u8>,
    heard: &mut Vec<Vec<u8>>,
) -> std::io::Result<()> {
    let startup = read_message(client, false)?;
    server.write_all(&startup)?;
    server.flush()?;
    loop {
        let said = change(read_message(server, true)?);
        client.write_all(&said)?;
        client.flush()?;
        let wants_answer = said[0] == b'R' && !matches!(said[5..9], [0, 0, 0, 0 | 12]);
        if wants_answer {
            let answer = read_message(client, true)?;
            heard.push(answer.clone());
            server.write_all(&answer)?;
            server.flush()?;
        }
        if matches!(said[0], b'Z' | b'E') {
            // The client may ask for more; nobody answers.
            return Ok(());
        }
    }
}

#[test]
fn somebody_who_asks_for_a_password_gets_none() {
    for (request, method) in
        [(authentication(3, b""), "password"), (authentication(5, b"salt"), "md5")]
    {
        let impostor = Impostor::asking(vec![request.clone()]);
        check_refused(&impostor.options(SslMode::Disable), &[method, "is not sent"]);
        let heard = impostor.heard();
        assert_eq!(heard.len(), 1, "the startup message alone");
        assert!(heard[0].windows(10).any(|part| part == b"role_scram"), "it did connect");

        let impostor = Impostor::asking(vec![request]);
        let allowed = allowing(impostor.options(SslMode::Disable), method);
        assert!(connect(&allowed).is_err(), "the impostor hangs up");
        assert_eq!(impostor.heard()[1][0], b'p', "where the user allows it, it is sent");
    }
}

#[test]
fn a_server_that_skips_its_own_proof_is_not_taken_for_the_source() {
    let begin = authentication(10, b"SCRAM-SHA-256\0\0");
    let accept = authentication(0, b"");
    let impostor = Impostor::asking(vec![begin, accept]);
    check_refused(&impostor.options(SslMode::Disable), &["did not prove", "ended SCRAM"]);
    assert_eq!(impostor.heard().len(), 2);
}

#[test]
fn a_server_without_the_password_cannot_prove_that_it_has_it() {
    let impostor = Impostor::start(|mut client, heard| {
        read_message(&mut client, false)?;
        client.write_all(&authentication(10, b"SCRAM-SHA-256\0\0"))?;
        let first = read_message(&mut client, true)?;
        let text = String::from_utf8_lossy(&first);
        let nonce = text.split_once("r=").unwrap().1;
        let challenge = format!("r={nonce}ours,s=c2FsdHNhbHQ=,i=4096");
        client.write_all(&authentication(11, challenge.as_bytes()))?;
        heard.push(read_message(&mut client, true)?);
        let lie = "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        client.write_all(&[authentication(12, lie.as_bytes()), authentication(0, b"")].concat())?;
        heard.push(read_message(&mut client, true)?);
        Ok(())
    });
    check_refused(&impostor.options(SslMode::Disable), &["did not prove", "SCRAM"]);
    assert_eq!(impostor.heard().len(), 1);
}

/// The mechanisms without SCRAM-SHA-256-PLUS.
fn without_plus(said: Vec<u8>) -> Vec<u8> {
    match said[..] {
        [b'R', _, _, _, _, 0, 0, 0, 10, ..] => authentication(10, b"SCRAM-SHA-256\0\0"),
        _ => said,
    }
}

fn asks_for_the_password(said: Vec<u8>) -> Vec<u8> {
    match said[..] {
        [b'R', _, _, _, _, 0, 0, 0, 10, ..] => authentication(3, b""),
        _ => said,
    }
}

#[test]
fn somebody_in_the_middle_of_tls_is_noticed() {
    for version in [15, 18] {
        let real = server(version, Some(Tls::Generate));
        let real_address = SocketAddr::from(([127, 0, 0, 1], real.address().port));
        let outcome = |change, channel_binding, words: &[&str]| {
            let impostor = Impostor::between(real_address, change);
            let options = binding(impostor.options(SslMode::Require), channel_binding);
            check_refused(&options, words);
            impostor.heard().len()
        };
        let unchanged = |said| said;
        // The hash is that of another certificate.
        outcome(unchanged, ChannelBinding::Prefer, &["channel binding check failed"]);
        outcome(unchanged, ChannelBinding::Require, &["channel binding check failed"]);
        // The server hears that we would have bound.
        outcome(without_plus, ChannelBinding::Prefer, &["channel binding negotiation error"]);
        let sent =
            outcome(without_plus, ChannelBinding::Require, &["does not offer SCRAM-SHA-256-PLUS"]);
        assert_eq!(sent, 0);
        let sent = outcome(asks_for_the_password, ChannelBinding::Prefer, &["is not sent"]);
        assert_eq!(sent, 0);
    }
}

#[test]
fn the_connector_file_decides_and_the_reader_ends_with_the_remedy() {
    let server = server(15, None);
    let id = unique("auth");
    let source = Source::with_load(server.address(), &id);
    let connector = Connector::new(&source, &id)
        .set("database.hostname", &outside().to_string())
        .set("database.user", "role_password")
        .set("database.password", PASSWORD);
    let launch = |connector: &Connector| {
        Launch::new(connector, &shared::stack().kafka_bootstrap).startup_timeout(10)
    };
    let (code, log) = launch(&connector).start().wait_for_end(PATIENCE);
    assert_eq!(code, 2, "{log}");
    assert!(log.contains("driver.requireAuth=password"), "{log}");
    let bound = connector.clone().set("driver.channelBinding", "require");
    let (code, log) = launch(&bound).start().wait_for_end(PATIENCE);
    assert_eq!(code, 2, "{log}");
    assert!(log.contains("driver.channelBinding=require"), "{log}");
    let reader = launch(&connector.set("driver.requireAuth", "password")).start();
    reader.wait_for_line("streaming");
    let log = reader.stop();
    assert!(!log.contains(PASSWORD), "{log}");
}
