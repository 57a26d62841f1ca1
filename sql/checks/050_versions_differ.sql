-- Rule: a version differs from the one before it; what did not change makes no version. By the hashdiff everywhere, in
-- status satellites by the status itself too, in effectivity satellites by the link row too. One exception: an insert over
-- a key that exists makes a status version, for it proves an end that was still on its way (a truncate), and so does the
-- read of a later snapshot, which may stand behind such an end.
WITH versions AS (
    SELECT 'sat_airports' AS table_name, hash_key, load_date, hashdiff, NULL AS content, false AS is_reopening
    FROM dwh_detailed.sat_airports
    UNION ALL
    SELECT 'sat_aircrafts' AS table_name, hash_key, load_date, hashdiff, NULL AS content, false AS is_reopening
    FROM dwh_detailed.sat_aircrafts
    UNION ALL
    SELECT 'sat_seats' AS table_name, hash_key, load_date, hashdiff, NULL AS content, false AS is_reopening
    FROM dwh_detailed.sat_seats
    UNION ALL
    SELECT 'sat_flight_schedules' AS table_name, hash_key, load_date, hashdiff, NULL AS content, false AS is_reopening
    FROM dwh_detailed.sat_flight_schedules
    UNION ALL
    SELECT 'sat_flight_operations' AS table_name, hash_key, load_date, hashdiff, NULL AS content, false AS is_reopening
    FROM dwh_detailed.sat_flight_operations
    UNION ALL
    SELECT 'sat_bookings' AS table_name, hash_key, load_date, hashdiff, NULL AS content, false AS is_reopening
    FROM dwh_detailed.sat_bookings
    UNION ALL
    SELECT 'sat_ticket_passengers' AS table_name, hash_key, load_date, hashdiff, NULL AS content, false AS is_reopening
    FROM dwh_detailed.sat_ticket_passengers
    UNION ALL
    SELECT 'sat_ticket_flights' AS table_name, hash_key, load_date, hashdiff, NULL AS content, false AS is_reopening
    FROM dwh_detailed.sat_ticket_flights
    UNION ALL
    SELECT 'sat_boarding_passes' AS table_name, hash_key, load_date, hashdiff, NULL AS content, false AS is_reopening
    FROM dwh_detailed.sat_boarding_passes
    UNION ALL
    SELECT 'sat_airports_status', hash_key, load_date, hashdiff, is_deleted::text, op IN ('c', 'r') AND NOT is_deleted
    FROM dwh_detailed.sat_airports_status
    UNION ALL
    SELECT 'sat_aircrafts_status', hash_key, load_date, hashdiff, is_deleted::text, op IN ('c', 'r') AND NOT is_deleted
    FROM dwh_detailed.sat_aircrafts_status
    UNION ALL
    SELECT 'sat_seats_status', hash_key, load_date, hashdiff, is_deleted::text, op IN ('c', 'r') AND NOT is_deleted
    FROM dwh_detailed.sat_seats_status
    UNION ALL
    SELECT 'sat_flights_status', hash_key, load_date, hashdiff, is_deleted::text, op IN ('c', 'r') AND NOT is_deleted
    FROM dwh_detailed.sat_flights_status
    UNION ALL
    SELECT 'sat_bookings_status', hash_key, load_date, hashdiff, is_deleted::text, op IN ('c', 'r') AND NOT is_deleted
    FROM dwh_detailed.sat_bookings_status
    UNION ALL
    SELECT 'sat_tickets_status', hash_key, load_date, hashdiff, is_deleted::text, op IN ('c', 'r') AND NOT is_deleted
    FROM dwh_detailed.sat_tickets_status
    UNION ALL
    SELECT 'sat_ticket_flights_status', hash_key, load_date, hashdiff, is_deleted::text, op IN ('c', 'r') AND NOT is_deleted
    FROM dwh_detailed.sat_ticket_flights_status
    UNION ALL
    SELECT 'sat_boarding_passes_status', hash_key, load_date, hashdiff, is_deleted::text, op IN ('c', 'r') AND NOT is_deleted
    FROM dwh_detailed.sat_boarding_passes_status
    UNION ALL
    SELECT 'sat_flight_routes_effectivity', hash_key, load_date, hashdiff, encode(link_hash_key, 'hex'), false
    FROM dwh_detailed.sat_flight_routes_effectivity
    UNION ALL
    SELECT 'sat_booking_tickets_effectivity', hash_key, load_date, hashdiff, encode(link_hash_key, 'hex'), false
    FROM dwh_detailed.sat_booking_tickets_effectivity
    UNION ALL
    SELECT 'sat_ticket_passengers_effectivity', hash_key, load_date, hashdiff, encode(link_hash_key, 'hex'), false
    FROM dwh_detailed.sat_ticket_passengers_effectivity
),
with_previous AS (
    SELECT
        *,
        row_number() OVER in_order  AS version_no,
        lag(hashdiff) OVER in_order AS previous_hashdiff,
        lag(content) OVER in_order  AS previous_content
    FROM versions
    WINDOW in_order AS (PARTITION BY table_name, hash_key ORDER BY load_date)
)
SELECT
    'version differs from the one before' AS rule,
    table_name,
    format(
        'hash key %s: version %s of %s repeats the one before',
        encode(hash_key, 'hex'),
        version_no,
        load_date
    )                                     AS detail
FROM with_previous
WHERE version_no > 1
    AND is_reopening IS NOT TRUE
    AND (
        hashdiff IS NOT DISTINCT FROM previous_hashdiff
        OR content = previous_content
    );
