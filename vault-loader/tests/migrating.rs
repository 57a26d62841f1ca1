//! `migrate` on a real warehouse: idempotent, growing, refusing, granting.

use devstack::sql::connect;
use devstack::{Psql, wait_for_async};
use serde_json::json;

use crate::support::{
    AIRLINE, OwnServer, PATIENCE, World, airport, booking, borrowed, create, delete, fingerprint,
    rows, ticket, truncate, update,
};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_migration_does_nothing() {
    let world = World::unmigrated("twice").await;
    let first = world.command(&["migrate"]);
    assert!(first.status.success(), "{}", text(&first.stderr));
    assert!(text(&first.stdout).contains("created dwh_detailed.hub_airports"));
    let before = fingerprint(&world.client).await;
    let second = world.command(&["migrate"]);
    assert!(second.status.success(), "{}", text(&second.stderr));
    assert!(text(&second.stdout).contains("nothing to do"), "{}", text(&second.stdout));
    assert_eq!(fingerprint(&world.client).await, before);
    assert_eq!(world.count("dwh_control.models").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migrated_vault_has_zero_and_ghost_rows_and_comments_everywhere() {
    let world = World::new("zero").await;
    world
        .assert_rows(
            "SELECT encode(substr(hash_key, 1, 1), 'hex'), record_source, source_system_id, airport_code
             FROM dwh_detailed.hub_airports
             ORDER BY 1",
            &["(00,SYSTEM,0,)", "(ff,SYSTEM,0,)"],
        )
        .await;
    assert_eq!(world.count("dwh_detailed.link_flight_routes").await, 2);
    assert_eq!(world.count("dwh_detailed.sat_flights_status").await, 1);
    let uncommented = "
        SELECT c.relname, a.attname
        FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace IN ('dwh_detailed'::regnamespace, 'dwh_control'::regnamespace)
          AND c.relkind = 'r'
          AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid, 'pg_class') IS NULL)";
    world.assert_rows(uncommented, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_column_and_a_new_table_are_added() {
    let world = World::new("grows").await;
    let grown = world
        .model
        .replace("range = \"integer\"\n", "range = \"integer\"\nseats = \"smallint\"\n")
        .replace("columns = [\"model\", \"range\"]", "columns = [\"model\", \"range\", \"seats\"]");
    assert_ne!(grown, world.model);
    world.write_model(&grown);
    let run = world.command(&["run"]);
    assert_eq!(run.status.code(), Some(2));
    assert!(text(&run.stderr).contains("made from another model"), "{}", text(&run.stderr));
    let output = world.command(&["migrate"]);
    assert!(text(&output.stdout).contains("added dwh_detailed.sat_aircrafts.seats"), "{output:?}");
    world
        .assert_rows(
            "SELECT data_type FROM information_schema.columns
             WHERE table_name = 'sat_aircrafts' AND column_name = 'seats'",
            &["(smallint)"],
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_in_the_file_stops_no_loader() {
    let mut world = World::new("comment").await;
    let mut loader = world.loader("before");
    let edited = world.model.replacen("format_version", "# edited\nformat_version", 1);
    assert_ne!(edited, world.model);
    world.write_model(&edited);
    let again = world.command(&["migrate"]);
    assert!(text(&again.stdout).contains("nothing to do"), "{}", text(&again.stdout));
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    world.loaded().await;
    world.end(&mut loader);
    world.publish(create("airports", 20, airport("BBB", "Perm"))).await;
    let mut loader = world.loader("after");
    world.loaded().await;
    world.end(&mut loader);
    assert_eq!(world.count("dwh_control.models").await, 1);
}

/// Tickets with everything that a replay has to get right: moves between passengers, values left out, deletes, a
/// truncate.
async fn publish_tickets(world: &mut World) {
    let contact = |number: i64| json!(format!("{{\"phone\": {number}}}"));
    let left_out = json!("__debezium_unavailable_value");
    for round in 0..30_i64 {
        let lsn = 100 + round * 10;
        let number = format!("T{}", round % 4);
        let row = ticket(&number, &format!("P{}", round % 3), &contact(round % 2));
        world.publish(create("tickets", lsn, row)).await;
        let moved = ticket(&number, &format!("P{}", round % 5), &left_out);
        world.publish(update("tickets", lsn + 1, moved.clone())).await;
        if round % 7 != 6 {
            world.publish(delete("tickets", lsn + 2, moved)).await;
        }
        if round == 15 {
            world.publish(truncate("tickets", lsn + 3)).await;
        }
        world.publish(create("bookings", lsn + 4, booking(&format!("{round:06}"), round))).await;
    }
}

/// A model in which nothing is made of a ticket's passenger but the ticket's own columns.
fn without_passengers(grown: &str) -> String {
    let hub = grown.split("[[hub]]").find(|part| part.contains("\"hub_passengers\"")).unwrap();
    let (hub, _) = hub.split_once("# ----").unwrap();
    let link = grown.split("[[link]]").find(|part| part.contains("\"link_ticket_passengers\""));
    let mut first = grown.replace(&format!("[[hub]]{hub}"), "");
    first = first.replace(&format!("[[link]]{}", link.unwrap()), "");
    let binding = |line: &&str| {
        !line.starts_with("  { role = \"passenger\"")
            && !line.starts_with("  { link = \"link_ticket_passengers\"")
    };
    first.lines().filter(binding).map(|line| format!("{line}\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_grows_on_loaded_tables_is_refused_until_they_are_loaded_anew() {
    let mut world = World::unmigrated("reload").await;
    let grown = world.model.replace(
        "columns = [\"passenger_name\", \"contact_data\"]",
        "columns = [\"passenger_id\", \"passenger_name\", \"contact_data\"]",
    );
    let first = without_passengers(&grown);
    world.write_model(&first);
    world.migrate(&[]);
    publish_tickets(&mut world).await;
    let mut old = world.loader("old");
    world.loaded().await;

    world.write_model(&grown);
    let before = fingerprint(&world.client).await;
    let refused = world.command(&["migrate"]);
    assert_eq!(refused.status.code(), Some(1));
    let why = text(&refused.stderr);
    let topic = world.topic("tickets");
    assert!(
        why.contains(&format!("{topic} is loaded already")) && why.contains("--reload"),
        "{why}"
    );
    assert!(why.contains("link_ticket_passengers") && !why.contains("bookings is"), "{why}");
    assert_eq!(fingerprint(&world.client).await, before);

    let migrated = world.command(&["migrate", "--reload"]);
    assert!(migrated.status.success(), "{}", text(&migrated.stderr));
    let told = text(&migrated.stdout);
    assert!(told.contains(&format!("set {topic} back to its beginning")), "{told}");
    // The snapshots that were built before lack what is new.
    assert_eq!(world.count("dwh_control.late_loads").await, 1);
    // Whoever still loads by the old model must not fill offsets that the new one is to fill.
    world.publish(create("bookings", 9000, booking("999999", 1))).await;
    assert_eq!(old.wait_exit(PATIENCE).unwrap(), 2);
    let log = world.log("old");
    assert!(log.contains("the warehouse was migrated to another model"), "{log}");
    let mut new = world.loader("new");
    world.loaded().await;
    world.end(&mut new);
    assert_eq!(world.count("dwh_control.quarantine").await, 0);

    let fresh = world.elsewhere("fresh").await;
    let variables = fresh.variables(&[("VAULT_LOADER__BATCH__ROWS_MAX", "7")]);
    let mut loader = world.loader_with("fresh", &variables);
    world.loaded_into(&fresh.client).await;
    world.end(&mut loader);
    assert_eq!(fingerprint(&world.client).await, fingerprint(&fresh.client).await);
    // What was loaded twice is counted once.
    let events =
        "SELECT topic, sum(events) FROM dwh_control.event_minutes GROUP BY topic ORDER BY 1";
    assert_eq!(world.rows(events).await, rows(&fresh.client, events).await);
    assert_eq!(world.rows(events).await.len(), 2);
    let passengers =
        "SELECT count(*) FROM dwh_detailed.hub_passengers WHERE record_source <> 'SYSTEM'";
    world.assert_rows(passengers, &["(5)"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_can_do_its_work_and_is_refused_the_rest() {
    let world = World::unmigrated("roles").await;
    let own = own_warehouse();
    let owner = own.variables_as("vault_owner", "o");
    let owner = borrowed(&owner);
    let migrated = world.command_with(&["migrate"], &owner);
    assert!(migrated.status.success(), "{}", text(&migrated.stderr));
    assert!(!text(&migrated.stdout).contains("does not exist"), "{}", text(&migrated.stdout));
    let mut world = world;
    world
        .publish_all([
            create("airports", 10, airport("AAA", "Omsk")),
            truncate("airports", 20),
            create("airports", 30, airport("BBB", "Perm")),
        ])
        .await;
    world.send("airports", 0, None, Some(b"no json")).await;
    let loader = own.variables_as("vault_loader", "l");
    let mut running = world.loader_with("loader", &borrowed(&loader));
    let admin = own.client().await;
    world.loaded_into(&admin).await;
    world.end(&mut running);
    let counts = "SELECT (SELECT count(*) FROM dwh_detailed.sat_airports_status WHERE record_source <> 'SYSTEM'),
                         (SELECT count(*) FROM dwh_control.quarantine)";
    assert_eq!(rows(&admin, counts).await, ["(3,1)"]);

    // Who runs the loader sees what waits. Who owns the vault may take it out, with the loader's way of loading.
    let quarantine = |arguments: &[&str], variables: &[(&str, &str)]| {
        world.command_with(&[&["quarantine"], arguments].concat(), variables)
    };
    let loader_variables = borrowed(&loader);
    let listed = quarantine(&["list"], &loader_variables);
    assert!(text(&listed.stdout).contains("1 events of 1 keys wait"), "{}", text(&listed.stderr));
    let id = rows(&admin, "SELECT id FROM dwh_control.quarantine").await;
    let id = id[0].trim_matches(['(', ')']);
    let drop = ["drop", id, "--why", "no event", "--yes"];
    assert_eq!(quarantine(&drop, &loader_variables).status.code(), Some(2));
    assert_eq!(quarantine(&["retry", "--all"], &owner).status.code(), Some(1), "it is no json");
    let dropped = quarantine(&drop, &owner);
    assert!(dropped.status.success(), "{}", text(&dropped.stderr));

    let as_role = async |user: &str, password: &str| {
        connect(&own.server.connection_string("dwh", user, password)).await.unwrap()
    };
    let loader = as_role("vault_loader", "l").await;
    let reader = as_role("mart_reader", "m").await;
    refused(
        &loader,
        &[
            "UPDATE dwh_detailed.sat_airports SET city = 'x'",
            "DELETE FROM dwh_detailed.sat_airports",
            "DELETE FROM dwh_detailed.hub_airports",
            "TRUNCATE dwh_detailed.hub_airports",
            "DELETE FROM dwh_control.quarantine",
            "UPDATE dwh_control.models SET model = ''",
            "CREATE TABLE dwh_detailed.mine (a integer)",
            "CREATE TABLE public.mine (a integer)",
        ],
    )
    .await;
    let statements =
        ["SELECT FROM dwh_detailed.hub_airports", "SELECT FROM dwh_control.quarantine"];
    refused(&reader, &statements).await;
}

/// A server of our own, for roles belong to all databases of a server, with the roles made twice.
pub(crate) fn own_warehouse() -> OwnServer {
    let own = OwnServer::start();
    let script = devstack::workspace_root().join("sql/warehouse/010_roles.sql");
    for _ in 0..2 {
        Psql::new(&own.server.address().superuser("dwh"))
            .unwrap()
            .variable("owner_password", "o")
            .variable("loader_password", "l")
            .variable("mart_password", "m")
            .variable("refresher_password", "r")
            .run_files([&script])
            .unwrap();
    }
    own
}

/// Each statement must fail for want of a right, and for nothing else.
async fn refused(client: &tokio_postgres::Client, statements: &[&str]) {
    for statement in statements {
        let err = client.batch_execute(statement).await.expect_err(statement);
        assert_eq!(err.code().map(|code| code.code()), Some("42501"), "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn destructive_changes_are_refused_and_leave_no_trace() {
    let world = World::new("refuses").await;
    let before = fingerprint(&world.client).await;
    for (from, to, expected) in [
        (
            "total_amount = \"numeric(10,2)\"",
            "total_amount = \"numeric(8,2)\"",
            "total_amount is numeric(10,2)",
        ),
        ("scope = \"source\"", "scope = \"shared\"", "hub_flights: its key or its scope changed"),
        ("name = \"sat_bookings\"", "name = \"sat_book\"", "satellite sat_bookings was removed"),
        ("system_id = 1", "system_id = 2", "source.system_id changed"),
    ] {
        let changed = world.model.replacen(from, to, 1);
        assert_ne!(changed, world.model, "{from}");
        world.write_model(&changed);
        let output = world.command(&["migrate"]);
        assert_eq!(output.status.code(), Some(1), "{from}");
        let message = text(&output.stderr);
        assert!(
            message.contains("refused, nothing was changed") && message.contains(expected),
            "{message}"
        );
    }
    assert_eq!(fingerprint(&world.client).await, before);
    assert_eq!(world.count("dwh_control.models").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_user_got_wrong_exits_2_and_is_named() {
    let world = World::unmigrated("usage").await;
    let broken = AIRLINE.replacen("\"model\", \"range\"", "\"model\", \"reach\"", 1);
    world.write_model(&broken);
    for command in [&["migrate"][..], &["run"], &["model", "check"]] {
        let output = world.command(command);
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        assert!(
            text(&output.stderr)
                .contains("table aircrafts sat_aircrafts: the table has no column reach")
        );
    }
    let output = world.command_with(&["migrate"], &[("VAULT_LOADER__DATABASE__HOTS", "x")]);
    assert_eq!(output.status.code(), Some(2));
    let missing = world.command_with(&["model", "ddl"], &[("VAULT_LOADER_MODEL", "nowhere.toml")]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("nowhere.toml"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_at_the_start_hears_it_at_once() {
    let world = World::new("refused").await;
    let output = world.command_with(&["run"], &[("VAULT_LOADER__DATABASE__PASSWORD", "wrong")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("password authentication failed"),
        "{}",
        text(&output.stderr)
    );
    let port = devstack::free_port().unwrap().to_string();
    let broker = format!("127.0.0.1:{port}");
    let output = world.command_with(
        &["run"],
        &[
            ("VAULT_LOADER__BOOTSTRAP_SERVERS", &broker),
            ("VAULT_LOADER__LIMITS__START_WAIT_MS", "500"),
        ],
    );
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains(&format!("no Kafka broker answers at {broker}")), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_called_by_reserved_words_are_made_and_loaded() {
    // A hub's key, a link's dependent key, and an attribute that updates can leave out.
    let mut world = World::with_model("words", |model| {
        model.replace("book_ref", "desc").replace("seat_no", "end").replace("contact_data", "user")
    })
    .await;
    let again = world.command(&["migrate"]);
    assert!(text(&again.stdout).contains("nothing to do"), "{}", text(&again.stdout));
    let renamed = |mut row: serde_json::Value| {
        let object = row.as_object_mut().unwrap();
        for (from, to) in [("book_ref", "desc"), ("contact_data", "user")] {
            if let Some(value) = object.remove(from) {
                object.insert(to.to_owned(), value);
            }
        }
        row
    };
    let phone = ticket("1", "P1", &json!("{\"phone\": 1}"));
    let mut moved = ticket("1", "P1", &json!("__debezium_unavailable_value"));
    moved["passenger_name"] = json!("B NAME");
    let seat = json!({"aircraft_code": "773", "end": "2D", "fare_conditions": "Business"});
    world
        .publish_all([
            create("bookings", 10, renamed(booking("00000F", 1250))),
            create("tickets", 20, renamed(phone)),
            create("seats", 30, seat),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.publish(update("tickets", 40, renamed(moved))).await;
    world.loaded().await;
    world.end(&mut loader);
    assert_eq!(world.count("dwh_control.quarantine").await, 0);
    world
        .assert_rows(
            "SELECT (SELECT \"desc\" FROM dwh_detailed.hub_bookings WHERE \"desc\" IS NOT NULL),
                    (SELECT \"end\" FROM dwh_detailed.link_aircraft_seats WHERE \"end\" IS NOT NULL),
                    (SELECT string_agg(\"user\"::text, ' ') FROM dwh_detailed.sat_ticket_passengers)",
            &["(00000F,2D,\"{\"\"phone\"\": 1} {\"\"phone\"\": 1}\")"],
        )
        .await;
    let reserved =
        rows(&world.client, "SELECT word FROM pg_get_keywords() WHERE catcode IN ('R', 'T')").await;
    assert!(reserved.len() > 90);
    for word in reserved {
        let word = word.trim_matches(['(', ')', '"']);
        assert_eq!(vault_loader::model::ident(word), format!("\"{word}\""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_during_the_start_ends_it_in_order() {
    let world = World::new("early").await;
    let port = devstack::free_port().unwrap();
    let nobody = format!("127.0.0.1:{port}");
    let number = port.to_string();
    for (name, variable, value, waits) in [
        ("kafka", "VAULT_LOADER__BOOTSTRAP_SERVERS", &nobody, "no Kafka broker answers yet"),
        ("warehouse", "VAULT_LOADER__DATABASE__PORT", &number, "the warehouse does not answer yet"),
    ] {
        // Far longer than anyone waits for this test: only the signal can end it.
        let patient =
            [(variable, value.as_str()), ("VAULT_LOADER__LIMITS__START_WAIT_MS", "3600000")];
        let mut loader = world.loader_with(name, &patient);
        wait_for_async(PATIENCE, waits, async || world.log(name).contains(waits)).await;
        loader.terminate();
        assert_eq!(loader.wait_exit(PATIENCE).unwrap(), 0, "{}", world.log(name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_property_that_switches_a_guarantee_off_exits_2() {
    let world = World::unmigrated("property").await;
    let path = world.dir.path().join("loader.toml");
    std::fs::write(&path, "[kafka]\n\"isolation.level\" = \"read_uncommitted\"\n").unwrap();
    let path = path.display().to_string();
    let output = world.command(&["run", "--config", &path]);
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(message.contains("kafka: isolation.level must not be set"), "{message}");
}

/// An ALTER TABLE that waits makes every reader wait behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_query_holds_a_migration_up_and_no_other_reader() {
    let world = World::new("alter").await;
    let grown = world
        .model
        .replace("range = \"integer\"\n", "range = \"integer\"\nseats = \"smallint\"\n")
        .replace("columns = [\"model\", \"range\"]", "columns = [\"model\", \"range\", \"seats\"]");
    world.write_model(&grown);
    let mut mart = world.database.connect().await.unwrap();
    let query = mart.transaction().await.unwrap();
    query.query("SELECT * FROM dwh_detailed.sat_aircrafts", &[]).await.unwrap();
    let mut migration = world.loader_arguments("migration", &["migrate"], &[]);
    // The event that matters: the migration has waited behind the long query, and other readers behind the migration.
    let waiting = "SELECT pid
                   FROM pg_locks
                   WHERE mode = 'AccessExclusiveLock'
                     AND NOT granted
                     AND relation = 'dwh_detailed.sat_aircrafts'::regclass";
    let mut rounds = 0;
    wait_for_async(PATIENCE, "three tries of the migration", async || {
        if world.rows(waiting).await.is_empty() {
            return Err(world.log("migration"));
        }
        // Would wait for the long query's end if the migration waited for it.
        let reader = world.database.connect().await.map_err(|err| err.to_string())?;
        let read = reader.query("SELECT * FROM dwh_detailed.sat_aircrafts", &[]);
        read.await.map_err(|err| err.to_string())?;
        rounds += 1;
        if rounds >= 3 { Ok(true) } else { Err(world.log("migration")) }
    })
    .await;
    assert!(migration.is_alive(), "{}", world.log("migration"));
    query.rollback().await.unwrap();
    assert_eq!(migration.wait_exit(PATIENCE).unwrap(), 0, "{}", world.log("migration"));
    let log = world.log("migration");
    assert!(log.contains("trying again"), "{log}");
    assert!(log.contains("added dwh_detailed.sat_aircrafts.seats"), "{log}");
}
