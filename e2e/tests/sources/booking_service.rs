//! What the booking service keeps, as a second source of the airline's own database.
//!
//! In: real servers, the built binaries, a customer who signs up, books with a seat and cancels, a message, an upload.
//! Out: all of it in the vault beside the airline, on the airline's hubs and with its hash keys; nothing that is secret
//! in any topic.

use devstack::topics::Topics;
use devstack::{Psql, shared};
use e2e::rig::{Rig, RigOptions};
use e2e::service::Customer;
use e2e::sql;
use tokio_postgres::Client;

/// A flight in 12 hours with a handful of seats.
const AIRLINE: &str = "
    INSERT INTO airports VALUES
        ('AAA', 'Alpha', 'Alpha', 0, 0, 'UTC'),
        ('BBB', 'Beta', 'Beta', 10, 10, 'UTC');
    INSERT INTO aircrafts VALUES ('TST', 'Test Plane', 5000);
    INSERT INTO seats SELECT 'TST', row_no || 'A', 'Economy' FROM generate_series(1, 9) AS row_no;
    INSERT INTO flights (flight_id, flight_no, scheduled_departure, scheduled_arrival,
                         departure_airport, arrival_airport, status, aircraft_code)
    SELECT 7, 'TT0007', at, at + interval '2 hours', 'AAA', 'BBB', 'Scheduled', 'TST'
    FROM (SELECT date_trunc('minute', now()) + interval '12 hours' AS at) AS t";

/// A booking that somebody else sells on the same day as the service does, a message, and an upload for the booking of
/// the service.
const BESIDE: &str = "
    INSERT INTO bookings SELECT 'ABCDEF', book_date, 500 FROM service.orders;
    INSERT INTO service.messages (flight_id, account_id, body)
    SELECT 7, account_id, 'is there a delay?' FROM service.accounts;
    INSERT INTO service.uploads
        (account_id, original_name, media_type, byte_count, sha256, object_key, kind, title, book_ref, book_date)
    SELECT account_id, 'cat.pdf', 'application/pdf', 12, sha256('x'), 'somewhere/1', 'certificate', 'My cat', book_ref, book_date
    FROM service.orders;
    INSERT INTO service.uploads
        (account_id, original_name, media_type, byte_count, sha256, object_key, kind, title, description)
    SELECT account_id, 'me.png', 'image/png', 13, sha256('y'), 'somewhere/2', 'photo', 'Me', 'smiling'
    FROM service.accounts";

/// The seat of the booking, through the hubs that both sources feed: the airline's own segment has the same keys.
const SEAT: &str = "
    SELECT f.flight_id, s.seat_no, t.ticket_no, o.status, a.assigned_at IS NOT NULL, segment.fare_conditions
    FROM dwh_detailed.link_flight_seats AS s
    JOIN dwh_detailed.hub_flights AS f ON f.hash_key = s.flight_hash_key
    JOIN dwh_detailed.sat_flight_operations AS o ON o.hash_key = f.hash_key
    JOIN dwh_detailed.sat_seat_assignments AS a ON a.hash_key = s.hash_key
    JOIN dwh_detailed.sat_seat_tickets_effectivity AS held ON held.hash_key = s.hash_key
    JOIN dwh_detailed.link_seat_tickets AS l ON l.hash_key = held.link_hash_key
    JOIN dwh_detailed.hub_tickets AS t ON t.hash_key = l.ticket_hash_key
    JOIN dwh_detailed.link_ticket_flights AS sold
        ON sold.ticket_hash_key = t.hash_key AND sold.flight_hash_key = f.hash_key
    JOIN dwh_detailed.sat_ticket_flights AS segment ON segment.hash_key = sold.hash_key
    WHERE s.record_source <> 'SYSTEM'";

/// Who made which booking; the amount is the airline's.
const ORDER: &str = "
    SELECT a.account_id, c.email, b.book_ref, s.total_amount, o.cancelled_at
    FROM dwh_detailed.link_account_bookings AS l
    JOIN dwh_detailed.hub_accounts AS a ON a.hash_key = l.account_hash_key
    JOIN dwh_detailed.sat_account_contacts AS c ON c.hash_key = a.hash_key
    JOIN dwh_detailed.hub_bookings AS b ON b.hash_key = l.booking_hash_key
    JOIN dwh_detailed.sat_bookings AS s ON s.hash_key = b.hash_key
    JOIN dwh_detailed.link_orders AS k ON k.booking_hash_key = b.hash_key AND k.book_date = l.book_date
    JOIN dwh_detailed.sat_orders AS o ON o.hash_key = k.hash_key
    WHERE l.record_source <> 'SYSTEM'";

const MESSAGES: &str = "
    SELECT f.flight_id, a.account_id, m.body
    FROM dwh_detailed.link_messages AS m
    JOIN dwh_detailed.hub_flights AS f ON f.hash_key = m.flight_hash_key
    JOIN dwh_detailed.hub_accounts AS a ON a.hash_key = m.account_hash_key
    WHERE m.record_source <> 'SYSTEM'";

