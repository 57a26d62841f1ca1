//! What stands beside a vault that is rebuilt: views, rights and indexes of other people, and what keeps it from being
//! rebuilt. A rebuild that is killed leaves the live vault as it was.

use devstack::{Process, wait_for_async};

use crate::proving::{compare, report, told};
use crate::replaying::publish_mixture;
use crate::support::{OwnServer, PATIENCE, World, airport, borrowed, create, rows, update};

const TABLES: &str = "SELECT relname, oid FROM pg_class
    WHERE relnamespace = 'dwh_detailed'::regnamespace AND relkind = 'r' ORDER BY 1";

fn rebuild(world: &World, arguments: &[&str]) -> (i32, String) {
    let output = world.command(&[&["rebuild"], arguments].concat());
    (output.status.code().unwrap(), told(&output))
}

async fn loaded(name: &str) -> World {
    let mut world = World::new(name).await;
    publish_mixture(&mut world).await;
    let mut loader = world.loader("first");
    world.loaded().await;
    world.end(&mut loader);
    world
}

/// Everything that the catalog says of tables, indexes and views, but for their numbers.
const CATALOG: &str = "
    SELECT n.nspname, c.relname, c.relkind, c.reloptions,
           (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(c.relacl) AS a), pg_get_userbyid(c.relowner),
           obj_description(c.oid, 'pg_class'),
           CASE c.relkind WHEN 'v' THEN pg_get_viewdef(c.oid) WHEN 'i' THEN pg_get_indexdef(c.oid) END,
           (SELECT string_agg(format('%s %s %s %s %s %s', attname, format_type(atttypid, atttypmod), attnotnull,
                                     (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(attacl) AS a),
                                     attoptions, col_description(c.oid, attnum)), E'\\n' ORDER BY attname)
            FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),
           (SELECT string_agg(format('%s %s', conname, pg_get_constraintdef(k.oid)), E'\\n' ORDER BY conname)
            FROM pg_constraint AS k WHERE conrelid = c.oid)
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname LIKE 'dwh\\_%' OR n.nspname = 'analysts'
    ORDER BY 1, 2";

