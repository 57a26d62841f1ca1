//! PgBouncer in transaction mode before a PostgreSQL server.
//!
//! In: a server, roles. Out: a pooler on 127.0.0.1 for those roles. The file of users holds the server's own SCRAM
//! verifiers, so the pooler knows no password: a client proves that it knows the password, and the pooler uses that
//! proof to sign in at the server. Roles must therefore exist before the pooler starts.
//!
//! Our programs send `options` when they connect. The pooler ignores them, so the pool's own lines set what they set.

use std::fmt::Write as _;

use anyhow::Context;

use crate::companion::{Companion, CompanionOptions, companion_methods};
use crate::postgres::PostgresAddress;
use crate::sql;

/// A running PgBouncer; dropping it kills it.
#[derive(Debug)]
pub struct Pgbouncer {
    companion: Companion,
}

companion_methods!(Pgbouncer);

impl Pgbouncer {
    /// Starts a pooler before `server` for `roles`, with so many connections to the server for each database and role.
    ///
    /// # Errors
    /// When the program or a role is missing, or the pooler does not answer.
    pub fn start(
        options: &CompanionOptions,
        server: &PostgresAddress,
        roles: &[&str],
        pool_size: u16,
    ) -> anyhow::Result<Self> {
        let users = users(server, roles)?;
        let companion = Companion::start("pgbouncer", "pgbouncer", options, |companion, port| {
            let users = companion.write("users.txt", &users)?;
            let text = configuration(
                port,
                (&server.host, server.port),
                &users.display().to_string(),
                pool_size,
            );
            Ok(vec![companion.write("pgbouncer.ini", &text)?.into()])
        })?;
        Ok(Self { companion })
    }
}

fn configuration(
    port: u16,
    (host, server_port): (&str, u16),
    users: &str,
    pool_size: u16,
) -> String {
    format!(
        "[databases]\n\
         * = host={host} port={server_port} timezone=UTC datestyle='ISO, YMD' client_encoding=UTF8\n\
         \n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = scram-sha-256\n\
         auth_file = {users}\n\
         pool_mode = transaction\n\
         default_pool_size = {pool_size}\n\
         max_client_conn = 500\n\
         ignore_startup_parameters = options,extra_float_digits\n\
         ; An instance gives a request up before it has waited so long.\n\
         query_wait_timeout = 10\n\
         ; A server that was away is asked again at once.\n\
         server_login_retry = 1\n\
         log_connections = 0\n\
         log_disconnections = 0\n"
    )
}

/// Lines of role and verifier.
fn users(server: &PostgresAddress, roles: &[&str]) -> anyhow::Result<String> {
    let verifiers = sql::column(
        &server.superuser_on_socket("postgres"),
        &format!(
            "SELECT '\"' || rolname || '\" \"' || rolpassword || '\"'
             FROM pg_catalog.pg_authid
             WHERE rolname IN ({}) AND rolpassword LIKE 'SCRAM-SHA-256$%'",
            roles
                .iter()
                .map(|role| format!("'{}'", role.replace('\'', "''")))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    )
    .context("cannot read the verifiers of roles")?;
    anyhow::ensure!(
        verifiers.len() == roles.len(),
        "not all of the roles {} exist with a password: make them before PgBouncer is started",
        roles.join(", ")
    );
    let mut text = String::new();
    for line in verifiers {
        let _ = writeln!(text, "{line}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployed::differences;

    #[test]
    fn the_composition_has_the_same_pooler() {
        let ours = configuration(6432, ("%SERVER%", 5432), "/tmp/users.txt", 20);
        let (ours, theirs) = differences(&ours, "deploy/pgbouncer/pgbouncer.ini");
        assert_eq!(
            (ours, theirs),
            (vec!["listen_addr = 127.0.0.1".into()], vec!["listen_addr = *".into()])
        );
    }
}
