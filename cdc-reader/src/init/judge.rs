//! Compares a source with what the connector file and the SQL ask for. Pure.
//!
//! In: what the source says. Out: what is missing, and what is worth knowing. What would end a start of the reader is
//! asked of the reader's own preflight; the rest are things that a start does not look at, or finds out later.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::finding::{Missing, Note};
use crate::catalog::{
    Access, CatalogTable, ColumnDetail, Publication, PublishedPart, Role, Room, Slot,
};
use crate::connector::Settings;
use crate::envelope::{Form, Kind, TypeClass, form_of};
use crate::session::{Found, slot_problem};
use crate::setup_problem::{SetupProblem, TableName, TableWarning, table_warnings};
use crate::table::topics::shared_topics;

/// What the source says.
pub(super) struct Look {
    pub(super) is_standby: bool,
    pub(super) role: Option<Role>,
    pub(super) access: HashMap<u32, Access>,
    pub(super) room: Room,
    pub(super) slot: Option<Slot>,
    pub(super) publication: Option<Publication>,
    pub(super) parts: HashMap<u32, PublishedPart>,
    pub(super) details: HashMap<u32, Vec<ColumnDetail>>,
    pub(super) found: Found,
}

/// What follows from it.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) missing: Vec<Missing>,
    pub(super) notes: Vec<Note>,
}

/// Judges. The tables of `look` are those that are captured.
pub(super) fn judge(look: &Look, settings: &Settings) -> Judged {
    let mut missing = of_server(look, settings);
    missing.extend(of_role(look, settings));
    missing.extend(of_setup(look, settings));
    missing.extend(of_publication(look, settings));
    missing.extend(of_slot(look, settings));
    let mut notes = vec![Note::AccessRules {
        role: settings.database.user.clone(),
        database: settings.database.database.clone(),
    }];
    if look.slot.as_ref().is_some_and(|slot| slot.lost().is_none()) {
        notes.push(Note::SlotExists { slot: settings.slot_name.clone() });
    }
    notes.extend(look.found.tables.iter().flat_map(|table| of_table(table, look)));
    notes.extend(of_types(look));
    let heads: Vec<_> = look.found.tables.iter().map(CatalogTable::head).collect();
    let shared = shared_topics(&settings.topic_prefix, &heads).into_iter();
    notes.extend(shared.map(|(topic, tables)| Note::SharedTopic { topic, tables }));
    Judged { missing, notes }
}

/// Whether the server has room, and is the right one.
fn of_server(look: &Look, settings: &Settings) -> Vec<Missing> {
    let (server, room) = (&look.found.server, &look.room);
    let mut missing = Vec::new();
    if look.is_standby {
        missing.push(Missing::Standby);
    }
    // A reader that runs has what it needs. That there is no room at all is a problem of the set-up.
    if look.slot.is_none() {
        if server.slots > 0 && room.slots_used >= server.slots {
            missing.push(Missing::NoFreeSlot { max: server.slots });
        }
        if server.wal_senders > 0 && room.wal_senders_used >= server.wal_senders {
            missing.push(Missing::NoFreeWalSender { max: server.wal_senders });
        }
    }
    if room.wal_sender_timeout_ms == Some(0) {
        missing.push(Missing::NoSenderTimeout { role: settings.database.user.clone() });
    }
    missing
}

/// What the role lacks, or has too much. Rights on tables are a part of the set-up.
fn of_role(look: &Look, settings: &Settings) -> Vec<Missing> {
    let name = || settings.database.user.clone();
    let hides_rows =
        |table: &&CatalogTable| look.access.get(&table.oid).is_some_and(|a| a.hides_rows);
    let hidden = look.found.tables.iter().filter(hides_rows);
    let hidden = hidden.map(|table| Missing::RowsHidden { table: table.into(), role: name() });
    let Some(role) = &look.role else {
        return std::iter::once(Missing::NoRole { role: name() }).chain(hidden).collect();
    };
    let mut missing = Vec::new();
    if !role.can_log_in {
        missing.push(Missing::MayNotLogIn { role: name() });
    }
    if !role.powers.is_empty() {
        missing.push(Missing::TooPowerful { role: name(), powers: role.powers.clone() });
    }
    if !role.may_connect {
        let database = settings.database.database.clone();
        missing.push(Missing::MayNotConnect { role: name(), database });
    }
    let is_closed =
        |table: &&CatalogTable| look.access.get(&table.oid).is_some_and(|a| !a.may_use_schema);
    let closed: BTreeSet<&String> =
        look.found.tables.iter().filter(is_closed).map(|table| &table.info.schema).collect();
    missing.extend(
        closed.into_iter().cloned().map(|schema| Missing::MayNotUseSchema { role: name(), schema }),
    );
    missing.extend(hidden);
    missing
}

