//! Whether the loader does its work: one value for each source, which the stages set and `/health` reads.

use std::collections::BTreeMap;

use tokio::sync::watch;

/// The condition of one source's loading, or of all together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// not ready yet
    Starting,
    /// loading, or waiting for events
    Healthy,
    /// something outside fails and is being retried
    Failing(String),
}

/// Sets the condition of one source, and reads that of all.
#[derive(Debug, Clone)]
pub struct HealthCell {
    conditions: watch::Sender<BTreeMap<String, Health>>,
    source: String,
}

impl HealthCell {
    /// A cell for a first source that says "starting".
    #[must_use]
    pub fn new(source: &str) -> Self {
        let conditions = BTreeMap::from([(source.to_owned(), Health::Starting)]);
        Self { conditions: watch::Sender::new(conditions), source: source.to_owned() }
    }

    /// The cell of a further source, which starts too.
    #[must_use]
    pub fn beside(&self, source: &str) -> Self {
        let cell = Self { conditions: self.conditions.clone(), source: source.to_owned() };
        cell.set(Health::Starting);
        cell
    }

    /// Sets the condition of the cell's source.
    pub fn set(&self, health: Health) {
        self.conditions.send_modify(|conditions| {
            conditions.insert(self.source.clone(), health);
        });
    }

    /// Reads the condition of all sources together: what fails comes first, then what starts.
    #[must_use]
    pub fn get(&self) -> Health {
        let conditions = self.conditions.borrow();
        let failing: Vec<String> = conditions
            .iter()
            .filter_map(|(source, health)| match health {
                Health::Failing(reason) if conditions.len() > 1 => {
                    Some(format!("{source}: {reason}"))
                }
                Health::Failing(reason) => Some(reason.clone()),
                Health::Starting | Health::Healthy => None,
            })
            .collect();
        if !failing.is_empty() {
            Health::Failing(failing.join("; "))
        } else if conditions.values().any(|health| *health == Health::Starting) {
            Health::Starting
        } else {
            Health::Healthy
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_that_fails_is_named_among_several() {
        let first = HealthCell::new("airline");
        let second = first.beside("agency");
        first.set(Health::Healthy);
        assert_eq!(first.get(), Health::Starting);
        second.set(Health::Healthy);
        assert_eq!(first.get(), Health::Healthy);
        second.set(Health::Failing("no answer".to_owned()));
        assert_eq!(first.get(), Health::Failing("agency: no answer".to_owned()));
        let alone = HealthCell::new("airline");
        alone.set(Health::Failing("no answer".to_owned()));
        assert_eq!(alone.get(), Health::Failing("no answer".to_owned()));
    }
}
