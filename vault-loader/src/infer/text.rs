//! The inferred model as TOML, with comments for the one who goes on with it.

use std::fmt::Write;

use super::InferOptions;
use super::catalog::SourceTable;
use super::shape::{
    HubBindingShape, HubShape, LinkBindingShape, LinkShape, Shape, TableShape, Typed,
};
use crate::model::{FORMAT_VERSION, is_topic_part};

const HEAD: &str = "\
# A Data Vault, inferred from the keys of the source's tables. It loads as it is. You may want to change the following before the
# first load. A change after the first load means that the topics have to be loaded again.
#
# - Names. A name here is a table of the vault.
# - Which hubs are shared with other sources: scope = \"source\" keeps the keys of a hub apart from those of other sources.
# - Satellites: split one by rate of change, or keep personal data apart.
# - Links: put the links of one table together when they belong together.
#
# Your editor checks this file when you write `vault-loader model schema` into a file beside it, vault-model.schema.json, and put the
# line `#:schema ./vault-model.schema.json` before this comment.
";

/// Writes the model.
pub(super) fn write(tables: &[SourceTable], shape: &Shape, options: &InferOptions) -> String {
    let schema = usual_schema(tables, shape);
    let mut out = String::from(HEAD);
    for (table, reason) in &shape.left_out {
        line(&mut out, &format!("#\n# The table {} is left out: {}.", shown(table), shown(reason)));
    }
    line(&mut out, &format!("\nformat_version = {FORMAT_VERSION}\n\n[source]"));
    line(&mut out, &format!("name = {}", text(&options.name)));
    if options.topic_prefix != options.name {
        line(&mut out, &format!("topic_prefix = {}", text(&options.topic_prefix)));
    }
    line(&mut out, &format!("schema = {}", text(&schema)));
    line(&mut out, &format!("system_id = {}", options.system_id));
    line(&mut out, &format!("comment = {}", text(&format!("the database {}", options.database))));
    rule(&mut out, "hubs");
    shape.hubs.iter().for_each(|shape| hub(&mut out, shape));
    rule(&mut out, "links");
    shape.links.iter().for_each(|shape| link(&mut out, shape));
    rule(&mut out, "tables");
    for shape in &shape.tables {
        table(&mut out, &tables[shape.table], shape, &schema);
    }
    out
}

/// The schema that most tables are in; tables of others name theirs.
fn usual_schema(tables: &[SourceTable], shape: &Shape) -> String {
    // The model's own schema may not have every character.
    let schemas = shape.tables.iter().map(|shape| tables[shape.table].schema.as_str());
    let schemas: Vec<&str> = schemas.filter(|schema| is_topic_part(schema)).collect();
    let count = |schema: &str| schemas.iter().filter(|other| **other == schema).count();
    // The first of equals by name.
    let usual = schemas.iter().copied().rev().max_by_key(|schema| count(schema));
    usual.unwrap_or("public").to_owned()
}

fn hub(out: &mut String, hub: &HubShape) {
    line(out, &format!("\n[[hub]]\nname = {}\ncomment = {}", text(&hub.name), text(&hub.comment)));
    if hub.is_of_source {
        line(out, "scope = \"source\"");
    }
    line(out, &format!("key = {}", columns(&hub.key)));
}

fn link(out: &mut String, link: &LinkShape) {
    line(
        out,
        &format!("\n[[link]]\nname = {}\ncomment = {}", text(&link.name), text(&link.comment)),
    );
    let role = |(role, hub): &(String, String)| {
        format!("{{ role = {}, hub = {} }}", text(role), text(hub))
    };
    list(out, "hubs", &link.roles.iter().map(role).collect::<Vec<_>>());
    if !link.dependent_key.is_empty() {
        line(out, &format!("dependent_key = {}", columns(&link.dependent_key)));
    }
}

