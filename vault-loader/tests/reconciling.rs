//! Deletes of rows that vanished, published late: with the position and the time of a moment at which the row was not
//! there, a delete ends the row of before that moment, and no row that came behind it, wherever it stands in the topic.

use std::path::PathBuf;
use std::process::Output;

use devstack::{Database, unique};
use serde_json::json;
use shared::vanished::{self, VanishedRow};

use crate::carried::SHOP;
use crate::replaying::load_twice;
use crate::support::{Event, World, airport, create, delete, read, update};

/// Position of the moment.
const MOMENT: i64 = 150;

/// The statuses of each airport in their order: what said so, and at which position.
const STATUSES: &str = "
    SELECT h.airport_code || '|' || string_agg(s.op || coalesce(s.source_lsn::text, ''), ' ' ORDER BY s.load_date)
    FROM dwh_detailed.sat_airports_status AS s
    JOIN dwh_detailed.hub_airports AS h USING (hash_key)
    WHERE s.record_source <> 'SYSTEM'
    GROUP BY h.airport_code
    ORDER BY h.airport_code";

/// The events of each airport in a record-tracking satellite.
const TRACKED: &str = "
    SELECT h.airport_code || '|' || string_agg(t.op || coalesce(t.record_lsn::text, ''), ' ' ORDER BY t.load_date)
    FROM dwh_detailed.sat_airports_tracking AS t
    JOIN dwh_detailed.hub_airports AS h USING (hash_key)
    WHERE t.record_source <> 'SYSTEM'
    GROUP BY h.airport_code
    ORDER BY h.airport_code";

fn tracked(model: &str) -> String {
    let status = "status = \"sat_airports_status\"";
    model.replacen(status, &format!("{status}\ntracking = \"sat_airports_tracking\""), 1)
}

/// The delete of a row that was not there at the moment.
fn vanished(code: &str) -> Event {
    delete("airports", MOMENT, airport(code, code))
}

/// What happens to one airport, and what its statuses and tracked events have to be.
struct Life {
    code: &'static str,
    events: Vec<Event>,
    statuses: &'static str,
    tracked: &'static str,
}

