-- A small airline's history, put into the vault by hand: several versions, deletes, a swapped aircraft, re-created keys. put.sql says
-- how a row is written. What the topics held so far are the offsets below 100.
INSERT INTO dwh_control.offsets (topic, partition, next_offset, source_committed)
SELECT 'airline.public.' || source_table, 0, 100, '2020-01-01 00:01:40+00'
FROM unnest(ARRAY['airports', 'aircrafts', 'seats', 'flights', 'bookings', 'tickets', 'ticket_flights', 'boarding_passes'])
    AS source_table;

-- Airports: SVO was renamed, AER is gone, KZN went, came back as it was and
-- was inserted again (after a truncate that is still on its way), OVB is known from a flight only,
-- nothing flies to UFA, of ZZZ nothing but its end was seen.
SELECT pg_temp.put('hub_airports', 'airport ' || code, 1, jsonb_build_object('airport_code', code))
FROM unnest(ARRAY['SVO', 'LED', 'AER', 'KZN', 'OVB', 'UFA', 'ZZZ']) AS code;
SELECT pg_temp.born('sat_airports_status', 'airport ' || code, 1)
FROM unnest(ARRAY['SVO', 'LED', 'AER', 'KZN', 'UFA']) AS code;
SELECT pg_temp.put('sat_airports', 'airport SVO', 1, '{"airport_name": "Sheremetievo", "city": "Moscow", "longitude": 37.41, "latitude": 55.97, "timezone": "Europe/Moscow"}');
SELECT pg_temp.put('sat_airports', 'airport SVO', 2, '{"airport_name": "Sheremetyevo", "city": "Moscow", "longitude": 37.41, "latitude": 55.97, "timezone": "Europe/Moscow"}');
SELECT pg_temp.put('sat_airports', 'airport LED', 1, '{"airport_name": "Pulkovo", "city": "Saint Petersburg", "longitude": 30.26, "latitude": 59.8, "timezone": "Europe/Moscow"}');
SELECT pg_temp.put('sat_airports', 'airport AER', 1, '{"airport_name": "Sochi", "city": "Sochi", "longitude": 39.95, "latitude": 43.44, "timezone": "Europe/Moscow"}');
SELECT pg_temp.put('sat_airports', 'airport KZN', 1, '{"airport_name": "Kazan", "city": "Kazan", "longitude": 49.28, "latitude": 55.6, "timezone": "Europe/Moscow"}');
SELECT pg_temp.put('sat_airports', 'airport UFA', 1, '{"airport_name": "Ufa", "city": "Ufa", "longitude": 55.87, "latitude": 54.56, "timezone": "Asia/Yekaterinburg"}');
SELECT pg_temp.died('sat_airports_status', 'airport AER', 3);
SELECT pg_temp.died('sat_airports_status', 'airport ZZZ', 3);
SELECT pg_temp.died('sat_airports_status', 'airport KZN', 3);
SELECT pg_temp.born('sat_airports_status', 'airport KZN', moment)
FROM generate_series(4, 5) AS moment;

-- Aircraft models and their seats: 773's seat 2B changed its cabin, SU9 lost its only seat.
SELECT pg_temp.put('hub_aircrafts', 'aircraft ' || code, 1, jsonb_build_object('aircraft_code', code)),
    pg_temp.born('sat_aircrafts_status', 'aircraft ' || code, 1)
FROM unnest(ARRAY['773', 'SU9']) AS code;
SELECT pg_temp.put('sat_aircrafts', 'aircraft 773', 1, '{"model": "Boeing 777-300", "range": 11100}');
SELECT pg_temp.put('sat_aircrafts', 'aircraft SU9', 1, '{"model": "Sukhoi Superjet-100", "range": 3000}');
SELECT pg_temp.put('link_aircraft_seats', 'seat 773 1A', 1, '{"aircraft_hash_key": "aircraft 773", "seat_no": "1A"}');
SELECT pg_temp.put('link_aircraft_seats', 'seat 773 2B', 1, '{"aircraft_hash_key": "aircraft 773", "seat_no": "2B"}');
SELECT pg_temp.put('link_aircraft_seats', 'seat SU9 1A', 1, '{"aircraft_hash_key": "aircraft SU9", "seat_no": "1A"}');
SELECT pg_temp.born('sat_seats_status', 'seat ' || seat, 1)
FROM unnest(ARRAY['773 1A', '773 2B', 'SU9 1A']) AS seat;
SELECT pg_temp.put('sat_seats', 'seat 773 1A', 1, '{"fare_conditions": "Business"}');
SELECT pg_temp.put('sat_seats', 'seat 773 2B', 1, '{"fare_conditions": "Economy"}');
SELECT pg_temp.put('sat_seats', 'seat 773 2B', 2, '{"fare_conditions": "Comfort"}');
SELECT pg_temp.put('sat_seats', 'seat SU9 1A', 1, '{"fare_conditions": "Economy"}');
SELECT pg_temp.died('sat_seats_status', 'seat SU9 1A', 2);

