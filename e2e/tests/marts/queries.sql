-- More life on top of history.sql, for the analytical queries: passenger 7 booked twice, in two months, and changes planes in LED.
-- SU9 gets the seats of one row, six abreast but for one.
SELECT pg_temp.put('link_aircraft_seats', 'seat SU9 ' || seat, 10, jsonb_build_object('aircraft_hash_key', 'aircraft SU9', 'seat_no', seat)),
    pg_temp.born('sat_seats_status', 'seat SU9 ' || seat, 10),
    pg_temp.put('sat_seats', 'seat SU9 ' || seat, 10, jsonb_build_object('fare_conditions', cabin))
FROM (VALUES ('1A', 'Business'), ('1F', 'Business'), ('2A', 'Economy'), ('2C', 'Economy'), ('2D', 'Economy'), ('2E', 'Economy'), ('2F', 'Economy')) AS seats (seat, cabin)
WHERE seat <> '1A';
SELECT pg_temp.born('sat_seats_status', 'seat SU9 1A', 10), pg_temp.put('sat_seats', 'seat SU9 1A', 10, '{"fare_conditions": "Business"}');

SELECT pg_temp.put('hub_flights', 'flight 7', 10, '{"flight_id": 7}'), pg_temp.born('sat_flights_status', 'flight 7', 10);
SELECT pg_temp.put('link_flight_routes', 'route 7', 10, '{"flight_hash_key": "flight 7", "departure_airport_hash_key": "airport LED", "arrival_airport_hash_key": "airport UFA", "aircraft_hash_key": "aircraft SU9"}');
SELECT pg_temp.put('sat_flight_routes_effectivity', 'flight 7', 10, '{"link_hash_key": "route 7"}');
SELECT pg_temp.put('sat_flight_schedules', 'flight 7', 10, '{"flight_no": "PG0007", "scheduled_departure": "D-5 14:00:00+00", "scheduled_arrival": "D-5 17:00:00+00"}');
SELECT pg_temp.put('sat_flight_operations', 'flight 7', 10, '{"status": "Arrived", "actual_departure": "D-5 14:05:00+00", "actual_arrival": "D-5 16:58:00+00"}');

SELECT pg_temp.put('hub_bookings', 'booking ' || letter, 10, jsonb_build_object('book_ref', '00001' || letter)),
    pg_temp.born('sat_bookings_status', 'booking ' || letter, 10)
FROM unnest(ARRAY['H', 'I']) AS letter;
SELECT pg_temp.put('sat_bookings', 'booking H', 10, '{"book_date": "D-45 13:30:00+00", "total_amount": 350.00}');
SELECT pg_temp.put('sat_bookings', 'booking I', 10, '{"book_date": "D-10 13:45:00+00", "total_amount": 1200.00}');
SELECT pg_temp.put('hub_passengers', 'passenger 7', 10, '{"passenger_id": "4510 000007"}');
SELECT pg_temp.put('hub_tickets', 'ticket ' || number, 10, jsonb_build_object('ticket_no', '000000000000' || number)),
    pg_temp.born('sat_tickets_status', 'ticket ' || number, 10),
    pg_temp.put('link_booking_tickets', 'ticket ' || number || ' in ' || letter, 10, jsonb_build_object('ticket_hash_key', 'ticket ' || number, 'booking_hash_key', 'booking ' || letter)),
    pg_temp.put('link_ticket_passengers', 'ticket ' || number || ' of 7', 10, jsonb_build_object('ticket_hash_key', 'ticket ' || number, 'passenger_hash_key', 'passenger 7')),
    pg_temp.put('sat_booking_tickets_effectivity', 'ticket ' || number, 10, jsonb_build_object('link_hash_key', 'ticket ' || number || ' in ' || letter)),
    pg_temp.put('sat_ticket_passengers_effectivity', 'ticket ' || number, 10, jsonb_build_object('link_hash_key', 'ticket ' || number || ' of 7')),
    pg_temp.put('sat_ticket_passengers', 'ticket ' || number, 10, '{"passenger_name": "LEV SOKOLOV", "contact_data": null}')
FROM (VALUES (8, 'H'), (9, 'I')) AS ticket (number, letter);
SELECT pg_temp.put('link_ticket_flights', 'segment ' || ticket || ' ' || flight, 10, jsonb_build_object('ticket_hash_key', 'ticket ' || ticket, 'flight_hash_key', 'flight ' || flight)),
    pg_temp.born('sat_ticket_flights_status', 'segment ' || ticket || ' ' || flight, 10),
    pg_temp.put('sat_ticket_flights', 'segment ' || ticket || ' ' || flight, 10, jsonb_build_object('fare_conditions', cabin, 'amount', amount)),
    pg_temp.born('sat_boarding_passes_status', 'segment ' || ticket || ' ' || flight, 10),
    pg_temp.put('sat_boarding_passes', 'segment ' || ticket || ' ' || flight, 10, jsonb_build_object('boarding_no', 9, 'seat_no', '2C'))
FROM (VALUES (8, 6, 'Comfort', 350.00), (9, 1, 'Economy', 500.00), (9, 7, 'Economy', 700.00)) AS segment (ticket, flight, cabin, amount);
