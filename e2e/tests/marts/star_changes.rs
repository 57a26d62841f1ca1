//! Changes of the vault after the history, one after the other.
//!
//! In: nothing. Out: each change as the rows that the loader would write, and what a refresh has to make of it.
//! Invariant: the number of changed rows of the star is counted by hand, with the reason beside it.

/// A change as the loader writes it: what happens, the topics whose offsets move and to where, the rows, and how many
/// rows of the star change.
pub(super) struct Change {
    pub(super) name: &'static str,
    pub(super) topics: &'static [&'static str],
    pub(super) script: &'static str,
    pub(super) rows_changed: u32,
}

/// Moment and offset of the first change; each change has the one after. Those below are the history's.
pub(super) const FIRST_MOMENT: i64 = 100;

/// Each stands on those before.
pub(super) const CHANGES: [Change; 18] = [
    Change {
        name: "a new booking of a new passenger",
        topics: &["bookings", "tickets", "ticket_flights"],
        script: r#"SELECT pg_temp.put('hub_bookings', 'booking F', 100, '{"book_ref": "00000F"}');
                 SELECT pg_temp.born('sat_bookings_status', 'booking F', 100);
                 SELECT pg_temp.put('sat_bookings', 'booking F', 100, '{"book_date": "D-2 08:00:00+00", "total_amount": 70.00}');
                 SELECT pg_temp.put('hub_tickets', 'ticket 6', 100, '{"ticket_no": "0000000000006"}');
                 SELECT pg_temp.put('hub_passengers', 'passenger 6', 100, '{"passenger_id": "4510 000006"}');
                 SELECT pg_temp.born('sat_tickets_status', 'ticket 6', 100);
                 SELECT pg_temp.put('link_booking_tickets', 'ticket 6 in F', 100, '{"ticket_hash_key": "ticket 6", "booking_hash_key": "booking F"}');
                 SELECT pg_temp.put('link_ticket_passengers', 'ticket 6 of 6', 100, '{"ticket_hash_key": "ticket 6", "passenger_hash_key": "passenger 6"}');
                 SELECT pg_temp.put('sat_booking_tickets_effectivity', 'ticket 6', 100, '{"link_hash_key": "ticket 6 in F"}');
                 SELECT pg_temp.put('sat_ticket_passengers_effectivity', 'ticket 6', 100, '{"link_hash_key": "ticket 6 of 6"}');
                 SELECT pg_temp.put('sat_ticket_passengers', 'ticket 6', 100, '{"passenger_name": "NINA KIM", "contact_data": null}');
                 SELECT pg_temp.put('link_ticket_flights', 'segment 6 3', 100, '{"ticket_hash_key": "ticket 6", "flight_hash_key": "flight 3"}');
                 SELECT pg_temp.born('sat_ticket_flights_status', 'segment 6 3', 100);
                 SELECT pg_temp.put('sat_ticket_flights', 'segment 6 3', 100, '{"fare_conditions": "Economy", "amount": 70.00}');"#,
        // ticket, segment, customer, operations, and a new step of the cabin with the one before it
        rows_changed: 6,
    },
    Change {
        name: "a price that changed",
        topics: &["ticket_flights"],
        script: r#"SELECT pg_temp.put('sat_ticket_flights', 'segment 6 3', 101, '{"fare_conditions": "Economy", "amount": 99.50}');"#,
        rows_changed: 2,
    },
    Change {
        name: "a boarding pass",
        topics: &["boarding_passes"],
        script: r#"SELECT pg_temp.born('sat_boarding_passes_status', 'segment 6 3', 102);
                 SELECT pg_temp.put('sat_boarding_passes', 'segment 6 3', 102, '{"boarding_no": 1, "seat_no": "2B"}');"#,
        rows_changed: 2,
    },
    Change {
        name: "a flight that left late",
        topics: &["flights"],
        script: r#"SELECT pg_temp.put('sat_flight_operations', 'flight 5', 103, '{"status": "Departed", "actual_departure": "D-28 10:42:30+00", "actual_arrival": null}');"#,
        rows_changed: 2,
    },
    Change {
        name: "a flight that was rescheduled to another day",
        topics: &["flights"],
        script: r#"SELECT pg_temp.put('sat_flight_schedules', 'flight 3', 104, '{"flight_no": "PG0001", "scheduled_departure": "D-1 10:00:00+00", "scheduled_arrival": "D-1 12:00:00+00"}');"#,
        // flight, operations, and the last step of each of three cabins
        rows_changed: 5,
    },
    Change {
        name: "a flight that was cancelled",
        topics: &["flights"],
        script: r#"SELECT pg_temp.put('sat_flight_operations', 'flight 3', 105, '{"status": "Cancelled", "actual_departure": null, "actual_arrival": null}');"#,
        // flight, operations, and the customers of tickets 1 and 6
        rows_changed: 4,
    },
    Change {
        name: "a cancellation that was taken back",
        topics: &["flights"],
        script: r#"SELECT pg_temp.put('sat_flight_operations', 'flight 3', 106, '{"status": "On Time", "actual_departure": null, "actual_arrival": null}');"#,
        rows_changed: 4,
    },
    Change {
        name: "another aircraft",
        topics: &["flights"],
        script: r#"SELECT pg_temp.put('link_flight_routes', 'route 3 SU9', 107, '{"flight_hash_key": "flight 3", "departure_airport_hash_key": "airport SVO", "arrival_airport_hash_key": "airport LED", "aircraft_hash_key": "aircraft SU9"}');
                 SELECT pg_temp.put('sat_flight_routes_effectivity', 'flight 3', 107, '{"link_hash_key": "route 3 SU9"}');"#,
        // flight, operations; both cabins of the old aircraft are gone, Economy has no step before its first sale any
        // more
        rows_changed: 5,
    },
    Change {
        name: "a ticket that was given to another passenger",
        topics: &["tickets"],
        script: r#"SELECT pg_temp.put('link_ticket_passengers', 'ticket 1 of 6', 108, '{"ticket_hash_key": "ticket 1", "passenger_hash_key": "passenger 6"}');
                 SELECT pg_temp.put('sat_ticket_passengers_effectivity', 'ticket 1', 108, '{"link_hash_key": "ticket 1 of 6"}');"#,
        // the ticket, its two segments, and both customers
        rows_changed: 5,
    },
    Change {
        name: "a ticket that was moved to another booking",
        topics: &["tickets"],
        script: r#"SELECT pg_temp.put('link_booking_tickets', 'ticket 4 in B', 109, '{"ticket_hash_key": "ticket 4", "booking_hash_key": "booking B"}');
                 SELECT pg_temp.put('sat_booking_tickets_effectivity', 'ticket 4', 109, '{"link_hash_key": "ticket 4 in B"}');"#,
        // ticket, two segments, customer; both flights left before the new booking was made: their steps with the sale
        // go, the steps before the sale last longer
        rows_changed: 8,
    },
    Change {
        name: "a booking with another date",
        topics: &["bookings"],
        script: r#"SELECT pg_temp.put('sat_bookings', 'booking F', 110, '{"book_date": "D-3 08:00:00+00", "total_amount": 70.00}');"#,
        // ticket 6, its segment and customer; the step ends a day earlier and a new one replaces the second
        rows_changed: 6,
    },
    Change {
        name: "a segment that was given back",
        topics: &["ticket_flights", "boarding_passes"],
        script: r#"SELECT pg_temp.died('sat_boarding_passes_status', 'segment 6 3', 111);
                 SELECT pg_temp.died('sat_ticket_flights_status', 'segment 6 3', 111);"#,
        // segment, customer, operations; the second step goes, the first lasts longer
        rows_changed: 5,
    },
    Change {
        name: "a segment that came back as it was",
        topics: &["ticket_flights"],
        script: r#"SELECT pg_temp.born('sat_ticket_flights_status', 'segment 6 3', 112);"#,
        rows_changed: 5,
    },
    Change {
        name: "seats that an aircraft got",
        topics: &["seats"],
        script: r#"SELECT pg_temp.put('link_aircraft_seats', 'seat SU9 2A', 113, '{"aircraft_hash_key": "aircraft SU9", "seat_no": "2A"}');
                 SELECT pg_temp.born('sat_seats_status', 'seat SU9 2A', 113);
                 SELECT pg_temp.put('sat_seats', 'seat SU9 2A', 113, '{"fare_conditions": "Economy"}');"#,
        // the cabin; operations of flights 1 and 3; two steps of Economy each of flights 1 and 3; both flights are now
        // on sale in Economy from the day on which the vault knew them, and flight 1 in Business with them
        rows_changed: 10,
    },
    Change {
        name: "a segment whose ticket is still on its way",
        topics: &["ticket_flights"],
        script: r#"SELECT pg_temp.put('hub_tickets', 'ticket 7', 114, '{"ticket_no": "0000000000007"}');
                 SELECT pg_temp.put('link_ticket_flights', 'segment 7 2', 114, '{"ticket_hash_key": "ticket 7", "flight_hash_key": "flight 2"}');
                 SELECT pg_temp.born('sat_ticket_flights_status', 'segment 7 2', 114);
                 SELECT pg_temp.put('sat_ticket_flights', 'segment 7 2', 114, '{"fare_conditions": "Comfort", "amount": 10.00}');"#,
        // segment and operations: nobody knows yet when it was sold
        rows_changed: 2,
    },
    Change {
        name: "its ticket, whose booking is still on its way",
        topics: &["tickets"],
        script: r#"SELECT pg_temp.born('sat_tickets_status', 'ticket 7', 115);
                 SELECT pg_temp.put('hub_bookings', 'booking G', 115, '{"book_ref": "000010"}');
                 SELECT pg_temp.put('link_booking_tickets', 'ticket 7 in G', 115, '{"ticket_hash_key": "ticket 7", "booking_hash_key": "booking G"}');
                 SELECT pg_temp.put('link_ticket_passengers', 'ticket 7 of 6', 115, '{"ticket_hash_key": "ticket 7", "passenger_hash_key": "passenger 6"}');
                 SELECT pg_temp.put('sat_booking_tickets_effectivity', 'ticket 7', 115, '{"link_hash_key": "ticket 7 in G"}');
                 SELECT pg_temp.put('sat_ticket_passengers_effectivity', 'ticket 7', 115, '{"link_hash_key": "ticket 7 of 6"}');
                 SELECT pg_temp.put('sat_ticket_passengers', 'ticket 7', 115, '{"passenger_name": "NINA KIM", "contact_data": null}');"#,
        rows_changed: 3,
    },
    Change {
        name: "its booking",
        topics: &["bookings"],
        script: r#"SELECT pg_temp.born('sat_bookings_status', 'booking G', 116);
                 SELECT pg_temp.put('sat_bookings', 'booking G', 116, '{"book_date": "D-5 08:00:00+00", "total_amount": 10.00}');"#,
        // ticket and segment; the customer has earlier and later bookings; Comfort of flight 2 in two steps instead of
        // one
        rows_changed: 4,
    },
    Change {
        name: "a deleted ticket",
        topics: &["tickets", "ticket_flights"],
        script: r#"SELECT pg_temp.died('sat_ticket_flights_status', 'segment 7 2', 117);
                 SELECT pg_temp.died('sat_tickets_status', 'ticket 7', 117);"#,
        rows_changed: 6,
    },
];