-- Flights: 1 swapped its aircraft and arrived, 2 was cancelled, 3 is to come, 4 is gone, 5 went and came back with another route,
-- 6 flew before the window of thirty days.
SELECT pg_temp.put('hub_flights', 'flight ' || id, 1, jsonb_build_object('flight_id', id)),
    pg_temp.born('sat_flights_status', 'flight ' || id, 1)
FROM generate_series(1, 6) AS id;
SELECT pg_temp.put('link_flight_routes', 'route 1 773', 1, '{"flight_hash_key": "flight 1", "departure_airport_hash_key": "airport SVO", "arrival_airport_hash_key": "airport LED", "aircraft_hash_key": "aircraft 773"}');
SELECT pg_temp.put('link_flight_routes', 'route 1 SU9', 2, '{"flight_hash_key": "flight 1", "departure_airport_hash_key": "airport SVO", "arrival_airport_hash_key": "airport LED", "aircraft_hash_key": "aircraft SU9"}');
SELECT pg_temp.put('link_flight_routes', 'route 2', 1, '{"flight_hash_key": "flight 2", "departure_airport_hash_key": "airport LED", "arrival_airport_hash_key": "airport SVO", "aircraft_hash_key": "aircraft 773"}');
SELECT pg_temp.put('link_flight_routes', 'route 3', 1, '{"flight_hash_key": "flight 3", "departure_airport_hash_key": "airport SVO", "arrival_airport_hash_key": "airport LED", "aircraft_hash_key": "aircraft 773"}');
SELECT pg_temp.put('link_flight_routes', 'route 4', 1, '{"flight_hash_key": "flight 4", "departure_airport_hash_key": "airport SVO", "arrival_airport_hash_key": "airport OVB", "aircraft_hash_key": "aircraft 773"}');
SELECT pg_temp.put('link_flight_routes', 'route 5 SVO', 1, '{"flight_hash_key": "flight 5", "departure_airport_hash_key": "airport SVO", "arrival_airport_hash_key": "airport AER", "aircraft_hash_key": "aircraft 773"}');
SELECT pg_temp.put('link_flight_routes', 'route 5 LED', 4, '{"flight_hash_key": "flight 5", "departure_airport_hash_key": "airport LED", "arrival_airport_hash_key": "airport SVO", "aircraft_hash_key": "aircraft 773"}');
SELECT pg_temp.put('link_flight_routes', 'route 6', 1, '{"flight_hash_key": "flight 6", "departure_airport_hash_key": "airport SVO", "arrival_airport_hash_key": "airport KZN", "aircraft_hash_key": "aircraft 773"}');
SELECT pg_temp.put('sat_flight_routes_effectivity', 'flight 1', 1, '{"link_hash_key": "route 1 773"}');
SELECT pg_temp.put('sat_flight_routes_effectivity', 'flight 1', 2, '{"link_hash_key": "route 1 SU9"}');
SELECT pg_temp.put('sat_flight_routes_effectivity', 'flight 1', 3, '{"link_hash_key": "route 1 773"}');
SELECT pg_temp.put('sat_flight_routes_effectivity', 'flight 1', 4, '{"link_hash_key": "route 1 SU9"}');
SELECT pg_temp.put('sat_flight_routes_effectivity', 'flight ' || id, 1, jsonb_build_object('link_hash_key', 'route ' || id))
FROM unnest(ARRAY[2, 3, 4, 6]) AS id;
SELECT pg_temp.put('sat_flight_routes_effectivity', 'flight 5', 1, '{"link_hash_key": "route 5 SVO"}');
SELECT pg_temp.put('sat_flight_routes_effectivity', 'flight 5', 4, '{"link_hash_key": "route 5 LED"}');
SELECT pg_temp.put('sat_flight_schedules', 'flight 1', 1, '{"flight_no": "PG0001", "scheduled_departure": "D-5 10:00:00+00", "scheduled_arrival": "D-5 12:00:00+00"}');
SELECT pg_temp.put('sat_flight_schedules', 'flight 2', 1, '{"flight_no": "PG0002", "scheduled_departure": "D-4 10:00:00+00", "scheduled_arrival": "D-4 12:00:00+00"}');
SELECT pg_temp.put('sat_flight_schedules', 'flight 3', 1, '{"flight_no": "PG0001", "scheduled_departure": "D+3 10:00:00+00", "scheduled_arrival": "D+3 12:00:00+00"}');
SELECT pg_temp.put('sat_flight_schedules', 'flight 4', 1, '{"flight_no": "PG0004", "scheduled_departure": "D-7 10:00:00+00", "scheduled_arrival": "D-7 14:00:00+00"}');
SELECT pg_temp.put('sat_flight_schedules', 'flight 5', 1, '{"flight_no": "PG0005", "scheduled_departure": "D-28 10:00:00+00", "scheduled_arrival": "D-28 12:00:00+00"}');
SELECT pg_temp.put('sat_flight_schedules', 'flight 6', 1, '{"flight_no": "PG0001", "scheduled_departure": "D-40 10:00:00+00", "scheduled_arrival": "D-40 12:00:00+00"}');
SELECT pg_temp.put('sat_flight_operations', 'flight ' || id, 1, '{"status": "Scheduled", "actual_departure": null, "actual_arrival": null}')
FROM generate_series(1, 6) AS id;
SELECT pg_temp.put('sat_flight_operations', 'flight 1', 2, '{"status": "Departed", "actual_departure": "D-5 23:30:00+00", "actual_arrival": null}');
SELECT pg_temp.put('sat_flight_operations', 'flight 1', 3, '{"status": "Arrived", "actual_departure": "D-5 23:30:00+00", "actual_arrival": "D-4 01:30:00+00"}');
SELECT pg_temp.put('sat_flight_operations', 'flight 2', 2, '{"status": "Delayed", "actual_departure": null, "actual_arrival": null}');
SELECT pg_temp.put('sat_flight_operations', 'flight 2', 3, '{"status": "Cancelled", "actual_departure": null, "actual_arrival": null}');
SELECT pg_temp.put('sat_flight_operations', 'flight 6', 2, '{"status": "Cancelled", "actual_departure": null, "actual_arrival": null}');
SELECT pg_temp.put('sat_flight_operations', 'flight 6', 3, '{"status": "Arrived", "actual_departure": "D-40 10:00:00+00", "actual_arrival": "D-40 12:00:00+00"}');
SELECT pg_temp.died('sat_flights_status', 'flight 4', 5);
SELECT pg_temp.died('sat_flights_status', 'flight 5', 3);
SELECT pg_temp.born('sat_flights_status', 'flight 5', 4);

