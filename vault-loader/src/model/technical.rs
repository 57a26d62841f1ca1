//! The technical columns of vault tables: their names and their order, in one place.
//!
//! Every table begins with [`KEY_COLUMNS`], every satellite goes on with [`VERSION_COLUMNS`], then come a table's own
//! columns.

/// Columns that every vault table begins with: the key, when and from where it came.
pub const KEY_COLUMNS: [&str; 4] = ["hash_key", "load_date", "record_source", "source_system_id"];

/// Columns of every satellite behind [`KEY_COLUMNS`]: what made the version, and what it holds.
pub const VERSION_COLUMNS: [&str; 6] =
    ["applied_date", "source_lsn", "kafka_partition", "source_epoch", "kafka_offset", "hashdiff"];

/// The status satellite's own columns: the operation, whether the row is gone, the record's log position.
pub const STATUS_COLUMNS: [&str; 3] = ["op", "is_deleted", "record_lsn"];

/// The record-tracking satellite's own columns: the operation and the record's log position.
pub const TRACKING_COLUMNS: [&str; 2] = ["op", "record_lsn"];

/// The effectivity satellite's own column: the link row that holds.
pub const EFFECTIVITY_COLUMN: &str = "link_hash_key";

/// Whether a column of this name cannot be a business column, because tables have such a column already or may get one.
#[must_use]
pub fn is_technical(name: &str) -> bool {
    // The log position of a status came later than the first models; no table with business columns has it.
    let [op, is_deleted, _] = STATUS_COLUMNS;
    let own = [op, is_deleted, EFFECTIVITY_COLUMN];
    KEY_COLUMNS.contains(&name) || VERSION_COLUMNS.contains(&name) || own.contains(&name)
}
