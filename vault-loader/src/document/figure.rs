//! What stands in the picture: a box for each table with its own columns, and who refers to whom.
//!
//! In: a compiled model. Out: hubs and links, each with the satellites that hang on it. The columns that all tables
//! have stand in the legend alone, and so do those of the satellites that say whether a row exists. Of a long satellite
//! only the first columns are shown. A reference and the rows of a multi-active table have a box, too: it shows the key
//! that their satellites hold. A non-historized link shows its attributes itself.

use crate::model::{
    Id, Link, Model, Parent, PayloadType, Plan, SatelliteKind, SatellitePlan, Table,
};

/// How many columns of a satellite are shown at most.
const SATELLITE_ROWS_MAX: usize = 8;

/// A line in a box.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// name of a column, or a remark
    pub(super) text: String,
    /// type of the column, or the hub that it leads to, at the right edge
    pub(super) kind: String,
    /// whether it is a remark
    pub(super) is_remark: bool,
    /// number of the hub whose key the column holds
    pub(super) hub: Option<usize>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entity {
    pub(super) name: String,
    pub(super) comment: String,
    pub(super) rows: Vec<Row>,
}

/// A hub or link with its satellites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) parent: Entity,
    pub(super) satellites: Vec<Entity>,
}

/// All that is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Figure {
    pub(super) title: String,
    pub(super) subtitle: String,
    pub(super) hubs: Vec<Group>,
    pub(super) links: Vec<Group>,
}

/// The figure of a model.
pub(super) fn of(plan: &Plan) -> Figure {
    let model = &plan.model;
    let hubs = model.hubs.with_ids().map(|(id, hub)| {
        let mut rows: Vec<Row> =
            hub.key.iter().map(|column| row(&column.name, &column.kind.vault_type())).collect();
        if plan.hub_scope(id).is_some() {
            rows.push(remark("scoped by source"));
        }
        if hub.is_carried {
            rows.push(remark(IN_SATELLITES));
        }
        let is_parent = |table: &Table| matches!(table.parent, Parent::Hub(binding) if table.hubs[binding].hub == id);
        Group {
            parent: Entity { name: hub.name.clone(), comment: hub.comment.clone(), rows },
            satellites: satellites(plan, is_parent),
        }
    });
    let links = model.links.with_ids().map(|(id, link)| {
        let is_parent = |table: &Table| matches!(table.parent, Parent::Link(binding) if table.links[binding].link == id);
        Group { parent: link_entity(plan, link), satellites: satellites(plan, is_parent) }
    });
    Figure {
        title: format!("Data Vault of {}", model.source.name),
        subtitle: format!("{}: {}.", model.source.comment, counts(plan)),
        hubs: hubs.collect(),
        links: links.collect(),
    }
}

/// How many tables of each kind there are.
pub(super) fn counts(plan: &Plan) -> String {
    let several = |count: usize, what: &str| {
        let end = if count == 1 { "" } else { "s" };
        format!("{count} {what}{end}")
    };
    let Model { hubs, links, tables, .. } = &plan.model;
    let feed = if tables.len() == 1 { "feeds" } else { "feed" };
    let references = hubs.iter().filter(|hub| hub.is_carried).count();
    let links = links.iter().filter(|link| link.has_table()).count();
    let satellites = plan.satellites.iter().filter(|found| !found.is_link).count();
    let mut shared = vec![several(hubs.len() - references, "hub")];
    if references > 0 {
        shared.push(several(references, "reference"));
    }
    shared.push(several(links, "link"));
    format!(
        "{} {feed} {} and {}",
        several(tables.len(), "source table"),
        shared.join(", "),
        several(satellites, "satellite")
    )
}

/// What the box of a key says that no table of its own holds.
const IN_SATELLITES: &str = "held by the satellites";

fn row(name: &str, vault_type: &str) -> Row {
    Row { text: name.to_owned(), kind: short(vault_type), ..Row::default() }
}

fn remark(text: impl Into<String>) -> Row {
    Row { text: text.into(), is_remark: true, ..Row::default() }
}

/// The names of types that PostgreSQL knows by a shorter one as well.
fn short(vault_type: &str) -> String {
    vault_type
        .replace("timestamp with time zone", "timestamptz")
        .replace("timestamp without time zone", "timestamp")
        .replace("time with time zone", "timetz")
        .replace("time without time zone", "time")
}

fn link_entity(plan: &Plan, link: &Link) -> Entity {
    let model = &plan.model;
    let roles = link.roles.iter().map(|role| Row {
        kind: model.hubs[role.hub].name.clone(),
        hub: Some(role.hub.to_index()),
        ..row(&role.column(), "")
    });
    let dependent = link.dependent_key.iter().map(|key| row(&key.name, &key.kind.vault_type()));
    let mut rows: Vec<Row> = roles.chain(dependent).collect();
    if link.has_table() {
        let own = plan.satellites.iter().filter(|found| found.name == link.name);
        let attributes = own.flat_map(|found| plan.payload(found)).map(payload_row);
        rows.extend(shortened(attributes.collect()));
    } else {
        rows.push(remark(IN_SATELLITES));
    }
    Entity { name: link.name.clone(), comment: link.comment.clone(), rows }
}

fn payload_row((name, kind): (String, PayloadType)) -> Row {
    match kind {
        PayloadType::Column(kind) => row(&name, &kind.vault_type()),
        _ => row(&name, ""),
    }
}

/// The first rows of many.
fn shortened(mut rows: Vec<Row>) -> Vec<Row> {
    if rows.len() > SATELLITE_ROWS_MAX {
        let more = rows.len() - (SATELLITE_ROWS_MAX - 1);
        rows.truncate(SATELLITE_ROWS_MAX - 1);
        rows.push(remark(format!("and {more} more")));
    }
    rows
}

/// The satellites of all tables that hang on one hub or link.
fn satellites(plan: &Plan, is_parent: impl Fn(&Table) -> bool) -> Vec<Entity> {
    let model = &plan.model;
    let hanging = plan.satellites.iter().filter(|found| !found.is_link);
    let of_parent = hanging.filter(|found| is_parent(&model.tables[found.table]));
    let entity = |found: &SatellitePlan| {
        let table = &model.tables[found.table];
        let comment = match &found.kind {
            SatelliteKind::Descriptive { .. } => {
                let described = table.satellites.iter().find(|other| other.name == found.name);
                described.map_or_else(String::new, |described| described.comment.clone())
            }
            SatelliteKind::Status => format!("whether the row of {} exists", table.label),
            SatelliteKind::Tracking => format!("every event of a row of {}", table.label),
            SatelliteKind::Effectivity { link } => {
                let link = &model.links[table.links[*link].link].name;
                format!("which row of {link} holds from when")
            }
        };
        let rows = match &found.kind {
            SatelliteKind::Descriptive { .. } => {
                shortened(plan.payload(found).into_iter().map(payload_row).collect())
            }
            SatelliteKind::Status | SatelliteKind::Tracking => Vec::new(),
            SatelliteKind::Effectivity { link } => {
                let link = &model.links[table.links[*link].link].name;
                vec![remark(format!("of {link}"))]
            }
        };
        Entity { name: found.name.clone(), comment, rows }
    };
    of_parent.map(entity).collect()
}
