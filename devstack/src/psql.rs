//! `psql`, which runs files and scripts as a user would.
//!
//! In: a connection string, variables, files or a script. Out: what it printed, or an error with its complaints.
//! Invariant: the first statement that fails ends the run, and nobody's `.psqlrc` is read.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;

use crate::binaries::{client_binary, workspace_root};

/// A run of `psql` that is being prepared.
#[derive(Debug)]
pub struct Psql {
    command: Command,
}

impl Psql {
    /// A run on this database, in the role that the connection string names.
    pub fn new(connection_string: &str) -> anyhow::Result<Self> {
        let mut command = Command::new(client_binary("psql")?);
        command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"]).args([
            "--set",
            "ON_ERROR_STOP=1",
            "--dbname",
            connection_string,
        ]);
        Ok(Self { command })
    }

    /// Sets a variable that scripts name as `:name`.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.arg("--set").arg(format!("{name}={value}"));
        self
    }

    /// Gives each of these roles the same password: variable `<role>_password`, as the files below `sql/` name it.
    #[must_use]
    pub fn passwords(self, roles: &[&str], password: &str) -> Self {
        roles.iter().fold(self, |psql, role| psql.variable(&format!("{role}_password"), password))
    }

    /// Runs files one after the other. Gives the server's notices and warnings.
    pub fn run_files<P: AsRef<Path>>(
        mut self,
        files: impl IntoIterator<Item = P>,
    ) -> anyhow::Result<String> {
        for file in files {
            self.command.arg("--file").arg(file.as_ref());
        }
        let output = self.command.output().context("cannot run psql")?;
        // psql names file and line in its complaints.
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        anyhow::ensure!(output.status.success(), "psql failed: {complaints}");
        Ok(complaints)
    }

    /// Runs a script: each statement is a transaction unless the script says otherwise. Gives the rows of its queries,
    /// one a line, without the last line feed.
    pub fn run(self, script: &str) -> anyhow::Result<String> {
        let mut psql = self.start()?;
        let mut input = psql.stdin.take().context("psql has no standard input")?;
        // Written whole before anything is read: no script here answers more than a pipe holds.
        let written = input.write_all(script.as_bytes());
        drop(input);
        let output = psql.wait_with_output().context("cannot wait for psql")?;
        let complaints = String::from_utf8_lossy(&output.stderr);
        // Its own words come first: a psql that has failed takes no more of the script.
        anyhow::ensure!(output.status.success(), "psql failed: {complaints}");
        written.context("psql does not take the script")?;
        let rows = String::from_utf8(output.stdout).context("psql did not print UTF-8")?;
        Ok(rows.trim_end_matches('\n').to_owned())
    }

    /// Starts it with pipes for its input and both its outputs.
    pub fn start(mut self) -> anyhow::Result<Child> {
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run psql")
    }
}

/// The files of SQL in a folder of the workspace such as `sql/marts`, in the order of their names.
///
/// # Errors
/// A folder that cannot be listed or holds no SQL.
pub fn sql_files(folder: &str) -> anyhow::Result<Vec<PathBuf>> {
    let dir = workspace_root().join(folder);
    let entries =
        std::fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    anyhow::ensure!(!files.is_empty(), "{} holds no SQL", dir.display());
    Ok(files)
}
