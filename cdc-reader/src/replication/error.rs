//! What can fail on a connection, and what to do then.

use std::io;

use shared::authentication::{READER_WORDS, Refusal};
use shared::tls::TlsError;

use crate::disposition::Disposition;

/// An ErrorResponse: <https://www.postgresql.org/docs/current/protocol-error-fields.html>.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (SQLSTATE {code}){}", hint_text(.hint.as_deref()))]
pub struct ServerError {
    /// SQLSTATE.
    pub code: String,
    /// Primary message.
    pub message: String,
    /// Detail, if any.
    pub detail: Option<String>,
    /// Hint, if any.
    pub hint: Option<String>,
}

impl ServerError {
    /// Decodes an ErrorResponse or a NoticeResponse: a code byte and a string each, until a NUL.
    pub(super) fn decode(body: &[u8]) -> Self {
        let mut error =
            Self { code: String::new(), message: String::new(), detail: None, hint: None };
        for field in body.split(|&b| b == 0) {
            let Some((&code, text)) = field.split_first() else { continue };
            let text = String::from_utf8_lossy(text).into_owned();
            match code {
                b'C' => error.code = text,
                b'M' => error.message = text,
                b'D' => error.detail = Some(text),
                b'H' => error.hint = Some(text),
                _ => {}
            }
        }
        error
    }

    /// The server's table of locks is too small for the tables of one transaction. The next attempt would need as many.
    /// The hint names the setting in every language.
    fn is_short_of_locks(&self) -> bool {
        let hint = self.hint.as_deref().unwrap_or_default();
        self.code == "53200" && hint.contains("max_locks_per_transaction")
    }
}

fn hint_text(hint: Option<&str>) -> String {
    hint.map_or_else(String::new, |hint| format!("; the server's hint: {hint}"))
}

/// A failure of the connection to the source.
#[derive(Debug, thiserror::Error)]
pub enum ReplicationError {
    /// Nothing answers at the address.
    #[error("cannot connect to PostgreSQL at {address}")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server answers, and has no process for this connection.
    #[error("PostgreSQL at {address} cannot serve another connection now")]
    NotServed {
        /// Where.
        address: String,
    },
    /// The server accepts no new connections, because it is shutting down.
    #[error("PostgreSQL is shutting down")]
    ShuttingDown,
    /// The connection broke.
    #[error("connection to PostgreSQL broke")]
    Io(#[from] io::Error),
    /// The server closed the connection.
    #[error("PostgreSQL closed the connection")]
    Closed,
    /// The server has sent nothing for too long.
    #[error("PostgreSQL has been silent for {seconds} s")]
    Silent {
        /// How long.
        seconds: u64,
    },
    /// Somebody asked us to stop before the server had answered.
    #[error("stopped before PostgreSQL had answered")]
    Stopped,
    /// TLS cannot be set up.
    #[error("cannot set up TLS to PostgreSQL at {address}")]
    Tls {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: TlsError,
    },
    /// The server does not speak TLS and the mode demands it.
    #[error("PostgreSQL at {address} does not offer TLS, which database.sslmode demands")]
    TlsRefused {
        /// Where.
        address: String,
    },
    /// The server asks for a way to authenticate that is not supported.
    #[error(
        "PostgreSQL asks for an authentication method that is not supported: {0}; supported are scram-sha-256, md5, password and trust"
    )]
    Authentication(&'static str),
    /// The server asks for a way to authenticate that is not safe here, or that the user does not allow.
    #[error("PostgreSQL at {address}: {}", refusal.advice(&READER_WORDS))]
    Refused {
        /// Where.
        address: String,
        /// Why the request is not answered.
        refusal: Refusal,
    },
    /// SCRAM failed on our side: the server did not prove that it knows the password.
    #[error(
        "PostgreSQL at {address} did not prove that it knows the password, so it may be somebody else: {why}"
    )]
    Unproven {
        /// Where.
        address: String,
        /// What the server did.
        why: String,
    },
    /// The server reports an error.
    #[error("PostgreSQL: {0}")]
    Server(#[from] ServerError),
    /// The server ends an exchange of authentication that it had begun.
    #[error("PostgreSQL rejects the authentication: {0}")]
    Rejected(#[source] ServerError),
    /// The server sends what the protocol does not allow here.
    #[error("unexpected answer from PostgreSQL: {0}")]
    Protocol(&'static str),
}

impl ReplicationError {
    /// The server's SQLSTATE, if it was the server that refused.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Server(error) | Self::Rejected(error) => Some(&error.code),
            _ => None,
        }
    }

    /// Whether the server has no room for another lock, which `max_locks_per_transaction` decides. The same SQLSTATE
    /// also means other shortages of memory; the hint names the setting.
    #[must_use]
    pub fn is_lock_table_full(&self) -> bool {
        matches!(self, Self::Server(error) if error.is_short_of_locks())
    }

    /// Failures of the connection are retried. A refusal of the server is retried only when its SQLSTATE says that
    /// waiting helps.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Connect { .. }
            | Self::NotServed { .. }
            | Self::ShuttingDown
            | Self::Io(_)
            | Self::Closed
            | Self::Silent { .. }
            | Self::Stopped => Disposition::Retry,
            Self::Server(_) if self.is_lock_table_full() => Disposition::Stop,
            Self::Server(error) | Self::Rejected(error) => sqlstate_disposition(&error.code),
            Self::Tls { .. }
            | Self::TlsRefused { .. }
            | Self::Authentication(_)
            | Self::Refused { .. }
            | Self::Unproven { .. }
            | Self::Protocol(_) => Disposition::Stop,
        }
    }
}

