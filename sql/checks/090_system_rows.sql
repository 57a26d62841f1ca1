-- Rule: each hub and link has exactly its two zero rows, "unknown" (32 bytes 00) and "error" (32 bytes ff), each
-- satellite exactly its ghost row (00), all of 1900-01-01 and record source SYSTEM, and nothing else is from it.
WITH expected (table_name, unknown_rows, error_rows) AS (
    VALUES
        ('hub_airports', 1, 1),
        ('hub_aircrafts', 1, 1),
        ('hub_flights', 1, 1),
        ('hub_bookings', 1, 1),
        ('hub_tickets', 1, 1),
        ('hub_passengers', 1, 1),
        ('link_aircraft_seats', 1, 1),
        ('link_flight_routes', 1, 1),
        ('link_booking_tickets', 1, 1),
        ('link_ticket_passengers', 1, 1),
        ('link_ticket_flights', 1, 1),
        ('sat_airports', 1, 0),
        ('sat_aircrafts', 1, 0),
        ('sat_seats', 1, 0),
        ('sat_flight_schedules', 1, 0),
        ('sat_flight_operations', 1, 0),
        ('sat_bookings', 1, 0),
        ('sat_ticket_passengers', 1, 0),
        ('sat_ticket_flights', 1, 0),
        ('sat_boarding_passes', 1, 0),
        ('sat_airports_status', 1, 0),
        ('sat_aircrafts_status', 1, 0),
        ('sat_seats_status', 1, 0),
        ('sat_flights_status', 1, 0),
        ('sat_bookings_status', 1, 0),
        ('sat_tickets_status', 1, 0),
        ('sat_ticket_flights_status', 1, 0),
        ('sat_boarding_passes_status', 1, 0),
        ('sat_flight_routes_effectivity', 1, 0),
        ('sat_booking_tickets_effectivity', 1, 0),
        ('sat_ticket_passengers_effectivity', 1, 0)
),
system_rows AS (
    SELECT 'hub_airports' AS table_name, hash_key, load_date
    FROM dwh_detailed.hub_airports
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'hub_aircrafts' AS table_name, hash_key, load_date
    FROM dwh_detailed.hub_aircrafts
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'hub_flights' AS table_name, hash_key, load_date
    FROM dwh_detailed.hub_flights
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'hub_bookings' AS table_name, hash_key, load_date
    FROM dwh_detailed.hub_bookings
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'hub_tickets' AS table_name, hash_key, load_date
    FROM dwh_detailed.hub_tickets
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'hub_passengers' AS table_name, hash_key, load_date
    FROM dwh_detailed.hub_passengers
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'link_aircraft_seats' AS table_name, hash_key, load_date
    FROM dwh_detailed.link_aircraft_seats
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'link_flight_routes' AS table_name, hash_key, load_date
    FROM dwh_detailed.link_flight_routes
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'link_booking_tickets' AS table_name, hash_key, load_date
    FROM dwh_detailed.link_booking_tickets
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'link_ticket_passengers' AS table_name, hash_key, load_date
    FROM dwh_detailed.link_ticket_passengers
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'link_ticket_flights' AS table_name, hash_key, load_date
    FROM dwh_detailed.link_ticket_flights
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'sat_airports', hash_key, load_date
    FROM dwh_detailed.sat_airports
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'sat_aircrafts', hash_key, load_date
    FROM dwh_detailed.sat_aircrafts
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'sat_seats', hash_key, load_date
    FROM dwh_detailed.sat_seats
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'sat_flight_schedules', hash_key, load_date
    FROM dwh_detailed.sat_flight_schedules
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'sat_flight_operations', hash_key, load_date
    FROM dwh_detailed.sat_flight_operations
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'sat_bookings', hash_key, load_date
    FROM dwh_detailed.sat_bookings
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'sat_ticket_passengers', hash_key, load_date
    FROM dwh_detailed.sat_ticket_passengers
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'sat_ticket_flights', hash_key, load_date
    FROM dwh_detailed.sat_ticket_flights
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'sat_boarding_passes', hash_key, load_date
    FROM dwh_detailed.sat_boarding_passes
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'sat_airports_status', hash_key, load_date
    FROM dwh_detailed.sat_airports_status
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'sat_aircrafts_status', hash_key, load_date
    FROM dwh_detailed.sat_aircrafts_status
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'sat_seats_status', hash_key, load_date
    FROM dwh_detailed.sat_seats_status
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'sat_flights_status', hash_key, load_date
    FROM dwh_detailed.sat_flights_status
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'sat_bookings_status', hash_key, load_date
    FROM dwh_detailed.sat_bookings_status
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'sat_tickets_status', hash_key, load_date
    FROM dwh_detailed.sat_tickets_status
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'sat_ticket_flights_status', hash_key, load_date
    FROM dwh_detailed.sat_ticket_flights_status
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'sat_boarding_passes_status', hash_key, load_date
    FROM dwh_detailed.sat_boarding_passes_status
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'sat_flight_routes_effectivity', hash_key, load_date
    FROM dwh_detailed.sat_flight_routes_effectivity
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'sat_booking_tickets_effectivity', hash_key, load_date
    FROM dwh_detailed.sat_booking_tickets_effectivity
    WHERE record_source = 'SYSTEM'
    UNION ALL
    SELECT 'sat_ticket_passengers_effectivity', hash_key, load_date
    FROM dwh_detailed.sat_ticket_passengers_effectivity
    WHERE record_source = 'SYSTEM'
),
found AS (
    SELECT
        table_name,
        count(*) FILTER (WHERE hash_key = decode(repeat('00', 32), 'hex')) AS unknown_rows,
        count(*) FILTER (WHERE hash_key = decode(repeat('ff', 32), 'hex')) AS error_rows,
        count(*)                                                           AS all_rows,
        count(*) FILTER (
            WHERE load_date IS DISTINCT FROM '1900-01-01 00:00:00+00'
        )                                                                  AS misdated_rows
    FROM system_rows
    GROUP BY table_name
)
SELECT
    'system rows are there once' AS rule,
    expected.table_name,
    format(
        '%s unknown and %s error rows of %s system rows, %s misdated; wanted are %s and %s',
        coalesce(found.unknown_rows, 0),
        coalesce(found.error_rows, 0),
        coalesce(found.all_rows, 0),
        coalesce(found.misdated_rows, 0),
        expected.unknown_rows,
        expected.error_rows
    )                            AS detail
FROM expected
LEFT JOIN found ON found.table_name = expected.table_name
WHERE found.unknown_rows IS DISTINCT FROM expected.unknown_rows
    OR found.error_rows IS DISTINCT FROM expected.error_rows
    OR found.all_rows IS DISTINCT FROM expected.unknown_rows + expected.error_rows
    OR found.misdated_rows > 0;
