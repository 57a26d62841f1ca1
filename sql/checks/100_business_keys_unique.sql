-- Rule: one business key, one hash key. In a hub: no two rows with the same business key (per source system where the
-- key is scoped by it); in a link: no two rows that connect the same hubs with the same dependent key.
WITH doubles AS (
    SELECT 'hub_airports' AS table_name, count(*) AS row_count, min(encode(hash_key, 'hex')) AS one_hash_key
    FROM dwh_detailed.hub_airports
    WHERE record_source <> 'SYSTEM'
    GROUP BY airport_code
    HAVING count(*) > 1
    UNION ALL
    SELECT 'hub_aircrafts' AS table_name, count(*) AS row_count, min(encode(hash_key, 'hex')) AS one_hash_key
    FROM dwh_detailed.hub_aircrafts
    WHERE record_source <> 'SYSTEM'
    GROUP BY aircraft_code
    HAVING count(*) > 1
    UNION ALL
    SELECT 'hub_flights' AS table_name, count(*) AS row_count, min(encode(hash_key, 'hex')) AS one_hash_key
    FROM dwh_detailed.hub_flights
    WHERE record_source <> 'SYSTEM'
    GROUP BY source_system_id, flight_id
    HAVING count(*) > 1
    UNION ALL
    SELECT 'hub_bookings' AS table_name, count(*) AS row_count, min(encode(hash_key, 'hex')) AS one_hash_key
    FROM dwh_detailed.hub_bookings
    WHERE record_source <> 'SYSTEM'
    GROUP BY book_ref
    HAVING count(*) > 1
    UNION ALL
    SELECT 'hub_tickets' AS table_name, count(*) AS row_count, min(encode(hash_key, 'hex')) AS one_hash_key
    FROM dwh_detailed.hub_tickets
    WHERE record_source <> 'SYSTEM'
    GROUP BY ticket_no
    HAVING count(*) > 1
    UNION ALL
    SELECT 'hub_passengers' AS table_name, count(*) AS row_count, min(encode(hash_key, 'hex')) AS one_hash_key
    FROM dwh_detailed.hub_passengers
    WHERE record_source <> 'SYSTEM'
    GROUP BY passenger_id
    HAVING count(*) > 1
    UNION ALL
    SELECT 'link_aircraft_seats', count(*), min(encode(hash_key, 'hex'))
    FROM dwh_detailed.link_aircraft_seats
    WHERE record_source <> 'SYSTEM'
    GROUP BY aircraft_hash_key, seat_no
    HAVING count(*) > 1
    UNION ALL
    SELECT 'link_flight_routes', count(*), min(encode(hash_key, 'hex'))
    FROM dwh_detailed.link_flight_routes
    WHERE record_source <> 'SYSTEM'
    GROUP BY flight_hash_key, departure_airport_hash_key, arrival_airport_hash_key, aircraft_hash_key
    HAVING count(*) > 1
    UNION ALL
    SELECT 'link_booking_tickets', count(*), min(encode(hash_key, 'hex'))
    FROM dwh_detailed.link_booking_tickets
    WHERE record_source <> 'SYSTEM'
    GROUP BY ticket_hash_key, booking_hash_key
    HAVING count(*) > 1
    UNION ALL
    SELECT 'link_ticket_passengers', count(*), min(encode(hash_key, 'hex'))
    FROM dwh_detailed.link_ticket_passengers
    WHERE record_source <> 'SYSTEM'
    GROUP BY ticket_hash_key, passenger_hash_key
    HAVING count(*) > 1
    UNION ALL
    SELECT 'link_ticket_flights', count(*), min(encode(hash_key, 'hex'))
    FROM dwh_detailed.link_ticket_flights
    WHERE record_source <> 'SYSTEM'
    GROUP BY ticket_hash_key, flight_hash_key
    HAVING count(*) > 1
)
SELECT
    'business key has one hash key' AS rule,
    table_name,
    format(
        '%s rows share the business key of hash key %s',
        row_count,
        one_hash_key
    )                               AS detail
FROM doubles;
