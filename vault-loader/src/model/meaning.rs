//! What a model says, written in one way only: the text by which two model files are compared.
//!
//! In: a [`Model`]. Out: a text that is equal for two models exactly when loading by either of them does the same.
//! Comments, blanks and the order of entries say nothing, and two spellings of one type are one type. The order of
//! columns inside a key counts, because hash keys are made in that order. A new part of the model is written only where
//! a model uses it, so that the text of a model that does not use it stays as it was.

use std::fmt::Debug;

use super::types::{Column, Model, Parent, Table};
use super::{Cast, ColumnId, ColumnType};

impl Model {
    /// What the model says: one line for each statement, sorted.
    #[must_use]
    pub fn meaning(&self) -> String {
        let mut lines = vec![line(&("source", &self.source.name, self.source.system_id))];
        if let Some(owner) = &self.source.keys_of {
            lines.push(line(&("keys of", owner)));
        }
        for hub in &self.hubs {
            lines.push(line(&("hub", &hub.name, hub.scope, typed(&hub.key))));
            if hub.is_carried {
                lines.push(line(&("carried", &hub.name)));
            }
            if hub.is_folded() {
                lines.push(line(&("folds", &hub.name, &hub.folded)));
            }
        }
        for link in &self.links {
            let roles: Vec<_> =
                link.roles.iter().map(|role| (&role.role, &self.hubs[role.hub].name)).collect();
            lines.push(line(&("link", &link.name, roles, typed(&link.dependent_key))));
            if link.is_carried() {
                lines.push(line(&("carried", &link.name)));
            }
        }
        for table in &self.tables {
            table_lines(self, table, &mut lines);
        }
        lines.sort_unstable();
        lines.join("\n")
    }
}

fn table_lines(model: &Model, table: &Table, lines: &mut Vec<String>) {
    let topic = model.topic(table);
    let names = |columns: &[ColumnId]| -> Vec<&str> {
        columns.iter().map(|&column| table.columns[column].name.as_str()).collect()
    };
    let parent = match table.parent {
        Parent::Hub(binding) => &table.hubs[binding].role,
        Parent::Link(binding) => &model.links[table.links[binding].link].name,
    };
    lines.push(line(&(
        "table",
        &topic,
        &table.schema,
        &table.name,
        names(&table.key),
        parent,
        &table.status,
    )));
    for column in &table.columns {
        lines.push(line(&("column", &topic, &column.name, column.kind)));
        if let Some(stored) = &column.stored_as {
            lines.push(line(&("stored as", &topic, &column.name, stored)));
        }
    }
    for name in names(&table.added_later) {
        lines.push(line(&("added later", &topic, name)));
    }
    for (other, column) in &table.also_named {
        lines.push(line(&("also named", &topic, &table.columns[*column].name, other)));
    }
    for name in &table.ignored {
        lines.push(line(&("ignored", &topic, name)));
    }
    if let Some(tracking) = &table.tracking {
        lines.push(line(&("tracked", &topic, tracking)));
    }
    for binding in &table.hubs {
        let hub = &model.hubs[binding.hub].name;
        lines.push(line(&("names", &topic, &binding.role, hub, names(&binding.columns))));
        if binding.casts.iter().any(|cast| *cast != Cast::Same) {
            lines.push(line(&("casts", &topic, &binding.role, &binding.casts)));
        }
    }
    for binding in &table.links {
        let roles: Vec<_> =
            binding.bindings.iter().map(|&role| table.hubs[role].role.as_str()).collect();
        let link = &model.links[binding.link].name;
        let dependent = names(&binding.dependent_key);
        lines.push(line(&("states", &topic, link, roles, dependent, &binding.effectivity)));
    }
    for satellite in &table.satellites {
        let mut columns = names(&satellite.columns);
        columns.sort_unstable();
        lines.push(line(&("satellite", &topic, &satellite.name, columns)));
        if !satellite.is_historized {
            lines.push(line(&("not historized", &topic, &satellite.name)));
        }
    }
}

/// Every text in it is quoted, so no name can pass for another statement.
fn line(statement: &impl Debug) -> String {
    format!("{statement:?}")
}

fn typed(columns: &[Column]) -> Vec<(&str, ColumnType)> {
    columns.iter().map(|column| (column.name.as_str(), column.kind)).collect()
}

#[cfg(test)]
mod tests {
    use crate::model::parse;

    const AIRLINE: &str = include_str!("../../../connectors/airline/vault.toml");

    fn of(text: &str) -> String {
        parse(text).unwrap().meaning()
    }

    #[track_caller]
    fn changed(from: &str, to: &str) -> String {
        assert!(AIRLINE.contains(from), "the model no longer holds {from:?}");
        of(&AIRLINE.replacen(from, to, 1))
    }

    #[test]
    fn comments_order_and_spellings_say_nothing() {
        let airline = of(AIRLINE);
        assert_eq!(changed("# The Data Vault", "# Our Data Vault"), airline);
        assert_eq!(changed("comment = \"an airport", "comment = \"a large airport"), airline);
        assert_eq!(changed("flight_id = \"integer\"", "flight_id = \"int4\""), airline);
        let historized = "historized = true\nname = \"sat_airports\"";
        assert_eq!(changed("name = \"sat_airports\"", historized), airline);
        let columns = "city = \"text\"\nlongitude = \"double precision\"";
        assert_eq!(changed(columns, "longitude = \"float8\"\ncity = \"text\""), airline);
        let (head, tables) = AIRLINE.split_at(AIRLINE.find("[[table]]").unwrap());
        let mut tables: Vec<&str> = tables.split_inclusive("\n\n[[table]]\n").collect();
        let last = tables.pop().unwrap();
        let turned = format!("{head}[[table]]\n{last}\n\n{}", tables.concat());
        let turned = turned.trim_end().trim_end_matches("[[table]]");
        assert_ne!(turned, AIRLINE);
        assert_eq!(of(turned), airline);
    }

    #[test]
    fn whatever_changes_the_loading_is_seen() {
        let airline = of(AIRLINE);
        for (from, to) in [
            ("system_id = 1", "system_id = 2"),
            ("system_id = 1", "system_id = 1\nkeys_of = \"other\""),
            (
                "status = \"sat_airports_status\"",
                "status = \"sat_airports_status\"\nalso_named = { city = [\"town\"] }",
            ),
            ("schema = \"public\"", "schema = \"other\""),
            ("scope = \"source\"", "scope = \"shared\""),
            ("type = \"varchar(20)\" }]", "type = \"varchar(20)\", fold = true }]"),
            ("total_amount = \"numeric(10,2)\"", "total_amount = \"numeric(10,3)\""),
            ("status = \"sat_airports_status\"", "status = \"sat_airports_state\""),
            ("name = \"sat_airports\"", "name = \"sat_places\""),
            (
                "status = \"sat_airports_status\"",
                "status = \"sat_airports_status\"\ntracking = \"sat_airports_tracking\"",
            ),
            ("name = \"sat_airports\"", "historized = false\nname = \"sat_airports\""),
            (
                "{ role = \"departure_airport\", hub = \"hub_airports\" },\n  { role = \"arrival_airport\", hub = \"hub_airports\" },",
                "{ role = \"arrival_airport\", hub = \"hub_airports\" },\n  { role = \"departure_airport\", hub = \"hub_airports\" },",
            ),
        ] {
            assert_ne!(changed(from, to), airline, "{from}");
        }
    }
}
