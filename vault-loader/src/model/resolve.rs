//! Turns names into ids, and makes the checks by which a model is valid.
//!
//! In: the file's text. Out: a [`Model`] or every problem found, each naming table and field and saying what to do.
//! Entities are resolved in the order hubs, links, tables, so that each step uses only what is checked already.

use std::collections::HashSet;

use super::file::{
    ColumnEntry, HubEntry, HubKeyEntry, LinkEntry, LinkRoleEntry, ModelFile, ReferenceEntry,
    SourceEntry,
};
use super::ids::{HubId, IdVec, LinkId, TableId};
use super::problems::{ModelError, Problems};
use super::types::{
    Column, Hub, HubScope, Link, LinkKind, LinkRole, Model, Parent, Snapshots, SourceSystem,
};
use super::{ColumnType, FORMAT_VERSION, Table, is_technical, snapshots, tables};

/// Reads and checks a model file.
///
/// # Errors
/// When the text is not a model file, or says something impossible: then with all problems at once.
pub fn parse(text: &str) -> Result<Model, ModelError> {
    let file: ModelFile = toml::from_str(text).map_err(|err| ModelError::Syntax(Box::new(err)))?;
    let mut resolver = Resolver::default();
    let model = resolver.resolve(&file);
    match (model, resolver.problems) {
        (Some(model), problems) if problems.count() == 0 => Ok(model),
        (_, problems) => Err(ModelError::Invalid(problems.into_list())),
    }
}

/// Turns names into ids, and collects problems on the way.
#[derive(Default)]
struct Resolver {
    problems: Problems,
}

impl Resolver {
    fn resolve(&mut self, file: &ModelFile) -> Option<Model> {
        if file.format_version != FORMAT_VERSION {
            let found = file.format_version;
            let problem = format!("format {found} is unknown to this build");
            self.problems.complain("format_version", problem, format!("write {FORMAT_VERSION}"));
            return None;
        }
        let source = self.source(&file.source);
        // Hubs and links are written in this order. Loaders of several sources share them, and must not wait for each
        // other in a circle, so the order is the same in all models.
        let hubs: Vec<Hub> =
            by_name(&file.hubs, |hub| &hub.name).map(|hub| self.hub(hub)).collect();
        let references: Vec<Hub> = by_name(&file.references, |reference| &reference.name)
            .map(|reference| self.reference(reference))
            .collect();
        let hubs: IdVec<HubId, Hub> = hubs.into_iter().chain(references).collect();
        let mut links: IdVec<LinkId, Link> =
            by_name(&file.links, |link| &link.name).map(|link| self.link(link, &hubs)).collect();
        if self.problems.count() > 0 {
            return None; // tables would only repeat what is wrong with their hubs and links
        }
        let mut resolved: IdVec<TableId, Table> = IdVec::new();
        for table in &file.tables {
            let entities = tables::Entities { hubs: &hubs, links: &links, schema: &source.schema };
            if let Some((table, own_link)) = tables::resolve(&mut self.problems, table, entities) {
                links.items_mut().extend(own_link);
                if resolved.iter().any(|other| other.is(&table)) {
                    let place = format!("table {}", table.label);
                    self.problems.complain(place, "described twice", "keep one description");
                }
                resolved.push(table);
            }
        }
        let mut model =
            Model { source, hubs, links, tables: resolved, snapshots: Snapshots::default() };
        self.topics(&model);
        if self.problems.count() == 0 {
            self.non_historized(&model); // a table with problems is not there, and its link would seem to have none
        }
        if file.tables.is_empty() {
            self.problems.complain("table", "the model names no table", "describe at least one");
        }
        if self.problems.count() == 0 {
            model.snapshots = snapshots::resolve(&mut self.problems, file, &model);
        }
        Some(model)
    }

    /// Topics hold fewer characters than table names, so two tables can have one topic. Their events cannot be told
    /// apart.
    fn topics(&mut self, model: &Model) {
        for (index, table) in model.tables.iter().enumerate() {
            let topic = model.topic(table);
            let same = |other: &&Table| !other.is(table) && model.topic(other) == topic;
            if let Some(other) = model.tables.iter().take(index).find(same) {
                let problem = format!("has the topic {topic}, which table {} has too", other.label);
                let remedy = "capture one of the two, or rename it at the source";
                self.problems.complain(format!("table {}", table.label), problem, remedy);
            }
        }
    }

