//! Everything that is asked of the control schema `dwh_control`: where the loader stands, what it could not load, which
//! model holds.
//!
//! In: partitions, records' places and model texts. Out: statements on the control tables and what they answer. All
//! other modules use the functions here, so no other module names a control table. The offsets alone say what is
//! loaded: they move by compare-and-set, in the transaction that writes the rows, or not at all.

mod gaps;
mod grown;
mod key_secret;
mod locks;

mod epochs;
mod minutes;
mod models;
mod offsets;
mod parking;
mod paused;
mod proofs;
mod quarantine;
mod rebuild;
mod rehash;
mod schema;
mod snapshots;
mod sources;
mod standing;
mod statements;
mod truncations;
mod waiting;
mod watermark;

pub(crate) use epochs::{
    NewEpoch, TableTopic, follow_topics, list_epochs, read_epochs, start_epoch,
};
pub(crate) use gaps::{accept_gap, read_gaps};
pub(crate) use grown::{grow_satellite, read_grown};
pub(crate) use key_secret::{key_secret_problem, note_key_secret};
pub(crate) use locks::{
    REBUILD_LOCKS, SNAPSHOTS_LOCK, keep_builders_out, keep_loaders_out, lock_migrations,
    lock_topic, share_topics, try_session_lock,
};
pub(crate) use minutes::{Minutes, forget_minutes};
pub(crate) use models::{
    Registered, StoredModel, hold_model, last_models, made_from_another, model_hash, registered,
    release_model, store_model,
};
pub(crate) use offsets::{
    EventTimes, LastEvent, OffsetMove, StoredOffset, is_loaded, last_times, move_offsets,
    read_offsets, read_progress, set_back,
};
pub(crate) use parking::{
    KeyHash, ParkedKey, Place, StoredParking, key_hash, move_parking_version, parked_parents,
    read_parking,
};
pub(crate) use paused::{StoredPause, end_pauses, paused_topics, read_pauses, store_pause};
pub(crate) use proofs::{loaded_up_to, model_texts, vault_columns, waiting_parents};
pub(crate) use quarantine::{
    QuarantinedEvent, RecordPlaces, count_quarantined, put_into_quarantine,
};
pub(crate) use rebuild::{
    Decisions, LOADED_TABLES, LoadedPartition, Lost, begin_partitions, keep_loads,
    loaded_partitions, read_decisions, rebuilt_offsets, take_over,
};
pub(crate) use rehash::{
    EventParent, EventTable, event_parents, keep_quarantine, replace_event_parents,
    store_models_again,
};
pub(crate) use schema::{
    COMPARABLE_FROM, CONTROL_SCHEMA, apply_migrations, grants, pending_migrations,
};
pub(crate) use snapshots::{
    BuiltSnapshot, SnapshotTable, built_snapshots, forget_snapshot, forget_snapshot_table,
    forget_snapshots, instants, knows_time_zone, local_time, mark_late, mark_stale, note_late_load,
    note_snapshot, note_snapshot_table, published_up_to, snapshot_tables, stale_snapshots,
    waiting_events, warehouse_now,
};
pub(crate) use sources::{
    MadeTables, made_tables, note_made_table, register_source, source_numbers,
};
pub(crate) use standing::quarantine_counts;
pub(crate) use statements::ControlStatements;
pub(crate) use truncations::{
    KnownTruncations, TopicSpan, Truncation, note_truncation, read_truncations, truncated_before,
};
pub(crate) use waiting::{
    QuarantineSize, Selection, WaitingEvent, WaitingKey, drop_event, event_by_id, events_of_keys,
    measure_quarantine, note_failure, redact_events, remove_events, waiting_keys,
};
pub(crate) use watermark::{
    Advance, Mark, Needed, PartitionStanding, StoredWatermark, advance_watermark, forget_watermark,
    read_partition_standings, read_watermarks,
};

pub use epochs::EpochLine;
pub use gaps::{AcceptedGap, Gap};
pub use offsets::WarehouseOffset;

use chrono::{DateTime, Utc};

/// A time as the driver takes it; none when the driver's type cannot hold it.
pub(crate) fn instant(micros: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros)
}
