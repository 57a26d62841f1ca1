//! Whether the loader does its work: one value that the stages set and `/health` reads.

use tokio::sync::watch;

/// The loader's condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// not ready yet
    Starting,
    /// loading, or waiting for events
    Healthy,
    /// something outside fails and is being retried
    Failing(String),
}

/// Sets and reads the condition.
#[derive(Debug, Clone)]
pub struct HealthCell(watch::Sender<Health>);

impl HealthCell {
    /// A cell that says "starting".
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(Health::Starting))
    }

    /// Sets the condition.
    pub fn set(&self, health: Health) {
        self.0.send_replace(health);
    }

    /// Reads the condition.
    #[must_use]
    pub fn get(&self) -> Health {
        self.0.borrow().clone()
    }
}

impl Default for HealthCell {
    fn default() -> Self {
        Self::new()
    }
}