fn lives() -> Vec<Life> {
    let row = |code: &str, city: &str| airport(code, city);
    let born = |code: &str, lsn: i64| create("airports", lsn, row(code, "Perm"));
    let life = |code, events, statuses, tracked| Life { code, events, statuses, tracked };
    vec![
        // The row is gone, and the command was run twice.
        life("AAA", vec![vanished("AAA"), vanished("AAA")], "r d150", "r1 d150"),
        // It comes again behind the delete, also at exactly the position.
        life(
            "BBB",
            vec![vanished("BBB"), born("BBB", MOMENT), update("airports", 160, row("BBB", "Omsk"))],
            "r d150 c150",
            "r1 d150 c150 u160",
        ),
        life("CCC", vec![vanished("CCC"), born("CCC", 200)], "r d150 c200", "r1 d150 c200"),
        // It was there again before the delete arrived, also at exactly the position.
        life("DDD", vec![born("DDD", 200), vanished("DDD")], "r c200", "r1 c200"),
        life("EEE", vec![born("EEE", MOMENT), vanished("EEE")], "r c150", "r1 c150"),
        life(
            "FFF",
            vec![born("FFF", 200), update("airports", 210, row("FFF", "Tver")), vanished("FFF")],
            "r c200",
            "r1 c200 u210",
        ),
        // It was there again, and went again.
        life(
            "GGG",
            vec![born("GGG", 200), delete("airports", 210, row("GGG", "Perm")), vanished("GGG")],
            "r c200 d210",
            "r1 c200 d210",
        ),
        // Killed between two lives, and run again.
        life(
            "HHH",
            vec![vanished("HHH"), born("HHH", 200), vanished("HHH")],
            "r d150 c200",
            "r1 d150 c200",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_delete_ends_no_row_that_came_after_the_moment() {
    let mut world = World::with_model("vanished", tracked).await;
    for Life { code, .. } in &lives() {
        world.publish(read("airports", airport(code, code))).await;
    }
    // Nothing that happens later was committed before this moment.
    let _ = world.envelope(&vanished("AAA"));
    for Life { events, .. } in lives() {
        world.publish_all(events).await;
    }
    load_twice(&mut world).await;
    let told = |of: fn(&Life) -> &'static str| {
        lives().iter().map(|life| format!("{}|{}", life.code, of(life))).collect::<Vec<_>>()
    };
    assert_eq!(lines(&world, STATUSES).await, told(|life| life.statuses));
    assert_eq!(lines(&world, TRACKED).await, told(|life| life.tracked));
    // The updates behind an end and a late delete arrive.
    let cities = "SELECT airport_code || '|' || city FROM dwh_marts.current_airports ORDER BY 1";
    let cities = lines(&world, cities).await;
    let alive = ["BBB|Omsk", "CCC|Perm", "DDD|Perm", "EEE|Perm", "FFF|Tver", "HHH|Perm"];
    assert_eq!(cities, alive);
    assert_eq!(world.count("dwh_control.quarantine").await, 0);
    assert_eq!(world.count("dwh_control.paused_tables").await, 0);
}

async fn lines(world: &World, query: &str) -> Vec<String> {
    world.client.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// The shop's tables at the source, empty.
const TABLES: &str = "
    CREATE TABLE phones (customer_id integer, kind text, number text, operator text, PRIMARY KEY (customer_id, kind));
    CREATE TABLE currencies (code char(3) PRIMARY KEY, title text, digits smallint);
    CREATE TABLE payments (payment_id bigint PRIMARY KEY, customer_id integer, order_no text, amount integer, currency char(3))";

/// A shop whose rows are in the vault, and whose source has none of them.
struct Emptied {
    world: World,
    source: Database,
}

impl Emptied {
    async fn of(name: &str) -> Self {
        let mut world = World::unmigrated(name).await;
        let named = format!("name = \"{}\"", world.source);
        // The hub holds the numbers of customers as texts.
        let model = SHOP
            .replacen("name = \"shop\"", &named, 1)
            .replacen(
                "{ name = \"customer_id\", type = \"integer\" }",
                "{ name = \"customer_id\", type = \"text\" }",
                1,
            )
            .replace(
                "columns = [\"customer_id\"]",
                "columns = [{ column = \"customer_id\", cast = \"text\" }]",
            );
        assert!(model.contains("cast = \"text\""));
        world.write_model(&model);
        world.migrate(&[]);
        let phone = |customer: i64, kind: &str| json!({"customer_id": customer, "kind": kind, "number": "1", "operator": "A"});
        world
            .publish_all([
                create("phones", 10, phone(7, "home")),
                create("phones", 20, phone(-8, "a\tt\\ab")),
                create("currencies", 30, json!({"code": "EUR", "title": "euro", "digits": 2})),
                create(
                    "payments",
                    40,
                    json!({"payment_id": 5, "customer_id": 7, "order_no": "O", "amount": 1, "currency": "EUR"}),
                ),
            ])
            .await;
        let mut loader = world.loader("loader");
        world.loaded().await;
        world.end(&mut loader);
        let source = Database::create(&world.stack.postgres15, &unique("emptied")).unwrap();
        source.psql().unwrap().run(TABLES).unwrap();
        Self { world, source }
    }

    fn file(&self) -> PathBuf {
        self.world.dir.path().join("vanished.jsonl")
    }

    fn reconcile(&self, words: &[&str]) -> Output {
        let (server, file) = (&self.source.server, self.file());
        let address = format!(
            "postgres://{}:{}@{}:{}/{}",
            server.user, server.password, server.host, server.port, self.source.name
        );
        let to = ["reconcile", "--no-wait", "--to", file.to_str().unwrap()];
        self.world.command_with(&[&to, words].concat(), &[("VAULT_LOADER_SOURCE", &address)])
    }

    /// The rows of the file, each as its table and key.
    fn rows(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.file()).unwrap();
        let (absence, rows) = vanished::read(&text).unwrap();
        assert_eq!(absence.topic_prefix, self.world.source);
        let told = |row: &VanishedRow| format!("{}.{} {:?}", row.schema, row.table, row.key);
        let mut rows: Vec<String> = rows.iter().map(told).collect();
        rows.sort_unstable();
        rows
    }
}

fn told(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}

#[tokio::test(flavor = "multi_thread")]
async fn primary_keys_come_from_hubs_links_and_satellites() {
    let shop = Emptied::of("emptied").await;
    let output = shop.reconcile(&[]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let rows = [
        r#"public.currencies {"code": "EUR"}"#,
        r#"public.payments {"payment_id": "5"}"#,
        r#"public.phones {"customer_id": "-8", "kind": "a\tt\\ab"}"#,
        r#"public.phones {"customer_id": "7", "kind": "home"}"#,
    ];
    assert_eq!(shop.rows(), rows);
    // The file stays as it is.
    let output = shop.reconcile(&[]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(told(&output).contains("give --to a file that does not exist"), "{}", told(&output));
    let output =
        shop.reconcile(&["--table", "public.payments", "--show-keys", "--max-deletes", "0"]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("more than --max-deletes 0"), "{}", told(&output));
    assert!(told(&output).contains("(payment_id=5)"), "{}", told(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_the_source_is_no_row_that_vanished() {
    let shop = Emptied::of("misfits").await;
    // The vault lacks a row too: it is not loaded, or this is another source.
    shop.source.psql().unwrap().run("INSERT INTO currencies VALUES ('RUB', 'rouble', 2)").unwrap();
    let output = shop.reconcile(&[]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let why = "public.currencies: the vault also lacks 1 rows of the source";
    assert!(told(&output).contains(why), "{}", told(&output));
    assert!(!shop.file().exists());
    // A key that the vault has lost.
    let lost = "DELETE FROM dwh_detailed.hub_customers WHERE customer_id = '7'";
    shop.world.client.batch_execute(lost).await.unwrap();
    let output = shop.reconcile(&["--table", "public.phones"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    let why = "table public.phones: the vault has no primary key for";
    assert!(told(&output).contains(why), "{}", told(&output));
    // A key that is not that of its hash key.
    let wrong = "UPDATE dwh_detailed.sat_currencies_status SET currency_code = 'USD' WHERE currency_code = 'EUR'";
    shop.world.client.batch_execute(wrong).await.unwrap();
    shop.source.psql().unwrap().run("DELETE FROM currencies").unwrap();
    let output = shop.reconcile(&["--table", "public.currencies"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(told(&output).contains("one that does not give its hash key"), "{}", told(&output));
    assert!(!shop.file().exists());
}
