-- Rule: the link row that an effectivity satellite says holds exists. Ghost rows name none.
WITH orphans AS (
    SELECT
        'sat_flight_routes_effectivity' AS table_name,
        'link_flight_routes' AS link_name,
        e.hash_key,
        e.load_date,
        e.link_hash_key
    FROM dwh_detailed.sat_flight_routes_effectivity AS e
    WHERE e.record_source <> 'SYSTEM'
        AND NOT EXISTS (SELECT FROM dwh_detailed.link_flight_routes AS l WHERE l.hash_key = e.link_hash_key)
    UNION ALL
    SELECT
        'sat_booking_tickets_effectivity' AS table_name,
        'link_booking_tickets' AS link_name,
        e.hash_key,
        e.load_date,
        e.link_hash_key
    FROM dwh_detailed.sat_booking_tickets_effectivity AS e
    WHERE e.record_source <> 'SYSTEM'
        AND NOT EXISTS (SELECT FROM dwh_detailed.link_booking_tickets AS l WHERE l.hash_key = e.link_hash_key)
    UNION ALL
    SELECT
        'sat_ticket_passengers_effectivity' AS table_name,
        'link_ticket_passengers' AS link_name,
        e.hash_key,
        e.load_date,
        e.link_hash_key
    FROM dwh_detailed.sat_ticket_passengers_effectivity AS e
    WHERE e.record_source <> 'SYSTEM'
        AND NOT EXISTS (SELECT FROM dwh_detailed.link_ticket_passengers AS l WHERE l.hash_key = e.link_hash_key)
)
SELECT
    'link that holds exists' AS rule,
    table_name,
    format(
        'hash key %s, version of %s: link row %s is not in %s',
        encode(hash_key, 'hex'),
        load_date,
        coalesce(encode(link_hash_key, 'hex'), 'NULL'),
        link_name
    )                        AS detail
FROM orphans;
