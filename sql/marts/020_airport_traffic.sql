-- The airport statistics of the operational database, reproduced from the captured changes.
-- Invariant: when nothing is in flight, equals the source's view airport_traffic row for row. What counts is the
-- source's definition: flights whose status is not 'Cancelled', past and future; passengers are the segments sold on
-- them; an airport where nothing flies has a row of zeros. Keys are compared as hash keys, so business keys are read
-- for airports only.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW dwh_marts.v_airport_traffic AS
WITH live_airports AS (
    SELECT status.hash_key
    FROM dwh_detailed.sat_airports_status AS status
    WHERE NOT status.is_deleted
        AND status.record_source <> 'SYSTEM'
        AND NOT EXISTS (
            SELECT
            FROM dwh_detailed.sat_airports_status AS newer
            WHERE newer.hash_key = status.hash_key
                AND newer.load_date > status.load_date
        )
),
latest_operations AS (
    SELECT
        version.hash_key,
        version.status
    FROM dwh_detailed.sat_flight_operations AS version
    WHERE NOT EXISTS (
        SELECT
        FROM dwh_detailed.sat_flight_operations AS newer
        WHERE newer.hash_key = version.hash_key
            AND newer.load_date > version.load_date
    )
),
sold_segments AS (
    SELECT
        flight_hash_key,
        count(*) AS psngr_num
    FROM dwh_marts.current_link_ticket_flights
    GROUP BY flight_hash_key
),
operated_flights AS (
    SELECT
        route.departure_airport_hash_key,
        route.arrival_airport_hash_key,
        coalesce(sold.psngr_num, 0) AS psngr_num
    FROM dwh_marts.current_link_flight_routes AS route
    JOIN latest_operations AS operation ON operation.hash_key = route.flight_hash_key
    LEFT JOIN sold_segments AS sold ON sold.flight_hash_key = route.flight_hash_key
    WHERE operation.status <> 'Cancelled'
),
airport_movements AS (
    SELECT
        movement.airport_hash_key,
        count(*) FILTER (WHERE movement.is_departure)                AS departure_flights_num,
        sum(flight.psngr_num) FILTER (WHERE movement.is_departure)     AS departure_psngr_num,
        count(*) FILTER (WHERE NOT movement.is_departure)            AS arrival_flights_num,
        sum(flight.psngr_num) FILTER (WHERE NOT movement.is_departure) AS arrival_psngr_num
    FROM operated_flights AS flight
    CROSS JOIN LATERAL (
        VALUES
            (flight.departure_airport_hash_key, true),
            (flight.arrival_airport_hash_key, false)
    ) AS movement (airport_hash_key, is_departure)
    GROUP BY movement.airport_hash_key
)
SELECT
    airport.airport_code,
    coalesce(moved.departure_flights_num, 0)::bigint AS departure_flights_num,
    coalesce(moved.departure_psngr_num, 0)::bigint   AS departure_psngr_num,
    coalesce(moved.arrival_flights_num, 0)::bigint   AS arrival_flights_num,
    coalesce(moved.arrival_psngr_num, 0)::bigint     AS arrival_psngr_num
FROM live_airports AS live
JOIN dwh_detailed.hub_airports AS airport ON airport.hash_key = live.hash_key
LEFT JOIN airport_movements AS moved ON moved.airport_hash_key = live.hash_key;

COMMENT ON VIEW dwh_marts.v_airport_traffic IS
    'flights that are not cancelled and their sold segments, by airport; every airport has a row';
COMMENT ON COLUMN dwh_marts.v_airport_traffic.airport_code IS 'airport';
COMMENT ON COLUMN dwh_marts.v_airport_traffic.departure_flights_num IS 'flights that depart here, cancelled ones left out';
COMMENT ON COLUMN dwh_marts.v_airport_traffic.departure_psngr_num IS 'segments sold on those flights';
COMMENT ON COLUMN dwh_marts.v_airport_traffic.arrival_flights_num IS 'flights that arrive here, cancelled ones left out';
COMMENT ON COLUMN dwh_marts.v_airport_traffic.arrival_psngr_num IS 'segments sold on those flights';

COMMIT;
