//! The views that `migrate` makes from the model: what happens to them when the model, the vault or other people's
//! views change.

use serde_json::json;

use crate::support::{World, airport, create, delete};

/// Runs `migrate` and returns what it said; a refusal is an error.
fn migrate(world: &World) -> Result<String, String> {
    let output = world.command_with(&["migrate"], &[]);
    let told = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    if output.status.success() { Ok(told.into_owned()) } else { Err(told.into_owned()) }
}

/// The model with one column of the table `aircrafts` retyped.
fn with_range(world: &World, kind: &str) -> String {
    let changed = world.model.replacen("range = \"integer\"", &format!("range = \"{kind}\""), 1);
    assert_ne!(changed, world.model);
    changed
}

async fn columns(world: &World, view: &str) -> Vec<String> {
    let sql = format!(
        "SELECT attname::text FROM pg_attribute
         WHERE attrelid = 'dwh_marts.{view}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    );
    let rows = world.rows(&sql).await;
    rows.iter().map(|row| row.trim_matches(['(', ')', '"']).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_migration_makes_no_view_again() {
    let world = World::new("views_again").await;
    let told = migrate(&world).unwrap();
    assert!(!told.contains("created") && !told.contains("replaced"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_column_comes_behind_the_others_and_views_upon_the_view_stay() {
    let mut world = World::new("views_grown").await;
    let upon = "CREATE VIEW dwh_marts.own AS SELECT city, has_waiting_events FROM dwh_marts.current_airports";
    world.client.batch_execute(upon).await.unwrap();
    let grown = world
        .model
        .replacen("timezone = \"text\"", "elevation = \"integer\"\ntimezone = \"text\"", 1)
        .replacen("\"latitude\", \"timezone\"]", "\"latitude\", \"elevation\", \"timezone\"]", 1);
    world.write_model(&grown);
    let told = migrate(&world).unwrap();
    assert!(told.contains("replaced dwh_marts.current_airports"), "{told}");
    let found = columns(&world, "current_airports").await;
    assert_eq!(found[found.len() - 3..], ["timezone", "has_waiting_events", "elevation"]);
    assert_eq!(columns(&world, "history_sat_airports").await.last().unwrap(), "elevation");
    let mut loader = world.loader("loader");
    let mut row = airport("AAA", "Omsk");
    row["elevation"] = 7.into();
    world.publish(create("airports", 10, row)).await;
    world.loaded().await;
    let sql =
        "SELECT elevation, city FROM dwh_marts.current_airports JOIN dwh_marts.own USING (city)";
    world.assert_rows(sql, &["(7,Omsk)"]).await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wider_type_makes_views_again_with_their_rights_unless_somebody_uses_them() {
    let world = World::new("views_wider").await;
    let reader = format!("reader_{}", std::process::id());
    let prepare = format!(
        "CREATE ROLE {reader};
         GRANT SELECT ON dwh_marts.current_sat_aircrafts TO {reader};
         GRANT SELECT (model) ON dwh_marts.current_aircrafts TO {reader};
         CREATE VIEW dwh_marts.own AS SELECT range FROM dwh_marts.current_aircrafts"
    );
    world.client.batch_execute(&prepare).await.unwrap();
    world.write_model(&with_range(&world, "bigint"));
    let refused = migrate(&world).unwrap_err();
    assert!(refused.contains("because dwh_marts.own depends on it"), "{refused}");
    let kind = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute
                WHERE attrelid = 'dwh_marts.current_aircrafts'::regclass AND attname = 'range'";
    world.assert_rows(kind, &["(integer)"]).await;
    world.client.batch_execute("DROP VIEW dwh_marts.own").await.unwrap();
    let told = migrate(&world).unwrap();
    assert!(told.contains("widened dwh_detailed.sat_aircrafts.range"), "{told}");
    world.assert_rows(kind, &["(bigint)"]).await;
    let rights = format!(
        "SELECT has_table_privilege('{reader}', 'dwh_marts.current_sat_aircrafts', 'SELECT'),
                has_column_privilege('{reader}', 'dwh_marts.current_aircrafts', 'model', 'SELECT'),
                has_column_privilege('{reader}', 'dwh_marts.current_aircrafts', 'range', 'SELECT')"
    );
    world.assert_rows(&rights, &["(t,t,f)"]).await;
    let away = format!("DROP OWNED BY {reader}; DROP ROLE {reader}");
    world.client.batch_execute(&away).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_or_table_of_somebody_else_is_never_replaced() {
    for (name, other, words) in [
        (
            "view",
            "CREATE VIEW dwh_marts.current_airports AS SELECT 1 AS one",
            "and migrate did not make it",
        ),
        (
            "table",
            "CREATE TABLE dwh_marts.history_hub_flights (one integer)",
            "exists and is no view",
        ),
    ] {
        let world = World::unmigrated(&format!("views_other_{name}")).await;
        let script = format!("CREATE SCHEMA dwh_marts; {other}");
        world.client.batch_execute(&script).await.unwrap();
        let refused = migrate(&world).unwrap_err();
        assert!(refused.contains(words), "{refused}");
        world.assert_rows("SELECT to_regnamespace('dwh_detailed') IS NULL", &["(t)"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_made_by_hand_with_the_same_columns_is_taken_over() {
    let world = World::new("views_taken").await;
    let script = "DELETE FROM dwh_control.made_views WHERE view_name = 'current_hub_airports';
                  CREATE OR REPLACE VIEW dwh_marts.current_hub_airports AS
                  SELECT NULL::bytea AS hash_key, NULL::text COLLATE \"C\" AS airport_code, true AS has_waiting_events";
    world.client.batch_execute(script).await.unwrap();
    let told = migrate(&world).unwrap();
    assert!(told.contains("replaced dwh_marts.current_hub_airports"), "{told}");
    assert!(world.rows("SELECT * FROM dwh_marts.current_hub_airports").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_make_a_schema_is_told_who_can() {
    let world = World::unmigrated("views_rights").await;
    let role = format!("owner_{}", std::process::id());
    let script = format!("CREATE ROLE {role} LOGIN PASSWORD 'password'");
    world.client.batch_execute(&script).await.unwrap();
    let variables = [
        ("VAULT_LOADER__DATABASE__USER", role.as_str()),
        ("VAULT_LOADER__DATABASE__PASSWORD", "password"),
    ];
    let output = world.command_with(&["migrate"], &variables);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{told}");
    assert!(told.contains("CREATE SCHEMA dwh_control AUTHORIZATION"), "{told}");
    world.client.batch_execute(&format!("DROP ROLE {role}")).await.unwrap();
}

/// A model of one table, whose only hub has a key of the source's, and which has no link.
fn one_table(world: &World) -> String {
    let named = world.source.clone();
    format!(
        "format_version = 1\n[source]\nname = \"{named}\"\nschema = \"public\"\nsystem_id = 1\n\
         [[hub]]\nname = \"hub_things\"\nscope = \"source\"\nkey = [{{ name = \"id\", type = \"integer\" }}]\n\
         [[table]]\nname = \"things\"\nkey = [\"id\"]\nparent = \"hub_things\"\nstatus = \"sat_things_status\"\n\
         hubs = [{{ hub = \"hub_things\", columns = [\"id\"] }}]\n[table.columns]\nid = \"integer\"\nword = \"text\"\n\
         [[table.satellite]]\nname = \"sat_things\"\ncolumns = [\"word\"]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_links_and_one_with_a_hub_that_nothing_feeds_have_views() {
    let world = World::unmigrated("views_few").await;
    let few = one_table(&world);
    world.write_model(&few);
    let told = migrate(&world).unwrap();
    assert!(told.contains("created dwh_checks.link_hubs_exist"), "{told}");
    let lonely = "[[hub]]\nname = \"hub_lonely\"\nkey = [{ name = \"code\", type = \"text\" }]\n\
                  [[link]]\nname = \"link_lonely\"\nhubs = [{ role = \"one\", hub = \"hub_lonely\" }, { role = \"two\", hub = \"hub_lonely\" }]\n";
    world.write_model(&few.replacen("[[table]]", &format!("{lonely}[[table]]"), 1));
    let told = migrate(&world).unwrap();
    assert!(told.contains("created dwh_detailed.hub_lonely_first_mention"), "{told}");
    assert!(!told.contains("current_hub_lonely"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_views_of_one_name_are_refused() {
    let world = World::unmigrated("views_clash").await;
    world.write_model(&one_table(&world).replace("sat_things_status", "sat_hub_things_status"));
    let refused = migrate(&world).unwrap_err();
    assert!(
        refused.contains("two views would be called dwh_marts.current_hub_things"),
        "{refused}"
    );
}

/// Another source that knows seats of aircraft, and calls its columns otherwise.
const LEASING: &str = r#"
format_version = 1
[source]
name = "NAME"
schema = "public"
system_id = 2

[[hub]]
name = "hub_aircrafts"
key = [{ name = "aircraft_code", type = "char(3)" }]

[[link]]
name = "link_aircraft_seats"
hubs = [{ role = "aircraft", hub = "hub_aircrafts" }]
dependent_key = [{ name = "seat_no", type = "varchar(4)" }]

[[table]]
name = "chairs"
key = ["model_code", "place"]
parent = "link_aircraft_seats"
status = "sat_leasing_chairs_status"
hubs = [{ role = "aircraft", hub = "hub_aircrafts", columns = ["model_code"] }]
links = [{ link = "link_aircraft_seats", dependent_key = ["place"] }]
[table.columns]
model_code = "char(3)"
place = "varchar(4)"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_two_sources_feed_has_a_row_while_one_of_them_has_it() {
    let mut world = World::new("views_pair").await;
    let before = columns(&world, "current_link_aircraft_seats").await;
    // Its name is the first one by sorting.
    let leasing = format!("a-{}", world.source);
    let path = world.write_further_model("leasing.toml", &LEASING.replacen("NAME", &leasing, 1));
    let migrated = world.command(&["migrate", "--model", &path]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    assert_eq!(columns(&world, "current_link_aircraft_seats").await, before);
    let own = world.dir.path().join("vault.toml").display().to_string();
    let mut loader =
        world.loader_arguments("loader", &["run", "--model", &own, "--model", &path], &[]);
    let seat = |place: &str| json!({"aircraft_code": "773", "seat_no": place, "fare_conditions": "Economy"});
    let chair = |place: &str| json!({"model_code": "773", "place": place});
    world.publish_all([create("seats", 10, seat("1A")), create("seats", 20, seat("1B"))]).await;
    let airline = std::mem::replace(&mut world.source, leasing);
    world.publish_all([create("chairs", 1, chair("1A")), create("chairs", 2, chair("9Z"))]).await;
    world.source = airline;
    world.loaded().await;
    let seats = "SELECT aircraft_code, seat_no, has_waiting_events FROM dwh_marts.current_link_aircraft_seats ORDER BY 2";
    world.assert_rows(seats, &["(773,1A,f)", "(773,1B,f)", "(773,9Z,f)"]).await;
    world.publish_all([delete("seats", 30, seat("1A")), delete("seats", 40, seat("1B"))]).await;
    world.loaded().await;
    world.assert_rows(seats, &["(773,1A,f)", "(773,9Z,f)"]).await;
    let periods =
        "SELECT seat_no, count(*), bool_or(is_current) FROM dwh_marts.history_link_aircraft_seats
                   GROUP BY 1 ORDER BY 1";
    world.assert_rows(periods, &["(1A,1,t)", "(1B,1,f)", "(9Z,1,t)"]).await;
    let aircrafts = "SELECT aircraft_code FROM dwh_marts.current_hub_aircrafts";
    assert!(world.rows(aircrafts).await.is_empty(), "no source has a table row of an aircraft");
    world.end(&mut loader);
}
