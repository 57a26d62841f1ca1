//! Keys: rows whose keys differ in spelling only, hubs that fold, hash keys that stand for something else, and what the
//! row of a hub keeps.

use devstack::wait_for_async;
use serde_json::{Value, json};

use crate::support::queries::{CITIES, STATUS};
use crate::support::{
    PATIENCE, World, airport, create, delete, fingerprint, flight, read, ticket, update,
};

/// The second row's change commits first, so its position is above that of the first row's change.
#[tokio::test(flavor = "multi_thread")]
async fn rows_whose_keys_differ_in_spelling_only_share_nothing() {
    let mut world = World::new("spelling").await;
    let pairs = [("svo", "SVO"), ("straße", "STRASSE"), ("e\u{301}", "\u{e9}"), (" x", "x")];
    for (small, large) in pairs {
        world
            .publish_all([
                create("airports", 10, airport(small, "small")),
                create("airports", 20, airport(large, "large")),
                update("airports", 40, airport(large, "LARGE")),
                update("airports", 30, airport(small, "Small")),
                delete("airports", 50, airport(small, "")),
            ])
            .await;
    }
    let mut loader = world.loader("loader");
    world.loaded().await;
    for (small, large) in pairs {
        let of = |sql: &str| format!("SELECT * FROM ({sql}) AS q WHERE airport_code = '{large}'");
        world
            .assert_rows(
                &of(CITIES),
                &[format!("({large},large,20)").as_str(), format!("({large},LARGE,40)").as_str()],
            )
            .await;
        world.assert_rows(&of(STATUS), &[format!("({large},c,f)").as_str()]).await;
        let of = |sql: &str| {
            format!("SELECT city, source_lsn FROM ({sql}) AS q WHERE airport_code = '{small}'")
        };
        world.assert_rows(&of(CITIES), &["(small,10)", "(Small,30)"]).await;
    }
    world.end(&mut loader);
}

