//! The page about a model: what each table means, its columns, and where each column comes from.
//!
//! In: a compiled model. Out: Markdown. Columns and their meanings are those of [`ddl::tables`], which also makes the
//! tables and their comments, so the page and the warehouse cannot differ. Names and comments are somebody's text: no
//! character of them is taken for Markdown or HTML.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::PICTURE;
use super::figure::counts;
use crate::migrate::business;
use crate::migrate::ddl::{self, ColumnSpec, TableSpec};
use crate::migrate::views::current_tables;
use crate::model::{
    CarriedColumn, CarriedFrom, Cast, Column, Hub, HubBinding, HubScope, KEY_COLUMNS, Link,
    LinkRole, Model, Parent, Plan, SatelliteKind, SatellitePlan, Table, VAULT_SCHEMA,
    VERSION_COLUMNS,
};

/// Writes the page.
pub(super) fn write(plan: &Plan) -> String {
    let specs: BTreeMap<String, TableSpec> =
        ddl::tables(plan).into_iter().map(|table| (table.name.clone(), table)).collect();
    let mut page = Page { plan, specs, out: String::new() };
    page.beginning();
    page.keys();
    page.common_columns();
    page.line("\n## Hubs");
    let (references, hubs): (Vec<&Hub>, Vec<&Hub>) =
        plan.model.hubs.iter().partition(|hub| hub.is_carried);
    hubs.into_iter().for_each(|hub| page.hub(hub));
    page.references(&references);
    page.line("\n## Links");
    let links = plan.model.links.iter().filter(|link| link.has_table());
    links.for_each(|link| page.link(link));
    page.line("\n## Satellites");
    let satellites = plan.satellites.iter().filter(|satellite| !satellite.is_link);
    satellites.for_each(|satellite| page.satellite(satellite));
    page.snapshots();
    page.line("\n## Source tables");
    let views = current_tables::views(&plan.model);
    for (table, view) in plan.model.tables.iter().zip(views) {
        page.source_table(table, &view.qualified());
    }
    page.out
}

struct Page<'p> {
    plan: &'p Plan,
    specs: BTreeMap<String, TableSpec>,
    out: String,
}

