//! SQL and the loader give one hash: the vectors, a hundred thousand random values, and what a loader has stored.
//!
//! In: a migrated warehouse. Out: hashes by `dwh_control`'s functions, compared with the loader's.

use std::fmt::Write;

use devstack::shared::stack;
use devstack::{Database, PostgresAddress, unique};
use serde_json::json;
use tokio_postgres::Client;
use vault_loader::decode::{Value, from_stored};
use vault_loader::model::ColumnType;
use vault_loader::vault::hash::{Hash, Hasher, UNKNOWN};

use crate::support::values::{self, ELEMENTS, Random, SCALARS, Spelled};
use crate::support::{World, create, delete, flight, ticket, update};

const VECTORS: &str = include_str!("data/hash_vectors.json");

/// Another seed tries other values.
const SEED: u64 = 0x5EED_0012;
const VALUES_PER_TYPE: usize = 3_000;
const ARRAYS_PER_TYPE: usize = 1_000;
const FOLDED: usize = 4_000;
const ROWS: usize = 7_000;

/// The type of the vault's column for a type of a model.
fn vault_type(kind: &str) -> String {
    ColumnType::parse(kind).unwrap().vault_type()
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The call that gives a value's canonical form.
fn canonical(value: &serde_json::Value) -> String {
    let kind = value["type"].as_str().unwrap();
    let text = value["value"].as_str().map_or_else(|| "NULL".to_owned(), literal);
    let cast =
        value["key_type"].as_str().map_or_else(String::new, |to| format!("::{}", vault_type(to)));
    let function = if value["fold"] == true { "folded" } else { "canonical" };
    format!("dwh_control.{function}({text}::{}{cast})", vault_type(kind))
}

/// The call that gives a vector's hash.
fn call(vector: &serde_json::Value) -> String {
    let values = vector["values"].as_array().unwrap();
    let parts: Vec<String> = values.iter().map(canonical).collect();
    let parts = format!("ARRAY[{}]::bytea[]", parts.join(", "));
    match vector["of"].as_str().unwrap() {
        "hub" => {
            let source = vector["source"].as_str().map_or_else(|| "NULL".to_owned(), literal);
            format!("dwh_control.hub_key({source}, VARIADIC {parts})")
        }
        "link" => {
            let hubs = vector["hubs"].as_array().unwrap().iter();
            let hubs: Vec<String> =
                hubs.map(|hub| format!("'\\x{}'", hub.as_str().unwrap())).collect();
            format!("dwh_control.link_key(ARRAY[{}]::bytea[], VARIADIC {parts})", hubs.join(", "))
        }
        _ => {
            let names: Vec<String> =
                values.iter().map(|value| literal(value["column"].as_str().unwrap())).collect();
            format!("dwh_control.hashdiff(ARRAY[{}]::text[], {parts})", names.join(", "))
        }
    }
}

/// A database that holds the functions and nothing else.
async fn only_functions(server: &PostgresAddress) -> (Database, Client) {
    let database = Database::create(server, &unique("vl_vectors")).unwrap();
    let client = database.connect().await.unwrap();
    let before = "
        CREATE SCHEMA dwh_control;
        CREATE TABLE dwh_control.warehouse ();
        INSERT INTO dwh_control.warehouse DEFAULT VALUES";
    client.batch_execute(before).await.unwrap();
    client.batch_execute(include_str!("../migrations/0012_hashing.sql")).await.unwrap();
    (database, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_gives_the_hash_of_every_vector_or_refuses_to_fold_it() {
    let vectors: Vec<serde_json::Value> = serde_json::from_str(VECTORS).unwrap();
    for server in [&stack().postgres15, &stack().postgres18] {
        let (_database, client) = only_functions(server).await;
        let mut refused = 0;
        for vector in &vectors {
            let name = vector["name"].as_str().unwrap();
            let sql = format!("SELECT encode({}, 'hex')", call(vector));
            let answer = client.query_one(&sql, &[]).await;
            let cannot_fold = vector["values"].as_array().unwrap().iter().any(|value| {
                value["fold"] == true && !value["value"].as_str().is_none_or(str::is_ascii)
            });
            if cannot_fold {
                refused += 1;
                let err = answer.expect_err(name);
                assert_eq!(err.code().unwrap().code(), "0A000", "{name}: {err:?}");
                continue;
            }
            let row = answer.unwrap_or_else(|err| panic!("{name}: {sql}: {err:?}"));
            assert_eq!(row.get::<_, String>(0), vector["hash"].as_str().unwrap(), "{name}");
        }
        assert!(refused > 10 && refused < vectors.len() / 2, "{refused} of {}", vectors.len());
    }
}

fn hash(add: impl FnOnce(&mut Hasher)) -> Hash {
    let mut hasher = Hasher::default();
    hasher.hub(None);
    add(&mut hasher);
    hasher.finish()
}

/// The hash of a value alone. A hub's key would be "unknown" where this hashes NULL.
fn hash_of(value: &Value<'_>) -> Hash {
    hash(|hasher| hasher.add(value))
}

/// A session whose settings change how PostgreSQL prints everything that they can.
async fn odd_session(world: &World) -> Client {
    let client = world.database.connect().await.unwrap();
    client
        .batch_execute(
            "SET TimeZone = 'Asia/Kathmandu'; SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'sql_standard';
             SET bytea_output = 'escape'; SET extra_float_digits = -15; SET search_path = pg_temp;
             CREATE FUNCTION pg_temp.length(bytea) RETURNS integer LANGUAGE sql AS 'SELECT 7';
             CREATE FUNCTION pg_temp.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT $1'",
        )
        .await
        .unwrap();
    client
}

/// A value that both have hashed, and its form in SQL.
struct Hashed {
    value: Value<'static>,
    form: Vec<u8>,
}

/// Compares SQL's hashes of values of one type with the loader's, and the loader's hashes of what is stored.
async fn compare(
    world: &World,
    odd: &Client,
    kind: &str,
    sql_type: &str,
    values: Vec<Spelled>,
) -> Vec<Hashed> {
    let texts: Vec<Option<&str>> = values.iter().map(|(_, text)| text.as_deref()).collect();
    let sql = format!(
        "SELECT form, pg_catalog.sha256('\\x0201'::bytea || form)
         FROM (
             SELECT place, dwh_control.canonical(text::{sql_type}) AS form
             FROM unnest($1::text[]) WITH ORDINALITY AS texts (text, place)
             OFFSET 0
         ) AS forms
         ORDER BY place"
    );
    let hashed = odd.query(&sql, &[&texts]).await.unwrap_or_else(|err| panic!("{kind}: {err:?}"));
    let sql = format!(
        "SELECT text::{sql_type}::{}::text
         FROM unnest($1::text[]) WITH ORDINALITY AS texts (text, place) ORDER BY place",
        vault_type(kind)
    );
    let printed = world.client.query(&sql, &[&texts]).await.unwrap();
    assert_eq!((hashed.len(), printed.len()), (values.len(), values.len()));
    let column = ColumnType::parse(kind).unwrap();
    let rows = hashed.iter().zip(&printed);
    values
        .into_iter()
        .zip(rows)
        .map(|((value, text), (hashed, printed))| {
            let (form, key): (Vec<u8>, Vec<u8>) = (hashed.get(0), hashed.get(1));
            let shown = || format!("{kind} {text:?}: {value:?}, in SQL {}", hex::encode(&form));
            assert_eq!(hex::encode(hash_of(&value)), hex::encode(key), "{}", shown());
            let stored = printed.get::<_, Option<&str>>(0).map_or(Value::Null, |text| {
                from_stored(column, text).unwrap_or_else(|err| panic!("{err}: {}", shown()))
            });
            assert_eq!(hash_of(&value), hash_of(&stored), "{}, stored as {stored:?}", shown());
            Hashed { value, form }
        })
        .collect()
}

/// What hashes of several values are made of: for each row, its values, their names, and a source.
struct Row<'h> {
    source: Option<String>,
    hubs: Vec<Hash>,
    named: Vec<(String, &'h Hashed)>,
}

fn row<'h>(random: &mut Random, hashed: &'h [Hashed]) -> Row<'h> {
    let source = (random.below(2) == 0).then(|| values::any_text(random));
    let hubs =
        (0..=random.below(3)).map(|_| random.one_of(&[UNKNOWN, [7; 32], [0xFF; 32]])).copied();
    let hubs = hubs.collect();
    let named = (0..=random.below(5))
        .map(|place| (format!("{}{place}", values::any_text(random)), random.one_of(hashed)))
        .collect();
    Row { source, hubs, named }
}

impl Row<'_> {
    /// Key of a hub, key of a link, hashdiff.
    fn hashes(&self) -> [Hash; 3] {
        let mut hasher = Hasher::default();
        hasher.hub(self.source.as_deref());
        self.named.iter().for_each(|(_, hashed)| hasher.add(&hashed.value));
        let is_unknown = self.named.iter().all(|(_, hashed)| hashed.value == Value::Null);
        let hub = if is_unknown { UNKNOWN } else { hasher.finish() };
        hasher.link();
        self.hubs.iter().for_each(|hub| hasher.add_hash(hub));
        self.named.iter().for_each(|(_, hashed)| hasher.add(&hashed.value));
        let link = hasher.finish();
        let mut named: Vec<_> = self.named.iter().collect();
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        hasher.diff();
        named.iter().for_each(|(name, hashed)| hasher.add_column(name, &hashed.value));
        [hub, link, hasher.finish()]
    }
}

