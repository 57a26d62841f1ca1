//! A primary with two read replicas and a small airline, and the menu over them.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use booking::database::Database;
use booking::seed::seed;
use devstack::{Postgres, PostgresOptions, StopMode, Upstream, sql_files, wait_for};

use crate::support::options;

/// What every wait here is for comes within a second or so.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The database of the airline.
pub(crate) const AIRLINE: &str = "airline_tickets";

/// One password for all roles; no connection string needs an escape for it.
pub(crate) const PASSWORD: &str = "not_for_the_log";

/// The servers, which end with this value.
pub(crate) struct Servers {
    pub(crate) primary: Postgres,
    pub(crate) one: Postgres,
    pub(crate) two: Option<Postgres>,
    version: u16,
    dir: tempfile::TempDir,
}

impl Servers {
    pub(crate) async fn start(version: u16) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // No WAL but what the test writes.
        let quiet = PostgresOptions::new(version).fsync(false).setting("autovacuum", "off");
        let primary = Postgres::start(quiet.setting("max_slot_wal_keep_size", "1GB")).unwrap();
        let address = primary.address();
        address.create_database(AIRLINE).unwrap();
        let roles = ["reader", "app", "readonly", "service", "read_replica", "operator"];
        for folder in ["sql/source", "sql/replicas"] {
            devstack::Psql::new(&address.superuser(AIRLINE))
                .unwrap()
                .passwords(&roles, PASSWORD)
                .run_files(sql_files(folder).unwrap())
                .unwrap();
        }
        let url = address.url(AIRLINE, "booking_app", PASSWORD);
        let database: Database = url.parse().unwrap();
        let today = chrono::Utc::now().date_naive();
        seed(&database, &booking::seed::SeedOptions { today, ..options(0.02, 1) }, |_| ())
            .await
            .unwrap();
        let one = replica(&primary, "replica_one", version, dir.path().join("replica_one"));
        let two = replica(&primary, "replica_two", version, dir.path().join("replica_two"));
        Self { primary, one, two: Some(two), version, dir }
    }

    pub(crate) fn two(&self) -> &Postgres {
        self.two.as_ref().unwrap()
    }

    /// Stops the second replica as an operator does.
    pub(crate) fn stop_two(&mut self) {
        self.two.as_mut().unwrap().stop(StopMode::Fast).unwrap();
    }

    /// Starts it again on the same port.
    pub(crate) fn start_two(&mut self) {
        self.two.as_mut().unwrap().start_again().unwrap();
    }

    /// The text that a query gives as the superuser of a server.
    #[track_caller]
    pub(crate) fn text(&self, server: &Postgres, query: &str) -> String {
        devstack::Psql::new(&server.address().superuser(AIRLINE)).unwrap().run(query).unwrap()
    }

    /// Waits until a server gives this text.
    #[track_caller]
    pub(crate) fn wait_for_text(&self, server: &Postgres, query: &str, wanted: &str) {
        wait_for(PATIENCE, &format!("'{wanted}' from {query}"), || {
            let found = devstack::Psql::new(&server.address().superuser(AIRLINE))?.run(query)?;
            anyhow::ensure!(found == wanted, "{found}");
            anyhow::Ok(true)
        });
    }

    /// Lets the second replica replay a commit, whose time a bound of its lag is made of.
    pub(crate) fn replay_a_commit(&self) {
        self.text(&self.primary, "CREATE TABLE replayed ()");
        self.wait_for_text(self.two(), "SELECT to_regclass('replayed')", "replayed");
    }

    /// `booking menu` over these servers.
    pub(crate) fn menu(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_booking"));
        command.arg("menu");
        for (name, value) in self.variables() {
            command.env(name, value);
        }
        command
    }

    /// What the menu is told by.
    pub(crate) fn variables(&self) -> [(&'static str, String); 3] {
        let url = |server: &Postgres, role| server.address().url(AIRLINE, role, PASSWORD);
        let replicas = format!(
            "replica_one={},replica_two={}",
            url(&self.one, "read_replica"),
            url(self.two(), "read_replica")
        );
        [
            ("BOOKING_DATABASE_URL", url(&self.primary, "booking_app")),
            ("BOOKING_REPLICAS", replicas),
            ("BOOKING_OPERATOR_PASSWORD", PASSWORD.to_owned()),
        ]
    }

    /// What the menu prints for these lines. It must end with success, and print nothing but text.
    #[track_caller]
    pub(crate) fn choose(&self, lines: &[&str]) -> String {
        let output = feed(&mut self.menu(), lines);
        let said = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{errors}");
        assert!(!said.contains('\u{1b}'), "an escape sequence in a pipe: {said:?}");
        assert!(!said.contains(PASSWORD) && !errors.contains(PASSWORD), "{said}{errors}");
        said
    }

    /// Where servers of a test keep what is theirs.
    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    pub(crate) fn version(&self) -> u16 {
        self.version
    }
}

fn replica(primary: &Postgres, name: &str, version: u16, dir: PathBuf) -> Postgres {
    let upstream = Upstream::new(name, "replicator", PASSWORD).unwrap();
    let options = PostgresOptions::new(version).name(name).dir(dir).fsync(false);
    Postgres::start_read_replica(primary.address(), &upstream, options).unwrap()
}

/// Runs a command with these lines as its input.
pub(crate) fn feed(command: &mut Command, lines: &[&str]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    // A menu that has ended early takes no more of it, and says why.
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    child.wait_with_output().unwrap()
}

/// What was printed for the last choice of this number.
#[track_caller]
pub(crate) fn answer<'a>(said: &'a str, choice: &str) -> &'a str {
    let mark = format!("\n> {choice}\n");
    let start = said.rfind(&mark).unwrap_or_else(|| panic!("no choice {choice} in {said}"));
    let rest = &said[start + mark.len()..];
    rest.split("\n> ").next().unwrap()
}

/// The words of the row of a table that begins with this word, after its heading.
#[track_caller]
pub(crate) fn row<'a>(said: &'a str, heading: &str, first: &str) -> Vec<&'a str> {
    let table = said.find(heading).unwrap_or_else(|| panic!("no table {heading} in {said}"));
    said[table..]
        .lines()
        .find(|line| line.split("  ").next() == Some(first))
        .unwrap_or_else(|| panic!("no row {first} in {said}"))
        .split("  ")
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .collect()
}
