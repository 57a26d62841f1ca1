//! The committed documents, and what must hold of every picture.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::figure::{self, Figure};
use super::layout::{self, BOX_PADDING, Layout, Placed, name_width, small_width};
use super::wires::Trunk;
use super::{markdown, page, picture, svg};
use crate::model::{self, Plan};

const AIRLINE: &str = include_str!("../../../connectors/airline/vault.toml");
const LIBRARY: &str = include_str!("../../../e2e/tests/sources/library.vault.toml");

const SHOP: &str = include_str!("../../tests/support/shop.vault.toml");

fn plan(model: &str) -> Plan {
    Plan::new(model::parse(model).unwrap())
}

/// A model of so many tables, each of which refers to others. Every fifth is an m:n table.
fn large(tables: usize) -> String {
    let mut hubs = String::new();
    let mut links = String::new();
    let mut rest = String::new();
    let is_link = |table: usize| table % 5 == 4;
    let hub = |table: usize| if is_link(table) { table - 1 } else { table };
    for table in 0..tables {
        let (a, b) = (hub(table * 7 % tables), hub((table * 3 + 1) % tables));
        if is_link(table) {
            let _ = write!(
                links,
                "[[link]]\nname = \"link_t{table}\"\nhubs = [{{ role = \"a\", hub = \"hub_t{a}\" }}, {{ role = \"b\", hub = \"hub_t{b}\" }}]\n"
            );
            let _ = write!(
                rest,
                "[[table]]\nname = \"t{table}\"\nkey = [\"a\", \"b\"]\nparent = \"link_t{table}\"\nstatus = \"sat_t{table}_status\"\n\
                 hubs = [{{ role = \"a\", hub = \"hub_t{a}\", columns = [\"a\"] }}, {{ role = \"b\", hub = \"hub_t{b}\", columns = [\"b\"] }}]\n\
                 links = [{{ link = \"link_t{table}\" }}]\n\
                 columns = {{ a = \"integer\", b = \"integer\", share = \"real\" }}\n\
                 [[table.satellite]]\nname = \"sat_t{table}\"\ncolumns = [\"share\"]\n"
            );
            continue;
        }
        let _ = write!(
            hubs,
            "[[hub]]\nname = \"hub_t{table}\"\nkey = [{{ name = \"id\", type = \"integer\" }}]\n"
        );
        let _ = write!(
            links,
            "[[link]]\nname = \"link_t{table}_refers\"\nhubs = [{{ role = \"own\", hub = \"hub_t{table}\" }}, {{ role = \"a\", hub = \"hub_t{a}\" }}]\n"
        );
        let many: Vec<String> = (0..table % 12).map(|column| format!("c{column}")).collect();
        let columns: Vec<String> =
            many.iter().map(|column| format!(", {column} = \"numeric(10,2)\"")).collect();
        let _ = write!(
            rest,
            "[[table]]\nname = \"t{table}\"\nkey = [\"id\"]\nparent = \"hub_t{table}\"\nstatus = \"sat_t{table}_status\"\n\
             hubs = [{{ role = \"own\", hub = \"hub_t{table}\", columns = [\"id\"] }}, {{ role = \"a\", hub = \"hub_t{a}\", columns = [\"a\"] }}]\n\
             links = [{{ link = \"link_t{table}_refers\", effectivity = \"sat_t{table}_effectivity\" }}]\n\
             columns = {{ id = \"integer\", a = \"integer\"{} }}\n",
            columns.concat()
        );
        if !many.is_empty() {
            let _ =
                write!(rest, "[[table.satellite]]\nname = \"sat_t{table}\"\ncolumns = {many:?}\n");
        }
    }
    format!(
        "format_version = 1\n[source]\nname = \"large\"\nschema = \"public\"\nsystem_id = 3\n{hubs}{links}{rest}"
    )
}

/// A level or upright line, and whose it is.
type Line = (usize, (i64, i64), (i64, i64));

/// The lines of a trunk.
fn lines_of(layout: &Layout<'_>, trunk: &Trunk) -> Vec<Line> {
    let (left, right) = layout.channel;
    let x = left + trunk.x;
    let (top, bottom) = trunk.span();
    let rows = trunk.rows.iter().map(|&y| (trunk.hub, (x, y), (right, y)));
    let own =
        [(trunk.hub, (left, trunk.hub_y), (x, trunk.hub_y)), (trunk.hub, (x, top), (x, bottom))];
    own.into_iter().chain(rows).collect()
}

/// Whether the inner part of a box and a line have a point in common.
fn runs_through(line: &Line, placed: &Placed<'_>) -> bool {
    let (_, from, to) = line;
    let (left, right) = (from.0.min(to.0), from.0.max(to.0));
    let (top, bottom) = (from.1.min(to.1), from.1.max(to.1));
    right > placed.x
        && left < placed.x + placed.width
        && bottom > placed.y
        && top < placed.y + placed.height
}

