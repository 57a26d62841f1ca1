-- Flights and routes of the star schema.
-- Invariant: after a refresh dwh_marts.dim_flight equals dwh_star.flights row for row: the flights that exist now, each
-- with its schedule, operations and route as they stand now. The view is the only definition; the refresh copies it.
--   * the day of a flight is the UTC day of its actual departure, or of its scheduled one as long as it has not left;
--   * delays are minutes from the scheduled to the actual moment, negative when early, NULL until it is known.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW dwh_star.flights AS
WITH live_flights AS (
    SELECT status.hash_key
    FROM dwh_detailed.sat_flights_status AS status
    WHERE NOT status.is_deleted
        AND status.record_source <> 'SYSTEM'
        AND NOT EXISTS (
            SELECT
            FROM dwh_detailed.sat_flights_status AS newer
            WHERE newer.hash_key = status.hash_key
                AND newer.load_date > status.load_date
        )
),
latest_schedules AS (
    SELECT
        version.hash_key,
        version.flight_no,
        version.scheduled_departure,
        version.scheduled_arrival
    FROM dwh_detailed.sat_flight_schedules AS version
    WHERE NOT EXISTS (
        SELECT
        FROM dwh_detailed.sat_flight_schedules AS newer
        WHERE newer.hash_key = version.hash_key
            AND newer.load_date > version.load_date
    )
),
latest_operations AS (
    SELECT
        version.hash_key,
        version.status,
        version.actual_departure,
        version.actual_arrival
    FROM dwh_detailed.sat_flight_operations AS version
    WHERE NOT EXISTS (
        SELECT
        FROM dwh_detailed.sat_flight_operations AS newer
        WHERE newer.hash_key = version.hash_key
            AND newer.load_date > version.load_date
    )
),
latest_routes AS (
    SELECT
        effectivity.hash_key,
        effectivity.link_hash_key
    FROM dwh_detailed.sat_flight_routes_effectivity AS effectivity
    WHERE NOT EXISTS (
        SELECT
        FROM dwh_detailed.sat_flight_routes_effectivity AS newer
        WHERE newer.hash_key = effectivity.hash_key
            AND newer.load_date > effectivity.load_date
    )
)
SELECT
    live.hash_key                                                       AS flight_key,
    flight.flight_id,
    schedule.flight_no::text                                            AS flight_no,
    departure.airport_code::text || '-' || arrival.airport_code::text AS route_key,
    departure.airport_code::text                                        AS departure_airport,
    arrival.airport_code::text                                          AS arrival_airport,
    aircraft.aircraft_code::text                                        AS aircraft_code,
    schedule.scheduled_departure,
    schedule.scheduled_arrival,
    operation.actual_departure,
    operation.actual_arrival,
    operation.status::text                                              AS status,
    (coalesce(operation.actual_departure, schedule.scheduled_departure) AT TIME ZONE 'UTC')::date AS departure_day,
    round(extract(epoch FROM operation.actual_departure - schedule.scheduled_departure) / 60, 1)  AS departure_delay_min,
    round(extract(epoch FROM operation.actual_arrival - schedule.scheduled_arrival) / 60, 1)      AS arrival_delay_min,
    coalesce(operation.status = 'Cancelled', false)                     AS is_cancelled
FROM live_flights AS live
JOIN dwh_detailed.hub_flights AS flight ON flight.hash_key = live.hash_key
LEFT JOIN latest_schedules AS schedule ON schedule.hash_key = live.hash_key
LEFT JOIN latest_operations AS operation ON operation.hash_key = live.hash_key
LEFT JOIN latest_routes AS latest ON latest.hash_key = live.hash_key
LEFT JOIN dwh_detailed.link_flight_routes AS route ON route.hash_key = latest.link_hash_key
LEFT JOIN dwh_detailed.hub_airports AS departure ON departure.hash_key = route.departure_airport_hash_key
LEFT JOIN dwh_detailed.hub_airports AS arrival ON arrival.hash_key = route.arrival_airport_hash_key
LEFT JOIN dwh_detailed.hub_aircrafts AS aircraft ON aircraft.hash_key = route.aircraft_hash_key;
COMMENT ON VIEW dwh_star.flights IS 'what dwh_marts.dim_flight has to hold';