fn table(out: &mut String, source: &SourceTable, shape: &TableShape, usual: &str) {
    let names = |places: &[usize]| {
        let names = places.iter().map(|&place| text(&source.columns[place].name));
        format!("[{}]", names.collect::<Vec<_>>().join(", "))
    };
    line(out, "");
    for note in &shape.notes {
        line(out, &format!("# {}.", shown(note)));
    }
    line(out, &format!("[[table]]\nname = {}", text(&source.name)));
    if source.schema != usual {
        line(out, &format!("schema = {}", text(&source.schema)));
    }
    line(out, &format!("key = {}", names(&source.key)));
    line(out, &format!("parent = {}\nstatus = {}", text(&shape.parent), text(&shape.status)));
    let bindings: Vec<String> =
        shape.hubs.iter().map(|binding| hub_binding(source, binding)).collect();
    list(out, "hubs", &bindings);
    let bindings: Vec<String> =
        shape.links.iter().map(|binding| link_binding(binding, &names)).collect();
    if !bindings.is_empty() {
        list(out, "links", &bindings);
    }
    if !shape.ignored.is_empty() {
        line(out, &format!("ignored = {}", names(&shape.ignored)));
    }
    line(out, "\n[table.columns]");
    let stored = |place: usize| {
        let columns = shape.satellite.iter().flat_map(|satellite| &satellite.columns);
        columns.into_iter().find(|(column, _)| *column == place)?.1.as_deref()
    };
    for &place in &shape.columns {
        let column = &source.columns[place];
        let kind = text(&column.kind);
        let kind = match stored(place) {
            Some(stored) => format!("{{ type = {kind}, stored_as = {} }}", text(stored)),
            None => kind,
        };
        line(out, &format!("{} = {kind}", bare_or_quoted(&column.name)));
    }
    comments(out, source, shape);
    if let Some(satellite) = &shape.satellite {
        let places: Vec<usize> = satellite.columns.iter().map(|(place, _)| *place).collect();
        let (name, columns) = (text(&satellite.name), names(&places));
        line(out, &format!("\n[[table.satellite]]\nname = {name}\ncolumns = {columns}"));
    }
}

/// What the source's own comments say of columns.
fn comments(out: &mut String, source: &SourceTable, shape: &TableShape) {
    let columns = shape.columns.iter().map(|&place| &source.columns[place]);
    let said = columns.filter_map(|column| Some((&column.name, column.comment.as_ref()?)));
    let lines: Vec<String> =
        said.map(|(name, said)| format!("{} = {}", bare_or_quoted(name), text(said))).collect();
    if !lines.is_empty() {
        line(out, &format!("\n[table.comments]\n{}", lines.join("\n")));
    }
}

fn hub_binding(source: &SourceTable, binding: &HubBindingShape) -> String {
    let column = |(place, to): &(usize, Option<String>)| {
        let name = text(&source.columns[*place].name);
        match to {
            Some(to) => format!("{{ column = {name}, cast = {} }}", text(to)),
            None => name,
        }
    };
    let columns: Vec<String> = binding.columns.iter().map(column).collect();
    format!(
        "{{ role = {}, hub = {}, columns = [{}] }}",
        text(&binding.role),
        text(&binding.hub),
        columns.join(", ")
    )
}

fn link_binding(binding: &LinkBindingShape, names: &impl Fn(&[usize]) -> String) -> String {
    let mut out = format!("{{ link = {}", text(&binding.link));
    if !binding.dependent_key.is_empty() {
        out += &format!(", dependent_key = {}", names(&binding.dependent_key));
    }
    if let Some(effectivity) = &binding.effectivity {
        out += &format!(", effectivity = {}", text(effectivity));
    }
    out + " }"
}

fn columns(typed: &[Typed]) -> String {
    let column =
        |(name, kind): &Typed| format!("{{ name = {}, type = {} }}", text(name), text(kind));
    format!("[{}]", typed.iter().map(column).collect::<Vec<_>>().join(", "))
}

/// One entry stands in the line of its name, several stand below each other.
fn list(out: &mut String, name: &str, entries: &[String]) {
    match entries {
        [] => line(out, &format!("{name} = []")),
        [one] => line(out, &format!("{name} = [{one}]")),
        several => {
            line(out, &format!("{name} = ["));
            several.iter().for_each(|entry| line(out, &format!("  {entry},")));
            line(out, "]");
        }
    }
}

fn rule(out: &mut String, what: &str) {
    line(
        out,
        &format!("\n# ---------------------------------------------------------------- {what}"),
    );
}

fn line(out: &mut String, line: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{line}");
}

/// Text for a comment, which ends with its line.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A TOML string in one line.
fn text(value: &str) -> String {
    let mut quoted = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

fn bare_or_quoted(name: &str) -> String {
    let is_bare =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if is_bare { name.to_owned() } else { text(name) }
}
