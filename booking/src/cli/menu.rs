//! `booking menu`: where its servers are, and how it talks.
//!
//! In: arguments and variables. Out: the menu, until it is left.
//! Passwords are given by variables, or in URLs that variables hold: arguments can be read by everybody on the machine.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Context as _;
use booking::database::Database;
use booking::menu::{Manner, MenuOptions, Operator, ServerName, menu};
use clap::Args;
use synthetic::duration::parse_duration;

/// What `booking menu` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
In a terminal the menu shows screens: arrows or a number, then Enter. In a pipe it reads a line for each choice and each
answer, and writes plain lines:

  printf '%s\\n' 1 'ADA EXAMPLE' 5 6 | booking menu

It shows SQL with --sql or by choice 13. Exit codes: 0 left, or the input has ended; 1 the primary did not answer at the
start, or an answer in a pipe was none of the choices; 2 wrong usage. `make menu` starts servers for it.")]
pub(super) struct MenuArgs {
    /// The primary, as a role that may write: postgres://user:password@host:port/database
    #[arg(long, env = "BOOKING_DATABASE_URL", hide_env_values = true)]
    database_url: String,

    /// A replica: the name of its slot, and its URL for a role that may read; give one for each replica
    #[arg(
        long = "replica",
        value_name = "NAME=URL",
        env = "BOOKING_REPLICAS",
        hide_env_values = true,
        value_delimiter = ',',
        required = true
    )]
    replicas: Vec<String>,

    /// The role that sees all figures, pauses replicas, and sets which of them commits wait for
    #[arg(long, env = "BOOKING_OPERATOR", default_value = "replica_operator")]
    operator: String,

    /// The operator's password; without it the menu cannot do what needs that role, and says so
    #[arg(long, env = "BOOKING_OPERATOR_PASSWORD", hide_env_values = true)]
    operator_password: Option<String>,

    /// How long a server may take to answer before it counts as unreachable
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    patience: Duration,

    /// How long a commit may wait for replicas before the menu cancels the wait
    #[arg(long, default_value = "5s", value_parser = parse_duration)]
    commit_patience: Duration,

    /// Show the SQL of everything that is done
    #[arg(long)]
    sql: bool,

    /// Read and write lines, also in a terminal
    #[arg(long)]
    plain: bool,
}

impl MenuArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        // Not by clap, which would repeat a wrong value, and its password.
        let replicas = self.replicas.iter().map(|text| parse_replica(text));
        let options = MenuOptions {
            primary: self.database_url.parse()?,
            replicas: replicas.collect::<anyhow::Result<_>>()?,
            operator: self
                .operator_password
                .map(|password| Operator { user: self.operator, password }),
            patience: self.patience,
            commit_patience: self.commit_patience,
            show_sql: self.sql,
        };
        let talks = std::io::stdin().is_terminal()
            && std::io::stdout().is_terminal()
            && std::env::var("TERM").is_ok_and(|term| term != "dumb");
        let manner = if talks && !self.plain { Manner::Terminal } else { Manner::Pipe };
        Ok(menu(options, manner).await?)
    }
}

/// Reads `NAME=URL`. An error does not repeat the URL, which may hold a password.
fn parse_replica(text: &str) -> anyhow::Result<(ServerName, Database)> {
    let (name, url) = text
        .split_once('=')
        .filter(|(name, _)| !name.contains("://"))
        .context("a replica is written NAME=postgres://user:password@host:port/database")?;
    Ok((name.parse()?, url.parse()?))
}

#[cfg(test)]
mod tests {
    use super::parse_replica;

    #[test]
    fn a_replica_has_a_name_and_a_url() {
        let (name, database) =
            parse_replica("replica_one=postgres://reader:hidden@db:5433/air").unwrap();
        assert_eq!(name.to_string(), "replica_one");
        assert_eq!(database.to_string(), "db:5433/air");
    }

    #[test]
    fn what_is_no_replica_is_refused_and_not_repeated() {
        for text in [
            "postgres://reader:hidden@db/air",
            "Replica=postgres://reader:hidden@db/air",
            "one=reader hidden",
        ] {
            let refusal = format!("{:#}", parse_replica(text).unwrap_err());
            assert!(!refusal.contains("hidden"), "{refusal}");
        }
    }
}
