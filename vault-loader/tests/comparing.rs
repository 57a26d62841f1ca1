//! `model diff` on a real warehouse: it foretells what `migrate` does and refuses, and changes nothing.

use std::process::Output;

use crate::migrating::own_warehouse;
use crate::sources::AGENCY;
use crate::support::{World, airport, borrowed, create, fingerprint};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What `model diff` prints, when it ends with this code.
#[track_caller]
fn diff(world: &World, code: i32) -> String {
    diff_of(world, &[], code)
}

#[track_caller]
fn diff_of(world: &World, models: &[&str], code: i32) -> String {
    checked(&world.command(&[&["model", "diff"], models].concat()), code)
}

#[track_caller]
fn checked(output: &Output, code: i32) -> String {
    let (told, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{told}{err}");
    told
}

/// The lines of `model diff` below a head, without their indentation.
fn below(told: &str, head: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut is_below = false;
    for line in told.lines() {
        match line.strip_prefix("    ") {
            Some(line) if is_below => lines.push(line.to_owned()),
            Some(_) => {}
            None => is_below = line.contains(head),
        }
    }
    lines
}

fn foretold(told: &str) -> Vec<String> {
    below(told, "migrate would report")
}

/// What a migration prints, without its notes.
#[track_caller]
fn migrated(world: &World, models: &[&str]) -> Vec<String> {
    let output = world.command(&[&["migrate"], models].concat());
    let told = checked(&output, 0);
    told.lines().filter(|line| !line.starts_with("note: ")).map(str::to_owned).collect()
}

/// A model in which aircrafts have a further column.
fn with_seats(model: &str) -> String {
    model
        .replace("range = \"integer\"\n", "range = \"bigint\"\nseats = \"smallint\"\n")
        .replace("columns = [\"model\", \"range\"]", "columns = [\"model\", \"range\", \"seats\"]")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_foretold_for_an_empty_warehouse_is_what_migrate_does() {
    let world = World::unmigrated("diffnew").await;
    let told = diff(&world, 1);
    world.assert_rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dwh%'", &[]).await;
    let foretold = foretold(&told);
    assert!(foretold.len() > 50, "{told}");
    assert_eq!(foretold, migrated(&world, &[]));
    let before = fingerprint(&world.client).await;
    let told = diff(&world, 0);
    assert!(told.ends_with("vault.toml: no difference\n"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_eq!(fingerprint(&world.client).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_foretold_of_a_grown_model_is_what_migrate_does() {
    let world = World::new("diffgrown").await;
    world.client.batch_execute("DROP INDEX dwh_detailed.sat_seats_status_brin").await.unwrap();
    world.write_model(&with_seats(&world.model));
    let told = diff(&world, 1);
    let foretold = foretold(&told);
    let expected = [
        "widened dwh_detailed.sat_aircrafts.range from integer to bigint",
        "added dwh_detailed.sat_aircrafts.seats",
        "added index dwh_detailed.sat_seats_status_brin",
    ];
    assert_eq!(foretold[..3], expected, "{told}");
    // The views of the satellite and of its table, and the rules about its kind.
    for view in [
        "dwh_marts.history_sat_aircrafts",
        "dwh_marts.current_aircrafts",
        "dwh_checks.versions_differ",
    ] {
        assert!(foretold.contains(&format!("created {view}")), "{told}");
    }
    assert_eq!(foretold, migrated(&world, &[]));
    diff(&world, 0);
}

/// Refused by both commands, for the same reasons.
#[track_caller]
fn assert_refused_alike(world: &World, expected: &str) {
    let told = diff(world, 1);
    let reasons = below(&told, "migrate would refuse");
    assert!(reasons.iter().any(|line| line.contains(expected)), "{told}");
    assert!(foretold(&told).is_empty(), "{told}");
    let refused = world.command(&["migrate"]);
    assert_eq!(refused.status.code(), Some(1));
    for line in text(&refused.stderr).lines().skip(1) {
        assert!(reasons.iter().any(|reason| reason == line), "{told} lacks {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_migrate_refuses_is_foretold_with_its_reasons() {
    let mut world = World::new("diffrefused").await;
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.end(&mut loader);
    let before = fingerprint(&world.client).await;

    // Something new that a loaded table feeds.
    let satellite =
        "[[table.satellite]]\nname = \"sat_airport_heights\"\ncolumns = [\"height\"]\n\n";
    let next = "[[table]]\nname = \"aircrafts\"";
    let more = world.model.replacen(next, &format!("{satellite}{next}"), 1);
    world.write_model(&more.replacen(
        "city = \"text\"",
        "city = \"text\"\nheight = \"integer\"",
        1,
    ));
    let topic = world.topic("airports");
    let expected =
        format!("{topic} is loaded already, and would be missing in sat_airport_heights");
    assert_refused_alike(&world, &expected);

    // Events that a loaded table would track only from now on.
    let status = "status = \"sat_airports_status\"";
    let tracked = format!("{status}\ntracking = \"sat_airports_tracking\"");
    world.write_model(&world.model.replacen(status, &tracked, 1));
    let expected =
        format!("{topic} is loaded already, and would be missing in sat_airports_tracking");
    assert_refused_alike(&world, &expected);

    // A changed key.
    let key = |name: &str| format!("name = \"{name}\", type = \"char(6)\"");
    world.write_model(&world.model.replacen(&key("book_ref"), &key("reference"), 1));
    assert_refused_alike(&world, "hub_bookings: its key or its scope changed");

    // Somebody's own columns: one that lets no row in, and one that is no difference.
    world.write_model(&world.model);
    let change = async |sql: &str| {
        let sql = format!("ALTER TABLE dwh_detailed.sat_seats {sql}");
        world.client.batch_execute(&sql).await.unwrap();
    };
    change("ADD COLUMN mine integer NOT NULL DEFAULT 1, ADD COLUMN note text").await;
    assert_refused_alike(&world, "dwh_detailed.sat_seats.mine is not the model's and refuses NULL");
    change("DROP COLUMN mine").await;
    assert!(diff(&world, 0).contains("dwh_detailed.sat_seats.note is a further column"));
    change("DROP COLUMN note").await;
    assert_eq!(fingerprint(&world.client).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grown_column_is_named_with_what_to_write_into_the_model() {
    let world = World::new("diffcolumn").await;
    let topic = world.topic("airports");
    let grow = format!(
        "SELECT dwh_control.grow_satellite('{topic}', 'sat_airports', 'elevation', 'integer', 'integer')"
    );
    world.client.batch_execute(&grow).await.unwrap();
    let told = diff(&world, 1);
    let advice = "dwh_detailed.sat_airports.elevation: add elevation = \"integer\" to the columns of the table airports, and the name to sat_airports";
    assert_eq!(below(&told, "satellites have grown"), [advice]);
    // A migration shows the column in the views, whether the model names it or not.
    let views = ["current_airports", "current_sat_airports", "history_sat_airports"];
    assert_eq!(foretold(&told), views.map(|view| format!("replaced dwh_marts.{view}")));
    let named = world
        .model
        .replace("timezone = \"text\"\n", "timezone = \"text\"\nelevation = \"integer\"\n")
        .replace("\"latitude\", \"timezone\"]", "\"latitude\", \"timezone\", \"elevation\"]");
    world.write_model(&named);
    let told = diff(&world, 1);
    let foretold = foretold(&told);
    assert!(
        matches!(foretold.as_slice(), [.., last] if last.starts_with("stored the model")),
        "{told}"
    );
    assert_eq!(migrated(&world, &[]), foretold);
    diff(&world, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_models_each_is_compared_behind_those_before_it() {
    let world = World::unmigrated("diffseveral").await;
    let airline = world.write_further_model("airline.toml", &world.model);
    let agency = AGENCY.replacen("\"agency\"", &format!("\"{}-agency\"", world.source), 1);
    let agency = world.write_further_model("agency.toml", &agency);
    let models = ["--model", &airline, "--model", &agency];
    let without_views = |lines: Vec<String>| -> Vec<String> {
        let is_view =
            |line: &String| line.contains("first_mention") || line.contains("first mentions");
        lines.into_iter().filter(|line| !is_view(line)).collect()
    };
    let foretold = without_views(foretold(&diff_of(&world, &models, 1)));
    assert!(
        foretold.contains(&"created dwh_detailed.sat_agency_places".to_owned()),
        "{foretold:?}"
    );
    assert_eq!(foretold, without_views(migrated(&world, &models)));
    diff_of(&world, &models, 0);
    let taken =
        std::fs::read_to_string(&agency).unwrap().replacen("system_id = 2", "system_id = 1", 1);
    let taken = world.write_further_model("taken.toml", &taken.replacen("-agency", "-other", 1));
    let told = diff_of(&world, &["--model", &taken], 1);
    assert!(told.contains("source.system_id 1 is the number of the source"), "{told}");
    assert!(told.contains("sat_agency_places: "), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_schema_of_an_older_build_is_said() {
    let world = World::new("diffolder").await;
    let forget = async |version: i32| {
        let sql = "DELETE FROM dwh_control.schema_migrations WHERE version >= $1";
        world.client.execute(sql, &[&version]).await.unwrap();
    };
    forget(11).await;
    let told = diff(&world, 1);
    let expected = [
        "11 (growing by right)",
        "12 (hashing)",
        "13 (made views)",
        "14 (watermark)",
        "15 (snapshots)",
    ];
    assert_eq!(foretold(&told), expected.map(|name| format!("applied control migration {name}")));
    forget(8).await;
    let told = diff(&world, 1);
    assert_eq!(foretold(&told).len(), 7, "{told}");
    assert!(below(&told, "not compared")[0].contains("of an older build"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_of_run_are_enough_and_without_them_nothing_is_compared() {
    let world = World::unmigrated("diffrights").await;
    let own = own_warehouse();
    let (owner, loader) =
        (own.variables_as("vault_owner", "o"), own.variables_as("vault_loader", "l"));
    let reader = own.variables_as("mart_reader", "m");
    let diff = |variables, code| {
        let output = world.command_with(&["model", "diff"], &borrowed(variables));
        let told = checked(&output, code);
        told + &text(&output.stderr)
    };
    let by_loader = diff(&loader, 1);
    assert_eq!(by_loader, diff(&owner, 1));
    let output = world.command_with(&["migrate"], &borrowed(&owner));
    let foretold = foretold(&by_loader);
    assert_eq!(foretold, checked(&output, 0).lines().collect::<Vec<_>>());
    diff(&owner, 0);
    diff(&loader, 0);
    let refused = diff(&reader, 2);
    assert!(refused.contains("permission denied"), "{refused}");
    let nowhere = [("VAULT_LOADER__DATABASE__PORT", "1".to_owned())];
    let output = world.command_with(&["model", "diff"], &borrowed(&nowhere));
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("cannot be compared"), "{}", text(&output.stderr));
    world.write_model(&world.model.replacen("hub_airports", "airports", 1));
    assert!(diff(&owner, 2).contains("does not begin with hub_"));
}
