//! Child processes that end with this process unless they are detached.
//!
//! In: a command line, its environment, a log file. Out: a running process that can be signalled and awaited.
//! Invariant: each process is the child of a small shell that holds the reading end of a pipe from this process. When
//! this process ends, by any signal, the pipe closes and the shell ends the child. When the child is detached, the
//! shell only waits. A signal goes only to a process that has the same start time as before.

mod frozen;
mod identity;

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;

pub use frozen::Frozen;
pub use identity::Identity;

use crate::log;
use crate::wait::try_wait_for;

/// The shell around each process: `$1` is the signal to send when this process has died, `$2` the log, `$3` the data
/// directory of a server of PostgreSQL's that is to be killed then, too, or nothing. The rest is the command.
const GUARD: &str = r#"
signal=$1 log=$2 data=$3
shift 3
kill_server_on_data() {
    [ -n "$data" ] && read -r first <"$data/postmaster.pid" || return
    # The number may be another process's by now.
    tr '\0' '\n' <"/proc/$first/cmdline" | grep -qxFe "$data" || return
    kill -STOP "$first"
    children=$(cat "/proc/$first/task/$first/children")
    kill -KILL "$first" $children
}
exec 3<&0 </dev/null
"$@" >>"$log" 2>&1 3<&- &
server=$!
echo "$server"
(
    exec >/dev/null 2>&1
    word=
    read -r word <&3
    [ "$word" = detach ] && exit 0
    # The end of the server is no end of this.
    trap '' TERM
    kill "-$signal" "$server"
    # What somebody has stopped ends only when it goes on.
    kill -CONT "$server" $(cat "/proc/$server/task/$server/children")
    n=0
    while kill -0 "$server" && [ "$n" -lt 50 ]; do
        sleep 0.1
        n=$((n + 1))
    done
    kill -KILL "$server"
    kill_server_on_data
) &
watcher=$!
exec 3<&- >/dev/null 2>&1
wait "$server"
code=$?
kill "$watcher"
wait "$watcher" 2>/dev/null
exit "$code"
"#;

/// What to run.
#[derive(Debug, Clone)]
pub struct ProcessOptions {
    command: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    without_env: Vec<OsString>,
    log: PathBuf,
    dir: PathBuf,
    on_our_death: Signal,
    server_on: Option<PathBuf>,
}

impl ProcessOptions {
    /// Runs `program` with both its outputs appended to `log`.
    pub fn new(program: impl AsRef<OsStr>, log: impl AsRef<Path>) -> Self {
        Self {
            command: vec![program.as_ref().to_owned()],
            env: Vec::new(),
            without_env: Vec::new(),
            log: log.as_ref().to_owned(),
            dir: PathBuf::from("/"),
            on_our_death: Signal::KILL,
            server_on: None,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets environment variables.
    #[must_use]
    pub fn envs<N: AsRef<OsStr>, V: AsRef<OsStr>>(
        self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        variables.into_iter().fold(self, |options, (name, value)| options.env(name, value))
    }

    /// Keeps an environment variable of ours from the process.
    #[must_use]
    pub fn without_env(mut self, name: impl AsRef<OsStr>) -> Self {
        self.without_env.push(name.as_ref().to_owned());
        self
    }

    /// Appends both outputs to this log instead.
    #[must_use]
    pub fn log_to(mut self, log: impl AsRef<Path>) -> Self {
        log.as_ref().clone_into(&mut self.log);
        self
    }

    /// Runs in `dir` (default: `/`).
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = dir.as_ref().to_owned();
        self
    }

    /// The signal that ends the child when this process dies (default: SIGKILL).
    pub(crate) fn on_our_death(mut self, signal: Signal) -> Self {
        self.on_our_death = signal;
        self
    }

    /// When this process dies, the server of PostgreSQL's on this data directory dies, too. It is no child's child.
    pub(crate) fn with_server_on(mut self, data: impl AsRef<Path>) -> Self {
        self.server_on = Some(data.as_ref().to_owned());
        self
    }

    /// The signal that ends the child when this process dies.
    pub(crate) fn signal_on_our_death(&self) -> Signal {
        self.on_our_death
    }
}

/// A running process; dropping it kills it.
#[derive(Debug)]
pub struct Process {
    identity: Identity,
    guard: Child,
    pipe: Option<ChildStdin>,
    log: PathBuf,
}

impl Process {
    /// Starts a process.
    pub fn start(options: &ProcessOptions) -> anyhow::Result<Self> {
        let program = options.command[0].display();
        let mut command = Command::new("sh");
        command
            .args(["-c", GUARD, "guard", signal_name(options.on_our_death)])
            .arg(&options.log)
            .arg(options.server_on.as_deref().unwrap_or(Path::new("")))
            .args(&options.command)
            .envs(options.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&options.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0); // Ctrl-C in a terminal is for us; the servers end in order, through us
        for name in &options.without_env {
            command.env_remove(name);
        }
        let mut guard =
            command.spawn().with_context(|| format!("cannot start a shell for {program}"))?;
        let pipe = guard.stdin.take();
        let stdout = guard.stdout.take().context("the guarding shell has no standard output")?;
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .with_context(|| format!("cannot start {program}"))?;
        let pid = line
            .trim()
            .parse()
            .with_context(|| format!("the guarding shell of {program} did not start it"))?;
        // A program may have ended already. It then has an exit code, and there is no process to signal.
        let identity = match Identity::of(pid) {
            Ok(identity) => identity,
            Err(_) => Identity { pid, start_time: 0, boot_id: identity::boot_id()? },
        };
        Ok(Self { identity, guard, pipe, log: options.log.clone() })
    }

