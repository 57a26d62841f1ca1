-- Rule: the link row that holds for a key is a row of that key: an effectivity satellite never points at another's
-- link.
WITH strangers AS (
    SELECT 'sat_flight_routes_effectivity' AS table_name, e.hash_key, e.load_date, l.flight_hash_key AS driving_hash_key
    FROM dwh_detailed.sat_flight_routes_effectivity AS e
    JOIN dwh_detailed.link_flight_routes AS l ON l.hash_key = e.link_hash_key
    WHERE l.flight_hash_key IS DISTINCT FROM e.hash_key
    UNION ALL
    SELECT
        'sat_booking_tickets_effectivity' AS table_name,
        e.hash_key,
        e.load_date,
        l.ticket_hash_key AS driving_hash_key
    FROM dwh_detailed.sat_booking_tickets_effectivity AS e
    JOIN dwh_detailed.link_booking_tickets AS l ON l.hash_key = e.link_hash_key
    WHERE l.ticket_hash_key IS DISTINCT FROM e.hash_key
    UNION ALL
    SELECT
        'sat_ticket_passengers_effectivity' AS table_name,
        e.hash_key,
        e.load_date,
        l.ticket_hash_key AS driving_hash_key
    FROM dwh_detailed.sat_ticket_passengers_effectivity AS e
    JOIN dwh_detailed.link_ticket_passengers AS l ON l.hash_key = e.link_hash_key
    WHERE l.ticket_hash_key IS DISTINCT FROM e.hash_key
)
SELECT
    'link that holds is of its key' AS rule,
    table_name,
    format(
        'hash key %s, version of %s: the link row belongs to %s',
        encode(hash_key, 'hex'),
        load_date,
        coalesce(encode(driving_hash_key, 'hex'), 'NULL')
    )                               AS detail
FROM strangers;
