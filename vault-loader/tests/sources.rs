//! Several sources in one warehouse: what they share, what belongs to one of them, and how their loaders run beside
//! each other.

use devstack::sql::connect;
use devstack::{http, wait_for_async};
use serde_json::json;

use crate::support::{
    AIRLINE, Event, OwnServer, PATIENCE, World, airport, borrowed, create, fingerprint, rows,
};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A travel agency whose places are the airline's airports. Its flights have numbers of its own.
pub(crate) const AGENCY: &str = r#"
format_version = 1

[source]
name = "agency"
schema = "public"
system_id = 2
comment = "a travel agency"

[[hub]]
name = "hub_flights"
comment = "one flight, as the agency numbers it"
scope = "source"
key = [{ name = "flight_id", type = "integer" }]

[[hub]]
name = "hub_airports"
comment = "an airport, known by its IATA-like code"
key = [{ name = "airport_code", type = "char(3)" }]

[[table]]
name = "places"
key = ["code"]
parent = "hub_airports"
status = "sat_agency_places_status"
hubs = [{ hub = "hub_airports", columns = ["code"] }]

[table.columns]
code = "text"
title = "text"

[[table.satellite]]
name = "sat_agency_places"
comment = "what the agency calls an airport"
columns = ["title"]

[[table]]
name = "flights"
key = ["number"]
parent = "hub_flights"
status = "sat_agency_flights_status"
hubs = [{ hub = "hub_flights", columns = ["number"] }]

[table.columns]
number = "integer"
gate = "text"

[[table.satellite]]
name = "sat_agency_flights"
comment = "the gate of a flight"
columns = ["gate"]
"#;

/// The agency beside the world's airline.
pub(crate) struct Agency {
    source: String,
    model: String,
    pub(crate) path: String,
}

impl Agency {
    pub(crate) fn beside(world: &World) -> Self {
        let source = format!("{}-agency", world.source);
        let model = AGENCY.replacen("\"agency\"", &format!("\"{source}\""), 1);
        let path = world.write_further_model("agency.toml", &model);
        Self { source, model, path }
    }

    #[track_caller]
    pub(crate) fn migrate(&self, world: &World) {
        let migrated = world.command(&["migrate", "--model", &self.path]);
        assert!(migrated.status.success(), "{}", text(&migrated.stderr));
    }

    /// Publishes an event of the agency's.
    async fn publish(&self, world: &mut World, event: Event) {
        let airline = std::mem::replace(&mut world.source, self.source.clone());
        world.publish(event).await;
        world.source = airline;
    }
}

fn place(code: &str, title: &str) -> serde_json::Value {
    json!({"code": code, "title": title})
}

pub(crate) fn airline_model(world: &World) -> String {
    world.dir.path().join("vault.toml").display().to_string()
}

/// Both sources say something about SVO; LED is the airline's alone, and JFK the agency's.
pub(crate) async fn publish_both(world: &mut World, agency: &Agency) {
    world
        .publish_all([
            create("airports", 10, airport("SVO", "Moscow")),
            create("airports", 20, airport("LED", "Petersburg")),
            create("flights", 30, crate::support::flight(7, "773", "On Time")),
        ])
        .await;
    // The agency's positions are those of another cluster, and smaller.
    agency.publish(world, create("places", 1, place("SVO", "Sheremetyevo"))).await;
    agency.publish(world, create("places", 2, place("JFK", "Kennedy"))).await;
    agency.publish(world, create("flights", 3, json!({"number": 7, "gate": "B"}))).await;
}

const SHARED: &str = "
    SELECT h.airport_code, a.city, p.title, p.source_system_id
    FROM dwh_detailed.hub_airports AS h
    LEFT JOIN dwh_detailed.sat_airports AS a USING (hash_key)
    LEFT JOIN dwh_detailed.sat_agency_places AS p USING (hash_key)
    WHERE h.airport_code IS NOT NULL
    ORDER BY 1";

const EXPECTED: [&str; 3] =
    ["(JFK,,Kennedy,2)", "(LED,Petersburg,,)", "(SVO,Moscow,Sheremetyevo,2)"];

