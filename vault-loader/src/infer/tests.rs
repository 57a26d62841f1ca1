//! Shapes of tables that are described in a few words.

use super::catalog::{ForeignKey, SourceColumn, SourceTable};
use super::{InferOptions, shape, text};
use crate::model::{self, Model, Parent};

/// A table `name` with columns `a int, b text`, and the key's columns.
fn table(name: &str, columns: &str, key: &str) -> SourceTable {
    let columns: Vec<SourceColumn> = columns
        .split(", ")
        .map(|column| {
            let (name, kind) = column.split_once(' ').unwrap();
            let (name, kind) = (name.to_owned(), kind.to_owned());
            SourceColumn { name, kind, is_generated: false, is_nullable: false, comment: None }
        })
        .collect();
    let place = |name: &str| columns.iter().position(|column| column.name == name).unwrap();
    let key = key.split(", ").filter(|name| !name.is_empty()).map(place).collect();
    let (schema, name) = ("public".to_owned(), name.to_owned());
    let foreign_keys = Vec::new();
    SourceTable {
        schema,
        name,
        comment: None,
        is_partitioned: false,
        is_unlogged: false,
        columns,
        key,
        foreign_keys,
        outside: Vec::new(),
    }
}

/// Foreign keys as `table(column, …) other(column, …)`.
fn source(mut tables: Vec<SourceTable>, foreign_keys: &[&str]) -> Vec<SourceTable> {
    fn end(tables: &[SourceTable], text: &str) -> (usize, Vec<usize>) {
        let (name, columns) = text.trim_end_matches(')').split_once('(').unwrap();
        let place = tables.iter().position(|table| table.name == name).unwrap();
        let column = |wanted: &str| {
            tables[place].columns.iter().position(|column| column.name == wanted).unwrap()
        };
        (place, columns.split(", ").map(column).collect())
    }
    for (number, text) in foreign_keys.iter().enumerate() {
        let (from, to) = text.split_once(") ").unwrap();
        let (place, columns) = end(&tables, from);
        let (target, target_columns) = end(&tables, to);
        let name = format!("fk{number:02}");
        tables[place].foreign_keys.push(ForeignKey { name, columns, target, target_columns });
    }
    tables
}

fn options() -> InferOptions {
    InferOptions {
        name: "shop".to_owned(),
        topic_prefix: "shop".to_owned(),
        system_id: 7,
        prefix: None,
        schemas: Vec::new(),
        database: "shop".to_owned(),
    }
}

#[track_caller]
fn inferred(tables: &[SourceTable]) -> (Model, String) {
    let text = text::write(tables, &shape::decide(tables, None), &options());
    match model::parse(&text) {
        Ok(model) => (model, text),
        Err(err) => panic!("{err}\n{text}"),
    }
}

/// Links as `link: role hub, …; dependent …`.
fn links(model: &Model) -> Vec<String> {
    let link = |link: &model::Link| {
        let roles: Vec<String> = link
            .roles
            .iter()
            .map(|role| format!("{} {}", role.role, model.hubs[role.hub].name))
            .collect();
        let dependent: Vec<&str> =
            link.dependent_key.iter().map(|column| column.name.as_str()).collect();
        let dependent = if dependent.is_empty() {
            String::new()
        } else {
            format!("; {}", dependent.join(", "))
        };
        format!("{}: {}{dependent}", link.name, roles.join(", "))
    };
    model.links.iter().map(link).collect()
}

fn effectivities(model: &Model) -> Vec<&str> {
    let links = model.tables.iter().flat_map(|table| table.links.iter());
    links.filter_map(|link| link.effectivity.as_deref()).collect()
}

fn hubs(model: &Model) -> Vec<&str> {
    model.hubs.iter().map(|hub| hub.name.as_str()).collect()
}

#[test]
fn a_reference_is_a_link_with_a_history() {
    let tables = source(
        vec![
            table("customers", "id integer, name text", "id"),
            table("orders", "id integer, customer_id integer, at timestamptz", "id"),
        ],
        &["orders(customer_id) customers(id)"],
    );
    let (model, text) = inferred(&tables);
    assert_eq!(hubs(&model), ["hub_customers", "hub_orders"]);
    assert_eq!(links(&model), ["link_orders_customer: order hub_orders, customer hub_customers"]);
    assert_eq!(effectivities(&model), ["sat_orders_customer_effectivity"]);
    assert!(text.contains("scope = \"source\""), "a number is the source's own");
}

