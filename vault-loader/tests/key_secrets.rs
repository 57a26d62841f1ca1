//! Warehouses whose hash keys are made with a secret: what depends on it, and who is refused without it.

use shared::secret::Secret;
use tokio_postgres::error::SqlState;
use vault_loader::decode::Value;
use vault_loader::vault::hash::{Hasher, fingerprint};

use crate::support::queries::CITIES;
use crate::support::{PATIENCE, World, airport, create, flight, update};

const NAME: &str = "VAULT_LOADER__KEY_SECRET";
const SECRET: &str = "hide-me-1f7a6f0c2b8e4d5996a1c3e5f7b9d0a2";
const OTHER: &str = "hide-me-too-0f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// A migration and a loader with these variables are refused, and say why without showing a secret.
#[track_caller]
fn assert_refused(world: &World, variables: &[(&str, &str)], words: &str) {
    let migration = world.command_with(&["migrate"], variables);
    let mut loader = world.loader_with("refused", variables);
    let code = loader.wait_exit(PATIENCE).unwrap();
    let said = [String::from_utf8_lossy(&migration.stderr).into_owned(), world.log("refused")];
    assert_eq!((migration.status.code(), code), (Some(2), 2), "{said:?}");
    for said in said {
        assert!(said.contains(words) && !said.contains("hide-me"), "{said}");
    }
}

fn airport_key(secret: Option<&str>) -> String {
    let mut hasher = Hasher::with_secret(secret.map(Secret::new));
    hasher.hub(None);
    hasher.add(&Value::Text("SVO".into()));
    format!("({})", hex::encode(hasher.finish()))
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_warehouse_with_a_secret_need_it() {
    let mut world = World::unmigrated("secret").await;
    let secret = [(NAME, SECRET)];
    world.migrate(&secret);
    world
        .publish_all([
            create("airports", 10, airport("SVO", "Moscow")),
            create("flights", 20, flight(7, "773", "Scheduled")),
        ])
        .await;
    let mut loader = world.loader_with("loader", &secret);
    world.loaded().await;
    world.end(&mut loader);
    let key =
        "SELECT encode(hash_key, 'hex') FROM dwh_detailed.hub_airports WHERE airport_code = 'SVO'";
    world.assert_rows(key, &[airport_key(Some(SECRET)).as_str()]).await;
    assert_ne!(airport_key(Some(SECRET)), airport_key(None));
    let unknown = "
        SELECT count(*)
        FROM dwh_detailed.hub_airports
        WHERE record_source = 'SYSTEM' AND hash_key IN (decode(repeat('00', 32), 'hex'), decode(repeat('ff', 32), 'hex'))";
    world.assert_rows(unknown, &["(2)"]).await;

    let stored = "SELECT encode(key_secret_fingerprint, 'hex') FROM dwh_control.warehouse";
    let expected = format!("({})", hex::encode(fingerprint(&Secret::new(SECRET))));
    world.assert_rows(stored, &[expected.as_str()]).await;
    assert_refused(&world, &[], "key_secret is not set");
    assert_refused(&world, &[(NAME, OTHER)], "key_secret is another secret");
    world.assert_rows(stored, &[expected.as_str()]).await;

    // Again with the secret: a migration has nothing to do, and a loader goes on.
    let output = world.command_with(&["migrate"], &secret);
    assert!(String::from_utf8_lossy(&output.stdout).contains("nothing to do"), "{output:?}");
    world.publish(update("airports", 30, airport("SVO", "Khimki"))).await;
    let mut loader = world.loader_with("again", &secret);
    world.loaded().await;
    world.end(&mut loader);
    world.assert_rows(CITIES, &["(SVO,Moscow,10)", "(SVO,Khimki,30)"]).await;
    for log in ["loader", "again"] {
        assert!(!world.log(log).contains("hide-me"), "{log}: the secret is shown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_needs_the_secret_of_the_keys_too() {
    let mut world = World::unmigrated("sqlsecret").await;
    let secret = [(NAME, SECRET)];
    world.migrate(&secret);
    world.publish(create("flights", 20, flight(7, "773", "Scheduled"))).await;
    let mut loader = world.loader_with("loader", &secret);
    world.loaded().await;
    world.end(&mut loader);
    let calls = [
        "dwh_control.hub_key(NULL, dwh_control.canonical('SVO'::text))",
        "dwh_control.link_key(ARRAY[decode(repeat('07', 32), 'hex')])",
    ];
    for set in
        ["", "SET dwh_control.key_secret = ''", &format!("SET dwh_control.key_secret = '{OTHER}'")]
    {
        world.client.batch_execute(set).await.unwrap();
        for call in calls {
            let err = world.client.query(&format!("SELECT {call}"), &[]).await.expect_err(call);
            let code = Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
            assert_eq!(err.code(), code, "{set} {call}: {err:?}");
            assert!(!format!("{err:?}").contains("hide-me"), "a secret is shown");
        }
    }
    world.client.batch_execute(&format!("SET dwh_control.key_secret = '{SECRET}'")).await.unwrap();
    let hub = "
        SELECT encode(dwh_control.hub_key(NULL, dwh_control.canonical('SVO'::text)), 'hex')";
    world.assert_rows(hub, &[airport_key(Some(SECRET)).as_str()]).await;
    let link = "
        SELECT count(*) FILTER (WHERE hash_key <> dwh_control.link_key(ARRAY[
            flight_hash_key, departure_airport_hash_key, arrival_airport_hash_key, aircraft_hash_key])), count(*)
        FROM dwh_detailed.link_flight_routes
        WHERE record_source <> 'SYSTEM'";
    world.assert_rows(link, &["(0,1)"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warehouse_without_a_secret_gets_none_later() {
    let mut world = World::new("nosecret").await;
    assert_refused(&world, &[(NAME, SECRET)], "are made without a secret");
    world.publish(create("airports", 10, airport("SVO", "Moscow"))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.end(&mut loader);
    let key =
        "SELECT encode(hash_key, 'hex') FROM dwh_detailed.hub_airports WHERE airport_code = 'SVO'";
    world.assert_rows(key, &[airport_key(None).as_str()]).await;
}

/// A retry makes hash keys too.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_needs_the_secret() {
    let mut world = World::unmigrated("retrysecret").await;
    let secret = [(NAME, SECRET)];
    world.migrate(&secret);
    let mut bad = airport("SVO", "Moscow");
    bad["longitude"] = "nowhere".into();
    world.publish(create("airports", 10, bad)).await;
    world.publish(update("airports", 20, airport("SVO", "Khimki"))).await;
    let mut loader = world.loader_with("loader", &secret);
    world.loaded().await;
    world.end(&mut loader);
    let drop = ["quarantine", "drop", "1", "--why", "a test", "--yes"];
    let retry = ["quarantine", "retry", "--all"];
    for variables in [&[][..], &[(NAME, OTHER)]] {
        let output = world.command_with(&retry, variables);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("key_secret") && !said.contains("hide-me"), "{said}");
    }
    let output = world.command_with(&drop, &secret);
    assert!(output.status.success(), "{output:?}");
    let output = world.command_with(&retry, &secret);
    assert!(output.status.success(), "{output:?}");
    world.assert_rows(CITIES, &["(SVO,Khimki,20)"]).await;
    let key =
        "SELECT encode(hash_key, 'hex') FROM dwh_detailed.hub_airports WHERE airport_code = 'SVO'";
    world.assert_rows(key, &[airport_key(Some(SECRET)).as_str()]).await;
}
