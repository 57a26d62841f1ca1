//! The vault model: which hubs, links and satellites every source table feeds.
//!
//! In goes the text of a model file (TOML), out comes a [`Model`] whose references are ids that cannot dangle, and a [`Plan`],
//! the same compiled for loading.
//! Whatever this module accepts can be created, loaded and hashed; every other stage relies on that and checks nothing again.

mod column;
mod file;
mod ident;
mod ids;
mod plan;
mod problems;
mod resolve;
mod tables;
mod types;

pub use column::ColumnType;
pub use ident::ident;
pub(crate) use ids::ids;
pub use ids::{
    ColumnId, HubBindingId, HubId, Id, IdVec, LinkBindingId, LinkId, SatelliteId, TableId,
};
pub use plan::{PayloadType, Plan, SatelliteKind, SatellitePlan, TablePlan};
pub use problems::{ModelError, Problem};
pub use resolve::parse;
pub use types::{
    Column, Hub, HubBinding, Link, LinkBinding, LinkRole, Model, Parent, Satellite, Scope, Source,
    Table,
};

/// Version of the model file's format that this build reads.
pub const FORMAT_VERSION: u32 = 1;

/// Schema that holds the vault.
pub const VAULT_SCHEMA: &str = "dwh_detailed";

/// Columns that every vault table has or may get; no business column may be called like one of them.
pub const TECHNICAL_COLUMNS: [&str; 12] = [
    "hash_key",
    "load_date",
    "record_source",
    "source_system_id",
    "applied_date",
    "source_lsn",
    "kafka_partition",
    "kafka_offset",
    "hashdiff",
    "op",
    "is_deleted",
    "link_hash_key",
];
