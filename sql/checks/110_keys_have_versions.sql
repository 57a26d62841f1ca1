-- Rule: a key that ever existed has a version in every satellite of its table, so no current view shows NULLs in its
-- place.
WITH bare_keys AS (
    SELECT 'sat_airports' AS table_name, live.hash_key
    FROM dwh_detailed.sat_airports_status AS live
    WHERE live.is_deleted IS FALSE
        AND NOT EXISTS (SELECT FROM dwh_detailed.sat_airports AS s WHERE s.hash_key = live.hash_key)
    UNION ALL
    SELECT 'sat_aircrafts' AS table_name, live.hash_key
    FROM dwh_detailed.sat_aircrafts_status AS live
    WHERE live.is_deleted IS FALSE
        AND NOT EXISTS (SELECT FROM dwh_detailed.sat_aircrafts AS s WHERE s.hash_key = live.hash_key)
    UNION ALL
    SELECT 'sat_seats' AS table_name, live.hash_key
    FROM dwh_detailed.sat_seats_status AS live
    WHERE live.is_deleted IS FALSE
        AND NOT EXISTS (SELECT FROM dwh_detailed.sat_seats AS s WHERE s.hash_key = live.hash_key)
    UNION ALL
    SELECT 'sat_flight_schedules' AS table_name, live.hash_key
    FROM dwh_detailed.sat_flights_status AS live
    WHERE live.is_deleted IS FALSE
        AND NOT EXISTS (SELECT FROM dwh_detailed.sat_flight_schedules AS s WHERE s.hash_key = live.hash_key)
    UNION ALL
    SELECT 'sat_flight_operations' AS table_name, live.hash_key
    FROM dwh_detailed.sat_flights_status AS live
    WHERE live.is_deleted IS FALSE
        AND NOT EXISTS (SELECT FROM dwh_detailed.sat_flight_operations AS s WHERE s.hash_key = live.hash_key)
    UNION ALL
    SELECT 'sat_bookings' AS table_name, live.hash_key
    FROM dwh_detailed.sat_bookings_status AS live
    WHERE live.is_deleted IS FALSE
        AND NOT EXISTS (SELECT FROM dwh_detailed.sat_bookings AS s WHERE s.hash_key = live.hash_key)
    UNION ALL
    SELECT 'sat_ticket_passengers' AS table_name, live.hash_key
    FROM dwh_detailed.sat_tickets_status AS live
    WHERE live.is_deleted IS FALSE
        AND NOT EXISTS (SELECT FROM dwh_detailed.sat_ticket_passengers AS s WHERE s.hash_key = live.hash_key)
    UNION ALL
    SELECT 'sat_ticket_flights' AS table_name, live.hash_key
    FROM dwh_detailed.sat_ticket_flights_status AS live
    WHERE live.is_deleted IS FALSE
        AND NOT EXISTS (SELECT FROM dwh_detailed.sat_ticket_flights AS s WHERE s.hash_key = live.hash_key)
    UNION ALL
    SELECT 'sat_boarding_passes' AS table_name, live.hash_key
    FROM dwh_detailed.sat_boarding_passes_status AS live
    WHERE live.is_deleted IS FALSE
        AND NOT EXISTS (SELECT FROM dwh_detailed.sat_boarding_passes AS s WHERE s.hash_key = live.hash_key)
    UNION ALL
    SELECT 'sat_flight_routes_effectivity' AS table_name, live.hash_key
    FROM dwh_detailed.sat_flights_status AS live
    WHERE live.is_deleted IS FALSE
        AND NOT EXISTS (SELECT FROM dwh_detailed.sat_flight_routes_effectivity AS s WHERE s.hash_key = live.hash_key)
    UNION ALL
    SELECT 'sat_booking_tickets_effectivity' AS table_name, live.hash_key
    FROM dwh_detailed.sat_tickets_status AS live
    WHERE live.is_deleted IS FALSE
        AND NOT EXISTS (SELECT FROM dwh_detailed.sat_booking_tickets_effectivity AS s WHERE s.hash_key = live.hash_key)
    UNION ALL
    SELECT 'sat_ticket_passengers_effectivity' AS table_name, live.hash_key
    FROM dwh_detailed.sat_tickets_status AS live
    WHERE live.is_deleted IS FALSE
        AND NOT EXISTS (SELECT FROM dwh_detailed.sat_ticket_passengers_effectivity AS s WHERE s.hash_key = live.hash_key)
)
SELECT DISTINCT
    'key has a version' AS rule,
    table_name,
    format(
        'hash key %s exists by its status, but has no version here',
        encode(hash_key, 'hex')
    )                   AS detail
FROM bare_keys;