    fn source(&mut self, source: &SourceEntry) -> SourceSystem {
        let prefix = source.topic_prefix.as_ref().unwrap_or(&source.name);
        let names = [
            ("source.name", &source.name),
            ("source.schema", &source.schema),
            ("source.topic_prefix", prefix),
            ("source.keys_of", source.keys_of.as_ref().unwrap_or(&source.name)),
        ];
        for (field, value) in names {
            if !is_topic_part(value) {
                let remedy = "use letters, digits, '.', '_' and '-': it is part of a topic's name";
                self.problems.complain(field, "not a legal name", remedy);
            }
        }
        if source.system_id <= 0 {
            let remedy = "choose a number above 0, which is the warehouse itself";
            self.problems.complain("source.system_id", "not a source's number", remedy);
        }
        SourceSystem {
            name: source.name.clone(),
            topic_prefix: prefix.clone(),
            schema: source.schema.clone(),
            system_id: source.system_id,
            keys_of: source.keys_of.clone().filter(|owner| *owner != source.name),
            comment: source.comment.clone().unwrap_or_else(|| source.name.clone()),
        }
    }

    fn hub(&mut self, hub: &HubEntry) -> Hub {
        self.problems.entity_name(&hub.name, "hub_");
        if hub.key.is_empty() {
            self.problems.complain(&hub.name, "has no key column", "name at least one in key");
        }
        let key: Vec<ColumnEntry> = hub.key.iter().map(HubKeyEntry::column).collect();
        let key = self.columns(&hub.name, &key);
        for (column, entry) in key.iter().zip(&hub.key) {
            let is_text = column.kind.hashes_like(ColumnType::TEXT);
            if entry.fold && !is_text {
                let place = format!("{} column {}", hub.name, column.name);
                let problem = "fold is for text, and this column has one spelling for each value";
                self.problems.complain(place, problem, "remove fold");
            }
        }
        Hub {
            name: hub.name.clone(),
            comment: hub.comment.clone().unwrap_or_else(|| known_by(&hub.key)),
            scope: hub.scope,
            key,
            folded: hub.key.iter().map(|entry| entry.fold).collect(),
            is_carried: false,
        }
    }

    /// A reference is a hub whose key stands in satellites. Its codes mean the same in every source.
    fn reference(&mut self, reference: &ReferenceEntry) -> Hub {
        self.problems.entity_name(&reference.name, "ref_");
        if reference.key.is_empty() {
            self.problems.complain(
                &reference.name,
                "has no key column",
                "name at least one in key",
            );
        }
        let names: Vec<&str> = reference.key.iter().map(|column| column.name.as_str()).collect();
        let comment = reference.comment.clone();
        Hub {
            name: reference.name.clone(),
            comment: comment.unwrap_or_else(|| format!("known by {}", names.join(", "))),
            scope: HubScope::Shared,
            key: self.columns(&reference.name, &reference.key),
            folded: vec![false; reference.key.len()],
            is_carried: true,
        }
    }

    /// A non-historized link is the table of the rows of one source table.
    fn non_historized(&mut self, model: &Model) {
        for (id, link) in model.links.with_ids() {
            if link.kind != LinkKind::NonHistorized {
                continue;
            }
            let of_link = |table: &&Table| matches!(table.parent, Parent::Link(binding) if table.links[binding].link == id);
            let labels: Vec<&str> =
                model.tables.iter().filter(of_link).map(|table| table.label.as_str()).collect();
            match labels.as_slice() {
                [_] => {}
                [] => {
                    let remedy =
                        "let the table whose rows it holds have it as its parent, or remove it";
                    self.problems.complain(
                        &link.name,
                        "no table has it as its parent, and it is non-historized",
                        remedy,
                    );
                }
                [one, other, ..] => {
                    let problem = format!(
                        "the tables {one} and {other} have it as their parent, and it is non-historized"
                    );
                    let remedy = "give each table a link of its own, or remove non_historized";
                    self.problems.complain(&link.name, problem, remedy);
                }
            }
        }
    }