impl Page<'_> {
    fn beginning(&mut self) {
        let source = &self.plan.model.source;
        let name = escaped(&source.name);
        self.line(&format!("# Data Vault of {name}"));
        self.line("\n<!-- Made by `vault-loader model docs`. Change the model, then run the command again. -->");
        self.line(&format!(
            "\nThis is the Data Vault over the source {} ({}). {} in the schema {}. The source has the number {} in the \
             warehouse, and its topics begin with {}.",
            code(&source.name),
            escaped(&source.comment),
            counts(self.plan),
            code(VAULT_SCHEMA),
            source.system_id,
            code(&format!("{}.", source.topic_prefix))
        ));
        self.line(&format!("\n![Hubs, links and satellites of {name}]({PICTURE})"));
    }

    /// What each hash key is made of.
    fn keys(&mut self) {
        let model = &self.plan.model;
        self.line("\n## Keys");
        self.line("\nA hash key is the SHA-256 of these values, in this order. A link's hash key is made of the hash keys of its hubs. A satellite has the hash key of its parent.");
        let mut rows = Vec::new();
        for hub in &model.hubs {
            let folded = |place: usize| if hub.folded[place] { ", spellings folded" } else { "" };
            let key = hub.key.iter().enumerate();
            let key: Vec<String> =
                key.map(|(place, column)| code(&column.name) + folded(place)).collect();
            let scope = match hub.scope {
                HubScope::Shared => "the same key means the same in every source".to_owned(),
                HubScope::Source => {
                    format!("the source's own: {} is hashed first", code(model.source.key_scope()))
                }
            };
            rows.push(vec![code(&hub.name), key.join(", "), scope]);
        }
        for link in &model.links {
            let roles = hashed_roles(model, link)
                .map(|role| code(&model.hubs[role.hub].name) + " as " + &code(&role.role));
            let dependent = link.dependent_key.iter().map(|column| code(&column.name));
            let key: Vec<String> = roles.chain(dependent).collect();
            rows.push(vec![code(&link.name), key.join(", "), "that of its hubs".to_owned()]);
        }
        self.table(&["Table", "Made of", "Scope"], &rows);
        if model.hubs.iter().any(|hub| hub.is_carried) || model.links.iter().any(Link::is_carried) {
            self.line(
                "\nA reference, and what is written as a hub by further columns, has no table: the satellites hold its key \
                 beside their hash key. A non-historized link has one table with its attributes, and its hash key is made of \
                 what the primary key of the source's table determines.",
            );
        }
    }

    /// The columns that every table of a kind has.
    fn common_columns(&mut self) {
        let specs: Vec<&TableSpec> = self.specs.values().collect();
        let first = |is_shared: bool| specs.iter().find(|table| table.is_shared() == is_shared);
        let of = |table: Option<&&TableSpec>, names: &[&str]| -> Vec<Vec<String>> {
            let columns = table.into_iter().flat_map(|table| &table.columns);
            let named = columns.filter(|column| names.contains(&column.name.as_str()));
            named.map(|column| described(column).to_vec()).collect()
        };
        let shared = of(first(true), &KEY_COLUMNS);
        let mut versions = of(first(false), &[&KEY_COLUMNS[..], &VERSION_COLUMNS[..]].concat());
        if let Some([_, _, meaning]) = versions.first_mut().map(Vec::as_mut_slice) {
            "hash key in the parent".clone_into(meaning);
        }
        self.line("\n## Columns of every table");
        self.line("\nEvery hub and every link begins with these columns. They say what is loaded, when, and from where.");
        self.table(&["Column", "Type", "Meaning"], &shared);
        self.line("\nEvery satellite begins with these columns. Its primary key is `hash_key`, `load_date`.");
        self.table(&["Column", "Type", "Meaning"], &versions);
    }

    fn hub(&mut self, hub: &Hub) {
        self.heading(&hub.name, &hub.comment);
        let model = &self.plan.model;
        let mut rows = Vec::new();
        for (place, column) in hub.key.iter().enumerate() {
            let bound = bindings(model, &hub.name);
            let from = bound.map(|(table, binding)| origin(table, binding, place));
            rows.push(self.column(&hub.name, &column.name, &from.collect::<Vec<_>>().join(", ")));
        }
        self.table(&["Column", "Type", "Meaning", "Comes from"], &rows);
    }

    /// References: keys that stand in satellites.
    fn references(&mut self, references: &[&Hub]) {
        if references.is_empty() {
            return;
        }
        self.line("\n## References");
        self.line(
            "\nA reference has no table. Its satellites hold these columns, by which people join.",
        );
        let model = &self.plan.model;
        for hub in references {
            self.heading(&hub.name, &hub.comment);
            let mut rows = Vec::new();
            for (place, column) in hub.key.iter().enumerate() {
                let bound = bindings(model, &hub.name);
                let from: Vec<String> =
                    bound.map(|(table, binding)| origin(table, binding, place)).collect();
                rows.push(vec![
                    code(&column.name),
                    code(&column.kind.vault_type()),
                    from.join(", "),
                ]);
            }
            self.table(&["Column", "Type", "Comes from"], &rows);
        }
    }

    fn link(&mut self, link: &Link) {
        self.heading(&link.name, &link.comment);
        let model = &self.plan.model;
        let stating = || {
            let tables = model.tables.iter();
            tables.flat_map(|table| table.links.iter().map(move |binding| (table, binding)))
        };
        let stating =
            || stating().filter(|(_, binding)| model.links[binding.link].name == link.name);
        let mut rows = Vec::new();
        for (place, role) in link.roles.iter().enumerate() {
            let mut from = Vec::new();
            for (table, stated) in stating() {
                let binding = &table.hubs[stated.bindings[place]];
                from.extend((0..binding.columns.len()).map(|part| origin(table, binding, part)));
            }
            rows.push(self.column(&link.name, &role.column(), &from.join(", ")));
        }
        for (place, key) in link.dependent_key.iter().enumerate() {
            let from = stating().map(|(table, stated)| {
                column_of(table, &table.columns[stated.dependent_key[place]])
            });
            rows.push(self.column(&link.name, &key.name, &from.collect::<Vec<_>>().join(", ")));
        }
        let own = self.plan.satellites.iter().find(|satellite| satellite.name == link.name);
        rows.extend(own.into_iter().flat_map(|satellite| self.own_columns(satellite)));
        self.table(&["Column", "Type", "Meaning", "Comes from"], &rows);
        if own.is_some() {
            self.line("\nIts rows never change. It has the technical columns of a satellite, and `hash_key` stands in one row.");
        }
    }

    fn satellite(&mut self, satellite: &SatellitePlan) {
        let model = &self.plan.model;
        let table = &model.tables[satellite.table];
        let comment = self.specs.get(&satellite.name).map(|spec| spec.comment.clone());
        self.heading(&satellite.name, &comment.unwrap_or_default());
        let carried = satellite.carried.iter();
        let carried: Vec<Vec<String>> = carried
            .map(|held| self.column(&satellite.name, &held.name, &carried_from(model, table, held)))
            .collect();
        let rows: Vec<Vec<String>> =
            carried.into_iter().chain(self.own_columns(satellite)).collect();
        self.table(&["Column", "Type", "Meaning", "Comes from"], &rows);
    }

    /// A line for each column that a satellite has behind the technical ones and its parent's key.
    fn own_columns(&self, satellite: &SatellitePlan) -> Vec<Vec<String>> {
        let model = &self.plan.model;
        let table = &model.tables[satellite.table];
        self.plan
            .payload(satellite)
            .into_iter()
            .map(|(name, _)| {
                let from = match &satellite.kind {
                    SatelliteKind::Descriptive { .. } => {
                        let mut columns = table.columns.iter();
                        let column = columns.find(|column| column.vault_name() == name);
                        column.map_or_else(String::new, |column| column_of(table, column))
                    }
                    SatelliteKind::Status | SatelliteKind::Tracking => {
                        "the events themselves".to_owned()
                    }
                    SatelliteKind::Effectivity { link } => {
                        code(&model.links[table.links[*link].link].name)
                    }
                };
                self.column(&satellite.name, &name, &from)
            })
            .collect()
    }

    fn source_table(&mut self, table: &Table, view: &str) {
        let model = &self.plan.model;
        self.line(&format!("\n### {}", escaped(&table.label)));
        let named = |columns: &[crate::model::ColumnId]| {
            let names = columns.iter().map(|&column| code(&table.columns[column].name));
            names.collect::<Vec<_>>().join(", ")
        };
        self.line(&format!(
            "\nThe topic is {}. The primary key {} determines {}, on which the satellites hang. {} says whether a row exists. \
             The view {} has the rows as they stand now; `vault-loader migrate` makes it.",
            code(&model.topic(table)),
            named(&table.key),
            code(model.parent_name(table)),
            code(&table.status),
            code(view)
        ));
        if let Some(tracking) = &table.tracking {
            let tracking = code(tracking);
            self.line(&format!("\n{tracking} has a row for each event of a row, also for those that change nothing."));
        }
        if !table.added_later.is_empty() {
            let names = named(&table.added_later);
            self.line(&format!("\nOlder events lack {names}: there they are NULL."));
        }
        if !table.ignored.is_empty() {
            let names: Vec<String> = table.ignored.iter().map(|name| code(name)).collect();
            self.line(&format!("\nThe vault does not take in {}.", names.join(", ")));
        }
        let rows = table.columns.with_ids().map(|(id, column)| {
            let mut names = vec![code(&column.name)];
            let others = table.also_named.iter().filter(|(_, named)| *named == id);
            names.extend(others.map(|(other, _)| format!("also {}", code(other))));
            vec![
                names.join(", "),
                code(&column.kind.vault_type()),
                fed_by(model, table, id).join(", "),
            ]
        });
        let rows: Vec<Vec<String>> = rows.collect();
        self.table(&["Column", "Type in the vault", "Feeds"], &rows);
        let stated = table.links.iter();
        for binding in stated.filter(|binding| model.links[binding.link].has_table()) {
            let link = code(&model.links[binding.link].name);
            let holds = binding.effectivity.as_ref().map_or_else(String::new, |satellite| {
                format!(" {} says which row of {link} holds from when.", code(satellite))
            });
            self.line(&format!("\nA row states {link}.{holds}"));
        }
    }

    /// The calendar, and what is built at each snapshot.
    fn snapshots(&mut self) {
        let snapshots = &self.plan.model.snapshots;
        let tables = business::tables(&self.plan.model);
        let (Some(calendar), false) = (&snapshots.calendar, tables.is_empty()) else { return };
        let times: Vec<String> =
            calendar.times.iter().map(|time| time.format("%H:%M").to_string()).collect();
        let keep = calendar.keep;
        self.line("\n## Snapshots");
        self.line(&format!(
            "\n`vault-loader snapshots build` fills these tables of the schema {} for each day at {} in {}. Every snapshot is kept \
             for {} days. The first one of each Monday is kept for {} weeks, that of each month for {} months, and that of each \
             year for {} years.",
            code(business::BUSINESS_SCHEMA),
            times.join(", "),
            code(&calendar.time_zone),
            keep.days,
            keep.weeks,
            keep.months,
            keep.years
        ));
        for table in tables {
            self.heading(&table.name, &table.comment);
            let rows: Vec<Vec<String>> =
                table.columns.iter().map(|column| described(column).to_vec()).collect();
            self.table(&["Column", "Type", "Meaning"], &rows);
        }
    }

    /// The heading of a vault table, and what it means.
    fn heading(&mut self, name: &str, comment: &str) {
        let mut letters = comment.trim_end_matches('.').chars();
        let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
        let sentence = first + letters.as_str();
        self.line(&format!("\n### {}\n\n{}.", escaped(name), escaped(&sentence)));
    }

    /// A line about a column of a vault table.
    fn column(&self, table: &str, column: &str, from: &str) -> Vec<String> {
        let spec = self
            .specs
            .get(table)
            .and_then(|spec| spec.columns.iter().find(|other| other.name == column));
        let described =
            spec.map_or_else(|| [code(column), String::new(), String::new()], described);
        described.into_iter().chain([from.to_owned()]).collect()
    }

    fn table(&mut self, heads: &[&str], rows: &[Vec<String>]) {
        if rows.is_empty() {
            return;
        }
        self.line(&format!("\n| {} |", heads.join(" | ")));
        self.line(&format!("|{}", "---|".repeat(heads.len())));
        for row in rows {
            self.line(&format!("| {} |", row.join(" | ")));
        }
    }

    fn line(&mut self, line: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.out, "{line}");
    }
}

