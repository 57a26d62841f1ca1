//! The commands on the quarantine: `list`, `show`, `retry`, `drop`, `redact`.
//!
//! In: a command and which events it is about. Out: a text, or JSON, for the operator. `retry` loads what waits by the
//! loader's own way (`load/retry.rs`), beside running loaders. An event's content may be personal data, so only `show
//! --event` prints it. Changes that cannot be taken back ask for `--yes`.

use std::collections::HashMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use shared::postgres::connect;
use tokio_postgres::Client;

use crate::config::Config;
use crate::control::{self, Selection, WaitingEvent, WaitingKey};
use crate::load::{Retried, Retrier};
use crate::model::Plan;
use crate::vault::hash::{HASH_VERSION, fingerprint};
use crate::warehouse::WarehouseError;

/// How often a retry is begun again after a failure that another attempt may not see, such as the wait for a lock.
const ATTEMPTS_MAX: u32 = 5;

/// What can be done with the quarantine.
#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// The keys that wait, oldest first, each with its events, the reason and its age; no content
    List {
        /// which keys
        #[command(flatten)]
        which: Which,
        /// One JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// One event: its place, the reason, what waits behind it
    Show {
        /// Number of the event
        id: i64,
        /// Print the event too: key, value and headers, which may be personal data
        #[arg(long)]
        event: bool,
        /// One JSON object instead of lines
        #[arg(long)]
        json: bool,
    },
    /// Load what waits, all events of a key or none; run it after the cause is mended, also beside running loaders
    Retry {
        /// which keys
        #[command(flatten)]
        which: Which,
        /// All keys that wait
        #[arg(long)]
        all: bool,
        /// One JSON array instead of lines
        #[arg(long)]
        json: bool,
    },
    /// Take the first event of a key out without loading it, so that the rest of the key can be retried
    Drop {
        /// Number of the event
        id: i64,
        /// Why; it is kept in dwh_control.dropped_events
        #[arg(long)]
        why: String,
        /// The change is lost in the warehouse; this option says that you mean it
        #[arg(long)]
        yes: bool,
    },
    /// Remove key, value and headers of old events; they stay with place and reason, and can only be dropped
    Redact {
        /// which keys
        #[command(flatten)]
        which: Which,
        /// Days since the event came; limits.quarantine_retention_days unless given
        #[arg(long)]
        older_than_days: Option<u16>,
        /// The events cannot be loaded any more; this option says that you mean it
        #[arg(long)]
        yes: bool,
    },
}

/// Which keys a command is about.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// Kafka topic
    #[arg(long)]
    topic: Option<String>,
    /// The record's key, byte for byte as it stands in Kafka
    #[arg(long)]
    key: Option<String>,
    /// Number of one of the key's events
    #[arg(long)]
    id: Option<i64>,
}

impl Which {
    fn selection(&self) -> Selection {
        let key = self.key.as_ref().map(|key| control::key_hash(key.as_bytes()));
        Selection { topic: self.topic.clone(), key, id: self.id }
    }

    fn is_empty(&self) -> bool {
        self.topic.is_none() && self.key.is_none() && self.id.is_none()
    }
}

/// Why a command did nothing.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// The command has to be given in another way.
    #[error("{0}")]
    Usage(String),
    /// The warehouse does not answer, or refuses.
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
}

impl From<tokio_postgres::Error> for QuarantineError {
    fn from(err: tokio_postgres::Error) -> Self {
        Self::Warehouse(err.into())
    }
}

/// What a command says.
#[derive(Debug)]
pub struct Answer {
    /// for the operator, with an end of line
    pub text: String,
    /// whether events still wait that the command was to load
    pub still_waits: bool,
}

impl Answer {
    fn new(text: String) -> Self {
        Self { text, still_waits: false }
    }
}

