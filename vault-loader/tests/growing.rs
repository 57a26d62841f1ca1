//! The source's tables change while the loader runs: columns are added, dropped, renamed and retyped.

use serde_json::{Value, json};

use crate::support::{Event, World, airport, booking, create, delete, fingerprint, read, update};

/// An event that says the types of its columns, as the reader does when its connector asks for it.
pub(crate) fn typed(event: Event, types: &[(&str, &str)], unchanged: &[&str]) -> Event {
    let row = event.row.as_object().unwrap();
    let code = |name: &String| {
        let given = types.iter().find(|(column, _)| column == name).map(|(_, code)| *code);
        given.unwrap_or(match name.as_str() {
            "airport_code" => "c3",
            "book_ref" => "c6",
            "longitude" | "latitude" => "f8",
            "book_date" => "tz6",
            "total_amount" => "n10.2",
            _ => "t",
        })
    };
    let mut header = row.keys().map(code).collect::<Vec<_>>().join(",");
    for (index, name) in unchanged.iter().enumerate() {
        let place = row.keys().position(|column| column == name).unwrap();
        header.push(if index == 0 { ';' } else { ',' });
        header.push_str(&place.to_string());
    }
    Event { columns: Some(header), ..event }
}

pub(crate) fn higher(code: &str, elevation: &Value) -> Value {
    let mut row = airport(code, "Omsk");
    row["elevation"] = elevation.clone();
    row
}

const ELEVATIONS: &str = "
    SELECT h.airport_code, s.elevation
    FROM dwh_detailed.sat_airports AS s
    JOIN dwh_detailed.hub_airports AS h USING (hash_key)
    WHERE s.record_source <> 'SYSTEM'
    ORDER BY h.airport_code, s.load_date";

pub(crate) const GROWN: [(&str, &str); 1] = [("elevation", "i4")];

