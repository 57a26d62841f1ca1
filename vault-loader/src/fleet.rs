//! Several sources in one process: a pipeline for each of them.
//!
//! In: the options of each source's run. Out: the end of all of them. Every source has a consumer, a consumer group, a
//! thread, and connections of its own, as if it had a process of its own. So a source that has to stop, or whose topics
//! are far behind, stops and delays no other, and a source can move to a process of its own at any time: its state in
//! the warehouse stays the same, and so does its group unless `group_id` is set.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::config::Config;
use crate::health::{Health, HealthCell};
use crate::http::{Served, ServedSource};
use crate::in_flight::InFlight;
use crate::metrics::Metrics;
use crate::model::Plan;
use crate::paused::PausedTables;
use crate::pipeline;
use crate::run::{RunError, RunOptions};

/// Two of the models are about one source.
#[derive(Debug, thiserror::Error)]
#[error("two of the models are about the source {0}: give each model once")]
pub struct SameSource(pub String);

/// Sources that are loaded together.
pub struct Fleet {
    sources: Vec<RunOptions>,
}

impl Fleet {
    /// One pipeline for each model, at least one.
    ///
    /// # Errors
    /// When two models are about one source.
    pub fn new(config: &Config, plans: Vec<Arc<Plan>>) -> Result<Self, SameSource> {
        let mut seen = HashSet::new();
        let several = plans.len() > 1;
        let mut sources: Vec<RunOptions> = Vec::with_capacity(plans.len());
        for plan in plans {
            let source = plan.model.source.name.clone();
            if !seen.insert(source.clone()) {
                return Err(SameSource(source));
            }
            let mut config = config.clone();
            if several {
                // One group for several sources would share each source's partitions out anew whenever another one
                // comes or goes.
                config.group_id = config.group_id.map(|group| format!("{group}-{source}"));
            }
            let metrics = match sources.first() {
                Some(first) => first.metrics.beside(&source),
                None => Metrics::new(&source),
            };
            for table in &plan.tables {
                metrics.goes_on(&table.topic);
            }
            let metrics = Arc::new(metrics);
            let paused = PausedTables::new(Arc::clone(&metrics));
            let health = HealthCell::new();
            let in_flight = InFlight::new();
            sources.push(RunOptions { config, plan, metrics, health, paused, in_flight });
        }
        Ok(Self { sources })
    }

    /// What the sources count with, and what they say about themselves.
    #[must_use]
    pub fn served(&self) -> Served {
        let served = |source: &RunOptions| ServedSource {
            name: source.plan.model.source.name.clone(),
            metrics: Arc::clone(&source.metrics),
            health: source.health.clone(),
            paused: source.paused.clone(),
        };
        Served { sources: self.sources.iter().map(served).collect() }
    }

    /// Loads until `token` is cancelled, or until every source has had to stop. A source that stops makes the loader
    /// unhealthy, and the others go on.
    ///
    /// # Errors
    /// The reason why the first source stopped.
    pub async fn run(self, token: CancellationToken) -> Result<(), RunError> {
        let mut running = JoinSet::new();
        for options in self.sources {
            let (source, health) = (options.plan.model.source.name.clone(), options.health.clone());
            let span = tracing::info_span!("loading", source);
            let (runtime, token) = (Handle::current(), token.clone());
            // A thread for each source: one source's batches do not wait for another's.
            running.spawn_blocking(move || {
                let outcome =
                    runtime.block_on(Box::pin(pipeline::run(options, token).instrument(span)));
                (source, health, outcome)
            });
        }
        let mut first = Ok(());
        while let Some(ended) = running.join_next().await {
            let Ok((source, health, outcome)) = ended else {
                return Err(RunError::IntakeGone);
            };
            let Err(err) = outcome else { continue };
            if !running.is_empty() {
                tracing::error!(
                    source,
                    error = &err as &dyn std::error::Error,
                    "a source stopped, the others go on"
                );
            }
            health.set(Health::Failing(format!("stopped: {err}")));
            first = first.and(Err(err));
        }
        first
    }
}