/// What would end a start of the reader as this role. Of a role that does not exist only that is said.
fn of_setup(look: &Look, settings: &Settings) -> Vec<Missing> {
    let no_role = look.role.is_none();
    let may_select = |oid: u32| look.access.get(&oid).is_some_and(|access| access.may_select);
    let mut server = look.found.server.clone();
    server.may_replicate |= no_role;
    let tables = look.found.tables.iter().cloned();
    let as_role = Found {
        server,
        tables: tables
            .map(|table| CatalogTable { readable: no_role || may_select(table.oid), ..table })
            .collect(),
        parents: look.found.parents.clone(),
    };
    let problems = as_role.problems(look.publication.as_ref(), settings);
    let missing = |problem| match problem {
        SetupProblem::NoPublication { publication, .. } => Missing::NoPublication { publication },
        other => Missing::Setup(other),
    };
    problems.into_iter().map(missing).collect()
}

/// What a publication has too much, or holds back.
fn of_publication(look: &Look, settings: &Settings) -> Vec<Missing> {
    let Some(found) = &look.publication else { return Vec::new() };
    let name = || settings.publication_name.clone();
    if found.all_tables {
        return vec![Missing::PublishesAll { publication: name() }];
    }
    let captured: HashMap<u32, String> =
        look.found.tables.iter().map(|table| (table.oid, table.info.display())).collect();
    let is_ours = |oid: u32| {
        captured.contains_key(&oid)
            || crate::table::above(oid, &look.found.parents).any(|oid| captured.contains_key(&oid))
    };
    let mut missing: Vec<Missing> = found
        .tables
        .iter()
        .filter(|table| !is_ours(table.oid))
        .map(|table| Missing::PublishesMore { publication: name(), table: table.display() })
        .collect();
    for (oid, table) in &captured {
        let Some(part) = look.parts.get(oid) else { continue };
        let held_back = [("rows", part.row_filter.is_some()), ("columns", part.columns.is_some())];
        missing.extend(held_back.into_iter().filter(|(_, is_held_back)| *is_held_back).map(
            |(part, _)| Missing::PublishesPart { publication: name(), part, table: table.clone() },
        ));
    }
    missing
}

fn of_slot(look: &Look, settings: &Settings) -> Vec<Missing> {
    let Some(slot) = &look.slot else { return Vec::new() };
    if let Some(problem) = slot_problem(settings, slot) {
        return vec![Missing::Setup(problem)];
    }
    let lost =
        slot.lost().map(|reason| Missing::SlotLost { slot: settings.slot_name.clone(), reason });
    lost.into_iter().collect()
}

/// What is worth knowing about a captured table.
fn of_table(table: &CatalogTable, look: &Look) -> Vec<Note> {
    let name = || TableName::from(table).to_string();
    let mut notes = Vec::new();
    if table.info.key.is_empty() {
        notes.push(Note::NoKey { table: name() });
    }
    let without_key =
        table_warnings(table).into_iter().filter(|w| *w == TableWarning::IdentityWithoutKey);
    notes.extend(
        without_key.map(|warning| Note::Table { table: name(), warning: warning.to_string() }),
    );
    let details = look.details.get(&table.oid).into_iter().flatten();
    let generated: Vec<&str> =
        details.filter(|column| column.is_generated).map(|column| column.name.as_str()).collect();
    if !generated.is_empty() {
        notes.push(Note::Generated { table: name(), columns: generated.join(", ") });
    }
    notes
}

/// The types that need a word: those of extensions, and those whose columns are left out.
fn of_types(look: &Look) -> Vec<Note> {
    let mut types: BTreeMap<(&str, String), Vec<String>> = BTreeMap::new();
    for table in &look.found.tables {
        let details = look.details.get(&table.oid).map_or(&[][..], Vec::as_slice);
        for column in &table.info.columns {
            let form = form_of(column);
            let is_of_extension = match &column.type_class {
                TypeClass::OfExtension(_) => true,
                TypeClass::Array { element, .. } => matches!(**element, TypeClass::OfExtension(_)),
                TypeClass::BuiltIn | TypeClass::Enum | TypeClass::LeftOut => false,
            };
            let detail = details.iter().find(|detail| detail.name == column.name);
            let Some(detail) = detail.filter(|detail| !detail.is_generated) else { continue };
            if is_of_extension || form.is_none() {
                types.entry((&detail.type_name, treatment(form))).or_default().push(format!(
                    "{}.{}",
                    table.info.display(),
                    column.name
                ));
            }
        }
    }
    let note = |((kind, treatment), columns): ((&str, String), Vec<String>)| Note::Type {
        kind: kind.to_owned(),
        treatment,
        columns: columns.join(", "),
    };
    types.into_iter().map(note).collect()
}

/// What becomes of a column's values, in words.
fn treatment(form: Option<Form>) -> String {
    let words = |kind| match kind {
        Kind::Text => "strings",
        Kind::Hstore => "strings that hold a JSON object",
        Kind::Geometry => "objects with the members wkb and srid",
        Kind::DoubleVector | Kind::FloatVector => "arrays of numbers",
        Kind::SparseVector => "objects with the members dimensions and vector",
        _ => "values in Debezium's form",
    };
    match form {
        None => "have no form in events and are left out, as Debezium leaves them out".to_owned(),
        Some(Form::Plain(kind)) => format!("arrive as {}", words(kind)),
        Some(Form::Array(kind)) => format!("arrive as arrays of {}", words(kind)),
    }
}