/// Carries a command out in the warehouse of the configuration, for the topics of the models.
///
/// # Errors
/// When the warehouse does not answer or was migrated to another model, no event was chosen, or a change was not
/// confirmed.
pub async fn carry_out(
    command: &QuarantineCommand,
    config: &Config,
    plans: &[Plan],
) -> Result<Answer, QuarantineError> {
    let client = connect(&config.connect_options()).await.map_err(WarehouseError::from)?;
    let days = config.limits.quarantine_retention_days;
    // An event that waits may have a column that its satellite has grown since the model was written.
    let stored = control::read_grown(&client).await?;
    let grown: Vec<Plan> = plans.iter().map(|plan| plan.grown(&stored)).collect();
    let commands = Commands { client, config, plans, grown: &grown };
    match command {
        QuarantineCommand::List { which, json } => commands.list(which, *json).await,
        QuarantineCommand::Show { id, event, json } => commands.show(*id, *event, *json).await,
        QuarantineCommand::Retry { which, all, json } => {
            if which.is_empty() && !all {
                let say = "say what to retry: --id, --key, --topic, or --all";
                return Err(QuarantineError::Usage(say.to_owned()));
            }
            commands.retry(which, *json).await
        }
        QuarantineCommand::Drop { id, why, yes } => commands.drop_first(*id, why, *yes).await,
        QuarantineCommand::Redact { which, older_than_days, yes } => {
            commands.redact(which, older_than_days.unwrap_or(days), *yes).await
        }
    }
}

fn topics_of(plan: &Plan) -> impl Iterator<Item = &str> {
    plan.tables.iter().map(|table| table.topic.as_str())
}

struct Commands<'c> {
    client: Client,
    config: &'c Config,
    /// as the models say, by which the warehouse knows them
    plans: &'c [Plan],
    /// the same with what satellites have grown
    grown: &'c [Plan],
}