#[test]
fn an_m_to_n_table_is_a_link_and_the_rest_of_its_key_is_dependent() {
    let tables = source(
        vec![
            table("aircrafts", "code char(3)", "code"),
            table("seats", "code char(3), seat text, class text", "code, seat"),
            table("tags", "id integer", "id"),
            table("aircraft_tags", "code char(3), tag integer", "code, tag"),
        ],
        &[
            "seats(code) aircrafts(code)",
            "aircraft_tags(tag) tags(id)",
            "aircraft_tags(code) aircrafts(code)",
        ],
    );
    let (model, _) = inferred(&tables);
    assert_eq!(hubs(&model), ["hub_aircrafts", "hub_tags"]);
    assert_eq!(
        links(&model),
        [
            "link_aircraft_tags: aircraft hub_aircrafts, tag hub_tags",
            "link_seats: aircraft hub_aircrafts; seat",
        ]
    );
    assert!(effectivities(&model).is_empty());
}

#[test]
fn an_m_to_n_table_that_others_refer_to_has_a_hub() {
    let tables = source(
        vec![
            table("orders", "id integer", "id"),
            table("lines", "order_id integer, line integer, amount integer", "order_id, line"),
            table("notes", "id integer, order_id integer, line integer", "id"),
        ],
        &["lines(order_id) orders(id)", "notes(line, order_id) lines(line, order_id)"],
    );
    let (model, _) = inferred(&tables);
    assert_eq!(hubs(&model), ["hub_lines", "hub_notes", "hub_orders"]);
    assert_eq!(
        links(&model),
        [
            "link_lines_order: line hub_lines, order hub_orders",
            "link_notes_line: note hub_notes, line hub_lines",
        ]
    );
    assert_eq!(effectivities(&model), ["sat_notes_line_effectivity"]);
    let notes = model.tables.iter().find(|table| table.name == "notes").unwrap();
    let bound = notes.hubs.iter().find(|binding| binding.role == "line").unwrap();
    let names: Vec<&str> =
        bound.columns.iter().map(|&column| notes.columns[column].name.as_str()).collect();
    assert_eq!(names, ["order_id", "line"], "in the order of the hub's key");
}

#[test]
fn a_table_whose_key_is_a_reference_hangs_on_what_it_refers_to() {
    let tables = source(
        vec![
            table("people", "id bigint, name text", "id"),
            table("staff", "person_id integer, boss_id integer", "person_id"),
            table("managers", "staff_id integer, bonus integer", "staff_id"),
            table("tickets", "no text", "no"),
            table("flights", "id integer", "id"),
            table("passes", "flight_id integer, no text, seat text", "flight_id, no"),
            table("segments", "no text, flight_id integer, price integer", "no, flight_id"),
        ],
        &[
            "staff(person_id) people(id)",
            "staff(boss_id) staff(person_id)",
            "managers(staff_id) staff(person_id)",
            "segments(no) tickets(no)",
            "segments(flight_id) flights(id)",
            "passes(no, flight_id) segments(no, flight_id)",
        ],
    );
    let (model, text) = inferred(&tables);
    assert_eq!(hubs(&model), ["hub_flights", "hub_people", "hub_tickets"]);
    assert_eq!(
        links(&model),
        [
            "link_segments: ticket hub_tickets, flight hub_flights",
            "link_staff_boss: people hub_people, boss hub_people",
        ]
    );
    let parent = |name: &str| {
        let table = model.tables.iter().find(|table| table.name == name).unwrap();
        model.parent_name(table)
    };
    assert_eq!(["people", "staff", "managers"].map(parent), ["hub_people"; 3]);
    assert_eq!(["segments", "passes"].map(parent), ["link_segments"; 2]);
    assert_eq!(model.links.iter().next().unwrap().comment, "a row of public.segments");
    assert!(text.contains("{ column = \"boss_id\", cast = \"bigint\" }"), "{text}");
}

