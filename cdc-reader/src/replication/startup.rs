//! From a connected socket to a session that is ready: startup packet, authentication, session settings.

use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;
use shared::postgres::{ConnectOptions, SESSION_SETTINGS};
use shared::tls::SslMode;

use super::cancel::CancelKey;
use super::transport::Transport;
use super::wire::Wire;
use super::{ReplicationError, ServerError, WaitLimit};

/// `invalid_authorization_specification`: no line of `pg_hba.conf` fits.
const NO_ACCESS_RULE: &str = "28000";

/// Since this version a server can limit the length of transactions, and a snapshot and a decoded transaction must have
/// no such limit. Earlier servers refuse an unknown setting, so it is not among the other settings.
const TRANSACTION_TIMEOUT_SINCE: u32 = 17;

/// How long the server may take to start the session.
const STARTUP_DEADLINE: Duration = Duration::from_secs(30);

/// How often a wait checks whether it has lasted long enough.
const WAIT_STEP: Duration = Duration::from_millis(500);

/// Settings of a role or database that must not apply here. A snapshot may take hours, and the session that exports it
/// is idle meanwhile. A row that a policy hides must be an error, because the stream shows that row.
const READER_SETTINGS: [(&str, &str); 3] = [
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("row_security", "off"),
];

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `replication=database`: slots and streams, beside ordinary SQL.
    Replication,
    /// Ordinary SQL and COPY only.
    Sql,
}

/// Connects and authenticates.
///
/// As in libpq, `prefer` tries again without TLS, and `allow` tries again with TLS, when the server's access rules
/// refuse the first attempt.
pub(super) fn open(
    options: &ConnectOptions,
    mode: Mode,
) -> Result<(Wire, CancelKey), ReplicationError> {
    let other = match options.ssl_mode {
        SslMode::Allow => SslMode::Require,
        SslMode::Prefer => SslMode::Disable,
        _ => return open_once(options, mode),
    };
    match open_once(options, mode) {
        Err(error) if error.sqlstate() == Some(NO_ACCESS_RULE) && !options.is_unix() => {
            let second = ConnectOptions { ssl_mode: other, ..options.clone() };
            // When the server refuses both attempts, the first refusal is reported, because it belongs to the mode that
            // was asked for.
            open_once(&second, mode).map_err(|_| error)
        }
        result => result,
    }
}

fn open_once(options: &ConnectOptions, mode: Mode) -> Result<(Wire, CancelKey), ReplicationError> {
    let limit = WaitLimit::of(STARTUP_DEADLINE);
    let mut key = CancelKey::default();
    let mut wire = Wire::new(Transport::connect(options)?);
    wire.set_read_timeout(Some(WAIT_STEP))?;
    wire.send(&startup_packet(options, mode)?)?;
    authenticate(&mut wire, options, &limit)?;
    let mut major_version = 0;
    let mut setting_sent = false;
    loop {
        let frame = wire.frame(&limit)?;
        match frame.tag {
            b'Z' if major_version >= TRANSACTION_TIMEOUT_SINCE && !setting_sent => {
                let mut query = BytesMut::new();
                frontend::query("SET transaction_timeout = 0", &mut query)?;
                wire.send(&query)?;
                setting_sent = true;
            }
            b'Z' => return Ok((wire, key)),
            b'S' => major_version = major_version.max(server_version(wire.body(&frame))),
            b'N' | b'C' => {}
            b'K' => {
                key = CancelKey::read(wire.body(&frame))
                    .ok_or(ReplicationError::Protocol("malformed BackendKeyData"))?;
            }
            b'E' => return Err(ServerError::decode(wire.body(&frame)).into()),
            _ => {
                return Err(ReplicationError::Protocol(
                    "a message that does not belong to the start of a session",
                ));
            }
        }
    }
}

/// The major version in a ParameterStatus of `server_version`, else 0.
fn server_version(body: &[u8]) -> u32 {
    let Some(version) = body.strip_prefix(b"server_version\0") else { return 0 };
    let digits = version.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
}