    /// Process id.
    pub fn pid(&self) -> i32 {
        self.identity.pid
    }

    /// Process id and start time.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The file that holds what the process printed.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Everything that it has printed so far.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its log's lines of this message.
    pub fn lines_with(&self, message: &str) -> Vec<serde_json::Value> {
        log::lines_with(&self.printed(), message)
    }

    /// The last lines that it has printed, for a message.
    pub fn last_lines(&self, count: usize) -> String {
        log::tail(&self.log, count)
    }

    /// Whether it runs.
    pub fn is_alive(&self) -> bool {
        self.identity.is_alive()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.identity.signal(signal);
    }

    /// Asks it to end: SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Pauses it with SIGSTOP. It stays alive and does nothing until [`Process::resume`].
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused process go on: SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills it, as `kill -9` does, and waits until it is gone.
    pub fn kill9(&mut self) {
        self.signal(Signal::KILL);
        // The shell ends after the process, so this is also when the process is gone.
        let _ = self.guard.wait();
    }

    /// The exit code if it has ended; 128 + n when signal n ended it.
    pub fn exit_code(&mut self) -> anyhow::Result<Option<i32>> {
        let status = self.guard.try_wait().context("cannot ask for the state of a process")?;
        Ok(status.and_then(|status| {
            status.code().or_else(|| status.signal().map(|signal| 128 + signal))
        }))
    }

    /// Waits for its end and returns the exit code; 128 + n when signal n ended it.
    pub fn wait_exit(&mut self, deadline: Duration) -> anyhow::Result<i32> {
        let what = format!("process {} to end (log {})", self.pid(), self.log.display());
        try_wait_for(deadline, &what, || self.exit_code())
    }

    /// `signal`, and SIGKILL when it is still there after `patience`. Returns the exit code.
    pub(crate) fn end(&mut self, signal: Signal, patience: Duration) -> anyhow::Result<i32> {
        self.signal(signal);
        match self.wait_exit(patience) {
            Ok(code) => Ok(code),
            Err(_) => {
                self.signal(Signal::KILL);
                self.wait_exit(Duration::from_secs(10))
            }
        }
    }

    /// Lets the process live on after us. Who keeps its identity can end it.
    pub fn detach(mut self) -> anyhow::Result<Identity> {
        if let Some(mut pipe) = self.pipe.take() {
            pipe.write_all(b"detach\n").context("a process ended before it was detached")?;
        }
        let identity = self.identity.clone();
        self.identity.pid = 0; // nothing left for drop to kill
        Ok(identity)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.identity.pid != 0 {
            self.kill9();
        }
    }
}

/// The name that a shell's `kill` knows a signal by.
fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::QUIT => "QUIT",
        Signal::INT => "INT",
        Signal::TERM => "TERM",
        _ => "KILL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::wait_for;

    /// A directory with the file of a server that runs on it and has a child: a stand-in for PostgreSQL's.
    fn server_on(data: &Path) -> Process {
        let words = ["-c", "sleep 600 & wait", "-D"];
        let options = ProcessOptions::new("sh", data.join("log")).args(words).args([data]);
        let server = Process::start(&options).unwrap();
        std::fs::write(data.join("postmaster.pid"), format!("{}\n", server.pid())).unwrap();
        wait_for(Duration::from_secs(10), "its child", || !server.identity().children().is_empty());
        server
    }

    #[test]
    fn a_server_that_is_no_child_ends_with_its_starter_even_when_it_is_stopped_by_a_signal() {
        let data = tempfile::tempdir().unwrap();
        let server = server_on(data.path());
        let all = [server.identity().children(), vec![server.identity().clone()]].concat();
        let options = ProcessOptions::new("sleep", data.path().join("sleep.log"))
            .args(["600"])
            .on_our_death(Signal::TERM)
            .with_server_on(data.path());
        let mut process = Process::start(&options).unwrap();
        process.pause();
        all.iter().for_each(|identity| identity.signal(Signal::STOP));

        // What the shell sees of our death is the end of its pipe.
        drop(process.pipe.take());

        process.wait_exit(Duration::from_secs(30)).unwrap();
        for identity in &all {
            wait_for(Duration::from_secs(30), "the server to end", || !identity.is_alive());
        }
    }
}
