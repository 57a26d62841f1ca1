//! Reports: from the marts of a real warehouse, without one, and with one that is away.

use std::process::Command;
use std::time::Duration;

use devstack::{Database, Postgres, PostgresOptions, Psql, programs, sql_files};
use shared::postgres::ConnectOptions;
use shared::secret::Secret;
use shared::tls::SslMode;

use super::browser::Browser;
use super::shop::{SOON, Shop};
use super::web_reference::staff;

/// The passwords of the warehouse's roles.
const PASSWORD: &str = "password";
/// The variables of `sql/warehouse` for them.
const ROLES: [&str; 6] = ["owner", "loader", "mart", "refresher", "presentation", "checker"];

/// What the marts hold: three days of sales, of which one is too old for a week, and flights of yesterday.
const ROWS: &str = "
    SET TimeZone = 'UTC';
    INSERT INTO dwh_marts.dim_flight (flight_key, flight_id, flight_no, route_key, departure_airport, arrival_airport,
                                      aircraft_code, status, departure_day, is_cancelled)
    VALUES
        ('\\x01', 1, 'TT0001', 'AAA-BBB', 'AAA', 'BBB', 'TST', 'Arrived', current_date - 1, false),
        ('\\x02', 2, 'TT0002', 'BBB-AAA', 'BBB', 'AAA', 'TST', 'Scheduled', current_date, false),
        ('\\x03', 3, 'TT0003', 'AAA-<b>', 'AAA', '<b>', 'TST', 'Cancelled', current_date - 1, true);
    INSERT INTO dwh_marts.fact_flight_operations (flight_key, flight_id, route_key, departure_day, status,
                                                  passengers_booked, passengers_boarded, seats_total, load_factor)
    VALUES
        ('\\x01', 1, 'AAA-BBB', current_date - 1, 'Arrived', 60, 58, 80, 0.75),
        ('\\x03', 3, 'AAA-<b>', current_date - 1, 'Cancelled', 10, 0, 80, 0.125);
    INSERT INTO dwh_marts.fact_bookings (segment_key, ticket_key, flight_key, book_ref, book_date, fare_conditions,
                                         amount, is_checked_in)
    SELECT sha256(n::text::bytea), sha256(n::text::bytea), flight, 'B' || booking, current_date - ago, 'Economy',
           amount, false
    FROM (VALUES
        (1, '\\x01'::bytea, 1, 1, 1000.00), (2, '\\x01', 1, 1, 1000.00), (3, '\\x02', 2, 1, 4500.50),
        (4, '\\x01', 3, 0, 700.00), (5, '\\x02', 4, 20, 99999.00), (6, '\\x03', 5, 1, 50000.00)
    ) AS sold (n, flight, booking, ago, amount);
    INSERT INTO dwh_marts.mart_refreshes
    VALUES (true, '2026-06-15 08:30', 'full', NULL, 6, 6, 1.5, NULL, now(), 1);
    INSERT INTO dwh_control.watermark (source_system_id, published, updated_at)
    SELECT source_system_id, '2026-06-15 08:29:30', now() FROM dwh_control.sources";

/// A warehouse as an installation makes it, on a server of its own, because roles belong to the whole server.
struct Warehouse {
    server: Postgres,
    database: Database,
}

impl Warehouse {
    fn create() -> Self {
        let server =
            Postgres::start(PostgresOptions::new(15).name("reports").fsync(false)).unwrap();
        let address = server.address();
        let database = Database::create(address, &devstack::unique("dwh")).unwrap();
        let psql = |user: &str, password: &str, folder: &str| {
            Psql::new(&address.connection_string(&database.name, user, password))
                .unwrap()
                .passwords(&ROLES, PASSWORD)
                .run_files(sql_files(folder).unwrap())
                .unwrap();
        };
        psql(&address.user, &address.password, "sql/warehouse");
        let model = devstack::workspace_root().join("connectors/airline/vault.toml");
        let migrated = Command::new(devstack::binary("vault-loader").unwrap())
            .args(["migrate", "--model"])
            .arg(&model)
            .env("VAULT_LOADER__BOOTSTRAP_SERVERS", "127.0.0.1:9") // nothing is asked there
            .envs(programs::loader_database(address, &database.name, "vault_owner", PASSWORD))
            .output()
            .unwrap();
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        psql("vault_owner", PASSWORD, "sql/marts");
        Self { server, database }
    }

    /// Where the service reads the marts, as the role that dashboards use.
    fn options(&self) -> ConnectOptions {
        let address = self.server.address();
        let name = self.database.name.clone();
        let mut options = ConnectOptions::new(address.host.clone(), address.port, name);
        "mart_reader".clone_into(&mut options.user);
        options.password = Secret::new(PASSWORD);
        options.ssl_mode = SslMode::Disable;
        options
    }
}