fn startup_packet(options: &ConnectOptions, mode: Mode) -> Result<BytesMut, ReplicationError> {
    let mut parameters = vec![
        ("user", options.user.as_str()),
        ("database", options.database.as_str()),
        ("application_name", options.application_name.as_str()),
    ];
    parameters.extend(SESSION_SETTINGS);
    parameters.extend(READER_SETTINGS);
    if mode == Mode::Replication {
        parameters.push(("replication", "database"));
    }
    let mut packet = BytesMut::new();
    frontend::startup_message(parameters, &mut packet)
        .map_err(|_| ReplicationError::Protocol("a connection parameter holds a NUL byte"))?;
    Ok(packet)
}

/// <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP>
fn authenticate(
    wire: &mut Wire,
    options: &ConnectOptions,
    limit: &WaitLimit,
) -> Result<(), ReplicationError> {
    let mut scram: Option<ScramSha256> = None;
    loop {
        let frame = wire.frame(limit).map_err(|error| match error {
            // A server that cannot start a process for the connection says so in plain text, without a length.
            ReplicationError::Protocol(_) => {
                ReplicationError::NotServed { address: options.display() }
            }
            other => other,
        })?;
        let body = wire.body(&frame);
        let mut answer = BytesMut::new();
        match (frame.tag, body.first_chunk::<4>().map(|code| u32::from_be_bytes(*code))) {
            (b'E', _) => return Err(ServerError::decode(body).into()),
            (b'N', _) => continue,
            (b'R', Some(0)) => return Ok(()),
            (b'R', Some(3)) => {
                frontend::password_message(password(options)?, &mut answer)?;
            }
            (b'R', Some(5)) => {
                let salt = body[4..]
                    .first_chunk::<4>()
                    .ok_or(ReplicationError::Protocol("md5 request without salt"))?;
                let hash = md5_hash(options.user.as_bytes(), password(options)?, *salt);
                frontend::password_message(hash.as_bytes(), &mut answer)?;
            }
            (b'R', Some(10)) => {
                if !body[4..].split(|&b| b == 0).any(|name| name == SCRAM_SHA_256.as_bytes()) {
                    return Err(ReplicationError::Authentication("SASL without SCRAM-SHA-256"));
                }
                // Channel binding is not offered. It needs the hash of the server's certificate, and verification by
                // TLS has the same purpose.
                let exchange = ScramSha256::new(password(options)?, ChannelBinding::unsupported());
                frontend::sasl_initial_response(SCRAM_SHA_256, exchange.message(), &mut answer)?;
                scram = Some(exchange);
            }
            (b'R', Some(11)) => {
                let exchange = expect_scram(&mut scram)?;
                exchange.update(&body[4..])?;
                frontend::sasl_response(exchange.message(), &mut answer)?;
            }
            (b'R', Some(12)) => {
                expect_scram(&mut scram)?.finish(&body[4..])?;
                continue;
            }
            (b'R', Some(7..=9)) => {
                return Err(ReplicationError::Authentication("Kerberos or GSSAPI"));
            }
            (b'R', Some(_)) => {
                return Err(ReplicationError::Authentication(
                    "a method that this build does not know",
                ));
            }
            _ => return Err(ReplicationError::Protocol("no authentication request")),
        }
        wire.send(&answer)?;
    }
}

fn expect_scram(scram: &mut Option<ScramSha256>) -> Result<&mut ScramSha256, ReplicationError> {
    scram.as_mut().ok_or(ReplicationError::Protocol("a SASL message before SASL began"))
}

fn password(options: &ConnectOptions) -> Result<&[u8], ReplicationError> {
    if options.password.is_empty() {
        // libpq reports this too. The code is the one that the server uses for a wrong password.
        return Err(ReplicationError::Server(ServerError {
            code: "28P01".to_owned(),
            message: format!(
                "role {:?} needs a password and database.password gives none",
                options.user
            ),
            detail: None,
            hint: None,
        }));
    }
    Ok(options.password.expose().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_all_forms() {
        for (status, major) in [
            ("server_version\x0018.4\0", 18),
            ("server_version\x0015.18 (Debian 15.18-0+deb12u1)\0", 15),
            ("server_version\x0017beta1\0", 17),
            ("server_encoding\0UTF8\0", 0),
        ] {
            assert_eq!(server_version(status.as_bytes()), major, "{status:?}");
        }
    }
}