const UPLOADS: &str = "
    SELECT d.original_name, d.title, d.description, u.media_type, u.byte_count, b.book_ref
    FROM dwh_detailed.hub_uploads AS h
    JOIN dwh_detailed.sat_uploads AS u ON u.hash_key = h.hash_key
    JOIN dwh_detailed.sat_upload_descriptions AS d ON d.hash_key = h.hash_key
    JOIN dwh_detailed.sat_upload_bookings_effectivity AS held ON held.hash_key = h.hash_key
    JOIN dwh_detailed.link_upload_bookings AS l ON l.hash_key = held.link_hash_key
    JOIN dwh_detailed.hub_bookings AS b ON b.hash_key = l.booking_hash_key
    WHERE h.record_source <> 'SYSTEM'
    ORDER BY 1";

const MART: &str = "
    SELECT channel, bookings, cancelled, accounts, total_amount
    FROM dwh_marts.service_bookings ORDER BY channel";

async fn told(warehouse: &Client, query: &str) -> Vec<String> {
    let line = |row: sql::Row| {
        let cells = row.into_iter().map(|cell| cell.unwrap_or_else(|| "-".to_owned()));
        cells.collect::<Vec<_>>().join("|")
    };
    sql::rows(warehouse, query).await.unwrap().into_iter().map(line).collect()
}

/// The proofs find no difference and no broken rule.
fn assert_proven(rig: &Rig) {
    for (what, output) in [
        ("verify", rig.prove_booking_service(&["verify"]).unwrap()),
        ("verify of the airline", rig.prove(&["verify"]).unwrap()),
        ("check", rig.check().unwrap()),
    ] {
        let text = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{what}: {text}{complaints}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_booking_service_keeps_arrives_beside_the_airline() {
    let mut rig = Rig::create(RigOptions::of_stack("service")).unwrap();
    let further = rig.add_booking_service().unwrap();
    let source = sql::connect(&rig.source()).await.unwrap();
    source.batch_execute(AIRLINE).await.unwrap();
    let readers = [rig.start_reader().unwrap(), rig.start_further_reader(&further).unwrap()];
    let _loader = rig.start_loader().unwrap();
    for reader in &readers {
        rig.wait_until_streaming(reader).unwrap();
    }
    let service = rig.start_service(&[]).unwrap();
    let customer = service.customer("ann@example.org").unwrap();
    let book_ref = customer.book_seat(7, "3A", "key-of-the-booking").unwrap();
    source.batch_execute(BESIDE).await.unwrap();
    rig.settle().await.unwrap();

    let warehouse = sql::connect(&rig.warehouse(rig.name())).await.unwrap();
    let ticket = sql::one(&source, "SELECT ticket_no::text FROM tickets").await.unwrap();
    let amount = sql::one(&source, "SELECT total_amount FROM bookings WHERE book_ref <> 'ABCDEF'");
    let amount = amount.await.unwrap();
    let account = sql::one(&source, "SELECT account_id FROM service.accounts").await.unwrap();
    let check = async |query: &str, expected: &[String]| {
        assert_eq!(told(&warehouse, query).await, expected, "{query}");
    };
    check(SEAT, &[format!("7|3A|{ticket}|Scheduled|t|Economy")]).await;
    check(ORDER, &[format!("{account}|ann@example.org|{book_ref}|{amount}|-")]).await;
    check(MESSAGES, &[format!("7|{account}|is there a delay?")]).await;
    let cat = format!("cat.pdf|My cat|-|application/pdf|12|{book_ref}");
    check(UPLOADS, &[cat, "me.png|Me|smiling|image/png|13|-".to_owned()]).await;
    check(MART, &["other|1|0|0|500.00".to_owned(), format!("service|1|0|1|{amount}")]).await;
    assert_proven(&rig);

    customer.cancel(&book_ref).unwrap();
    source.batch_execute("DELETE FROM service.uploads WHERE kind = 'photo'").await.unwrap();
    rig.settle().await.unwrap();
    check(MART, &["other|1|0|0|500.00".to_owned(), "service|1|1|1|0".to_owned()]).await;
    check("SELECT original_name FROM dwh_marts.current_uploads", &["cat.pdf".to_owned()]).await;
    check("SELECT seat_no FROM dwh_marts.current_seat_assignments", &[]).await;
    let cancelled = "SELECT book_ref FROM dwh_marts.current_orders WHERE cancelled_at IS NOT NULL";
    check(cancelled, &[book_ref]).await;
    assert_proven(&rig);
    assert_nothing_secret_is_published(&rig, &customer, &source).await;
    assert_erasable(&rig, &warehouse, &account).await;
}

/// The statements that stand under "Erasing one account of the booking service".
fn erasure() -> String {
    let text = std::fs::read_to_string(devstack::workspace_root().join("docs/OPERATIONS.md"));
    let text = text.unwrap();
    let (_, block) = text.split_once("```sql\n-- erase one account\n").unwrap();
    let (script, _) = block.split_once("```").unwrap();
    // The topics of this test have another prefix.
    script.replace("'booking.service.%'", "'%_booking.service.%'")
}

/// Tables of the warehouse in which something is found that tells who the customer is; views hold nothing of their own.
async fn places_that_tell(warehouse: &Client) -> Vec<String> {
    let tables = "SELECT oid::regclass FROM pg_catalog.pg_class
                  WHERE relkind IN ('r', 'm', 'p') AND relnamespace::regnamespace::text ~ '^dwh_' ORDER BY 1";
    let mut places = Vec::new();
    for table in told(warehouse, tables).await {
        let query = format!(
            "SELECT count(*) FROM {table} AS line
             WHERE EXISTS (
                 SELECT
                 FROM unnest(ARRAY['ann@example.org', 'is there a delay?', 'cat.pdf', 'My cat', 'smiling']) AS trace
                 WHERE position(trace IN line::text) > 0
                    OR position(encode(convert_to(trace, 'UTF8'), 'hex') IN line::text) > 0)"
        );
        if sql::one(warehouse, &query).await.unwrap() != "0" {
            places.push(table);
        }
    }
    places
}

/// The documented erasure, word for word: nothing tells who the customer is, and the rules of the vault hold.
async fn assert_erasable(rig: &Rig, warehouse: &Client, account: &str) {
    let waiting = format!(
        "INSERT INTO dwh_control.quarantine (topic, partition, kafka_offset, value, reason)
         SELECT '{0}_booking.service.accounts', 0, account,
                convert_to(format('{{\"account_id\":%s,\"email\":\"ann@example.org\"}}', account), 'UTF8'), 'r'
         FROM unnest(ARRAY[{account}, {account}1]) AS account",
        rig.name()
    );
    warehouse.batch_execute(&waiting).await.unwrap();
    let places = places_that_tell(warehouse).await;
    for table in ["sat_account_contacts", "link_messages", "sat_upload_descriptions", "quarantine"]
    {
        assert!(places.iter().any(|place| place.ends_with(table)), "{table}: {places:?}");
    }
    let others = "SELECT count(*) FROM dwh_control.quarantine WHERE value IS NOT NULL";
    assert_eq!(sql::one(warehouse, others).await.unwrap(), "2");
    let psql = Psql::new(&rig.warehouse(rig.name())).unwrap();
    psql.variable("account", account).run(&erasure()).unwrap();
    assert_eq!(sql::one(warehouse, others).await.unwrap(), "1", "that of another account stays");
    warehouse.batch_execute("DELETE FROM dwh_control.quarantine").await.unwrap();
    assert_eq!(places_that_tell(warehouse).await, [""; 0]);
    let check = rig.check().unwrap();
    assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stdout));
}