    fn link(&mut self, link: &LinkEntry, hubs: &IdVec<HubId, Hub>) -> Link {
        self.problems.entity_name(&link.name, "link_");
        let mut roles: Vec<LinkRole> = Vec::with_capacity(link.hubs.len());
        for role in &link.hubs {
            let place = format!("{} role {}", link.name, role.role);
            self.problems.identifier(&place, &format!("{}_hash_key", role.role));
            let twice = roles.iter().any(|other| other.role == role.role);
            if twice || is_technical(&format!("{}_hash_key", role.role)) {
                self.problems.complain(
                    &place,
                    "the role's name is taken",
                    "choose another role name",
                );
            }
            match hubs.find_id(|hub| hub.name == role.hub) {
                Some(hub) if hubs[hub].is_carried => {
                    let problem = format!("{} is a reference, and no link names one", role.hub);
                    let remedy = "put the code into a satellite, by which people join; or describe it as a hub";
                    self.problems.complain(place, problem, remedy);
                }
                Some(hub) => roles.push(LinkRole { role: role.role.clone(), hub }),
                None => {
                    let problem = format!("there is no hub {}", role.hub);
                    self.problems.complain(place, problem, "describe the hub, or name another");
                }
            }
        }
        let dependent_key = self.columns(&link.name, &link.dependent_key);
        for column in &dependent_key {
            if roles.iter().any(|role| role.column() == column.name) {
                let place = format!("{} dependent key {}", link.name, column.name);
                self.problems.complain(place, "a role's column has that name", "rename the role");
            }
        }
        if link.hubs.len() + dependent_key.len() < 2 {
            self.problems.complain(
                &link.name,
                "relates less than two things",
                "add a hub or a dependent key",
            );
        }
        let comment = link.comment.clone().unwrap_or_else(|| related(&link.hubs));
        let kind = if link.non_historized { LinkKind::NonHistorized } else { LinkKind::Ordinary };
        Link { name: link.name.clone(), comment, roles, dependent_key, kind }
    }

    fn columns(&mut self, entity: &str, columns: &[ColumnEntry]) -> Vec<Column> {
        let mut seen = HashSet::new();
        let mut resolved = Vec::with_capacity(columns.len());
        for column in columns {
            let place = format!("{entity} column {}", column.name);
            self.problems.identifier(&place, &column.name);
            if is_technical(&column.name) {
                self.problems.complain(&place, "a technical column has that name", "rename it");
            }
            if !seen.insert(column.name.as_str()) {
                self.problems.complain(&place, "named twice", "remove one");
            }
            if let Some(kind) = self.problems.column_type(&place, &column.kind) {
                resolved.push(Column {
                    name: column.name.clone(),
                    stored_as: None,
                    kind,
                    comment: String::new(),
                });
            }
        }
        resolved
    }
}

/// Whether a name can stand in a topic's name as it is.
pub(crate) fn is_topic_part(name: &str) -> bool {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !name.is_empty() && name.chars().all(is_legal)
}

/// What a hub without a comment is called.
fn known_by(key: &[HubKeyEntry]) -> String {
    let names: Vec<&str> = key.iter().map(|column| column.name.as_str()).collect();
    format!("known by {}", names.join(", "))
}

/// What a link without a comment is called.
fn related(hubs: &[LinkRoleEntry]) -> String {
    let roles: Vec<&str> = hubs.iter().map(|role| role.role.as_str()).collect();
    format!("relates {}", roles.join(", "))
}

