//! The vault model: which hubs, links and satellites every source table feeds.
//!
//! In: the text of a model file (TOML). Out: a [`Model`] whose references are ids that cannot dangle, and a [`Plan`],
//! the same compiled for loading. Whatever this module accepts can be created, loaded and hashed; every other stage
//! relies on that and checks nothing again.

mod cast;
mod column;
mod file;
mod ident;
mod ids;
mod meaning;
mod plan;
mod problems;
mod resolve;
mod schema;
mod schemas;
mod snapshots;
mod tables;
mod technical;
mod types;

pub use cast::Cast;
pub use column::{ColumnType, ScalarType};
pub(crate) use ident::SYSTEM_COLUMNS;
pub use ident::ident;
pub(crate) use ids::ids;
pub use ids::{
    ColumnId, HubBindingId, HubId, Id, IdVec, LinkBindingId, LinkId, SatelliteId, TableId,
};
pub use plan::{GrownColumn, PayloadType, Plan, SatelliteKind, SatellitePlan, TableProjection};
pub use problems::{ModelError, ModelProblem};
pub(crate) use resolve::is_topic_part;
pub use resolve::parse;
pub use schema::json_schema;
pub(crate) use schemas::CONTROL_SCHEMA;
pub use schemas::Schemas;
pub use technical::{
    EFFECTIVITY_COLUMN, KEY_COLUMNS, STATUS_COLUMNS, TRACKING_COLUMNS, VERSION_COLUMNS,
    is_technical,
};
pub use types::{
    Bridge, Calendar, CarriedColumn, CarriedFrom, Column, Entity, Hub, HubBinding, HubScope, Keep,
    Link, LinkBinding, LinkKind, LinkRole, Model, ModelText, Parent, Pit, Satellite, Snapshots,
    SourceSystem, Step, Table,
};

/// Version of the model file's format that this build reads.
pub const FORMAT_VERSION: u32 = 1;

/// Schema that holds the vault.
pub const VAULT_SCHEMA: &str = "dwh_detailed";
