//! The service and the simulator sell the same airline at the same time.

use std::num::NonZeroU16;
use std::sync::Arc;

use booking::seed::{Existing, SeedOptions, seed};
use booking::simulate::{SimulateOptions, Tally, simulate};
use chrono::Utc;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::shop::{Shop, order};
use crate::support::Airline;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_a_seat_that_the_service_has_sold() {
    let files = ["010_schema.sql", "020_views.sql", "050_service.sql"];
    let server = &devstack::shared::stack().postgres15;
    let airline = Airline::create_with(server, &devstack::unique("serving"), &files);
    let today = Utc::now().date_naive();
    let options = SeedOptions { scale: 0.05, seed: 3, today, existing: Existing::Refuse };
    seed(&airline.database(), &options, |_| ()).await.unwrap();
    let database = airline.database();
    let user = (airline.server.user.clone(), airline.server.password.clone());
    let shop = Shop::start(airline, (&user.0, &user.1), |_| ()).await;
    let flights: Vec<i32> = shop
        .airline
        .client()
        .await
        .query(
            "SELECT flight_id FROM flights
             WHERE status IN ('Scheduled', 'On Time', 'Delayed') AND scheduled_departure > now() + interval '2 hours'
             ORDER BY scheduled_departure, flight_id
             LIMIT 12",
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let simulation = SimulateOptions {
        rate: 0.0,
        duration: None,
        transaction_max: Some(1_500),
        seed: 5,
        connections: NonZeroU16::new(3).unwrap(),
        time_factor: 600.0,
        now: None,
    };
    let tally = Arc::new(Tally::default());
    let running = tokio::spawn(async move {
        simulate(&database, &simulation, tally, CancellationToken::new()).await
    });
    let mut sold = 0;
    for round in 0..10 {
        for flight_id in &flights {
            let body = order(*flight_id, "Economy", &json!(null));
            let reply = shop.client.post("/api/v1/bookings", &body).await;
            match reply.status {
                201 => sold += 1,
                // The simulator has sold the last seat, cancelled the flight or let it go.
                409 => assert!(
                    ["sold-out", "flight-closed"].contains(&reply.problem().as_str()),
                    "{reply:?}"
                ),
                _ => panic!("round {round}: {reply:?}"),
            }
        }
    }
    running.await.unwrap().unwrap();
    assert!(sold > 20, "{sold} were sold");
    shop.airline.assert_sound().await;
    let robbed = "SELECT count(*)
         FROM service.seat_assignments AS sa
         JOIN ticket_flights AS tf ON tf.ticket_no = sa.ticket_no AND tf.flight_id = sa.flight_id
         JOIN boarding_passes AS bp ON bp.flight_id = sa.flight_id AND bp.seat_no = sa.seat_no
         WHERE bp.ticket_no <> sa.ticket_no";
    assert_eq!(shop.number(robbed).await, 0, "somebody sits on a seat that was sold");
    let moved = "SELECT count(*)
         FROM service.seat_assignments AS sa
         JOIN boarding_passes AS bp ON bp.ticket_no = sa.ticket_no AND bp.flight_id = sa.flight_id
         WHERE bp.seat_no <> sa.seat_no";
    assert_eq!(shop.number(moved).await, 0, "somebody was put on another seat");
}
