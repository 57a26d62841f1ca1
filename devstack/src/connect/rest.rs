//! The REST interface of Kafka Connect: makes, asks about and deletes connectors.
//!
//! In: the address of a worker. Out: answers, and connectors that run.
//! Invariant: making a connector returns only when it and its tasks run, or with the reason why they do not.

use std::fmt;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::http;
use crate::wait::try_wait_for;

/// How long a connector may take from its configuration to `RUNNING`.
const CONNECTOR_DEADLINE: Duration = Duration::from_secs(90);

/// What a worker answers while it rebalances, and when a connector exists already.
const CONFLICT: u16 = 409;

/// The REST interface of a Connect worker; our reader's has the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRest {
    url: String,
}

impl ConnectRest {
    /// The interface at `url`, such as `http://127.0.0.1:8083`.
    pub fn new(url: &str) -> Self {
        Self { url: url.trim_end_matches('/').to_owned() }
    }

    /// Its address, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The names of its connectors.
    pub fn connectors(&self) -> anyhow::Result<Vec<String>> {
        let answer = self.expect(http::get(&format!("{}/connectors", self.url))?)?;
        serde_json::from_str(&answer.body).context("the list of connectors is no list of names")
    }

    /// The status of a connector, as the worker answers it.
    pub fn status(&self, name: &str) -> anyhow::Result<Value> {
        self.expect(http::get(&format!("{}/connectors/{name}/status", self.url))?)?.json()
    }

    /// Creates a connector from `{"name": …, "config": …}` and waits until it and its tasks are `RUNNING`.
    pub fn create(&self, connector: &Value) -> anyhow::Result<()> {
        let name = connector["name"].as_str().context("the connector has no name")?;
        self.change("POST", "/connectors", Some(&connector.to_string()))?;
        let what = format!("connector {name} to run");
        let outcome = try_wait_for(CONNECTOR_DEADLINE, &what, || {
            self.status(name).map(|status| Progress::of(&status))
        })?;
        match outcome {
            Progress::Running => Ok(()),
            Progress::Failed(trace) => anyhow::bail!("connector {name} has failed: {trace}"),
        }
    }

    /// Deletes a connector; its offsets stay.
    pub fn delete(&self, name: &str) -> anyhow::Result<()> {
        self.change("DELETE", &format!("/connectors/{name}"), None)?;
        try_wait_for(CONNECTOR_DEADLINE, &format!("connector {name} to be gone"), || {
            self.connectors().map(|names| !names.iter().any(|other| other == name))
        })
    }

    /// Asks for a change. A worker that rebalances refuses every change with a conflict, for a moment.
    fn change(&self, method: &str, path: &str, body: Option<&str>) -> anyhow::Result<()> {
        let what = format!("kafka connect to take {method} {path}");
        let answer = try_wait_for(CONNECTOR_DEADLINE, &what, || {
            let answer = http::request(method, &format!("{}{path}", self.url), body)?;
            let busy = answer.status == CONFLICT && !answer.body.contains("already exists");
            if busy { Err(anyhow::anyhow!(answer.body)) } else { Ok(Some(answer)) }
        })?;
        self.expect(answer).map(drop)
    }

    fn expect(&self, answer: http::Answer) -> anyhow::Result<http::Answer> {
        anyhow::ensure!(
            (200..300).contains(&answer.status),
            "{} answers {}: {}",
            self.url,
            answer.status,
            answer.body
        );
        Ok(answer)
    }
}

impl fmt::Display for ConnectRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// Where a connector's start has ended.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Running,
    Failed(String),
}

impl Progress {
    /// `None` while connector or tasks are still on their way.
    fn of(status: &Value) -> Option<Self> {
        let tasks = status["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
        let parts = || tasks.iter().chain([&status["connector"]]);
        if let Some(failed) = parts().find(|part| part["state"] == "FAILED") {
            return Some(Self::Failed(failed["trace"].as_str().unwrap_or("no trace").to_owned()));
        }
        (!tasks.is_empty() && parts().all(|part| part["state"] == "RUNNING"))
            .then_some(Self::Running)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_connector_without_tasks_does_not_run_yet() {
        assert_eq!(Progress::of(&json!({"connector": {"state": "RUNNING"}, "tasks": []})), None);
    }

    #[test]
    fn a_failed_task_is_told_with_its_trace() {
        let status = json!({"connector": {"state": "RUNNING"}, "tasks": [{"id": 0, "state": "FAILED", "trace": "no slot"}]});
        assert_eq!(Progress::of(&status), Some(Progress::Failed("no slot".to_owned())));
    }
}