#[test]
fn tables_that_refer_to_each_other_by_their_whole_keys_do_not_hang_on_themselves() {
    let tables = source(
        vec![table("a", "id integer, x text", "id"), table("b", "id integer, y text", "id")],
        &["a(id) b(id)", "b(id) a(id)"],
    );
    let (model, _) = inferred(&tables);
    assert_eq!(hubs(&model), ["hub_b"]);
    assert!(model.tables.iter().all(|table| matches!(table.parent, Parent::Hub(_))));
}

#[test]
fn several_references_to_one_table_and_to_itself_have_roles() {
    let tables = source(
        vec![
            table("airports", "code char(3)", "code"),
            table("flights", "id integer, from_code char(3), to_code char(3), id2 integer", "id"),
        ],
        &[
            "flights(from_code) airports(code)",
            "flights(to_code) airports(code)",
            "flights(id2) flights(id)",
        ],
    );
    let (model, _) = inferred(&tables);
    assert_eq!(
        links(&model),
        [
            "link_flights_from: flight hub_flights, from hub_airports",
            "link_flights_id2: flight hub_flights, id2 hub_flights",
            "link_flights_to: flight hub_flights, to hub_airports",
        ]
    );
}

#[test]
fn what_a_vault_cannot_hold_is_named() {
    let mut tables = source(
        vec![
            table("log", "at timestamptz, line text", ""),
            table("boxes", "shape box", "shape"),
            table(
                "kept",
                "id integer, code text, shape box, twice integer, flags bit varying(5), bits bit varying[]",
                "id",
            ),
            table("uses", "id integer, kept_code text", "id"),
        ],
        &["uses(kept_code) kept(code)"],
    );
    tables[2].columns[3].is_generated = true;
    let left_out = shape::decide(&tables, None).left_out;
    assert_eq!(
        left_out.iter().map(|(table, _)| table.as_str()).collect::<Vec<_>>(),
        ["public.log", "public.boxes"]
    );
    let (model, text) = inferred(&tables);
    assert!(model.links.is_empty());
    for note in [
        "# The table public.log is left out: it has no primary key, and no unique index that tells every row",
        "# shape is left out: a model cannot have the type box.",
        "# flags is left out: a model cannot have the type bit varying(5).",
        "# bits is left out: a model cannot have the type bit varying[].",
        "# twice is left out: PostgreSQL computes it, and publishes it in snapshots only, unless told otherwise.",
        "ignored = [\"shape\", \"twice\", \"flags\", \"bits\"]",
        "# (kept_code) refers to public.kept, and is no link: not by that table's key",
    ] {
        assert!(text.contains(note), "no {note:?} in {text}");
    }
}

#[test]
fn a_prefix_keeps_the_names_of_two_sources_apart() {
    let tables = source(
        vec![
            table("orders", "id integer", "id"),
            table("lines", "id integer, order_id integer", "id"),
        ],
        &["lines(order_id) orders(id)"],
    );
    let shape = shape::decide(&tables, Some("wwi"));
    let hubs: Vec<&str> = shape.hubs.iter().map(|hub| hub.name.as_str()).collect();
    assert_eq!(hubs, ["hub_wwi_orders", "hub_wwi_lines"]);
    assert_eq!(shape.links[0].name, "link_wwi_lines_order");
    let states: Vec<&str> = shape.tables.iter().map(|table| table.status.as_str()).collect();
    assert_eq!(states, ["sat_wwi_orders_status", "sat_wwi_lines_status"]);
}

#[test]
fn any_name_is_stored_under_a_legal_one() {
    let mut tables = vec![
        table(
            "Order Lines",
            "Id integer, Load_Date date, load_date date, XMin text, Ünïts text",
            "Id",
        ),
        table("order_lines", "id integer, user text", "id"),
    ];
    tables[1].schema = "old".to_owned();
    let (model, text) = inferred(&tables);
    assert_eq!(hubs(&model), ["hub_old_order_lines", "hub_public_order_lines"]);
    for line in [
        "Load_Date = { type = \"date\", stored_as = \"source_load_date\" }",
        "load_date = { type = \"date\", stored_as = \"source_load_date_2\" }",
        "XMin = { type = \"text\", stored_as = \"xmin\" }",
        "user = \"text\"",
    ] {
        // `XMin` is one word with two capitals: `xmin`, which every table has.
        let line = line.replace("stored_as = \"xmin\"", "stored_as = \"source_xmin\"");
        assert!(text.contains(&line), "no {line:?} in {text}");
    }
}