/// Topics and events of both sources: the tables that hold secrets have none, and no event has a secret in it.
async fn assert_nothing_secret_is_published(rig: &Rig, customer: &Customer, source: &Client) {
    let counts = "SELECT (SELECT count(*) FROM service.credentials) * (SELECT count(*) FROM service.sessions)
                         * (SELECT count(*) FROM service.idempotency_keys)";
    assert_ne!(sql::one(source, counts).await.unwrap(), "0", "there are secrets to look for");
    let secrets = "SELECT password_hash FROM service.credentials
                   UNION ALL SELECT translate(encode(token_hash, 'base64'), E'\\n', '') FROM service.sessions
                   UNION ALL SELECT session_id FROM service.sessions
                   UNION ALL SELECT key FROM service.idempotency_keys
                   UNION ALL SELECT translate(encode(digest, 'base64'), E'\\n', '') FROM service.idempotency_keys";
    let mut secrets: Vec<String> = sql::rows(source, secrets)
        .await
        .unwrap()
        .into_iter()
        .filter_map(|row| row.into_iter().next().flatten())
        .collect();
    secrets.push(customer.token().to_owned());
    let topics = Topics::at(&shared::stack().kafka_bootstrap).unwrap();
    let names = topics.named(rig.name()).unwrap();
    let service_of =
        |name: &str| name.split_once("_booking.service.").map(|(_, table)| table.to_owned());
    let mut of_service: Vec<String> = names.iter().filter_map(|name| service_of(name)).collect();
    of_service.sort_unstable();
    assert_eq!(of_service, ["accounts", "messages", "orders", "seat_assignments", "uploads"]);
    let mut count = 0;
    for topic in &names {
        for record in topics.records(topic).unwrap() {
            count += 1;
            let text = format!("{record:?}");
            let found = secrets.iter().any(|secret| text.contains(secret.as_str()));
            assert!(!found, "an event of {topic} has a secret in it");
        }
    }
    assert!(count > 20, "{count} events were looked at");
}