/// The entries in the order of their names.
fn by_name<E>(entries: &[E], name: impl Fn(&E) -> &str) -> impl Iterator<Item = &E> {
    let mut sorted: Vec<&E> = entries.iter().collect();
    sorted.sort_by(|a, b| name(a).cmp(name(b)));
    sorted.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AIRLINE: &str = include_str!("../../../connectors/airline/vault.toml");

    #[track_caller]
    fn check(from: &str, to: &str, expected: &str) {
        assert!(AIRLINE.contains(from), "the model no longer holds {from:?}");
        let err = parse(&AIRLINE.replacen(from, to, 1)).expect_err("an invalid model is refused");
        assert!(err.to_string().contains(expected), "{err}");
    }

    #[test]
    fn the_airline_model_is_valid() {
        let model = parse(AIRLINE).unwrap();
        assert_eq!((model.hubs.len(), model.links.len(), model.tables.len()), (6, 5, 8));
        assert_eq!(model.topic(&(*model.tables)[0]), "airline.public.airports");
        assert_eq!(model.parent_name(&(*model.tables)[7]), "link_ticket_flights");
    }

    #[test]
    fn a_table_with_any_name_has_the_topic_that_the_reader_writes_to() {
        let odd = AIRLINE.replacen("name = \"seats\"", "name = \"Odd Seats\"", 1);
        let model = parse(&odd).unwrap();
        assert_eq!(model.topic(&(*model.tables)[2]), "airline.public.Odd_Seats");
        check(
            "name = \"seats\"",
            "name = \"ticket flights\"",
            "has the topic airline.public.ticket_flights, which table",
        );
    }

    #[test]
    fn a_missing_column_is_named_with_its_table() {
        check(
            "columns = [\"model\", \"range\"]",
            "columns = [\"model\", \"reach\"]",
            "table aircrafts sat_aircrafts: the table has no column reach",
        );
        check("\nrange = \"integer\"\n", "\n", "sat_aircrafts: the table has no column range");
    }

    #[test]
    fn comments_may_be_left_out() {
        let bare: Vec<&str> = AIRLINE.lines().filter(|line| !line.starts_with("comment")).collect();
        let model = parse(&bare.join("\n")).unwrap();
        let comment = |name: &str| {
            let hubs = model.hubs.iter().map(|hub| (&hub.name, &hub.comment));
            let links = model.links.iter().map(|link| (&link.name, &link.comment));
            let found = hubs.chain(links).find(|(own, _)| *own == name);
            found.unwrap().1.clone()
        };
        assert_eq!(comment("hub_airports"), "known by airport_code");
        assert_eq!(comment("link_booking_tickets"), "relates ticket, booking");
        assert_eq!((*model.tables)[0].satellites[0].comment, "what airports says");
        assert_eq!(model.source.comment, "airline");
    }

    #[test]
    fn a_forgotten_column_is_named() {
        check("timezone\"]", "city\"]", "table airports");
        check(
            "\"latitude\", \"timezone\"]",
            "\"latitude\"]",
            "table airports column timezone: nothing in the vault would hold it",
        );
    }

    #[test]
    fn a_link_that_can_change_needs_effectivity() {
        check(
            ", effectivity = \"sat_flight_routes_effectivity\"",
            "",
            "table flights link link_flight_routes: the row's key does not determine it",
        );
    }

    #[test]
    fn a_parent_must_be_determined_by_the_key() {
        check(
            "parent = \"hub_tickets\"",
            "parent = \"hub_bookings\"",
            "table tickets parent: the key does not determine hub_bookings",
        );
    }

    #[test]
    fn key_types_must_agree_with_the_hub() {
        check(
            "flight_id = \"integer\"",
            "flight_id = \"text\"",
            "table flights hub flight: column",
        );
    }

    #[test]
    fn a_key_column_cannot_be_added_later() {
        check(
            "parent = \"hub_bookings\"",
            "parent = \"hub_bookings\"\nadded_later = [\"book_ref\"]",
            "table bookings added_later: column book_ref is part of the primary key",
        );
    }

    #[test]
    fn an_ignored_column_is_none_of_the_model() {
        check(
            "parent = \"hub_bookings\"",
            "parent = \"hub_bookings\"\nignored = [\"book_ref\"]",
            "table bookings ignored: book_ref is a column of the model, too",
        );
        check(
            "parent = \"hub_bookings\"",
            "parent = \"hub_bookings\"\nignored = [\"x\", \"x\"]",
            "table bookings ignored: x stands there twice",
        );
    }

    #[test]
    fn unknown_keys_and_reserved_names_are_refused() {
        check("schema = \"public\"", "schema = \"public\"\nspeed = 1", "unknown field `speed`");
        let stored =
            |name: &str| format!("range = {{ type = \"integer\", stored_as = \"{name}\" }}");
        let range = "range = \"integer\"";
        check(range, &stored("hashdiff"), "a technical column is called hashdiff");
        check(range, &stored("xmin"), "xmin is a column that every table has");
        check(range, &stored("Reach"), "\"Reach\" is not a legal name");
        check(range, &stored("model"), "two of its columns are called model");
        check(range, "range = { type = \"integer\", stored = \"x\" }", "unknown field `stored`");
        check(range, "range = 5", "column range: has no type");
        check("name = \"hub_airports\"", "name = \"airports\"", "does not begin with hub_");
        check("name = \"sat_airports\"", "name = \"sat_aircrafts\"", "two vault tables");
        check("format_version = 1", "format_version = 2", "format 2 is unknown");
        check("range = \"integer\"", "range = \"box\"", "type box is not supported");
        let tracking =
            |name: &str| format!("status = \"sat_airports_status\"\ntracking = \"{name}\"");
        let status = "status = \"sat_airports_status\"";
        check(status, &tracking("airports_events"), "airports_events: does not begin with sat_");
        check(status, &tracking("sat_airports"), "sat_airports: two vault tables have that name");
    }
}
