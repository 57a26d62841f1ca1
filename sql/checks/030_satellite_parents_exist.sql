-- Rule: every key of a satellite exists in the hub or link that the satellite describes.
WITH orphans AS (
    SELECT 'sat_airports' AS table_name, 'hub_airports' AS parent_name, s.hash_key
    FROM dwh_detailed.sat_airports AS s
    WHERE NOT EXISTS (SELECT FROM dwh_detailed.hub_airports AS p WHERE p.hash_key = s.hash_key)
    UNION ALL
    SELECT 'sat_aircrafts' AS table_name, 'hub_aircrafts' AS parent_name, s.hash_key
    FROM dwh_detailed.sat_aircrafts AS s
    WHERE NOT EXISTS (SELECT FROM dwh_detailed.hub_aircrafts AS p WHERE p.hash_key = s.hash_key)
    UNION ALL
    SELECT 'sat_seats' AS table_name, 'link_aircraft_seats' AS parent_name, s.hash_key
    FROM dwh_detailed.sat_seats AS s
    WHERE NOT EXISTS (SELECT FROM dwh_detailed.link_aircraft_seats AS p WHERE p.hash_key = s.hash_key)
    UNION ALL
    SELECT 'sat_flight_schedules' AS table_name, 'hub_flights' AS parent_name, s.hash_key
    FROM dwh_detailed.sat_flight_schedules AS s
    WHERE NOT EXISTS (SELECT FROM dwh_detailed.hub_flights AS p WHERE p.hash_key = s.hash_key)
    UNION ALL
    SELECT 'sat_flight_operations' AS table_name, 'hub_flights' AS parent_name, s.hash_key
    FROM dwh_detailed.sat_flight_operations AS s
    WHERE NOT EXISTS (SELECT FROM dwh_detailed.hub_flights AS p WHERE p.hash_key = s.hash_key)
    UNION ALL
    SELECT 'sat_bookings' AS table_name, 'hub_bookings' AS parent_name, s.hash_key
    FROM dwh_detailed.sat_bookings AS s
    WHERE NOT EXISTS (SELECT FROM dwh_detailed.hub_bookings AS p WHERE p.hash_key = s.hash_key)
    UNION ALL
    SELECT 'sat_ticket_passengers' AS table_name, 'hub_tickets' AS parent_name, s.hash_key
    FROM dwh_detailed.sat_ticket_passengers AS s
    WHERE NOT EXISTS (SELECT FROM dwh_detailed.hub_tickets AS p WHERE p.hash_key = s.hash_key)
    UNION ALL
    SELECT 'sat_ticket_flights' AS table_name, 'link_ticket_flights' AS parent_name, s.hash_key
    FROM dwh_detailed.sat_ticket_flights AS s
    WHERE NOT EXISTS (SELECT FROM dwh_detailed.link_ticket_flights AS p WHERE p.hash_key = s.hash_key)
    UNION ALL
    SELECT 'sat_boarding_passes' AS table_name, 'link_ticket_flights' AS parent_name, s.hash_key
    FROM dwh_detailed.sat_boarding_passes AS s
    WHERE NOT EXISTS (SELECT FROM dwh_detailed.link_ticket_flights AS p WHERE p.hash_key = s.hash_key)
    UNION ALL
    SELECT 'sat_airports_status' AS table_name, 'hub_airports' AS parent_name, s.hash_key
    FROM dwh_detailed.sat_airports_status AS s
    WHERE NOT EXISTS (SELECT FROM dwh_detailed.hub_airports AS p WHERE p.hash_key = s.hash_key)
    UNION ALL
    SELECT 'sat_aircrafts_status' AS table_name, 'hub_aircrafts' AS parent_name, s.hash_key
    FROM dwh_detailed.sat_aircrafts_status AS s
    WHERE NOT EXISTS (SELECT FROM dwh_detailed.hub_aircrafts AS p WHERE p.hash_key = s.hash_key)
    UNION ALL
    SELECT 'sat_seats_status' AS table_name, 'link_aircraft_seats' AS parent_name, s.hash_key
    FROM dwh_detailed.sat_seats_status AS s
    WHERE NOT EXISTS (SELECT FROM dwh_detailed.link_aircraft_seats AS p WHERE p.hash_key = s.hash_key)
    UNION ALL
    SELECT 'sat_flights_status' AS table_name, 'hub_flights' AS parent_name, s.hash_key
    FROM dwh_detailed.sat_flights_status AS s
    WHERE NOT EXISTS (SELECT FROM dwh_detailed.hub_flights AS p WHERE p.hash_key = s.hash_key)
    UNION ALL
    SELECT 'sat_bookings_status' AS table_name, 'hub_bookings' AS parent_name, s.hash_key
    FROM dwh_detailed.sat_bookings_status AS s
    WHERE NOT EXISTS (SELECT FROM dwh_detailed.hub_bookings AS p WHERE p.hash_key = s.hash_key)
    UNION ALL
    SELECT 'sat_tickets_status' AS table_name, 'hub_tickets' AS parent_name, s.hash_key
    FROM dwh_detailed.sat_tickets_status AS s
    WHERE NOT EXISTS (SELECT FROM dwh_detailed.hub_tickets AS p WHERE p.hash_key = s.hash_key)
    UNION ALL
    SELECT 'sat_ticket_flights_status' AS table_name, 'link_ticket_flights' AS parent_name, s.hash_key
    FROM dwh_detailed.sat_ticket_flights_status AS s
    WHERE NOT EXISTS (SELECT FROM dwh_detailed.link_ticket_flights AS p WHERE p.hash_key = s.hash_key)
    UNION ALL
    SELECT 'sat_boarding_passes_status' AS table_name, 'link_ticket_flights' AS parent_name, s.hash_key
    FROM dwh_detailed.sat_boarding_passes_status AS s
    WHERE NOT EXISTS (SELECT FROM dwh_detailed.link_ticket_flights AS p WHERE p.hash_key = s.hash_key)
    UNION ALL
    SELECT 'sat_flight_routes_effectivity' AS table_name, 'hub_flights' AS parent_name, s.hash_key
    FROM dwh_detailed.sat_flight_routes_effectivity AS s
    WHERE NOT EXISTS (SELECT FROM dwh_detailed.hub_flights AS p WHERE p.hash_key = s.hash_key)
    UNION ALL
    SELECT 'sat_booking_tickets_effectivity' AS table_name, 'hub_tickets' AS parent_name, s.hash_key
    FROM dwh_detailed.sat_booking_tickets_effectivity AS s
    WHERE NOT EXISTS (SELECT FROM dwh_detailed.hub_tickets AS p WHERE p.hash_key = s.hash_key)
    UNION ALL
    SELECT 'sat_ticket_passengers_effectivity' AS table_name, 'hub_tickets' AS parent_name, s.hash_key
    FROM dwh_detailed.sat_ticket_passengers_effectivity AS s
    WHERE NOT EXISTS (SELECT FROM dwh_detailed.hub_tickets AS p WHERE p.hash_key = s.hash_key)
)
SELECT DISTINCT
    'parent of a satellite exists' AS rule,
    table_name,
    format(
        'hash key %s is not in %s',
        coalesce(encode(hash_key, 'hex'), 'NULL'),
        parent_name
    )                              AS detail
FROM orphans;