/// Whether two lines run beside each other so close that they look like one.
fn looks_like_one(a: &Line, b: &Line) -> bool {
    let near = |a: i64, b: i64| (a - b).abs() < 4;
    let overlap =
        |a: (i64, i64), b: (i64, i64)| a.0.min(a.1) < b.0.max(b.1) && b.0.min(b.1) < a.0.max(a.1);
    let is_level = |line: &Line| line.1.1 == line.2.1 && line.1.0 != line.2.0;
    let is_upright = |line: &Line| line.1.0 == line.2.0 && line.1.1 != line.2.1;
    let level =
        is_level(a) && is_level(b) && near(a.1.1, b.1.1) && overlap((a.1.0, a.2.0), (b.1.0, b.2.0));
    let upright = is_upright(a)
        && is_upright(b)
        && near(a.1.0, b.1.0)
        && overlap((a.1.1, a.2.1), (b.1.1, b.2.1));
    level || upright
}

fn check_boxes(figure: &Figure, layout: &Layout<'_>) {
    let groups = || figure.hubs.iter().chain(&figure.links);
    let drawn = groups().map(|group| 1 + group.satellites.len()).sum::<usize>();
    assert_eq!(layout.boxes.len(), drawn);
    for (at, a) in layout.boxes.iter().enumerate() {
        assert!(a.x > 0 && a.x + a.width < layout.width, "{} is outside", a.entity.name);
        assert!(a.y > 0 && a.y + a.height < layout.height, "{} is outside", a.entity.name);
        let room = a.width - 2 * BOX_PADDING;
        assert!(name_width(a.entity.name.chars().count()) <= room, "{} is too wide", a.entity.name);
        for row in &a.entity.rows {
            let letters = row.text.chars().count() + row.kind.chars().count();
            assert!(small_width(letters) <= room, "{} of {} is too wide", row.text, a.entity.name);
        }
        for b in &layout.boxes[at + 1..] {
            let beside = a.x + a.width <= b.x || b.x + b.width <= a.x;
            let below = a.y + a.height <= b.y || b.y + b.height <= a.y;
            assert!(beside || below, "{} covers {}", a.entity.name, b.entity.name);
        }
    }
}

/// Each row of a link has a line to its hub, each satellite one to its parent, and lines stay apart.
fn check_lines(figure: &Figure, layout: &Layout<'_>) {
    let find = |name: &str| layout.boxes.iter().find(|one| one.entity.name == name).unwrap();
    let mut rows = BTreeSet::new();
    for link in &figure.links {
        let placed = find(&link.parent.name);
        assert_eq!(placed.x, layout.channel.1);
        for row in link.parent.rows.iter().filter(|row| row.hub.is_some()) {
            let hub = row.hub.unwrap();
            let trunk = layout.trunks.iter().find(|trunk| trunk.hub == hub).unwrap();
            let hub = find(&figure.hubs[hub].parent.name);
            assert_eq!(hub.x + hub.width, layout.channel.0);
            assert!((hub.y..hub.y + hub.height).contains(&trunk.hub_y), "{}", hub.entity.name);
            let own = (placed.y..placed.y + placed.height).filter(|y| trunk.rows.contains(y));
            rows.extend(own.map(|y| (trunk.hub, y)));
        }
    }
    let wanted = figure.links.iter().flat_map(|link| &link.parent.rows);
    assert_eq!(rows.len(), wanted.filter(|row| row.hub.is_some()).count());
    let lines: Vec<Line> = layout.trunks.iter().flat_map(|trunk| lines_of(layout, trunk)).collect();
    for (at, a) in lines.iter().enumerate() {
        for placed in &layout.boxes {
            assert!(!runs_through(a, placed), "a line runs through {}", placed.entity.name);
        }
        for b in lines[at + 1..].iter().filter(|b| b.0 != a.0) {
            assert!(!looks_like_one(a, b), "{a:?} lies on {b:?}");
        }
    }
    let satellites = figure.hubs.iter().chain(&figure.links).map(|group| group.satellites.len());
    assert_eq!(layout.brackets.len(), satellites.sum::<usize>());
    for bracket in &layout.brackets {
        let (from, to, rail) = (bracket.from, bracket.to, bracket.rail);
        for line in
            [(0, from, (rail, from.1)), (0, (rail, from.1), (rail, to.1)), (0, (rail, to.1), to)]
        {
            for placed in &layout.boxes {
                assert!(!runs_through(&line, placed), "a line runs through {}", placed.entity.name);
            }
        }
    }
}

