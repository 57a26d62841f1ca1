-- Rule: every hub that a link row names has that hash key.
WITH orphans AS (
    SELECT 'link_aircraft_seats' AS table_name, 'aircraft' AS role, l.hash_key, l.aircraft_hash_key AS hub_hash_key
    FROM dwh_detailed.link_aircraft_seats AS l
    LEFT JOIN dwh_detailed.hub_aircrafts AS h ON h.hash_key = l.aircraft_hash_key
    WHERE h.hash_key IS NULL
    UNION ALL
    SELECT 'link_flight_routes' AS table_name, 'flight' AS role, l.hash_key, l.flight_hash_key AS hub_hash_key
    FROM dwh_detailed.link_flight_routes AS l
    LEFT JOIN dwh_detailed.hub_flights AS h ON h.hash_key = l.flight_hash_key
    WHERE h.hash_key IS NULL
    UNION ALL
    SELECT
        'link_flight_routes' AS table_name,
        'departure_airport' AS role,
        l.hash_key,
        l.departure_airport_hash_key AS hub_hash_key
    FROM dwh_detailed.link_flight_routes AS l
    LEFT JOIN dwh_detailed.hub_airports AS h ON h.hash_key = l.departure_airport_hash_key
    WHERE h.hash_key IS NULL
    UNION ALL
    SELECT
        'link_flight_routes' AS table_name,
        'arrival_airport' AS role,
        l.hash_key,
        l.arrival_airport_hash_key AS hub_hash_key
    FROM dwh_detailed.link_flight_routes AS l
    LEFT JOIN dwh_detailed.hub_airports AS h ON h.hash_key = l.arrival_airport_hash_key
    WHERE h.hash_key IS NULL
    UNION ALL
    SELECT 'link_flight_routes' AS table_name, 'aircraft' AS role, l.hash_key, l.aircraft_hash_key AS hub_hash_key
    FROM dwh_detailed.link_flight_routes AS l
    LEFT JOIN dwh_detailed.hub_aircrafts AS h ON h.hash_key = l.aircraft_hash_key
    WHERE h.hash_key IS NULL
    UNION ALL
    SELECT 'link_booking_tickets' AS table_name, 'ticket' AS role, l.hash_key, l.ticket_hash_key AS hub_hash_key
    FROM dwh_detailed.link_booking_tickets AS l
    LEFT JOIN dwh_detailed.hub_tickets AS h ON h.hash_key = l.ticket_hash_key
    WHERE h.hash_key IS NULL
    UNION ALL
    SELECT 'link_booking_tickets' AS table_name, 'booking' AS role, l.hash_key, l.booking_hash_key AS hub_hash_key
    FROM dwh_detailed.link_booking_tickets AS l
    LEFT JOIN dwh_detailed.hub_bookings AS h ON h.hash_key = l.booking_hash_key
    WHERE h.hash_key IS NULL
    UNION ALL
    SELECT 'link_ticket_passengers' AS table_name, 'ticket' AS role, l.hash_key, l.ticket_hash_key AS hub_hash_key
    FROM dwh_detailed.link_ticket_passengers AS l
    LEFT JOIN dwh_detailed.hub_tickets AS h ON h.hash_key = l.ticket_hash_key
    WHERE h.hash_key IS NULL
    UNION ALL
    SELECT 'link_ticket_passengers' AS table_name, 'passenger' AS role, l.hash_key, l.passenger_hash_key AS hub_hash_key
    FROM dwh_detailed.link_ticket_passengers AS l
    LEFT JOIN dwh_detailed.hub_passengers AS h ON h.hash_key = l.passenger_hash_key
    WHERE h.hash_key IS NULL
    UNION ALL
    SELECT 'link_ticket_flights' AS table_name, 'ticket' AS role, l.hash_key, l.ticket_hash_key AS hub_hash_key
    FROM dwh_detailed.link_ticket_flights AS l
    LEFT JOIN dwh_detailed.hub_tickets AS h ON h.hash_key = l.ticket_hash_key
    WHERE h.hash_key IS NULL
    UNION ALL
    SELECT 'link_ticket_flights' AS table_name, 'flight' AS role, l.hash_key, l.flight_hash_key AS hub_hash_key
    FROM dwh_detailed.link_ticket_flights AS l
    LEFT JOIN dwh_detailed.hub_flights AS h ON h.hash_key = l.flight_hash_key
    WHERE h.hash_key IS NULL
)
SELECT
    'hub of a link exists' AS rule,
    table_name,
    format(
        'link row %s: no hub row for role %s with hash key %s',
        encode(hash_key, 'hex'),
        role,
        coalesce(encode(hub_hash_key, 'hex'), 'NULL')
    )                      AS detail
FROM orphans;