#[tokio::test(flavor = "multi_thread")]
async fn a_satellite_grows_the_column_that_its_table_has_got() {
    let mut world = World::new("grows").await;
    world.create_topic("airports", 2).await;
    let mut loader = world.loader("loader");
    world.publish(typed(create("airports", 10, airport("AAA", "Omsk")), &[], &[])).await;
    world.loaded().await;
    // The first event of the new shape changes nothing but the shape: no version is made by that alone.
    world.publish(typed(update("airports", 20, higher("AAA", &json!(null))), &GROWN, &[])).await;
    world.publish(typed(update("airports", 30, higher("AAA", &json!(95))), &GROWN, &[])).await;
    // An event of the old shape that was published before the change comes later, from another partition.
    let old_shape = typed(create("airports", 15, airport("BBB", "Omsk")), &[], &[]);
    world.publish(Event { partition: 1, ..old_shape }).await;
    world.publish(create("bookings", 40, booking("000001", 1))).await;
    world.loaded().await;
    let expected = ["(AAA,)", "(AAA,95)", "(BBB,)"];
    world.assert_rows(ELEVATIONS, &expected).await;
    assert_eq!(world.count("dwh_control.paused_tables").await, 0);
    world
        .assert_rows(
            "SELECT satellite, column_name, source_type FROM dwh_control.grown_columns",
            &["(sat_airports,elevation,integer)"],
        )
        .await;
    world.end(&mut loader);

    // A restart with the same model knows the column, and a replay adds nothing.
    let before = fingerprint(&world.client).await;
    world.client.batch_execute("UPDATE dwh_control.offsets SET next_offset = 0").await.unwrap();
    let mut loader = world.loader("replay");
    world.loaded().await;
    world.end(&mut loader);
    assert_eq!(fingerprint(&world.client).await, before);

    // A migration agrees with what has grown, whether the model names it or not.
    world.migrate(&[]);
    let named = world
        .model
        .replace("timezone = \"text\"\n", "timezone = \"text\"\nelevation = \"integer\"\n")
        .replace("\"latitude\", \"timezone\"]", "\"latitude\", \"timezone\", \"elevation\"]");
    assert_ne!(named, world.model);
    world.write_model(&named);
    world.migrate(&[]);
    world.publish(typed(update("airports", 50, higher("BBB", &json!(7))), &GROWN, &[])).await;
    let mut loader = world.loader("named");
    world.loaded().await;
    world.assert_rows(ELEVATIONS, &["(AAA,)", "(AAA,95)", "(BBB,)", "(BBB,7)"]).await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ignored_column_is_not_taken_in_and_stops_nothing() {
    let named = "status = \"sat_airports_status\"";
    let ignoring =
        |model: &str| model.replacen(named, &format!("{named}\nignored = [\"elevation\"]"), 1);
    let mut world = World::with_model("ignores", ignoring).await;
    let mut loader = world.loader("loader");
    world.publish(create("airports", 10, higher("AAA", &json!(95)))).await;
    world.publish(typed(create("airports", 20, higher("BBB", &json!(96))), &GROWN, &[])).await;
    world.publish(typed(create("airports", 30, airport("CCC", "Omsk")), &[], &[])).await;
    world.loaded().await;
    let codes = "SELECT airport_code FROM dwh_marts.current_airports ORDER BY 1";
    world.assert_rows(codes, &["(AAA)", "(BBB)", "(CCC)"]).await;
    let grown = "SELECT FROM pg_attribute
                 WHERE attrelid = 'dwh_detailed.sat_airports'::regclass AND attname = 'elevation'";
    assert!(world.rows(grown).await.is_empty());
    assert_eq!(world.count("dwh_control.paused_tables").await, 0);
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_is_not_added_when_that_is_switched_off_or_its_type_is_unknown() {
    let mut world = World::new("growsnot").await;
    let off = [("VAULT_LOADER__GROW_SATELLITES", "false")];
    world.publish(typed(create("airports", 10, higher("AAA", &json!(95))), &GROWN, &[])).await;
    let mut loader = world.loader_with("off", &off);
    world.paused("airports", "has a column elevation that the model does not name").await;
    world.end(&mut loader);
    assert_eq!(world.count("dwh_control.grown_columns").await, 0);
    let unknown = [("elevation", "oid4711")];
    world.publish(typed(create("airports", 20, higher("BBB", &json!(1))), &unknown, &[])).await;
    let mut loader = world.loader("on");
    world.loaded_up_to("airports", 0, 1).await;
    world.paused("airports", "column elevation of table airports is oid4711 at the source").await;
    world.end(&mut loader);
}

/// A satellite has columns of its own, and a column of the source may have one of their names.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_with_the_name_of_a_technical_one_pauses_its_table() {
    let mut world = World::new("growstaken").await;
    let mut row = airport("AAA", "Omsk");
    row["source_lsn"] = json!(95);
    world.publish(typed(create("airports", 10, row), &[("source_lsn", "i8")], &[])).await;
    let mut loader = world.loader("loader");
    world.paused("airports", "has a column source_lsn that the model does not name").await;
    world.end(&mut loader);
    assert_eq!(world.count("dwh_control.grown_columns").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_column_is_null_from_then_on() {
    let mut world = World::new("drops").await;
    let mut narrow = airport("AAA", "Omsk");
    narrow.as_object_mut().unwrap().remove("city");
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    world.publish(update("airports", 20, narrow.clone())).await;
    world.publish(delete("airports", 30, narrow)).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world
        .assert_rows(
            "SELECT city, source_lsn FROM dwh_detailed.sat_airports WHERE source_lsn > 0 ORDER BY load_date",
            &["(Omsk,10)", "(,20)"],
        )
        .await;
    world.logged("loader", "the source has dropped a column").await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_column_pauses_until_the_model_knows_both_names() {
    let mut world = World::new("renames").await;
    let mut renamed = airport("AAA", "Tomsk");
    let city = renamed.as_object_mut().unwrap().remove("city").unwrap();
    renamed["town"] = city;
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    world.publish(typed(update("airports", 20, renamed), &[], &[])).await;
    world.publish(create("bookings", 30, booking("000001", 1))).await;
    let mut loader = world.loader("loader");
    world.paused("airports", "lacks its column city: it looks renamed").await;
    world.loaded_up_to("bookings", 0, 1).await;
    world.end(&mut loader);
    let both = world.model.replace(
        "status = \"sat_airports_status\"",
        "status = \"sat_airports_status\"\nalso_named = { city = [\"town\"] }",
    );
    world.write_model(&both);
    world.migrate(&[]);
    let mut loader = world.loader("both");
    world.loaded().await;
    world
        .assert_rows(
            "SELECT city, source_lsn FROM dwh_detailed.sat_airports WHERE source_lsn > 0 ORDER BY load_date",
            &["(Omsk,10)", "(Tomsk,20)"],
        )
        .await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retyped_column_never_changes_a_stored_value() {
    let mut world = World::new("retypes").await;
    // The unscaled numbers of 12.50, then of 1.234 and of an untouched 12.500.
    world.publish(typed(create("bookings", 10, booking("000001", 1250)), &[], &[])).await;
    let finer = [("total_amount", "n10.3")];
    world.publish(typed(create("bookings", 20, booking("000002", 1234)), &finer, &[])).await;
    world.publish(typed(update("bookings", 30, booking("000001", 12_500)), &finer, &[])).await;
    world.publish(create("airports", 40, airport("AAA", "Omsk"))).await;
    let mut loader = world.loader("loader");
    world
        .paused(
            "bookings",
            "column total_amount of table bookings is numeric(10,3) at the source, and numeric(10,2) in the model",
        )
        .await;
    world.loaded_up_to("airports", 0, 1).await;
    world.loaded_up_to("bookings", 0, 1).await;
    world.end(&mut loader);
    let amounts = "
        SELECT h.book_ref, s.total_amount
        FROM dwh_detailed.sat_bookings AS s
        JOIN dwh_detailed.hub_bookings AS h USING (hash_key)
        WHERE s.record_source <> 'SYSTEM'
        ORDER BY h.book_ref, s.load_date";
    world.assert_rows(amounts, &["(000001,12.50)"]).await;
    let wider = world.model.replace("numeric(10,2)", "numeric(11,3)");
    assert_ne!(wider, world.model);
    world.write_model(&wider);
    world.migrate(&[]);
    let mut loader = world.loader("wider");
    world.loaded().await;
    world.assert_rows(amounts, &["(000001,12.500)", "(000002,1.234)"]).await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_like_the_placeholder_is_data_where_the_event_says_so() {
    let mut world = World::new("placeholder").await;
    let placeholder = "__debezium_unavailable_value";
    // Without the header a snapshot's row has no unchanged values, and an update may have some.
    world.publish(read("airports", airport("AAA", placeholder))).await;
    world.publish(create("airports", 11, airport("BBB", "Omsk"))).await;
    world.publish(update("airports", 20, airport("BBB", placeholder))).await;
    world.publish(typed(create("airports", 30, airport("CCC", "Omsk")), &[], &[])).await;
    world.publish(typed(update("airports", 40, airport("CCC", placeholder)), &[], &[])).await;
    let mut left_out = airport("CCC", placeholder);
    left_out["timezone"] = json!("UTC");
    world.publish(typed(update("airports", 50, left_out), &[], &["city"])).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world
        .assert_rows(
            "SELECT h.airport_code, s.city, s.timezone, s.source_lsn
             FROM dwh_detailed.sat_airports AS s
             JOIN dwh_detailed.hub_airports AS h USING (hash_key)
             WHERE s.record_source <> 'SYSTEM'
             ORDER BY h.airport_code, s.load_date",
            &[
                "(AAA,__debezium_unavailable_value,Europe/Moscow,)",
                "(BBB,Omsk,Europe/Moscow,11)",
                // The airport's name has changed with it.
                "(BBB,Omsk,Europe/Moscow,20)",
                "(CCC,Omsk,Europe/Moscow,30)",
                "(CCC,__debezium_unavailable_value,Europe/Moscow,40)",
                "(CCC,__debezium_unavailable_value,UTC,50)",
            ],
        )
        .await;
    assert_eq!(world.count("dwh_control.quarantine").await, 0);
    world.end(&mut loader);
}