/// Classes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn sqlstate_disposition(code: &str) -> Disposition {
    match code {
        // Connection exceptions, operator intervention (shutdown, starting up, crash).
        _ if code.starts_with("08") || code.starts_with("57P") => Disposition::Retry,
        // Insufficient resources, which others may give back: any, disk, memory, connections. A limit in the
        // configuration (53400) does not go away by waiting.
        "53000" | "53100" | "53200" | "53300" => Disposition::Retry,
        // The slot is in use by a walsender that has not noticed the end of its client; the query was cancelled; a lock
        // is not available; I/O failed.
        "55006" | "57014" | "55P03" | "58030" | "40001" | "40P01" => Disposition::Retry,
        // Time limits of a session or a transaction that somebody has set meanwhile.
        "25P03" | "25P04" => Disposition::Retry,
        // A table or column no longer exists that the catalog had a moment ago. The next session reads the catalog
        // again.
        "42P01" | "42703" => Disposition::Retry,
        _ => Disposition::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_come_back_and_limits_stay() {
        for code in ["53000", "53100", "53200", "53300"] {
            assert_eq!(sqlstate_disposition(code), Disposition::Retry, "{code}");
        }
        assert_eq!(sqlstate_disposition("53400"), Disposition::Stop);
    }

    #[test]
    fn a_lock_table_that_is_full_is_told_from_other_shortages_of_memory() {
        let error = |code: &str, hint: Option<&str>| {
            let error = ServerError {
                code: code.to_owned(),
                message: "out of shared memory".to_owned(),
                detail: None,
                hint: hint.map(str::to_owned),
            };
            ReplicationError::from(error).is_lock_table_full()
        };
        assert!(error("53200", Some("You might need to increase max_locks_per_transaction.")));
        assert!(error("53200", Some("You might need to increase \"max_locks_per_transaction\".")));
        assert!(!error("53200", None));
        assert!(!ReplicationError::Closed.is_lock_table_full());
    }

    #[test]
    fn an_error_response_gives_code_message_and_hint() {
        let error = ServerError::decode(b"SERROR\0C55000\0Mcannot\0Htry\0\0");
        assert_eq!((error.code.as_str(), error.message.as_str()), ("55000", "cannot"));
        assert_eq!(error.hint.as_deref(), Some("try"));
        assert_eq!(error.to_string(), "cannot (SQLSTATE 55000); the server's hint: try");
    }

    #[test]
    fn what_is_short_for_a_while_is_waited_for_and_too_few_locks_are_not() {
        let of = |body: &[u8]| ReplicationError::from(ServerError::decode(body)).disposition();
        assert_eq!(of(b"C53200\0Mout of memory\0\0"), Disposition::Retry);
        assert_eq!(of(b"C53300\0Mtoo many connections\0\0"), Disposition::Retry);
        assert_eq!(of(b"C53100\0Mdisk full\0\0"), Disposition::Retry);
        let locks = b"C53200\0Mout of shared memory\0HYou might need to increase \"max_locks_per_transaction\".\0\0";
        assert_eq!(of(locks), Disposition::Stop);
    }
}