CREATE TABLE IF NOT EXISTS dwh_marts.dim_flight (
    flight_key          bytea   NOT NULL,
    flight_id           integer,
    flight_no           text,
    route_key           text COLLATE "C",
    departure_airport   text COLLATE "C",
    arrival_airport     text COLLATE "C",
    aircraft_code       text COLLATE "C",
    scheduled_departure timestamptz,
    scheduled_arrival   timestamptz,
    actual_departure    timestamptz,
    actual_arrival      timestamptz,
    status              text,
    departure_day       date,
    departure_delay_min numeric,
    arrival_delay_min   numeric,
    is_cancelled        boolean NOT NULL,
    CONSTRAINT dim_flight_pkey PRIMARY KEY (flight_key)
) WITH (fillfactor = 80);
COMMENT ON TABLE dwh_marts.dim_flight IS 'flights as they are now; grain: one flight';
COMMENT ON COLUMN dwh_marts.dim_flight.flight_key IS 'hash key of the flight';
COMMENT ON COLUMN dwh_marts.dim_flight.flight_id IS 'number of the flight in the source';
COMMENT ON COLUMN dwh_marts.dim_flight.flight_no IS 'flight number; all its flights share the route';
COMMENT ON COLUMN dwh_marts.dim_flight.route_key IS 'route: codes of departure and arrival, joined by a hyphen';
COMMENT ON COLUMN dwh_marts.dim_flight.departure_airport IS 'airport of departure';
COMMENT ON COLUMN dwh_marts.dim_flight.arrival_airport IS 'airport of arrival';
COMMENT ON COLUMN dwh_marts.dim_flight.aircraft_code IS 'aircraft model that flies';
COMMENT ON COLUMN dwh_marts.dim_flight.scheduled_departure IS 'planned departure';
COMMENT ON COLUMN dwh_marts.dim_flight.scheduled_arrival IS 'planned arrival';
COMMENT ON COLUMN dwh_marts.dim_flight.actual_departure IS 'when it left; NULL before';
COMMENT ON COLUMN dwh_marts.dim_flight.actual_arrival IS 'when it landed; NULL before';
COMMENT ON COLUMN dwh_marts.dim_flight.status IS 'Scheduled, On Time, Delayed, Departed, Arrived or Cancelled';
COMMENT ON COLUMN dwh_marts.dim_flight.departure_day IS 'UTC day of the actual departure, before it of the scheduled one';
COMMENT ON COLUMN dwh_marts.dim_flight.departure_delay_min IS 'minutes that it left late, negative when early; NULL before';
COMMENT ON COLUMN dwh_marts.dim_flight.arrival_delay_min IS 'minutes that it landed late, negative when early; NULL before';
COMMENT ON COLUMN dwh_marts.dim_flight.is_cancelled IS 'whether its status is Cancelled';

-- Great-circle distance on a sphere of the Earth's mean radius, as the timetable is planned with.
CREATE OR REPLACE VIEW dwh_marts.dim_route AS
WITH routes AS (
    SELECT DISTINCT
        route_key,
        departure_airport,
        arrival_airport
    FROM dwh_marts.dim_flight
    WHERE route_key IS NOT NULL
)
SELECT
    routes.route_key,
    routes.departure_airport,
    departure.city AS departure_city,
    routes.arrival_airport,
    arrival.city   AS arrival_city,
    round((
        2 * 6371 * asin(least(1, sqrt(
            sind((arrival.latitude - departure.latitude) / 2) ^ 2
            + cosd(departure.latitude) * cosd(arrival.latitude)
                * sind((arrival.longitude - departure.longitude) / 2) ^ 2
        )))
    )::numeric, 1) AS distance_km
FROM routes
LEFT JOIN dwh_marts.current_airports AS departure ON departure.airport_code = routes.departure_airport
LEFT JOIN dwh_marts.current_airports AS arrival ON arrival.airport_code = routes.arrival_airport;
COMMENT ON VIEW dwh_marts.dim_route IS 'routes that flights have now; grain: one pair of departure and arrival';
COMMENT ON COLUMN dwh_marts.dim_route.route_key IS 'codes of departure and arrival, joined by a hyphen; unique';
COMMENT ON COLUMN dwh_marts.dim_route.departure_airport IS 'airport of departure';
COMMENT ON COLUMN dwh_marts.dim_route.departure_city IS 'its city';
COMMENT ON COLUMN dwh_marts.dim_route.arrival_airport IS 'airport of arrival';
COMMENT ON COLUMN dwh_marts.dim_route.arrival_city IS 'its city';
COMMENT ON COLUMN dwh_marts.dim_route.distance_km IS 'great-circle distance, km';

COMMIT;
