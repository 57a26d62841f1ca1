-- How many airports were active, day by day.
-- Invariant: thirty rows, one for each of the last thirty calendar days in UTC, today included, newest
-- first, zeros where nothing moved.
--   * a movement: a departure or an arrival of a flight that is not cancelled, at its actual time, or at its
--     scheduled time as long as the actual one is not known;
--   * an airport is active on the days of its movements; movements after now() do not count.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW dwh_marts.v_active_airports_30d AS
WITH days AS (
    SELECT (now() AT TIME ZONE 'UTC')::date - days_ago AS day
    FROM generate_series(0, 29) AS days_ago
),
recent_movements AS (
    SELECT
        movement.airport_code,
        (movement.moved_at AT TIME ZONE 'UTC')::date AS day
    FROM dwh_marts.current_flights AS flight
    CROSS JOIN LATERAL (
        VALUES
            (flight.departure_airport, coalesce(flight.actual_departure, flight.scheduled_departure)),
            (flight.arrival_airport, coalesce(flight.actual_arrival, flight.scheduled_arrival))
    ) AS movement (airport_code, moved_at)
    WHERE flight.status <> 'Cancelled'
        AND movement.moved_at <= now()
        AND movement.moved_at >= ((now() AT TIME ZONE 'UTC')::date - 29)::timestamp AT TIME ZONE 'UTC'
),
active_by_day AS (
    SELECT
        day,
        count(DISTINCT airport_code) AS active_airports
    FROM recent_movements
    GROUP BY day
),
active_in_window AS (
    SELECT count(DISTINCT airport_code) AS active_airports
    FROM recent_movements
)
SELECT
    days.day,
    coalesce(by_day.active_airports, 0) AS active_airports,
    in_window.active_airports           AS active_airports_30d
FROM days
CROSS JOIN active_in_window AS in_window
LEFT JOIN active_by_day AS by_day ON by_day.day = days.day
ORDER BY days.day DESC;

COMMENT ON VIEW dwh_marts.v_active_airports_30d IS
    'airports with a departure or an arrival, by UTC day, for the last thirty days, today included';
COMMENT ON COLUMN dwh_marts.v_active_airports_30d.day IS 'calendar day in UTC';
COMMENT ON COLUMN dwh_marts.v_active_airports_30d.active_airports IS
    'airports that a flight left or reached on that day; flights that are cancelled or after now() do not count';
COMMENT ON COLUMN dwh_marts.v_active_airports_30d.active_airports_30d IS
    'different airports over the thirty days together; the same in every row';

COMMIT;