-- Bookings: A changed its amount, B shares a passenger with it, C is older than the window, E is gone.
SELECT pg_temp.put('hub_bookings', 'booking ' || letter, 1, jsonb_build_object('book_ref', '00000' || letter)),
    pg_temp.born('sat_bookings_status', 'booking ' || letter, 1)
FROM unnest(ARRAY['A', 'B', 'C', 'E']) AS letter;
SELECT pg_temp.put('sat_bookings', 'booking A', 1, '{"book_date": "D-6 09:00:00+00", "total_amount": 100.00}');
SELECT pg_temp.put('sat_bookings', 'booking A', 2, '{"book_date": "D-6 09:00:00+00", "total_amount": 900.50}');
SELECT pg_temp.put('sat_bookings', 'booking B', 1, '{"book_date": "D-5 23:59:59+00", "total_amount": 300.25}');
SELECT pg_temp.put('sat_bookings', 'booking C', 1, '{"book_date": "D-40 09:00:00+00", "total_amount": 1000.00}');
SELECT pg_temp.put('sat_bookings', 'booking E', 1, '{"book_date": "D-6 09:00:00+00", "total_amount": 777.00}');
SELECT pg_temp.died('sat_bookings_status', 'booking E', 2);

-- Tickets: 1 and 2 are of booking A, 2 changed hands, 3 moved from C to B, 4 is of C, 5 went with booking E.
SELECT pg_temp.put('hub_tickets', 'ticket ' || number, 1, jsonb_build_object('ticket_no', '000000000000' || number)),
    pg_temp.born('sat_tickets_status', 'ticket ' || number, 1)
