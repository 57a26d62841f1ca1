//! The reader's process: started with a connector file, watched through its log and its REST interface.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use devstack::{Process, ProcessOptions, http, wait_for};
use serde_json::Value;
use tempfile::TempDir;

use super::{Connector, PATIENCE};

/// How to start it.
pub(crate) struct Launch {
    file: String,
    bootstrap: String,
    offset_topic: String,
    startup_timeout: u64,
    env: Vec<(String, String)>,
}

impl Launch {
    /// With this connector and these brokers; offsets go to a topic of the connector's own.
    pub(crate) fn new(connector: &Connector, bootstrap: &str) -> Self {
        Self {
            file: connector.json().to_string(),
            bootstrap: bootstrap.to_owned(),
            offset_topic: format!("{}-offsets", connector.name),
            startup_timeout: 60,
            env: Vec::new(),
        }
    }

    /// Another text in the connector file.
    pub(crate) fn file(mut self, text: &str) -> Self {
        text.clone_into(&mut self.file);
        self
    }

    /// Another topic for the offsets.
    pub(crate) fn offset_topic(mut self, topic: &str) -> Self {
        topic.clone_into(&mut self.offset_topic);
        self
    }

    /// `--startup-timeout`.
    pub(crate) fn startup_timeout(mut self, seconds: u64) -> Self {
        self.startup_timeout = seconds;
        self
    }

    /// An environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs `cdc-reader offset`, and gives the exit code and what it printed.
    pub(crate) fn offset(&self, words: &[&str]) -> (i32, String) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("connector.json");
        std::fs::write(&file, &self.file).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cdc-reader"));
        command.arg("offset").args(words).args(["--connector", file.to_str().unwrap()]);
        command.args(["--bootstrap-servers", &self.bootstrap]);
        command.args(["--offset-storage-topic", &self.offset_topic]);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    /// Starts `cdc-reader reconcile` with this file of rows.
    pub(crate) fn reconcile(&self, rows: &Path, words: &[&str]) -> Reader {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("connector.json");
        std::fs::write(&file, &self.file).unwrap();
        let options =
            ProcessOptions::new(env!("CARGO_BIN_EXE_cdc-reader"), dir.path().join("reconcile.log"))
                .args(["reconcile", "--connector", file.to_str().unwrap()])
                .args(["--rows", rows.to_str().unwrap()])
                .args(words)
                .args(["--bootstrap-servers", &self.bootstrap])
                .without_env("RUST_LOG");
        Reader { process: Process::start(&options).unwrap(), _dir: dir }
    }

    /// Starts it; it may well end by itself.
    pub(crate) fn start(&self) -> Reader {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("connector.json");
        std::fs::write(&file, &self.file).unwrap();
        let log = dir.path().join("reader.log");
        let seconds = self.startup_timeout.to_string();
        let mut options = ProcessOptions::new(env!("CARGO_BIN_EXE_cdc-reader"), &log)
            .args(["run", "--connector", file.to_str().unwrap()])
            .args(["--listen", "127.0.0.1:0", "--log-format", "json"])
            .args(["--bootstrap-servers", &self.bootstrap])
            .args(["--offset-storage-topic", &self.offset_topic])
            .args(["--startup-timeout", &seconds])
            .without_env("RUST_LOG");
        for (name, value) in &self.env {
            options = options.env(name, value);
        }
        let process = Process::start(&options).unwrap();
        Reader { process, _dir: dir }
    }
}

/// A started reader; dropped, it is killed.
pub(crate) struct Reader {
    pub(crate) process: Process,
    _dir: TempDir,
}

impl Reader {
    /// Everything it has said.
    pub(crate) fn log(&self) -> String {
        self.process.printed()
    }

    /// Its log's lines of this message.
    pub(crate) fn said(&self, message: &str) -> Vec<Value> {
        self.process.lines_with(message)
    }

    /// Waits for a log line with this message, and gives it.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, message: &str) -> Value {
        wait_for(PATIENCE, &format!("the reader to say {message:?}"), || {
            let said = self.said(message).pop();
            said.ok_or_else(|| self.tail()).map(Some)
        })
    }

    /// Waits for its end and gives the exit code and all that it said.
    #[track_caller]
    pub(crate) fn wait_for_end(&mut self, patience: Duration) -> (i32, String) {
        let code = self.process.wait_exit(patience);
        (code.unwrap_or_else(|err| panic!("{err}; it said:\n{}", self.tail())), self.log())
    }

    /// SIGTERM, and its orderly end.
    #[track_caller]
    pub(crate) fn stop(mut self) -> String {
        self.process.terminate();
        let (code, log) = self.wait_for_end(PATIENCE);
        assert_eq!(code, 0, "{log}");
        log
    }

    /// `kill -9`.
    pub(crate) fn kill9(mut self) {
        self.process.kill9();
    }

    /// The largest memory that it has had resident, in MiB.
    pub(crate) fn peak_mebibytes(&self) -> u64 {
        self.mebibytes("VmHWM:")
    }

    /// The memory that it has resident now, in MiB.
    pub(crate) fn resident_mebibytes(&self) -> u64 {
        self.mebibytes("VmRSS:")
    }

    fn mebibytes(&self, field: &str) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }

    /// The state of its one task, as its REST interface tells it.
    pub(crate) fn task_state(&self, connector: &str) -> String {
        let status = self.get(&format!("/connectors/{connector}/status")).json().unwrap();
        status["tasks"][0]["state"].as_str().unwrap().to_owned()
    }

    /// The value of a metric, summed over its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.known_metric(name).unwrap_or_else(|| panic!("there is no metric {name}"))
    }

    /// The value of a metric, summed over its labels; none when it has no sample.
    pub(crate) fn known_metric(&self, name: &str) -> Option<f64> {
        let page = self.get("/metrics").body;
        let of = |line: &str| {
            let rest = line.strip_prefix(name)?;
            (rest.starts_with(['{', ' '])).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
        };
        let values: Vec<f64> = page.lines().filter_map(of).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Whether it says that it is ready, or its reason why not.
    #[track_caller]
    pub(crate) fn readiness(&self) -> Result<(), String> {
        let answer = self.get("/ready");
        let message = || answer.json().unwrap()["message"].as_str().unwrap().to_owned();
        match answer.status {
            200 => Ok(()),
            503 => Err(message()),
            other => panic!("/ready answers {other}: {}", answer.body),
        }
    }

    /// Waits until it is ready.
    #[track_caller]
    pub(crate) fn wait_until_ready(&self) {
        wait_for(PATIENCE, "the reader to be ready", || {
            self.readiness().map(Some).map_err(|why| format!("{why}; it said {}", self.tail()))
        });
    }

    /// Waits until it is not ready for a reason that contains this text.
    #[track_caller]
    pub(crate) fn wait_until_not_ready(&self, reason: &str) {
        wait_for(PATIENCE, &format!("the reader not to be ready: {reason}"), || {
            match self.readiness() {
                Err(why) if why.contains(reason) => Ok(Some(())),
                other => Err(format!("{other:?}")),
            }
        });
    }

    /// Where it listens.
    #[track_caller]
    pub(crate) fn address(&self) -> String {
        self.wait_for_line("started")["listen"].as_str().unwrap().to_owned()
    }

    /// `GET path`.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> http::Answer {
        http::get(&format!("http://{}{path}", self.address())).unwrap()
    }

    /// The end of its log.
    pub(crate) fn tail(&self) -> String {
        self.process.last_lines(12)
    }
}
