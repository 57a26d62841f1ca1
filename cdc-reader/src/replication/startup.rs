//! From a connected socket to a session that is ready: startup packet, authentication, session settings.

use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use shared::postgres::{ConnectOptions, SESSION_SETTINGS};
use shared::tls::SslMode;

use super::authentication;
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
    limit: &WaitLimit,
) -> Result<(Wire, CancelKey), ReplicationError> {
    let other = match options.ssl_mode {
        SslMode::Allow => SslMode::Require,
        SslMode::Prefer => SslMode::Disable,
        _ => return open_once(options, mode, limit),
    };
    match open_once(options, mode, limit) {
        Err(error) if is_no_access_rule(&error) && !options.is_unix() => {
            let second = ConnectOptions { ssl_mode: other, ..options.clone() };
            // When the server refuses both attempts, the first refusal is reported, because it belongs to the mode that
            // was asked for.
            open_once(&second, mode, limit).map_err(|_| error)
        }
        result => result,
    }
}

/// Whether the server refuses the connection itself. A refusal in the middle of an authentication is another matter: it
/// does not depend on TLS.
fn is_no_access_rule(error: &ReplicationError) -> bool {
    matches!(error, ReplicationError::Server(server) if server.code == NO_ACCESS_RULE)
}

fn open_once(
    options: &ConnectOptions,
    mode: Mode,
    limit: &WaitLimit,
) -> Result<(Wire, CancelKey), ReplicationError> {
    let limit = limit.at_most(STARTUP_DEADLINE);
    let mut key = CancelKey::default();
    let mut wire = Wire::new(Transport::connect(options)?);
    wire.set_read_timeout(Some(WAIT_STEP))?;
    wire.send(&startup_packet(options, mode)?)?;
    authentication::run(&mut wire, options, &limit)?;
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