#[track_caller]
fn check(model: &str) {
    let (plan, again) = (plan(model), plan(model));
    let figure = figure::of(&plan);
    let layout = layout::place(&figure);
    check_boxes(&figure, &layout);
    check_lines(&figure, &layout);
    // A page of usual width shows it without making it smaller than half.
    assert!(layout.width < 1_700, "{}", layout.width);
    assert_eq!(picture(&plan), picture(&again));
    assert_eq!(page(&plan), page(&again));
}

#[test]
fn no_box_covers_another_and_no_line_runs_through_a_box() {
    check(AIRLINE);
    check(LIBRARY);
    check(SHOP);
    for tables in [1, 2, 6, 25, 40] {
        check(&large(tables));
    }
}

#[test]
fn the_committed_documents_are_what_the_command_writes() {
    let airline = plan(AIRLINE);
    let stale = "run scripts/pictures.sh, which writes it";
    assert!(
        page(&airline) == include_str!("../../../docs/DWH_SCHEMA.md"),
        "docs/DWH_SCHEMA.md: {stale}"
    );
    let committed = include_str!("../../../docs/dwh_schema.svg");
    assert!(picture(&airline) == committed, "docs/dwh_schema.svg: {stale}");
    let committed = include_str!("../../../docs/images/model-library.svg");
    assert!(picture(&plan(LIBRARY)) == committed, "docs/images/model-library.svg: {stale}");
}

#[test]
fn the_page_names_every_column_and_where_it_comes_from() {
    let airline = plan(AIRLINE);
    let page = page(&airline);
    for table in &airline.model.tables {
        for column in &table.columns {
            let place = format!("`{}.{}`", table.label, column.name);
            assert!(page.contains(&place), "{place}");
        }
    }
    for line in [
        "| `hub_flights` | `flight_id` | the source's own: `airline` is hashed first |",
        "| `airport_code` | `text` | business key, as airline spells it | `airports.airport_code`, `flights.departure_airport`, `flights.arrival_airport` |",
        "| `arrival_airport_hash_key` | `bytea` | hash key in hub_airports | `flights.arrival_airport` |",
        "| `arrival_airport` | `text` | `hub_airports.airport_code` as `arrival_airport` |",
        "| `seat_no` | `text` | `link_aircraft_seats.seat_no` |",
    ] {
        assert!(page.contains(line), "{line}");
    }
    let library = super::page(&plan(LIBRARY));
    assert!(
        library.contains(
            "| `Load_Date` | `timestamp with time zone` | `sat_people.source_load_date` |"
        ),
        "{library}"
    );
}

#[test]
fn the_page_says_where_the_key_of_a_parent_without_a_table_stands() {
    let page = page(&plan(SHOP));
    for line in [
        "3 source tables feed 3 hubs, 1 reference, 2 links and 8 satellites in the schema",
        "| `ref_currencies` | `currency_code` | the same key means the same in every source |",
        "| `hub_customers by kind of phones` | `hub_customers` as `customer`, `kind` | that of its hubs |",
        "| `link_payments` | `payment_id` | that of its hubs |",
        "| `currency_code` | `text` | `currencies.code` |",
        "| `customer_hash_key` | `bytea` | hash key in hub_customers | `phones.customer_id` |",
        "| `kind` | `text` | tells rows of one key of the hub apart | `phones.kind` |",
        "| `amount` | `integer` | amount of shop.public.payments | `payments.amount` |",
        "| `kind` | `text` | `link_phone_operators.kind`, `kind` of all satellites of the table |",
    ] {
        assert!(page.contains(line), "{line} is not in {page}");
    }
    assert!(
        !page.contains("### ref_currencies\n\nA currency by its code.\n\n### "),
        "its code is listed"
    );
    assert_eq!(page.matches("### link_payments").count(), 1, "it is no satellite");
}

#[test]
fn text_of_others_is_text_in_every_document() {
    let hostile = "</text><script>&\\\"'|`*_x_[a](b)\\u0001";
    let model = AIRLINE.replacen(
        "comment = \"airline ticket booking system\"",
        &format!("comment = \"{hostile}\""),
        1,
    );
    let model = model.replacen("an airport, known by its IATA-like code", hostile, 1);
    assert_ne!(model, AIRLINE);
    let plan = plan(&model);
    let svg = picture(&plan);
    assert!(svg.contains("&lt;/text&gt;&lt;script&gt;&amp;&quot;'|`*_x_[a](b) "), "{svg}");
    assert!(!svg.contains("<script"));
    let page = page(&plan);
    assert!(
        page.contains("&lt;/text&gt;&lt;script&gt;&amp;\"'\\|\\`\\*\\_x\\_\\[a\\](b) "),
        "{page}"
    );
    assert!(!page.contains("<script"));
    assert_eq!(markdown::escaped("hub_a is #1"), "hub_a is \\#1");
    assert_eq!(svg::escaped("a\u{0}b\u{ffff}"), "a b ");
}
