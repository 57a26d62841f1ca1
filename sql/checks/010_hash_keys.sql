-- Rule: the hash key of a hub or link is 32 bytes and stands in one row only.
WITH keyed_rows AS (
    SELECT 'hub_airports' AS table_name, hash_key
    FROM dwh_detailed.hub_airports
    UNION ALL
    SELECT 'hub_aircrafts' AS table_name, hash_key
    FROM dwh_detailed.hub_aircrafts
    UNION ALL
    SELECT 'hub_flights' AS table_name, hash_key
    FROM dwh_detailed.hub_flights
    UNION ALL
    SELECT 'hub_bookings' AS table_name, hash_key
    FROM dwh_detailed.hub_bookings
    UNION ALL
    SELECT 'hub_tickets' AS table_name, hash_key
    FROM dwh_detailed.hub_tickets
    UNION ALL
    SELECT 'hub_passengers' AS table_name, hash_key
    FROM dwh_detailed.hub_passengers
    UNION ALL
    SELECT 'link_aircraft_seats' AS table_name, hash_key
    FROM dwh_detailed.link_aircraft_seats
    UNION ALL
    SELECT 'link_flight_routes' AS table_name, hash_key
    FROM dwh_detailed.link_flight_routes
    UNION ALL
    SELECT 'link_booking_tickets' AS table_name, hash_key
    FROM dwh_detailed.link_booking_tickets
    UNION ALL
    SELECT 'link_ticket_passengers' AS table_name, hash_key
    FROM dwh_detailed.link_ticket_passengers
    UNION ALL
    SELECT 'link_ticket_flights' AS table_name, hash_key
    FROM dwh_detailed.link_ticket_flights
)
SELECT
    'hash key is unique and whole'                AS rule,
    table_name,
    format(
        'hash key %s of %s bytes in %s rows',
        coalesce(encode(hash_key, 'hex'), 'NULL'),
        coalesce(length(hash_key), 0),
        count(*)
    )                                             AS detail
FROM keyed_rows
GROUP BY
    table_name,
    hash_key
HAVING count(*) > 1
    OR length(hash_key) IS DISTINCT FROM 32;
