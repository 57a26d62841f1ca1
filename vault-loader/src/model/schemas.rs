//! In which schemas the load path reads and writes.
//!
//! A loader writes the vault and its control tables where they are. `vault-loader rebuild` loads the same events with
//! the same code into schemas beside them. So no statement of the load path names a schema: it takes the plan's
//! [`Schemas`]. What an operator has decided (epochs, accepted gaps, dropped events) and what migrations have made
//! (models, sources, grown columns) is always read from the warehouse's own control schema.

use super::VAULT_SCHEMA;

/// The schema that holds offsets, quarantine and models.
pub(crate) const CONTROL_SCHEMA: &str = "dwh_control";

/// The schemas of one vault. The names are constants of this program, so they stand in statements as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schemas {
    /// holds hubs, links and satellites
    pub vault: &'static str,
    /// holds the tables that move together with the vault's rows: offsets, quarantine, truncates, minutes
    pub control: &'static str,
}

impl Schemas {
    /// The vault that loaders load and everybody reads.
    pub const LIVE: Self = Self { vault: VAULT_SCHEMA, control: CONTROL_SCHEMA };

    /// A vault that `vault-loader rebuild` loads anew, until it takes the place of the live one.
    pub const REBUILT: Self = Self { vault: "dwh_rebuild", control: "dwh_rebuild_control" };

    /// The seed of the advisory locks on topics. A load into other schemas has nothing to do with loaders of the same
    /// topics, so it has locks of its own.
    pub(crate) fn topic_lock_seed(self) -> i64 {
        if self == Self::LIVE { 7 } else { 9 }
    }
}