#[test]
fn a_role_is_never_technical_and_never_too_long() {
    let long = "customer_account_statement_line";
    let tables = source(
        vec![
            table("links", "id integer, link_id integer", "id"),
            table(&format!("{long}s"), &format!("id integer, {long}_id integer"), "id"),
        ],
        &["links(link_id) links(id)", &format!("{long}s({long}_id) {long}s(id)")],
    );
    let (model, _) = inferred(&tables);
    let roles: Vec<&str> =
        model.links.iter().flat_map(|link| &link.roles).map(|role| role.role.as_str()).collect();
    assert_eq!(roles.len(), 4);
    assert!(!roles.contains(&"link"), "{roles:?}");
}

#[test]
fn a_dependent_key_has_names_that_nothing_else_has() {
    let tables = source(
        vec![
            table("orders", "id integer", "id"),
            table(
                "lines",
                "order_id integer, Line integer, line integer, order_hash_key text",
                "order_id, Line, line, order_hash_key",
            ),
        ],
        &["lines(order_id) orders(id)"],
    );
    let (model, _) = inferred(&tables);
    assert_eq!(links(&model), ["link_lines: order hub_orders; line, line_2, order_hash_key_2"]);
}

#[test]
fn a_link_s_dependent_key_is_not_cast_to() {
    let tables = source(
        vec![
            table("books", "isbn text", "isbn"),
            table("copies", "isbn text, no integer", "isbn, no"),
            table("details", "isbn text, no smallint, shelf text", "isbn, no"),
        ],
        &["copies(isbn) books(isbn)", "details(isbn, no) copies(isbn, no)"],
    );
    let (model, _) = inferred(&tables);
    assert_eq!(hubs(&model), ["hub_books", "hub_copies"]);
}

#[test]
fn names_with_control_characters_and_a_schema_of_another_script_stay_in_their_lines() {
    let mut tables = vec![
        table("a\nb", "id integer, line\nbreak text, shape box", "id"),
        table("plain", "id integer, say\"so text", "id"),
    ];
    tables.iter_mut().for_each(|table| table.schema = "продажи".to_owned());
    tables[0].columns[2].name = "x\ny".to_owned();
    let (model, text) = inferred(&tables);
    assert!(model.tables.iter().any(|table| table.name == "a\nb"));
    assert!(text.contains("# x y is left out"), "{text}");
    assert_eq!(model.source.schema, "public");
}

#[test]
fn an_unlogged_table_is_left_out_and_half_a_reference_is_noted() {
    let mut tables = source(
        vec![
            table("tasks", "tenant integer, id integer, parent integer", "tenant, id"),
            table("scratch", "id integer", "id"),
        ],
        &["tasks(tenant, parent) tasks(tenant, id)"],
    );
    tables[0].columns[2].is_nullable = true;
    tables[1].is_unlogged = true;
    let (_, text) = inferred(&tables);
    assert!(text.contains("# The table public.scratch is left out: it is unlogged"), "{text}");
    assert!(text.contains("# (tenant, parent): where a part of it is NULL"), "{text}");
}

#[test]
fn of_two_tables_with_one_topic_the_second_is_left_out() {
    let tables = source(
        vec![
            table("order lines", "id integer", "id"),
            table("order_lines", "id integer", "id"),
            table("uses", "id integer, line_id integer", "id"),
        ],
        &["uses(line_id) order_lines(id)"],
    );
    let (model, text) = inferred(&tables);
    assert_eq!(model.tables.len(), 2);
    let note = "# The table public.order_lines is left out: its events have the topic of public.order lines";
    assert!(text.contains(note), "{text}");
    assert!(text.contains("is no link: the vault does not hold that table"), "{text}");
}