#[tokio::test(flavor = "multi_thread")]
async fn two_sources_feed_one_hub_in_one_process_and_in_two() {
    let mut world = World::new("pair").await;
    let agency = Agency::beside(&world);
    agency.migrate(&world);
    publish_both(&mut world, &agency).await;
    let models = ["run", "--model", &airline_model(&world), "--model", &agency.path];
    let listen = format!("127.0.0.1:{}", devstack::free_port().unwrap());
    let mut both =
        world.loader_arguments("both", &models, &[("VAULT_LOADER__LISTEN", listen.as_str())]);
    world.loaded().await;
    wait_for_async(PATIENCE, "the metrics of both sources", async || {
        let page = http::get(&format!("http://{listen}/metrics"))?.body;
        let line = |source: &str, topic: &str| {
            format!("vault_loader_events_total{{source=\"{source}\",topic=\"{topic}\"}} 2")
        };
        let wanted = [
            line(&world.source, &world.topic("airports")),
            line(&agency.source, &format!("{}.public.places", agency.source)),
        ];
        match wanted.iter().find(|line| !page.contains(line.as_str())) {
            None => anyhow::Ok(true),
            Some(line) => Err(anyhow::anyhow!("{line} is not in {page}")),
        }
    })
    .await;
    world.end(&mut both);
    let log = world.log("both");
    for source in [&world.source, &agency.source] {
        assert!(log.contains(&format!("\"source\":\"{source}\"")), "{source} is not in {log}");
    }
    world.assert_rows(SHARED, &EXPECTED).await;
    // Either source is a mention, whichever was migrated last.
    let mentions = "SELECT airport_code, m.source_system_id
                    FROM dwh_detailed.hub_airports_first_mention AS m
                    JOIN dwh_detailed.hub_airports USING (hash_key)
                    ORDER BY 1";
    world.assert_rows(mentions, &["(JFK,2)", "(LED,1)", "(SVO,1)"]).await;
    // The flights with the number 7 are two: the hub's keys are each source's own.
    let flights = "SELECT flight_id, count(DISTINCT hash_key) FROM dwh_detailed.hub_flights
                   WHERE flight_id IS NOT NULL GROUP BY 1";
    world.assert_rows(flights, &["(7,2)"]).await;
    let status = world.command(&[&["status", "--json"], &models[1..]].concat());
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let of = |source: &str| {
        let lines = status["partitions"].as_array().unwrap().iter();
        lines.filter(|line| line["source"] == source && line["lag_events"] == 0).count()
    };
    assert_eq!((of(&world.source), of(&agency.source)), (2, 2), "{status}");

    // The same in two processes, into another warehouse.
    let other = world.elsewhere("processes").await;
    let variables = other.variables(&[]);
    let migrated = world.command_with(&["migrate", "--model", &agency.path], &variables);
    assert!(migrated.status.success(), "{}", text(&migrated.stderr));
    let mut airline = world.loader_with("airline", &variables);
    let alone = ["run", "--model", agency.path.as_str()];
    let mut of_agency = world.loader_arguments("agency", &alone, &variables);
    world.loaded_into(&other.client).await;
    world.end(&mut airline);
    world.end(&mut of_agency);
    assert_eq!(fingerprint(&world.client).await, fingerprint(&other.client).await);
}