/// Name, type and meaning of a column.
fn described(column: &ColumnSpec) -> [String; 3] {
    [code(&column.name), code(&column.kind), escaped(&column.comment)]
}

/// Where tables name a hub.
fn bindings<'m>(
    model: &'m Model,
    hub: &'m str,
) -> impl Iterator<Item = (&'m Table, &'m HubBinding)> {
    let all = model.tables.iter();
    let all = all.flat_map(|table| table.hubs.iter().map(move |binding| (table, binding)));
    all.filter(move |(_, binding)| model.hubs[binding.hub].name == hub)
}

/// The column of a table that holds a part of a hub's key.
fn origin(table: &Table, binding: &HubBinding, part: usize) -> String {
    let column = column_of(table, &table.columns[binding.columns[part]]);
    match binding.casts.get(part) {
        None | Some(Cast::Same) => column,
        Some(Cast::IntegerToText | Cast::UuidToText) => format!("{column} as text"),
        Some(Cast::IntegerToNumeric) => format!("{column} as a number with a point"),
    }
}

fn column_of(table: &Table, column: &Column) -> String {
    code(&format!("{}.{}", table.label, column.name))
}

/// The roles of a link that its hash key is made of.
fn hashed_roles<'m>(model: &'m Model, link: &'m Link) -> impl Iterator<Item = &'m LinkRole> {
    let is_hashed = move |column: &str| {
        let all = model.tables.iter().flat_map(|table| &table.links);
        let stated = all.filter(|binding| model.links[binding.link].name == link.name);
        let place = link.roles.iter().position(|role| role.column() == column);
        let mut out = stated.filter_map(|binding| Some((binding, *binding.bindings.get(place?)?)));
        out.all(|(binding, role)| binding.keyed.contains(&role))
    };
    link.roles.iter().filter(move |role| is_hashed(&role.column()))
}