/// A passenger's document is corrected in its case only. The relationship must show the correction.
#[tokio::test(flavor = "multi_thread")]
async fn a_relationship_to_another_spelling_is_another_relationship() {
    let mut world = World::new("respelled").await;
    world
        .publish_all([
            create("tickets", 10, ticket("1", "old", &Value::Null)),
            update("tickets", 20, ticket("1", "OLD", &Value::Null)),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    let passengers = "
        SELECT p.passenger_id
        FROM dwh_detailed.sat_ticket_passengers_effectivity AS e
        JOIN dwh_detailed.link_ticket_passengers AS l ON l.hash_key = e.link_hash_key
        JOIN dwh_detailed.hub_passengers AS p ON p.hash_key = l.passenger_hash_key
        WHERE e.record_source <> 'SYSTEM'
        ORDER BY e.load_date";
    world.assert_rows(passengers, &["(old)", "(OLD)"]).await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_folds_has_one_row_for_all_spellings() {
    let folded = |model: &str| {
        let from = r#"{ name = "passenger_id", type = "varchar(20)" }"#;
        assert!(model.contains(from));
        model.replace(from, r#"{ name = "passenger_id", type = "varchar(20)", fold = true }"#)
    };
    let mut world = World::with_model("folded", folded).await;
    world
        .publish_all([
            create("tickets", 10, ticket("1", "ab 1", &Value::Null)),
            create("tickets", 20, ticket("2", " AB 1", &Value::Null)),
            create("tickets", 30, ticket("3", "AB  1", &Value::Null)),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    let passengers = "
        SELECT passenger_id FROM dwh_detailed.hub_passengers WHERE record_source <> 'SYSTEM' ORDER BY passenger_id";
    world.assert_rows(passengers, &["(\"AB  1\")", "(\"ab 1\")"]).await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_key_that_stands_for_another_key_stops_the_load_and_names_both() {
    let mut world = World::new("collision").await;
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    let mut loader = world.loader("first");
    world.loaded().await;
    world.end(&mut loader);
    let edit =
        "UPDATE dwh_detailed.hub_airports SET airport_code = 'ZZZ' WHERE airport_code = 'AAA'";
    world.client.batch_execute(edit).await.unwrap();
    world.publish(update("airports", 20, airport("AAA", "Tomsk"))).await;
    let mut loader = world.loader("second");
    let code = loader.wait_exit(PATIENCE).unwrap();
    assert_ne!(code, 0);
    let log = world.log("second");
    let key = hex::encode(
        world
            .client
            .query_one(
                "SELECT hash_key FROM dwh_detailed.hub_airports WHERE airport_code = 'ZZZ'",
                &[],
            )
            .await
            .unwrap()
            .get::<_, Vec<u8>>(0),
    );
    assert!(log.contains("two keys of hub_airports have the hash key"), "{log}");
    assert!(log.contains(&key), "{log}");
    assert_eq!(world.count("dwh_detailed.sat_airports").await, 1 + 1, "nothing was loaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_of_a_key_that_nobody_saw_before_has_its_row_too() {
    let mut world = World::new("onlydeleted").await;
    let segment = |ticket: &str| json!({"ticket_no": ticket, "flight_id": 7, "fare_conditions": "", "amount": "AA=="});
    world.publish(delete("airports", 10, airport("AAA", ""))).await;
    world.publish(delete("ticket_flights", 20, segment("T1"))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.assert_rows(STATUS, &["(AAA,d,t)"]).await;
    let segments = "
        SELECT t.ticket_no, f.flight_id, s.is_deleted
        FROM dwh_detailed.sat_ticket_flights_status AS s
        JOIN dwh_detailed.link_ticket_flights AS l USING (hash_key)
        JOIN dwh_detailed.hub_tickets AS t ON t.hash_key = l.ticket_hash_key
        JOIN dwh_detailed.hub_flights AS f ON f.hash_key = l.flight_hash_key
        WHERE s.record_source <> 'SYSTEM'";
    world.assert_rows(segments, &["(T1,7,t)"]).await;
    world.end(&mut loader);
}

/// The row of a hub keeps what was loaded first. The view tells what came first.
#[tokio::test(flavor = "multi_thread")]
async fn first_mentions_do_not_depend_on_the_order_of_loading() {
    let mut world = World::new("mentions").await;
    // The flight names the airport before the airport's own event was published, and is loaded after it.
    let early = flight(1, "773", "Scheduled");
    let envelope = world.envelope(&create("flights", 10, early.clone())).to_string();
    world.publish(read("airports", airport("SVO", "Moscow"))).await;
    let mut loader = world.loader("first");
    world.loaded().await;
    world.send("flights", 0, Some("{\"flight_id\": 1}"), Some(envelope.as_bytes())).await;
    world.loaded().await;
    world.end(&mut loader);
    let row = "
        SELECT record_source ~ 'airports$' AS by_airports
        FROM dwh_detailed.hub_airports
        WHERE airport_code = 'SVO'";
    world.assert_rows(row, &["(t)"]).await;
    let view = "
        SELECT m.record_source ~ 'flights$' AS by_flights, m.load_date < h.load_date AS earlier
        FROM dwh_detailed.hub_airports_first_mention AS m
        JOIN dwh_detailed.hub_airports AS h USING (hash_key)
        WHERE h.airport_code = 'SVO'";
    world.assert_rows(view, &["(t,t)"]).await;
    let before = fingerprint(&world.client).await;
    // The other order, in another warehouse.
    let again = world.elsewhere("again").await;
    let mut loader = world.loader_with("second", &again.variables(&[]));
    world.loaded_into(&again.client).await;
    world.end(&mut loader);
    assert_eq!(fingerprint(&again.client).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_hubs_and_links_are_never_updated() {
    let mut world = World::new("insertonly").await;
    for round in 0..20 {
        let lsn = 100 + round * 10;
        world.publish(update("flights", lsn, flight(round % 3, "773", "Delayed"))).await;
        world.publish(update("airports", lsn + 1, airport("SVO", &format!("{round}")))).await;
    }
    let mut loader = world.loader_with("loader", &[("VAULT_LOADER__BATCH__ROWS_MAX", "3")]);
    world.loaded().await;
    world.end(&mut loader);
    let updated = "
        SELECT sum(n_tup_upd), sum(n_tup_del), sum(n_tup_ins) > 0
        FROM pg_stat_user_tables
        WHERE schemaname = 'dwh_detailed'";
    wait_for_async(PATIENCE, "statistics", async || world.rows(updated).await == ["(0,0,t)"]).await;
    let rights = "
        SELECT count(*)
        FROM information_schema.role_table_grants
        WHERE grantee = 'vault_loader' AND table_schema = 'dwh_detailed' AND privilege_type NOT IN ('SELECT', 'INSERT')";
    world.assert_rows(rights, &["(0)"]).await;
}