/// A source that captures other tables of the airline's database: `keys_of` says whose numbers its flights have.
#[tokio::test(flavor = "multi_thread")]
async fn two_sources_of_one_database_share_the_keys_that_are_its_own_numbers() {
    let mut world = World::new("keys_of").await;
    let agency = Agency::beside(&world);
    let with_owner = |owner: &str| {
        let line = format!("schema = \"public\"\nkeys_of = \"{owner}\"");
        agency.model.replacen("schema = \"public\"", &line, 1)
    };
    world.write_further_model("agency.toml", &with_owner("airlin"));
    let refused = world.command(&["migrate", "--model", &agency.path]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("the warehouse has no source of that name"), "{said}");
    world.write_further_model("agency.toml", &with_owner(&world.source));
    agency.migrate(&world);
    publish_both(&mut world, &agency).await;
    // The agency alone knows flight 8, so its row of the hub is the agency's.
    agency.publish(&mut world, create("flights", 4, json!({"number": 8, "gate": "C"}))).await;
    let models = ["run", "--model", &airline_model(&world), "--model", &agency.path];
    let mut both = world.loader_arguments("both", &models, &[]);
    world.loaded().await;
    world.end(&mut both);
    let flights = "SELECT f.flight_id, o.status, g.gate
                   FROM dwh_detailed.hub_flights AS f
                   LEFT JOIN dwh_detailed.sat_flight_operations AS o USING (hash_key)
                   LEFT JOIN dwh_detailed.sat_agency_flights AS g USING (hash_key)
                   WHERE f.flight_id IS NOT NULL
                   ORDER BY 1";
    world.assert_rows(flights, &["(7,\"On Time\",B)", "(8,,C)"]).await;

    // Other keys, with a secret, and the hub's row of flight 8 is still the airline's number.
    let secret = ("VAULT_LOADER__KEY_SECRET", "a secret for tests only, thirty-two bytes");
    let made = world.command_with(&["rehash"], &[secret]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    world.assert_rows(flights, &["(7,\"On Time\",B)", "(8,,C)"]).await;

    // Once keys are stored, they stay whose they are.
    world.write_further_model("agency.toml", &agency.model);
    let refused = world.command_with(&["migrate", "--model", &agency.path], &[secret]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("source.keys_of: "), "{}", text(&refused.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_of_one_source_leaves_the_other_alone() {
    let mut world = World::new("beside").await;
    let agency = Agency::beside(&world);
    let mut loader = world.loader("airline");
    world.publish(create("airports", 10, airport("SVO", "Moscow"))).await;
    world.loaded().await;
    agency.migrate(&world);
    world.publish(create("airports", 20, airport("LED", "Petersburg"))).await;
    world.loaded().await;
    let again = world.command(&["migrate"]);
    assert!(text(&again.stdout).contains("nothing to do"), "{}", text(&again.stdout));
    let grown = agency
        .model
        .replace("gate = \"text\"\n", "gate = \"text\"\ndelayed = \"boolean\"\n")
        .replace("columns = [\"gate\"]", "columns = [\"gate\", \"delayed\"]");
    assert_ne!(grown, agency.model);
    world.write_further_model("agency.toml", &grown);
    let migrated = world.command(&["migrate", "--model", &agency.path]);
    assert!(
        text(&migrated.stdout).contains("added dwh_detailed.sat_agency_flights.delayed"),
        "{migrated:?}"
    );
    world.publish(create("airports", 30, airport("JFK", "New York"))).await;
    world.loaded().await;
    world.end(&mut loader);
    let models = "SELECT source, count(*) FROM dwh_control.models GROUP BY 1 ORDER BY 1";
    let expected = [format!("({},1)", world.source), format!("({},2)", agency.source)];
    assert_eq!(world.rows(models).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn models_that_contradict_each_other_are_refused_with_both_files() {
    let world = World::new("contradict").await;
    let agency = Agency::beside(&world);
    let before = fingerprint(&world.client).await;
    for (from, to, expected) in [
        (
            "type = \"char(3)\"",
            "type = \"integer\"",
            "hub_airports: its key is (airport_code integer)",
        ),
        ("scope = \"source\"\n", "", "hub_flights: its scope is \"shared\""),
        ("sat_agency_places_status", "sat_airports_status", "sat_airports_status: "),
        ("system_id = 2", "system_id = 1", "source.system_id 1 is the number of the source"),
    ] {
        let code = if to.contains("integer") {
            ("code = \"text\"", "code = \"integer\"")
        } else {
            ("", "")
        };
        let model = agency.model.replacen(from, to, 1).replacen(code.0, code.1, 1);
        assert_ne!(model, agency.model, "{from}");
        world.write_further_model("agency.toml", &model);
        let refused = world.command(&["migrate", "--model", &agency.path]);
        assert_eq!(refused.status.code(), Some(1), "{from}");
        let why = text(&refused.stderr);
        assert!(why.contains("refused, nothing was changed") && why.contains(expected), "{why}");
        let files = why.contains(&agency.path) && why.contains(&airline_model(&world));
        assert!(files || why.contains(&world.source) && from.contains("system_id"), "{why}");
    }
    assert_eq!(fingerprint(&world.client).await, before);
    assert_eq!(world.count("dwh_control.sources").await, 1);
    let missing = world.command(&["run", "--model", &agency.path]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains(&agency.source), "{}", text(&missing.stderr));
    let twice = world.command(&["run", "--model", &agency.path, "--model", &agency.path]);
    assert_eq!(twice.status.code(), Some(2));
    assert!(text(&twice.stderr).contains("two of the models are about the source"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_warehouses_each_get_all_partitions_at_the_same_time() {
    let mut world = World::new("twice_at_once").await;
    world.create_topic("airports", 4).await;
    let other = world.elsewhere("rebuilt").await;
    let into_other: Vec<_> = other
        .variables(&[])
        .into_iter()
        .filter(|(name, _)| *name != "VAULT_LOADER__GROUP_ID")
        .collect();
    let mut first = world.loader("first");
    let mut second = world.loader_with("second", &into_other);
    for (partition, code) in (0..).zip(["AAA", "BBB", "CCC", "DDD"]) {
        let event = create("airports", 10 + i64::from(partition), airport(code, "Omsk"));
        world.publish(Event { partition, ..event }).await;
    }
    world.loaded().await;
    world.loaded_into(&other.client).await;
    world.end(&mut first);
    world.end(&mut second);
    assert_eq!(fingerprint(&world.client).await, fingerprint(&other.client).await);
    let identities = "SELECT id FROM dwh_control.warehouse";
    assert_ne!(world.rows(identities).await, rows(&other.client, identities).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_made_in_the_vault_s_schema_stays() {
    let mut world = World::new("others").await;
    world
        .client
        .batch_execute(
            "CREATE TABLE dwh_detailed.notes (a integer);
             CREATE VIEW dwh_detailed.cities AS SELECT city FROM dwh_detailed.sat_airports;
             CREATE MATERIALIZED VIEW dwh_detailed.stored_cities AS SELECT city FROM dwh_detailed.sat_airports;
             CREATE INDEX by_city ON dwh_detailed.sat_airports (city);
             ALTER TABLE dwh_detailed.sat_airports ADD COLUMN reviewed_by text;
             ALTER TABLE dwh_detailed.hub_airports ADD COLUMN remark text DEFAULT 'none';
             ALTER TABLE dwh_detailed.link_flight_routes ADD COLUMN remark text;
             GRANT SELECT ON dwh_detailed.sat_airports TO PUBLIC",
        )
        .await
        .unwrap();
    let again = world.command(&["migrate"]);
    assert!(text(&again.stdout).contains("nothing to do"), "{again:?}");
    let mut loader = world.loader("loader");
    world
        .publish_all([
            create("airports", 10, airport("AAA", "Omsk")),
            create("flights", 20, crate::support::flight(7, "773", "On Time")),
        ])
        .await;
    world.loaded().await;
    world.end(&mut loader);
    let loaded = "SELECT city, reviewed_by FROM dwh_detailed.sat_airports WHERE city IS NOT NULL";
    world.assert_rows(loaded, &["(Omsk,)"]).await;
    let granted = "SELECT count(*) FROM information_schema.role_table_grants
                   WHERE grantee = 'PUBLIC' AND table_name = 'sat_airports'";
    world.assert_rows(granted, &["(1)"]).await;

    // What no row could be loaded into is refused.
    let refusing =
        "ALTER TABLE dwh_detailed.sat_airports ADD COLUMN rating integer NOT NULL DEFAULT 1";
    world.client.batch_execute(refusing).await.unwrap();
    let refused = world.command(&["migrate"]);
    let why = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(why.contains("sat_airports.rating is not the model's and refuses NULL"), "{why}");
    world
        .client
        .batch_execute("ALTER TABLE dwh_detailed.sat_airports DROP COLUMN rating")
        .await
        .unwrap();
    // So is a name that somebody else has taken, be it a table's or a view's.
    for taken in [
        "TABLE dwh_detailed.sat_agency_places (a integer)",
        "VIEW dwh_detailed.sat_agency_places AS SELECT 1",
    ] {
        world.client.batch_execute(&format!("CREATE {taken}")).await.unwrap();
        let agency = Agency::beside(&world);
        let refused = world.command(&["migrate", "--model", &agency.path]);
        let why = text(&refused.stderr);
        assert!(why.contains("sat_agency_places exists, and migrate did not make it"), "{why}");
        let kind = taken.split(' ').next().unwrap();
        let drop = format!("DROP {kind} dwh_detailed.sat_agency_places");
        world.client.batch_execute(&drop).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_may_write_what_its_source_feeds_and_nothing_else() {
    let world = World::unmigrated("grants").await;
    let own = OwnServer::start();
    let admin = own.client().await;
    admin
        .batch_execute(
            "CREATE ROLE airline_loader LOGIN PASSWORD 'a'; CREATE ROLE agency_loader LOGIN PASSWORD 'g'",
        )
        .await
        .unwrap();
    let agency = Agency::beside(&world);
    let variables = own.variables();
    let variables = borrowed(&variables);
    for (model, role) in
        [(airline_model(&world), "airline_loader"), (agency.path.clone(), "agency_loader")]
    {
        let migrate = ["migrate", "--model", &model, "--grant-to", role];
        let migrated = world.command_with(&migrate, &variables);
        assert!(migrated.status.success(), "{}", text(&migrated.stderr));
    }
    let may = "SELECT has_table_privilege('airline_loader', c.oid, 'INSERT'),
                      has_table_privilege('agency_loader', c.oid, 'INSERT'), c.relname
               FROM pg_class AS c
               WHERE c.relnamespace = 'dwh_detailed'::regnamespace
                 AND c.relname IN ('hub_airports', 'hub_tickets', 'sat_airports', 'sat_agency_places')
               ORDER BY c.relname";
    let expected = [
        "(t,t,hub_airports)",
        "(t,f,hub_tickets)",
        "(f,t,sat_agency_places)",
        "(t,f,sat_airports)",
    ];
    assert_eq!(rows(&admin, may).await, expected);
    let loader =
        connect(&own.server.connection_string("dwh", "airline_loader", "a")).await.unwrap();
    for forbidden in [
        "SELECT FROM dwh_detailed.sat_agency_places",
        "INSERT INTO dwh_control.gaps (source, topic, partition, first_offset, last_offset) VALUES ('a', 'a', 0, 0, 0)",
        "UPDATE dwh_control.warehouse SET id = gen_random_uuid()",
        "INSERT INTO dwh_control.vault_tables VALUES ('a')",
        "INSERT INTO dwh_control.sources VALUES ('a', 3)",
        "SELECT dwh_control.grow_satellite('a', 'sat_agency_places', 'a', 'integer', 'integer')",
        "SELECT dwh_control.grow_any_satellite('a', 'sat_airports', 'a', 'integer', 'integer')",
    ] {
        let err = loader.batch_execute(forbidden).await.expect_err(forbidden);
        assert_eq!(err.code().map(|code| code.code()), Some("42501"), "{forbidden}");
    }
}

/// One source that must stop stops no other, and the loader says which one it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_stops_stops_no_other() {
    let mut world = World::new("one_stops").await;
    let agency = Agency::beside(&world);
    agency.migrate(&world);
    publish_both(&mut world, &agency).await;
    let listen = format!("127.0.0.1:{}", devstack::free_port().unwrap());
    let models = ["run", "--model", &airline_model(&world), "--model", &agency.path];
    let mut both =
        world.loader_arguments("both", &models, &[("VAULT_LOADER__LISTEN", listen.as_str())]);
    world.loaded().await;
    // The agency's model changes under the running loader.
    let grown = agency
        .model
        .replace("title = \"text\"\n", "title = \"text\"\nmayor = \"text\"\n")
        .replace("columns = [\"title\"]", "columns = [\"title\", \"mayor\"]");
    let path = world.write_further_model("grown.toml", &grown);
    let migrated = world.command(&["migrate", "--model", &path]);
    assert!(migrated.status.success(), "{}", text(&migrated.stderr));
    agency.publish(&mut world, create("places", 9, place("LED", "Pulkovo"))).await;
    wait_for_async(PATIENCE, "the agency to be named as not ready", async || {
        let answer = http::get(&format!("http://{listen}/ready"))?;
        anyhow::Ok(answer.body.contains(&format!("{}: stopped: ", agency.source)))
    })
    .await;
    world.publish(create("airports", 40, airport("AAA", "Omsk"))).await;
    let airports = format!(
        "SELECT next_offset FROM dwh_control.offsets WHERE topic = '{}'",
        world.topic("airports")
    );
    wait_for_async(PATIENCE, "the airline to be loaded", async || {
        anyhow::Ok(world.rows(&airports).await == ["(3)"])
    })
    .await;
    both.terminate();
    assert_eq!(both.wait_exit(PATIENCE).unwrap(), 2);
    assert!(world.log("both").contains("a source stopped, the others go on"));
    assert!(AIRLINE.contains("hub_airports"), "the two share a hub");
}