impl Commands<'_> {
    fn topics(&self) -> Vec<&str> {
        self.plans.iter().flat_map(topics_of).collect()
    }

    async fn keys(&self, which: &Which) -> Result<Vec<WaitingKey>, QuarantineError> {
        Ok(control::waiting_keys(&self.client, &self.topics(), &which.selection()).await?)
    }

    async fn list(&self, which: &Which, as_json: bool) -> Result<Answer, QuarantineError> {
        let keys = self.keys(which).await?;
        let days = i64::from(self.config.limits.quarantine_retention_days);
        let is_overdue = |key: &WaitingKey| {
            !key.is_redacted && Utc::now().signed_duration_since(key.since).num_days() >= days
        };
        if as_json {
            let list: Vec<Value> = keys.iter().map(|key| key_json(key, is_overdue(key))).collect();
            return Ok(Answer::new(format!("{}\n", Value::Array(list))));
        }
        let width = keys.iter().map(|key| key.topic.len()).max().unwrap_or(0).max(5);
        let mut text = format!(
            "{:>8}  {:width$}  {:>9}  {:>12}  {:>6}  {:20}  reason\n",
            "id", "topic", "partition", "first offset", "events", "since"
        );
        for key in &keys {
            let remark = match (key.is_redacted, is_overdue(key)) {
                (true, _) => " (redacted)",
                (false, true) => " (overdue)",
                (false, false) => "",
            };
            let _ = writeln!(
                text,
                "{:>8}  {:width$}  {:>9}  {:>12}  {:>6}  {:20}  {}{remark}",
                key.id,
                key.topic,
                key.partition,
                key.first_offset,
                key.event_count,
                instant(key.since),
                key.reason
            );
        }
        let event_count: i64 = keys.iter().map(|key| key.event_count).sum();
        let _ = writeln!(text, "{event_count} events of {} keys wait", keys.len());
        Ok(Answer::new(text))
    }

    async fn event(&self, id: i64) -> Result<WaitingEvent, QuarantineError> {
        let found = control::event_by_id(&self.client, id).await?;
        found.filter(|event| self.topics().contains(&event.topic.as_str())).ok_or_else(|| {
            QuarantineError::Usage(format!("no event in the quarantine has the number {id}"))
        })
    }

    /// The key of an event, as `list` shows it.
    async fn key_of(&self, id: i64) -> Result<Option<WaitingKey>, QuarantineError> {
        let selection = Selection { id: Some(id), ..Selection::default() };
        Ok(control::waiting_keys(&self.client, &self.topics(), &selection).await?.pop())
    }

    async fn show(&self, id: i64, content: bool, as_json: bool) -> Result<Answer, QuarantineError> {
        let event = self.event(id).await?;
        let behind = self.key_of(id).await?.map_or(0, |key| key.event_count - 1);
        let mut fields = place_fields(&event);
        fields.push(("other events of the key that wait", json!(behind)));
        if content {
            fields.extend(content_fields(&event));
        }
        if as_json {
            let object = fields.into_iter().map(|(name, value)| (name.replace(' ', "_"), value));
            return Ok(Answer::new(format!("{}\n", Value::Object(object.collect()))));
        }
        let mut text = String::new();
        for (name, value) in fields {
            let shown = match &value {
                Value::Null => "-".to_owned(),
                Value::String(value) => value.clone(),
                value => value.to_string(),
            };
            let _ = writeln!(text, "{name}: {shown}");
        }
        Ok(Answer::new(text))
    }

    async fn retry(&self, which: &Which, as_json: bool) -> Result<Answer, QuarantineError> {
        let keys = self.keys(which).await?;
        if keys.is_empty() && !which.is_empty() {
            return Err(QuarantineError::Usage(
                "no event in the quarantine is of that choice".to_owned(),
            ));
        }
        let mut retriers = HashMap::new();
        let (mut text, mut list, mut still_waits) = (String::new(), Vec::new(), false);
        for key in &keys {
            let place = format!("{} partition {}, id {}", key.topic, key.partition, key.id);
            let outcome = self.persevere(&mut retriers, key).await?;
            still_waits |= matches!(outcome, Retried::Waits { .. });
            let _ = match &outcome {
                Retried::Loaded { event_count } => {
                    writeln!(text, "loaded: {event_count} events of {place}")
                }
                Retried::Waits { id, offset, reason } => {
                    writeln!(
                        text,
                        "still waits: {place}, because of event {id} at offset {offset}: {reason}"
                    )
                }
                Retried::Gone => writeln!(text, "loaded with another key: {place}"),
            };
            list.push(retried_json(key, &outcome));
        }
        if as_json {
            text = format!("{}\n", Value::Array(list));
        } else if keys.is_empty() {
            "nothing waits\n".clone_into(&mut text);
        } else {
            text.push_str(&self.stale_snapshots().await?);
        }
        Ok(Answer { text, still_waits })
    }

    /// A line about the snapshots that were built without what has been loaded now; empty when there are none.
    async fn stale_snapshots(&self) -> Result<String, QuarantineError> {
        let stale = control::stale_snapshots(&self.client).await?;
        let (Some(&first), Some(&last)) = (stale.first(), stale.last()) else {
            return Ok(String::new());
        };
        let (count, first, last) = (stale.len(), instant(first), instant(last));
        Ok(format!(
            "stale: {count} snapshots, from {first} to {last}; `vault-loader snapshots build` makes them anew\n"
        ))
    }

    /// The plans of the source that a topic belongs to: as its model says, and with what satellites have grown.
    fn plans_of(&self, topic: &str) -> Result<(&Plan, &Plan), QuarantineError> {
        let mut all = self.plans.iter().zip(self.grown);
        let found = all.find(|(plan, _)| topics_of(plan).any(|named| named == topic));
        found.ok_or_else(|| QuarantineError::Usage(format!("no model names the topic {topic}")))
    }

    async fn retrier(&self, topic: &str) -> Result<Retrier<'_>, QuarantineError> {
        let (plan, grown) = self.plans_of(topic)?;
        let model = &plan.model;
        let secret = plan.key_secret.as_ref().map(fingerprint);
        let secret = secret.as_ref().map(<[u8; 32]>::as_slice);
        if let Some(problem) = control::key_secret_problem(&self.client, secret).await? {
            return Err(WarehouseError::SetUp(problem.to_owned()).into());
        }
        let registered = control::registered(&self.client, model, HASH_VERSION).await?;
        let registered =
            registered.ok_or_else(|| WarehouseError::SetUp(control::made_from_another(model)))?;
        Ok(Retrier::open(&self.config.connect_options(), grown, registered).await?)
    }

    /// Retries a key with its source's retrier, and begins again when another session was in its way.
    async fn persevere<'s>(
        &'s self,
        retriers: &mut HashMap<&'s str, Retrier<'s>>,
        key: &WaitingKey,
    ) -> Result<Retried, QuarantineError> {
        let source = self.plans_of(&key.topic)?.0.model.source.name.as_str();
        let mut attempt = 1;
        loop {
            let mut retrier = match retriers.remove(source) {
                Some(retrier) => retrier,
                None => self.retrier(&key.topic).await?,
            };
            match retrier.retry(key).await {
                Err(err) if err.is_retry() && attempt < ATTEMPTS_MAX => {
                    tracing::warn!(
                        error = &err as &dyn std::error::Error,
                        attempt,
                        "a retry failed, trying again"
                    );
                    attempt += 1;
                }
                outcome => {
                    retriers.insert(source, retrier);
                    return Ok(outcome?);
                }
            }
        }
    }

    async fn drop_first(&self, id: i64, why: &str, yes: bool) -> Result<Answer, QuarantineError> {
        let event = self.event(id).await?;
        let place = format!(
            "event {id} of {} partition {}, offset {}",
            event.topic, event.partition, event.offset
        );
        let key = self.key_of(id).await?;
        if let Some(key) = key.as_ref().filter(|key| key.id != event.id) {
            return Err(QuarantineError::Usage(format!(
                "{place} waits behind another event of its key: only the first one, {}, can be dropped",
                key.id
            )));
        }
        if why.trim().is_empty() {
            return Err(QuarantineError::Usage("--why must not be empty".to_owned()));
        }
        if !yes {
            return Err(QuarantineError::Usage(format!(
                "{place} would be lost: its change would never be in the warehouse; add --yes if you mean it"
            )));
        }
        let mut retrier = self.retrier(&event.topic).await?;
        if !retrier.drop_event(&event, why).await? {
            return Err(QuarantineError::Usage(format!(
                "{place} is not in the quarantine any more"
            )));
        }
        let left = key.map_or(0, |key| key.event_count - 1);
        let stale = self.stale_snapshots().await?;
        Ok(Answer::new(format!(
            "dropped: {place}; {left} events of its key wait for `vault-loader quarantine retry`\n{stale}"
        )))
    }

    async fn redact(&self, which: &Which, days: u16, yes: bool) -> Result<Answer, QuarantineError> {
        if !yes {
            return Err(QuarantineError::Usage(
                "redacted events cannot be loaded any more; add --yes if you mean it".to_owned(),
            ));
        }
        let (topics, selection) = (self.topics(), which.selection());
        let count =
            control::redact_events(&self.client, &topics, &selection, i32::from(days)).await?;
        Ok(Answer::new(format!("redacted: {count} events that came more than {days} days ago\n")))
    }
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn key_json(key: &WaitingKey, is_overdue: bool) -> Value {
    json!({
        "id": key.id,
        "topic": key.topic,
        "partition": key.partition,
        "parks_its_key": key.key_hash.is_some(),
        "event_count": key.event_count,
        "first_offset": key.first_offset,
        "last_offset": key.last_offset,
        "since": instant(key.since),
        "reason": key.reason,
        "is_redacted": key.is_redacted,
        "is_overdue": is_overdue,
    })
}

