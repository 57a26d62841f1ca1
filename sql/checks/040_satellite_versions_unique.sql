-- Rule: a key has at most one version for each load date, and every version has both.
WITH versions AS (
    SELECT 'sat_airports' AS table_name, hash_key, load_date
    FROM dwh_detailed.sat_airports
    UNION ALL
    SELECT 'sat_aircrafts' AS table_name, hash_key, load_date
    FROM dwh_detailed.sat_aircrafts
    UNION ALL
    SELECT 'sat_seats' AS table_name, hash_key, load_date
    FROM dwh_detailed.sat_seats
    UNION ALL
    SELECT 'sat_flight_schedules' AS table_name, hash_key, load_date
    FROM dwh_detailed.sat_flight_schedules
    UNION ALL
    SELECT 'sat_flight_operations' AS table_name, hash_key, load_date
    FROM dwh_detailed.sat_flight_operations
    UNION ALL
    SELECT 'sat_bookings' AS table_name, hash_key, load_date
    FROM dwh_detailed.sat_bookings
    UNION ALL
    SELECT 'sat_ticket_passengers' AS table_name, hash_key, load_date
    FROM dwh_detailed.sat_ticket_passengers
    UNION ALL
    SELECT 'sat_ticket_flights' AS table_name, hash_key, load_date
    FROM dwh_detailed.sat_ticket_flights
    UNION ALL
    SELECT 'sat_boarding_passes' AS table_name, hash_key, load_date
    FROM dwh_detailed.sat_boarding_passes
    UNION ALL
    SELECT 'sat_airports_status' AS table_name, hash_key, load_date
    FROM dwh_detailed.sat_airports_status
    UNION ALL
    SELECT 'sat_aircrafts_status' AS table_name, hash_key, load_date
    FROM dwh_detailed.sat_aircrafts_status
    UNION ALL
    SELECT 'sat_seats_status' AS table_name, hash_key, load_date
    FROM dwh_detailed.sat_seats_status
    UNION ALL
    SELECT 'sat_flights_status' AS table_name, hash_key, load_date
    FROM dwh_detailed.sat_flights_status
    UNION ALL
    SELECT 'sat_bookings_status' AS table_name, hash_key, load_date
    FROM dwh_detailed.sat_bookings_status
    UNION ALL
    SELECT 'sat_tickets_status' AS table_name, hash_key, load_date
    FROM dwh_detailed.sat_tickets_status
    UNION ALL
    SELECT 'sat_ticket_flights_status' AS table_name, hash_key, load_date
    FROM dwh_detailed.sat_ticket_flights_status
    UNION ALL
    SELECT 'sat_boarding_passes_status' AS table_name, hash_key, load_date
    FROM dwh_detailed.sat_boarding_passes_status
    UNION ALL
    SELECT 'sat_flight_routes_effectivity' AS table_name, hash_key, load_date
    FROM dwh_detailed.sat_flight_routes_effectivity
    UNION ALL
    SELECT 'sat_booking_tickets_effectivity' AS table_name, hash_key, load_date
    FROM dwh_detailed.sat_booking_tickets_effectivity
    UNION ALL
    SELECT 'sat_ticket_passengers_effectivity' AS table_name, hash_key, load_date
    FROM dwh_detailed.sat_ticket_passengers_effectivity
)
SELECT
    'version of a key is unique' AS rule,
    table_name,
    format(
        'hash key %s has %s versions with load date %s',
        coalesce(encode(hash_key, 'hex'), 'NULL'),
        count(*),
        coalesce(load_date::text, 'NULL')
    )                            AS detail
FROM versions
GROUP BY
    table_name,
    hash_key,
    load_date
HAVING count(*) > 1
    OR hash_key IS NULL
    OR load_date IS NULL;