FROM generate_series(1, 5) AS number;
SELECT pg_temp.put('hub_passengers', 'passenger ' || number, 1, jsonb_build_object('passenger_id', '4510 00000' || number))
FROM generate_series(1, 5) AS number;
SELECT pg_temp.put('link_booking_tickets', 'ticket ' || number || ' in ' || letter, 1, jsonb_build_object('ticket_hash_key', 'ticket ' || number, 'booking_hash_key', 'booking ' || letter))
FROM (VALUES (1, 'A'), (2, 'A'), (3, 'C'), (3, 'B'), (4, 'C'), (5, 'E')) AS ticket (number, letter);
SELECT pg_temp.put('link_ticket_passengers', 'ticket ' || number || ' of ' || passenger, 1, jsonb_build_object('ticket_hash_key', 'ticket ' || number, 'passenger_hash_key', 'passenger ' || passenger))
FROM (VALUES (1, 1), (2, 4), (2, 2), (3, 1), (4, 3), (5, 5)) AS ticket (number, passenger);
SELECT pg_temp.put('sat_booking_tickets_effectivity', 'ticket ' || number, moment, jsonb_build_object('link_hash_key', 'ticket ' || number || ' in ' || letter))
FROM (VALUES (1, 1, 'A'), (2, 1, 'A'), (3, 1, 'C'), (3, 2, 'B'), (4, 1, 'C'), (5, 1, 'E')) AS ticket (number, moment, letter);
SELECT pg_temp.put('sat_ticket_passengers_effectivity', 'ticket ' || number, moment, jsonb_build_object('link_hash_key', 'ticket ' || number || ' of ' || passenger))
FROM (VALUES (1, 1, 1), (2, 1, 4), (2, 2, 2), (3, 1, 1), (4, 1, 3), (5, 1, 5)) AS ticket (number, moment, passenger);
SELECT pg_temp.put('sat_ticket_passengers', 'ticket 1', 1, '{"passenger_name": "ANNA SERGEEVA", "contact_data": {"phone": "+70000000001"}}');
SELECT pg_temp.put('sat_ticket_passengers', 'ticket 2', 1, '{"passenger_name": "OLEG PETROV", "contact_data": {"phone": "+70000000004"}}');
SELECT pg_temp.put('sat_ticket_passengers', 'ticket 2', 2, '{"passenger_name": "IVAN ORLOV", "contact_data": null}');
SELECT pg_temp.put('sat_ticket_passengers', 'ticket 3', 3, '{"passenger_name": "ANNA ORLOVA", "contact_data": {"phone": "+70000000002"}}');
SELECT pg_temp.put('sat_ticket_passengers', 'ticket 4', 1, '{"passenger_name": "PETR IVANOV", "contact_data": null}');
SELECT pg_temp.put('sat_ticket_passengers', 'ticket 5', 1, '{"passenger_name": "OLGA PETROVA", "contact_data": null}');
SELECT pg_temp.died('sat_tickets_status', 'ticket 5', 2);

-- Segments: ticket 1's price rose, ticket 2's segment on flight 1 was refunded and sold again, on flight 3 refunded, ticket 4 has one
-- on a flight that is back, ticket 5's ended by a truncate. Passes: ticket 1 changed its seat, ticket 3's was taken back, the segment stays.
SELECT pg_temp.put('link_ticket_flights', 'segment ' || ticket || ' ' || flight, 1, jsonb_build_object('ticket_hash_key', 'ticket ' || ticket, 'flight_hash_key', 'flight ' || flight)),
    pg_temp.born('sat_ticket_flights_status', 'segment ' || ticket || ' ' || flight, 1),
    pg_temp.put('sat_ticket_flights', 'segment ' || ticket || ' ' || flight, 1, jsonb_build_object('fare_conditions', 'Economy', 'amount', amount))
FROM (VALUES (1, 1, 100.00), (1, 3, 200.50), (2, 1, 300.00), (2, 2, 150.00), (2, 3, 90.00), (3, 1, 300.25), (4, 5, 600.00), (4, 6, 400.00), (5, 4, 777.00)) AS segment (ticket, flight, amount);
SELECT pg_temp.put('sat_ticket_flights', 'segment 1 1', 2, '{"fare_conditions": "Business", "amount": 250.00}');
SELECT pg_temp.died('sat_ticket_flights_status', 'segment 2 1', 2);
SELECT pg_temp.born('sat_ticket_flights_status', 'segment 2 1', 3);
SELECT pg_temp.died('sat_ticket_flights_status', 'segment 2 3', 2);
SELECT pg_temp.put('sat_ticket_flights_status', 'segment 5 4', 2, '{"op": "t", "is_deleted": true, "kafka_offset": 1}');
SELECT pg_temp.born('sat_boarding_passes_status', 'segment ' || ticket || ' 1', 1),
    pg_temp.put('sat_boarding_passes', 'segment ' || ticket || ' 1', 1, jsonb_build_object('boarding_no', ticket, 'seat_no', ticket || 'A'))
FROM unnest(ARRAY[1, 3]) AS ticket;
SELECT pg_temp.put('sat_boarding_passes', 'segment 1 1', 2, '{"boarding_no": 1, "seat_no": "7C"}');
SELECT pg_temp.died('sat_boarding_passes_status', 'segment 3 1', 2);