fn retried_json(key: &WaitingKey, outcome: &Retried) -> Value {
    let (outcome, event_count, because_of) = match outcome {
        Retried::Loaded { event_count } => ("loaded", json!(event_count), Value::Null),
        Retried::Waits { id, offset, reason } => {
            ("waits", json!(0), json!({"id": id, "offset": offset, "reason": reason}))
        }
        Retried::Gone => ("gone", json!(0), Value::Null),
    };
    json!({
        "id": key.id,
        "topic": key.topic,
        "partition": key.partition,
        "outcome": outcome,
        "loaded_event_count": event_count,
        "because_of": because_of,
    })
}

fn place_fields(event: &WaitingEvent) -> Vec<(&'static str, Value)> {
    vec![
        ("id", json!(event.id)),
        ("topic", json!(event.topic)),
        ("partition", json!(event.partition)),
        ("offset", json!(event.offset)),
        ("source lsn", json!(event.lsn)),
        ("source transaction", json!(event.tx_id)),
        ("since", json!(instant(event.quarantined_at))),
        ("at fault", json!(event.at_fault)),
        ("reason", json!(event.reason)),
        ("sqlstate", json!(event.sqlstate)),
        ("parks its key", json!(event.key_hash.is_some())),
        ("parent hash key", json!(event.parent.map(hex::encode))),
        ("last retry", json!(event.retried_at.map(instant))),
        ("redacted", json!(event.redacted_at.map(instant))),
    ]
}

fn content_fields(event: &WaitingEvent) -> Vec<(&'static str, Value)> {
    let headers: Vec<Value> = event
        .headers
        .iter()
        .map(|(name, value)| json!({"name": name, "value": readable(value)}))
        .collect();
    vec![
        ("key", json!(event.key.as_deref().map(readable))),
        ("value", json!(event.value.as_deref().map(readable))),
        ("headers", Value::Array(headers)),
    ]
}

/// Bytes as text; as base64 when they are none.
fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("base64:{}", STANDARD.encode(bytes)),
    }
}