/// Compares keys of several values, keys of links and hashdiffs.
async fn compare_rows(odd: &Client, rows: &[Row<'_>]) {
    let number = |place: usize| i32::try_from(place).unwrap();
    let (mut of, mut names, mut forms) = (Vec::new(), Vec::new(), Vec::new());
    let (mut hub_of, mut hubs) = (Vec::new(), Vec::new());
    for (place, row) in rows.iter().enumerate() {
        for (name, hashed) in &row.named {
            of.push(number(place));
            names.push(name.as_str());
            forms.push(hashed.form.as_slice());
        }
        for hub in &row.hubs {
            hub_of.push(number(place));
            hubs.push(hub.as_slice());
        }
    }
    let sources: Vec<Option<&str>> = rows.iter().map(|row| row.source.as_deref()).collect();
    let sql = "
        SELECT dwh_control.hub_key(source, VARIADIC forms), dwh_control.link_key(hubs, VARIADIC forms),
               dwh_control.hashdiff(names, forms)
        FROM unnest($1::text[]) WITH ORDINALITY AS sources (source, place)
        JOIN (
            SELECT of, array_agg(name ORDER BY number) AS names, array_agg(form ORDER BY number) AS forms
            FROM unnest($2::integer[], $3::text[], $4::bytea[]) WITH ORDINALITY AS parts (of, name, form, number)
            GROUP BY of
        ) AS parts ON parts.of = place - 1
        JOIN (
            SELECT of, array_agg(hub ORDER BY number) AS hubs
            FROM unnest($5::integer[], $6::bytea[]) WITH ORDINALITY AS hubs (of, hub, number)
            GROUP BY of
        ) AS hubs ON hubs.of = place - 1
        ORDER BY place";
    let found = odd.query(sql, &[&sources, &of, &names, &forms, &hub_of, &hubs]).await.unwrap();
    assert_eq!(found.len(), rows.len());
    for (row, found) in rows.iter().zip(found) {
        for (place, (what, hash)) in
            ["hub", "link", "hashdiff"].iter().zip(row.hashes()).enumerate()
        {
            let mut shown = format!("{what}, source {:?}, hubs {:?}", row.source, row.hubs);
            for (name, hashed) in &row.named {
                write!(shown, ", {name:?} {:?}", hashed.value).unwrap();
            }
            assert_eq!(hex::encode(hash), hex::encode(found.get::<_, Vec<u8>>(place)), "{shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_random_values_hash_in_sql_as_in_the_loader() {
    let world = World::new("hashing").await;
    let odd = odd_session(&world).await;
    let mut random = Random(SEED);
    let (mut hashed, mut count) = (Vec::new(), 0);
    for kind in SCALARS {
        let sql_type = if kind == "char(40)" { kind.to_owned() } else { vault_type(kind) };
        let values = (0..VALUES_PER_TYPE).map(|_| values::scalar(&mut random, kind)).collect();
        let compared = compare(&world, &odd, kind, &sql_type, values).await;
        count += compared.len();
        hashed.extend(compared);
    }
    for element in ELEMENTS {
        let kind = format!("{element}[]");
        let values = (0..ARRAYS_PER_TYPE).map(|_| values::array(&mut random, element)).collect();
        let compared = compare(&world, &odd, &kind, &vault_type(&kind), values).await;
        count += compared.len();
        hashed.extend(compared);
    }
    let texts: Vec<String> = (0..FOLDED).map(|_| values::ascii(&mut random)).collect();
    let sql = "SELECT dwh_control.hub_key(NULL, dwh_control.folded(text))
               FROM unnest($1::text[]) WITH ORDINALITY AS texts (text, place) ORDER BY place";
    for (text, found) in texts.iter().zip(odd.query(sql, &[&texts]).await.unwrap()) {
        let folded = hash(|hasher| hasher.add_folded(&Value::Text(text.into())));
        assert_eq!(hex::encode(folded), hex::encode(found.get::<_, Vec<u8>>(0)), "folded {text:?}");
        count += 1;
    }
    let rows: Vec<Row<'_>> = (0..ROWS).map(|_| row(&mut random, &hashed)).collect();
    compare_rows(&odd, &rows).await;
    count += 3 * rows.len();
    assert!(count >= 100_000, "{count} values");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_hash_in_sql_is_an_error_and_never_another_hash() {
    let world = World::new("refusing").await;
    let key = "decode(repeat('07', 32), 'hex')";
    let part = "dwh_control.canonical(1)";
    let cases = [
        ("folded('ß')".to_owned(), "0A000"),
        ("folded(E'x\\u00a0')".to_owned(), "0A000"),
        ("canonical(interval '1 day')".to_owned(), "42804"),
        ("canonical(inet '10.0.0.1')".to_owned(), "42804"),
        ("canonical(B'101')".to_owned(), "42804"),
        ("canonical(money '1')".to_owned(), "42804"),
        ("canonical(ROW(NULL::integer))".to_owned(), "42804"),
        ("canonical(NULL::interval)".to_owned(), "42804"),
        ("canonical(ARRAY[interval '1 day'])".to_owned(), "42804"),
        ("canonical('SVO')".to_owned(), "42804"),
        ("canonical(timestamp '294247-01-10 04:00:54.775807')".to_owned(), "22008"),
        ("canonical(timestamptz '294247-01-10 04:00:54.775808+00')".to_owned(), "22008"),
        ("hub_key(NULL)".to_owned(), "42883"),
        ("hub_key(NULL, VARIADIC '{}')".to_owned(), "22023"),
        ("hub_key(NULL, NULL::bytea)".to_owned(), "22023"),
        ("hub_key(NULL, 'SVO'::bytea)".to_owned(), "22023"),
        (format!("hub_key(NULL, {key})"), "22023"),
        (format!("hub_key(NULL, {part} || {part})"), "22023"),
        ("hub_key(NULL, '\\x0500000000')".to_owned(), "22023"),
        (format!("link_key(ARRAY[{part}])"), "22023"),
        (format!("link_key(ARRAY[{key}, NULL])"), "22023"),
        ("link_key('{}')".to_owned(), "22023"),
        (format!("link_key(ARRAY[{key}], {key})"), "22023"),
        (format!("hashdiff('{{a,b}}', ARRAY[{part}])"), "22023"),
        (format!("hashdiff('{{a,a}}', ARRAY[{part}, {part}])"), "22023"),
        (format!("hashdiff('{{NULL}}', ARRAY[{part}])"), "22023"),
        ("hashdiff('{a}', ARRAY['x'::bytea])".to_owned(), "22023"),
        ("hashdiff('{a}', NULL)".to_owned(), "22023"),
    ];
    for (call, code) in cases {
        let answer = world.client.query(&format!("SELECT dwh_control.{call}"), &[]).await;
        let err = answer.expect_err(&call);
        assert_eq!(
            err.code().map(tokio_postgres::error::SqlState::code),
            Some(code),
            "{call}: {err:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hashes_without_the_right_to() {
    let world = World::new("hashrights").await;
    let role = &format!("{}_reader", world.database.name);
    world
        .client
        .batch_execute(&format!("CREATE ROLE {role}; GRANT USAGE ON SCHEMA dwh_control TO {role}"))
        .await
        .unwrap();
    let calls = [
        "dwh_control.canonical('{\"a\": [1]}'::jsonb)",
        "dwh_control.folded('a')",
        "dwh_control.hub_key(NULL, '\\x010000000153')",
        "dwh_control.link_key(ARRAY[decode(repeat('07', 32), 'hex')], '\\x00')",
        "dwh_control.hashdiff('{a}', ARRAY['\\x00'::bytea])",
    ];
    let session = world.database.connect().await.unwrap();
    session.batch_execute(&format!("SET ROLE {role}")).await.unwrap();
    for call in calls {
        let err = session.query(&format!("SELECT {call}"), &[]).await.expect_err(call);
        assert_eq!(
            err.code().map(tokio_postgres::error::SqlState::code),
            Some("42501"),
            "{call}: {err:?}"
        );
    }
    let public = "
        SELECT p.proname
        FROM pg_proc AS p
        WHERE p.pronamespace = 'dwh_control'::regnamespace
          AND has_function_privilege('public', p.oid, 'EXECUTE')";
    world.assert_rows(public, &[]).await;
    let specification = include_str!("../../docs/HASHING.md");
    let grant =
        specification.split("```sql\n").find(|block| block.contains("GRANT EXECUTE")).unwrap();
    let grant = grant.split("```").next().unwrap().replace("data_engineer", role);
    world.client.batch_execute(&grant).await.unwrap();
    for call in calls {
        session.query(&format!("SELECT {call}"), &[]).await.expect(call);
    }
    session.batch_execute("RESET ROLE").await.unwrap();
    world.client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
}

/// The rows of a table whose hash is not the one that an expression gives, and how many rows there are.
fn differing(from: &str, column: &str, expression: &str) -> String {
    format!(
        "SELECT count(*) FILTER (WHERE s.{column} IS DISTINCT FROM {expression}), count(*) > 0
         FROM dwh_detailed.{from}
         WHERE s.record_source <> 'SYSTEM'"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_loader_stores_has_the_hashes_that_sql_gives() {
    let mut world = World::new("storedhashes").await;
    let contact = json!("{\"phone\": \"+7\", \"n\": 1.0}");
    let seat = json!({"aircraft_code": "773", "seat_no": "12A", "fare_conditions": "Business"});
    let segment =
        json!({"ticket_no": "1", "flight_id": 7, "fare_conditions": null, "amount": "BOI="});
    world
        .publish_all([
            create("flights", 10, flight(7, "773", "Scheduled")),
            update("flights", 20, flight(7, "763", "Delayed")),
            create("tickets", 30, ticket("1", "ёж 'x'", &contact)),
            create("seats", 40, seat),
            create("ticket_flights", 50, segment.clone()),
            delete("ticket_flights", 60, segment),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.end(&mut loader);
    let source = literal(&world.source);
    let flight_key = format!("dwh_control.hub_key({source}, dwh_control.canonical(flight_id))");
    let effective =
        "dwh_control.hashdiff('{link_hash_key}', ARRAY[dwh_control.canonical(s.link_hash_key)])";
    let status = "dwh_control.hashdiff('{is_deleted}', ARRAY[dwh_control.canonical(s.is_deleted)])";
    let checks = [
        ("hub_flights AS s", "hash_key", flight_key.as_str()),
        ("hub_passengers AS s", "hash_key", "dwh_control.hub_key(NULL, dwh_control.canonical(passenger_id))"),
        (
            "link_aircraft_seats AS s",
            "hash_key",
            "dwh_control.link_key(ARRAY[aircraft_hash_key], dwh_control.canonical(seat_no))",
        ),
        (
            "link_flight_routes AS s",
            "hash_key",
            "dwh_control.link_key(ARRAY[flight_hash_key, departure_airport_hash_key, arrival_airport_hash_key, aircraft_hash_key])",
        ),
        (
            "sat_flight_operations AS s",
            "hashdiff",
            "dwh_control.hashdiff('{status,actual_departure,actual_arrival}', ARRAY[
                dwh_control.canonical(status), dwh_control.canonical(actual_departure), dwh_control.canonical(actual_arrival)])",
        ),
        (
            "sat_ticket_passengers AS s",
            "hashdiff",
            "dwh_control.hashdiff('{passenger_name,contact_data}', ARRAY[
                dwh_control.canonical(passenger_name), dwh_control.canonical(contact_data)])",
        ),
        (
            "sat_ticket_flights AS s",
            "hashdiff",
            "dwh_control.hashdiff('{fare_conditions,amount}', ARRAY[
                dwh_control.canonical(fare_conditions), dwh_control.canonical(amount)])",
        ),
        ("sat_ticket_flights_status AS s", "hashdiff", status),
        ("sat_flight_routes_effectivity AS s", "hashdiff", effective),
    ];
    for (from, column, expression) in checks {
        world.assert_rows(&differing(from, column, expression), &["(0,t)"]).await;
    }
    // Each check can fail.
    let wrong = "dwh_control.hub_key(NULL, dwh_control.canonical(flight_id))";
    world.assert_rows(&differing("hub_flights AS s", "hash_key", wrong), &["(1,t)"]).await;
}