#[tokio::test(flavor = "multi_thread")]
async fn views_rights_indexes_and_options_of_others_stay() {
    let world = loaded("rb_others").await;
    let (owner, reader) =
        (format!("{}_owner", world.database.name), format!("{}_reader", world.database.name));
    let made = format!(
        "CREATE ROLE {owner}; CREATE ROLE {reader};
         CREATE SCHEMA analysts AUTHORIZATION {owner};
         GRANT USAGE ON SCHEMA dwh_detailed, analysts TO {owner}, {reader};
         GRANT SELECT ON ALL TABLES IN SCHEMA dwh_detailed TO {owner};
         GRANT SELECT (hash_key, city) ON dwh_detailed.sat_airports TO {reader};
         GRANT SELECT ON dwh_detailed.hub_airports TO {reader} WITH GRANT OPTION;
         SET ROLE {owner};
         CREATE VIEW analysts.cities WITH (security_barrier = true) AS
             SELECT h.airport_code AS code, s.city, count(*) OVER () AS \"how many\"
             FROM dwh_detailed.hub_airports AS h JOIN dwh_detailed.sat_airports AS s USING (hash_key)
             WHERE s.city LIKE '%''%' OR s.city <> 'x';
         CREATE VIEW analysts.upon AS SELECT code FROM analysts.cities;
         COMMENT ON VIEW analysts.cities IS 'somebody''s';
         GRANT SELECT ON analysts.cities, analysts.upon TO {reader};
         RESET ROLE;
         CREATE INDEX mine ON dwh_detailed.sat_airports (city text_pattern_ops) WHERE city IS NOT NULL;
         ALTER TABLE dwh_detailed.sat_airports SET (fillfactor = 80, toast.autovacuum_enabled = false);
         ALTER TABLE dwh_detailed.sat_airports ALTER COLUMN city SET (n_distinct = -0.5);"
    );
    world.client.batch_execute(&made).await.unwrap();
    let cities = "SELECT code, city, \"how many\" FROM analysts.cities ORDER BY 1, 2";
    let (before, seen, tables) =
        (world.rows(CATALOG).await, world.rows(cities).await, world.rows(TABLES).await);
    assert!(seen.len() > 5);
    let (code, said) = rebuild(&world, &[]);
    assert_eq!(code, 0, "{said}");
    let now = world.rows(CATALOG).await;
    for (now, before) in now.iter().zip(&before) {
        assert_eq!(now, before);
    }
    assert_eq!(now.len(), before.len());
    assert_eq!(world.rows(cities).await, seen);
    assert!(world.rows(TABLES).await.iter().all(|table| !tables.contains(table)));
    // The view reads the table that loaders write.
    let edit = "UPDATE dwh_detailed.sat_airports SET city = 'Atlantis' WHERE city = 'Moscow'";
    assert_eq!(world.client.execute(edit, &[]).await.unwrap(), 1);
    assert!(world.rows(cities).await.iter().any(|row| row.contains("Atlantis")));
    let dropped =
        format!("DROP OWNED BY {owner}, {reader} CASCADE; DROP ROLE {owner}; DROP ROLE {reader};");
    world.client.batch_execute(&dropped).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_move_is_named_before_any_work() {
    let world = loaded("rb_refused").await;
    let made = "
        CREATE SCHEMA analysts;
        CREATE MATERIALIZED VIEW analysts.frozen AS SELECT airport_code FROM dwh_detailed.hub_airports;
        CREATE FUNCTION analysts.counted() RETURNS bigint LANGUAGE sql
            BEGIN ATOMIC SELECT count(*) FROM dwh_detailed.sat_airports; END;
        CREATE TABLE analysts.notes (airport bytea REFERENCES dwh_detailed.hub_airports (hash_key));
        CREATE VIEW analysts.whole AS SELECT s FROM dwh_detailed.sat_bookings AS s;
        CREATE FUNCTION analysts.fires() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER fires BEFORE INSERT ON dwh_detailed.sat_ticket_passengers FOR EACH ROW EXECUTE FUNCTION analysts.fires();
        CREATE PUBLICATION outwards FOR TABLE dwh_detailed.sat_flight_schedules;";
    world.client.batch_execute(made).await.unwrap();
    let tables = world.rows(TABLES).await;
    for arguments in [&["--dry-run"][..], &[]] {
        let (code, said) = rebuild(&world, arguments);
        assert_eq!(code, 3, "{said}");
        for wanted in [
            "materialized view analysts.frozen depends on dwh_detailed.hub_airports",
            "function analysts.counted() depends on dwh_detailed.sat_airports",
            "on table analysts.notes depends on dwh_detailed.hub_airports",
            "view analysts.whole depends on dwh_detailed.sat_bookings",
            "trigger fires on table dwh_detailed.sat_ticket_passengers depends on dwh_detailed.sat_ticket_passengers",
            "the publication outwards publishes dwh_detailed.sat_flight_schedules",
        ] {
            assert!(said.contains(wanted), "{wanted} is not in {said}");
        }
    }
    assert_eq!(world.rows(TABLES).await, tables);
    let gone = "DROP SCHEMA analysts CASCADE; DROP PUBLICATION outwards;";
    world.client.batch_execute(gone).await.unwrap();
    let (code, said) = rebuild(&world, &["--dry-run"]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("31 tables of 1 sources") && said.contains("nothing was changed"),
        "{said}"
    );
    assert_eq!(world.rows(TABLES).await, tables);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_topics_no_longer_hold_is_not_lost() {
    let mut world = World::new("rb_retention").await;
    for number in 0..8 {
        world
            .publish(create("airports", 10 + number, airport(&format!("A{number:02}"), "Omsk")))
            .await;
    }
    let mut loader = world.loader("first");
    world.loaded().await;
    world.end(&mut loader);
    let before = report(&world, "before.json", &[]);
    world.delete_before("airports", 3).await;
    let (code, said) = rebuild(&world, &[]);
    assert_eq!(code, 3, "{said}");
    let topic = world.topic("airports");
    let wanted =
        format!("{topic} partition 0: Kafka has deleted the offsets 0 to 2, which were loaded");
    assert!(said.contains(&wanted), "{said}");
    assert_eq!(compare(&world, &before, &[]).0, 0);

    // A topic that was made again, and one that is compacted.
    let mut world = World::new("rb_epochs").await;
    let topic = rdkafka::admin::NewTopic::new("", 1, rdkafka::admin::TopicReplication::Fixed(1));
    let name = world.topic("bookings");
    let topic = rdkafka::admin::NewTopic { name: &name, ..topic }.set("cleanup.policy", "compact");
    let options = rdkafka::admin::AdminOptions::new();
    assert!(world.admin().create_topics(&[topic], &options).await.unwrap()[0].is_ok());
    world.publish(create("bookings", 5, crate::support::booking("000001", 1))).await;
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    let mut loader = world.loader("first");
    world.loaded().await;
    world.end(&mut loader);
    let airports = world.topic("airports");
    for arguments in [
        &["epoch", "start", "--topic", &airports, "--source-restored"][..],
        &["epoch", "close-missing", "--topic", &airports, "--apply"],
        &["epoch", "start", "--topic", &airports, "--topic-recreated"],
    ] {
        let output = world.command(arguments);
        assert!(output.status.success(), "{}", told(&output));
    }
    let mut loader = world.loader("again");
    world.loaded().await;
    world.end(&mut loader);
    let (code, said) = rebuild(&world, &[]);
    assert_eq!(code, 3, "{said}");
    for wanted in [
        format!("{name}: Kafka compacts the topic"),
        format!("{airports}: `vault-loader epoch close-missing` has closed rows"),
        "epoch 2 began with another topic".to_owned(),
    ] {
        assert!(said.contains(&wanted), "{wanted} is not in {said}");
    }
}

/// Kills the command once this is so, and waits until the server has noticed.
async fn killed_when(world: &World, rebuild: &mut Process, what: &str, sql: &str) {
    wait_for_async(PATIENCE, what, async || match world.client.query_one(sql, &[]).await {
        Ok(row) => Ok(row.get::<_, bool>(0)),
        Err(error) if rebuild_is_too_early(&error) => Ok(false),
        Err(error) => Err(error.to_string()),
    })
    .await;
    rebuild.kill9();
    wait_for_async(PATIENCE, "the server to notice", async || {
        let sql = "SELECT FROM pg_locks
                   WHERE locktype = 'advisory' AND objid = x'756c7416'::bigint::oid
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        world.rows(sql).await.is_empty()
    })
    .await;
}

/// The schema is not there yet.
fn rebuild_is_too_early(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code() == "42P01")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_is_killed_leaves_the_live_vault_and_the_next_one_begins_anew() {
    let mut world = loaded("rb_killed").await;
    let mut loader = world.loader("goes_on");
    let before = report(&world, "before.json", &[]);
    let tables = world.rows(TABLES).await;
    let slowly = [("VAULT_LOADER__BATCH__ROWS_MAX", "1")];
    let loaded_some = |at_least: i64| {
        format!(
            "SELECT COALESCE(sum(next_offset), 0) >= {at_least} FROM dwh_rebuild_control.offsets"
        )
    };
    for (number, at_least) in [0, 1, 25].into_iter().enumerate() {
        let name = format!("rebuild{number}");
        let mut rebuild = world.loader_arguments(&name, &["rebuild", "--writers", "1"], &slowly);
        killed_when(&world, &mut rebuild, "the rebuild to be under way", &loaded_some(at_least))
            .await;
        assert_eq!(world.rows(TABLES).await, tables);
        assert_eq!(compare(&world, &before, &[]).0, 0);
    }
    // The last place: everything is loaded, the loads are kept, and the tables are asked for.
    let reader = world.database.connect().await.unwrap();
    reader.batch_execute("BEGIN; SELECT FROM dwh_detailed.sat_airports").await.unwrap();
    let mut rebuild = world.loader_arguments("asks", &["rebuild"], &[]);
    let asks = "SELECT EXISTS (SELECT FROM pg_locks WHERE mode = 'ExclusiveLock' AND granted
                               AND relation = 'dwh_control.offsets'::regclass)";
    killed_when(&world, &mut rebuild, "the loads to be kept", asks).await;
    reader.batch_execute("COMMIT").await.unwrap();
    assert_eq!(world.rows(TABLES).await, tables);
    world.publish(update("airports", 9_000, airport("SVO", "Khimki"))).await;
    world.loaded().await;
    let before = report(&world, "later.json", &[]);
    let (code, said) = rebuild_again(&world);
    assert_eq!(code, 0, "{said}");
    assert_eq!(compare(&world, &before, &[]).0, 0);
    assert!(world.rows(TABLES).await.iter().all(|table| !tables.contains(table)));
    world.end(&mut loader);
}

fn rebuild_again(world: &World) -> (i32, String) {
    rebuild(world, &["--writers", "2"])
}

/// The role that migrates may rebuild once it may make schemas, and the role that loads may not.
#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_the_vault_rebuilds_it_and_the_loaders_role_does_not() {
    let own = OwnServer::start();
    let client = own.client().await;
    let roles = "
        CREATE ROLE vault_owner LOGIN PASSWORD 'o'; CREATE ROLE vault_loader LOGIN PASSWORD 'l';
        GRANT CREATE, TEMPORARY ON DATABASE dwh TO vault_owner; GRANT TEMPORARY ON DATABASE dwh TO vault_loader;";
    client.batch_execute(roles).await.unwrap();
    let mut world = World::unmigrated("rb_roles").await;
    let (owner, loads) =
        (own.variables_as("vault_owner", "o"), own.variables_as("vault_loader", "l"));
    world.migrate(&borrowed(&owner));
    client.batch_execute("REVOKE CREATE ON DATABASE dwh FROM vault_owner").await.unwrap();
    world.publish(create("airports", 10, airport("SVO", "Moscow"))).await;
    let mut loader = world.loader_with("loader", &borrowed(&loads));
    world.loaded_into(&client).await;
    let tables = rows(&client, TABLES).await;
    let refused = world.command_with(&["rebuild"], &borrowed(&loads));
    assert!(matches!(refused.status.code(), Some(2 | 3)), "{}", told(&refused));
    assert!(told(&refused).contains("run the command as that role"), "{}", told(&refused));
    let refused = world.command_with(&["rebuild"], &borrowed(&owner));
    assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
    assert!(
        told(&refused).contains("GRANT CREATE ON DATABASE dwh TO vault_owner"),
        "{}",
        told(&refused)
    );
    assert_eq!(rows(&client, TABLES).await, tables);
    client.batch_execute("GRANT CREATE ON DATABASE dwh TO vault_owner").await.unwrap();
    let done = world.command_with(&["rebuild"], &borrowed(&owner));
    assert_eq!(done.status.code(), Some(0), "{}", told(&done));
    assert!(rows(&client, TABLES).await.iter().all(|table| !tables.contains(table)));
    // The loader still has its rights, and goes on.
    world.publish(update("airports", 20, airport("SVO", "Khimki"))).await;
    world.loaded_into(&client).await;
    world.end(&mut loader);
    let cities =
        "SELECT city FROM dwh_detailed.sat_airports WHERE kafka_offset >= 0 ORDER BY load_date";
    assert_eq!(rows(&client, cities).await, ["(Moscow)", "(Khimki)"]);
}