/// Where a satellite's column of its parent's key comes from.
fn carried_from(model: &Model, table: &Table, carried: &CarriedColumn) -> String {
    match (&carried.from, table.parent) {
        (CarriedFrom::Value { column, .. }, _) => column_of(table, &table.columns[*column]),
        (CarriedFrom::Role(place), Parent::Link(link)) => {
            let binding = &table.hubs[table.links[link].bindings[*place]];
            let parts = (0..binding.columns.len()).map(|part| origin(table, binding, part));
            parts.collect::<Vec<_>>().join(", ")
        }
        (CarriedFrom::Role(_), Parent::Hub(_)) => model.parent_name(table).to_owned(),
    }
}

/// What a column of a source table feeds: keys of hubs, dependent keys of links, and a satellite.
fn fed_by(model: &Model, table: &Table, column: crate::model::ColumnId) -> Vec<String> {
    let mut fed = Vec::new();
    for binding in &table.hubs {
        let hub = &model.hubs[binding.hub];
        for (part, _) in binding.columns.iter().enumerate().filter(|(_, bound)| **bound == column) {
            let role = if binding.role == hub.name {
                String::new()
            } else {
                format!(" as {}", code(&binding.role))
            };
            fed.push(code(&format!("{}.{}", hub.name, hub.key[part].name)) + &role);
        }
    }
    for binding in &table.links {
        let link = &model.links[binding.link];
        let parts = binding.dependent_key.iter().enumerate();
        let parts = parts.filter(|(_, bound)| **bound == column);
        if !link.has_table() {
            let held = |(part, _): (usize, _)| {
                format!("{} of all satellites of the table", code(&link.dependent_key[part].name))
            };
            fed.extend(parts.map(held));
            continue;
        }
        fed.extend(
            parts
                .map(|(part, _)| code(&format!("{}.{}", link.name, link.dependent_key[part].name))),
        );
    }
    let holding = table.satellites.iter().filter(|held| held.columns.contains(&column));
    let stored = table.columns[column].vault_name();
    fed.extend(holding.map(|satellite| code(&format!("{}.{stored}", satellite.name))));
    fed
}

/// A name as code, also inside a table.
fn code(name: &str) -> String {
    let shown: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let shown = shown.replace('|', "\\|");
    if shown.contains('`') { format!("`` {shown} ``") } else { format!("`{shown}`") }
}

/// Text in which no character means anything to Markdown or HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let is_word = |c: char| c.is_alphanumeric();
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // An underscore between letters means nothing.
            '_' if is_word(before) && rest.peek().copied().is_some_and(is_word) => out.push(c),
            '\\' | '|' | '*' | '_' | '`' | '[' | ']' | '#' | '~' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
        before = c;
    }
    out
}