#[tokio::test]
async fn the_three_reports_show_the_marts_and_up_to_when_they_are_complete() {
    let warehouse = Warehouse::create();
    let client = warehouse.database.connect().await.unwrap();
    let shop = Shop::open_with(|options| options.warehouse = Some(warehouse.options())).await;
    let mut browser = staff(&shop, "kim@example.org").await;
    browser.go("/reports").await;
    browser.expect(200).shows("<h1>Sales per day</h1>").shows("It is not known up to when");
    browser.shows("there is nothing yet").hides("<td>2026-06-15</td>");
    client.batch_execute(ROWS).await.unwrap();
    browser.go("/reports/sales-per-day?days=7").await;
    browser.expect(200).shows("Complete up to 15 Jun 2026, 08:29 UTC");
    browser.shows("The marts show the state of 15 Jun 2026, 08:30 UTC");
    browser.shows(
        "<svg viewBox=\"0 0 720 260\" role=\"img\" aria-labelledby=\"chart-title chart-words\">",
    );
    assert_eq!(browser.page.body.matches("<rect class=\"bar\"").count(), 7);
    browser.shows("class=\"number\">56\u{202f}500.50</td>").shows("class=\"number\">700.00</td>");
    browser.hides("99\u{202f}999.00");
    browser.go("/reports/sales-per-day?days=30").await;
    browser.shows("99\u{202f}999.00");
    browser.go("/reports/seat-utilisation?days=7").await;
    browser.expect(200).shows("class=\"number\">75.0</td>").shows("class=\"number\">58</td>");
    browser.go("/reports/top-routes?days=7").await;
    browser.expect(200).hides("50\u{202f}000.00");
    let places = ["BBB-AAA", "AAA-BBB"]
        .map(|route| browser.page.body.find(&format!("<td>{route}</td>")).unwrap());
    assert!(places[0] < places[1], "the route that brought more is first");
    browser.go("/reports/top-routes/csv?days=30").await;
    browser.expect(200);
    assert_eq!(browser.page.headers["content-type"], "text/csv; charset=utf-8");
    let name = "attachment; filename=\"top-routes-30-days.csv\"";
    assert_eq!(browser.page.headers["content-disposition"], name);
    let lines: Vec<&str> = browser.page.body.lines().collect();
    assert_eq!(lines[0], "Route,From,To,Flights,Items,\"Revenue, roubles\"");
    assert_eq!(lines[1..], ["BBB-AAA,,,1,2,104499.50", "AAA-BBB,,,1,3,2700.00"]);
    browser.go("/").await;
    browser.shows("complete up to 15 Jun 2026, 08:29 UTC");
    browser.go("/reports/no-report").await;
    browser.expect(404);
}

#[tokio::test]
async fn customers_and_strangers_see_no_report() {
    let shop = Shop::open().await;
    let mut customer = Browser::sign_up(shop.client.address, "lou@example.org", "LOU").await;
    let mut stranger = Browser::open(shop.client.address, "/").await;
    for path in ["/reports", "/reports/top-routes", "/reports/top-routes/csv"] {
        customer.go(path).await;
        customer.expect(403).shows("this page is for staff");
        stranger.go(path).await;
        stranger.shows("<h1>Sign in</h1>");
    }
}

#[tokio::test]
async fn without_a_warehouse_the_reports_say_so() {
    let shop = Shop::open().await;
    let mut browser = staff(&shop, "kim@example.org").await;
    browser.go("/reports/top-routes").await;
    browser.expect(200).shows("No warehouse is configured");
    browser.go("/reports/top-routes/csv").await;
    browser.expect(503).shows("no warehouse is configured");
    browser.go("/").await;
    browser.hides("Warehouse");
}

#[tokio::test]
async fn a_warehouse_that_is_away_or_slow_costs_the_reports_alone() {
    // It accepts connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let shop = Shop::open_with(|options| {
        let mut warehouse = options.primary.clone();
        warehouse.port = port;
        options.warehouse = Some(warehouse);
        options.request_time = Duration::from_secs(8);
    })
    .await;
    let mut browser = staff(&shop, "kim@example.org").await;
    browser.go("/reports/sales-per-day").await;
    browser.expect(503).shows("The warehouse does not answer");
    browser.go("/").await;
    browser.expect(200).shows("Warehouse").shows("state ill");
    drop(silent);
    browser.go("/reports/sales-per-day").await;
    browser.expect(503).shows("The warehouse does not answer");
    shop.book(SOON).await;
    browser.go("/flights/1").await;
    browser.expect(200);
}
