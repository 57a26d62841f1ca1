-- What flew and how full it was: flight operations and the daily seat inventory of the star schema.
-- Invariant: after a refresh dwh_star.cabins, dwh_marts.fact_flight_operations and dwh_star.seat_steps equal
-- dwh_star.cabins_source, dwh_star.flight_operations and dwh_star.seat_steps_source row for row.
-- The inventory has a row for each day, flight and cabin, from the first day of the flight's sale up to the day of
-- departure, today at most. Most days bring no sale, so the table keeps only the days on which something changed, each
-- with the last day up to which it holds; dwh_marts.fact_seat_inventory shows every day. A new day needs no refresh.
--   * sold on a day: segments that exist now and were booked until the end of that UTC day;
--   * the sale begins on the UTC day of the flight's first booking, or on that of its arrival in the vault, whichever
--     comes first;
--   * cabins: those of the aircraft that flies now, and those that were sold.
-- Reads the tables that are refreshed before: dim_flight, fact_bookings.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW dwh_star.cabins_source AS
SELECT
    aircraft_code::text   AS aircraft_code,
    fare_conditions::text AS fare_conditions,
    count(*)              AS seats
FROM dwh_marts.current_seats
WHERE fare_conditions IS NOT NULL
GROUP BY
    aircraft_code,
    fare_conditions;
COMMENT ON VIEW dwh_star.cabins_source IS 'what dwh_star.cabins has to hold';

CREATE TABLE IF NOT EXISTS dwh_star.cabins (
    aircraft_code   text COLLATE "C" NOT NULL,
    fare_conditions text   NOT NULL,
    seats           bigint NOT NULL,
    CONSTRAINT cabins_pkey PRIMARY KEY (aircraft_code, fare_conditions)
);
COMMENT ON TABLE dwh_star.cabins IS 'seats of each cabin of each aircraft model now';
COMMENT ON COLUMN dwh_star.cabins.aircraft_code IS 'aircraft model';
COMMENT ON COLUMN dwh_star.cabins.fare_conditions IS 'cabin';
COMMENT ON COLUMN dwh_star.cabins.seats IS 'seats in it';

CREATE OR REPLACE VIEW dwh_star.flight_operations AS
SELECT
    flight.flight_key,
    flight.flight_id,
    flight.route_key,
    flight.departure_day,
    flight.departure_airport,
    flight.arrival_airport,
    flight.aircraft_code,
    flight.status,
    flight.departure_delay_min,
    flight.arrival_delay_min,
    sold.passengers_booked,
    sold.passengers_boarded,
    coalesce(room.seats_total, 0)::bigint                          AS seats_total,
    round(sold.passengers_booked / nullif(room.seats_total, 0), 4) AS load_factor
FROM dwh_marts.dim_flight AS flight
CROSS JOIN LATERAL (
    SELECT
        count(*)                                     AS passengers_booked,
        count(*) FILTER (WHERE segment.is_checked_in) AS passengers_boarded
    FROM dwh_marts.fact_bookings AS segment
    WHERE segment.flight_key = flight.flight_key
) AS sold
CROSS JOIN LATERAL (
    SELECT sum(cabin.seats) AS seats_total
    FROM dwh_star.cabins AS cabin
    WHERE cabin.aircraft_code = flight.aircraft_code
) AS room;
COMMENT ON VIEW dwh_star.flight_operations IS 'what dwh_marts.fact_flight_operations has to hold';

CREATE TABLE IF NOT EXISTS dwh_marts.fact_flight_operations (
    flight_key          bytea  NOT NULL,
    flight_id           integer,
    route_key           text COLLATE "C",
    departure_day       date,
    departure_airport   text COLLATE "C",
    arrival_airport     text COLLATE "C",
    aircraft_code       text COLLATE "C",
    status              text,
    departure_delay_min numeric,
    arrival_delay_min   numeric,
    passengers_booked   bigint NOT NULL,
    passengers_boarded  bigint NOT NULL,
    seats_total         bigint NOT NULL,
    load_factor         numeric,
    CONSTRAINT fact_flight_operations_pkey PRIMARY KEY (flight_key)
) WITH (fillfactor = 70);
COMMENT ON TABLE dwh_marts.fact_flight_operations IS 'punctuality and load of flights as they stand now, cancelled ones included; grain: one flight';
COMMENT ON COLUMN dwh_marts.fact_flight_operations.flight_key IS 'flight, in dim_flight';
COMMENT ON COLUMN dwh_marts.fact_flight_operations.flight_id IS 'number of the flight in the source';
COMMENT ON COLUMN dwh_marts.fact_flight_operations.route_key IS 'route, in dim_route';
COMMENT ON COLUMN dwh_marts.fact_flight_operations.departure_day IS 'UTC day of the actual departure, before it of the scheduled one';
COMMENT ON COLUMN dwh_marts.fact_flight_operations.departure_airport IS 'airport of departure';
COMMENT ON COLUMN dwh_marts.fact_flight_operations.arrival_airport IS 'airport of arrival';
COMMENT ON COLUMN dwh_marts.fact_flight_operations.aircraft_code IS 'aircraft model that flies';
COMMENT ON COLUMN dwh_marts.fact_flight_operations.status IS 'Scheduled, On Time, Delayed, Departed, Arrived or Cancelled';
COMMENT ON COLUMN dwh_marts.fact_flight_operations.departure_delay_min IS 'minutes that it left late, negative when early; NULL before';
COMMENT ON COLUMN dwh_marts.fact_flight_operations.arrival_delay_min IS 'minutes that it landed late, negative when early; NULL before';
COMMENT ON COLUMN dwh_marts.fact_flight_operations.passengers_booked IS 'segments sold on the flight';
COMMENT ON COLUMN dwh_marts.fact_flight_operations.passengers_boarded IS 'segments of them with a boarding pass';
COMMENT ON COLUMN dwh_marts.fact_flight_operations.seats_total IS 'seats of the aircraft model that flies';
COMMENT ON COLUMN dwh_marts.fact_flight_operations.load_factor IS 'passengers_booked for each seat, 1 is full; NULL without seats';

CREATE OR REPLACE VIEW dwh_star.seat_steps_source AS
WITH events AS (
    SELECT
        event.flight_key,
        event.fare_conditions,
        event.day,
        sum(event.sold) AS sold
    FROM (
        SELECT
            flight_key,
            fare_conditions,
            book_date AS day,
            count(*)  AS sold
        FROM dwh_marts.fact_bookings
        WHERE book_date IS NOT NULL
            AND fare_conditions IS NOT NULL
        GROUP BY
            flight_key,
            fare_conditions,
            book_date
        UNION ALL
        SELECT
            flight.flight_key,
            cabin.fare_conditions,
            (hub.load_date AT TIME ZONE 'UTC')::date AS day,
            0                                        AS sold
        FROM dwh_marts.dim_flight AS flight
        JOIN dwh_detailed.hub_flights AS hub ON hub.hash_key = flight.flight_key
        JOIN dwh_star.cabins AS cabin ON cabin.aircraft_code = flight.aircraft_code
    ) AS event
    GROUP BY
        event.flight_key,
        event.fare_conditions,
        event.day
),
totals AS (
    SELECT
        flight_key,
        fare_conditions,
        day,
        sum(sold) OVER of_cabin                        AS seats_sold,
        lead(day) OVER of_cabin                        AS next_day,
        row_number() OVER of_cabin = 1                 AS is_first,
        min(day) OVER (PARTITION BY flight_key)        AS first_day
    FROM events
    WINDOW of_cabin AS (PARTITION BY flight_key, fare_conditions ORDER BY day)
),
-- Before the first event of a cabin the flight may be on sale already, with nothing sold in that cabin.
steps AS (
    SELECT
        totals.flight_key,
        totals.fare_conditions,
        step.from_date,
        step.next_date,
        step.seats_sold
    FROM totals
    CROSS JOIN LATERAL (
        VALUES
            (totals.day, totals.next_day, totals.seats_sold, true),
            (totals.first_day, totals.day, 0, totals.is_first AND totals.day > totals.first_day)
    ) AS step (from_date, next_date, seats_sold, is_step)
    WHERE step.is_step
)
SELECT
    steps.flight_key,
    steps.fare_conditions,
    steps.from_date,
    least(steps.next_date - 1, flight.departure_day) AS through_date,
    flight.flight_id,
    coalesce(cabin.seats, 0)                         AS seats_total,
    steps.seats_sold::bigint                         AS seats_sold
FROM steps
JOIN dwh_marts.dim_flight AS flight ON flight.flight_key = steps.flight_key
LEFT JOIN dwh_star.cabins AS cabin
    ON cabin.aircraft_code = flight.aircraft_code
    AND cabin.fare_conditions = steps.fare_conditions
WHERE steps.from_date <= flight.departure_day;
COMMENT ON VIEW dwh_star.seat_steps_source IS 'what dwh_star.seat_steps has to hold';

CREATE TABLE IF NOT EXISTS dwh_star.seat_steps (
    flight_key      bytea  NOT NULL,
    fare_conditions text   NOT NULL,
    from_date       date   NOT NULL,
    through_date    date   NOT NULL,
    flight_id       integer,
    seats_total     bigint NOT NULL,
    seats_sold      bigint NOT NULL,
    CONSTRAINT seat_steps_pkey PRIMARY KEY (flight_key, fare_conditions, from_date)
) WITH (fillfactor = 80);
COMMENT ON TABLE dwh_star.seat_steps IS 'seats sold, by stretches of days; grain: flight, cabin, day on which the number changed';
COMMENT ON COLUMN dwh_star.seat_steps.flight_key IS 'hash key of the flight';
COMMENT ON COLUMN dwh_star.seat_steps.fare_conditions IS 'cabin';
COMMENT ON COLUMN dwh_star.seat_steps.from_date IS 'first day of the stretch';
COMMENT ON COLUMN dwh_star.seat_steps.through_date IS 'last day of the stretch';
COMMENT ON COLUMN dwh_star.seat_steps.flight_id IS 'number of the flight in the source';
COMMENT ON COLUMN dwh_star.seat_steps.seats_total IS 'seats of the cabin in the aircraft that flies now';
COMMENT ON COLUMN dwh_star.seat_steps.seats_sold IS 'segments that exist now and were booked until then';

CREATE OR REPLACE VIEW dwh_marts.fact_seat_inventory AS
SELECT
    day.date_key                            AS snapshot_date,
    step.flight_key,
    step.flight_id,
    step.fare_conditions,
    step.seats_total,
    step.seats_sold,
    step.seats_total - step.seats_sold      AS seats_available
FROM dwh_star.seat_steps AS step
JOIN dwh_marts.dim_date AS day ON day.date_key BETWEEN step.from_date AND step.through_date
WHERE day.date_key <= (now() AT TIME ZONE 'UTC')::date;
COMMENT ON VIEW dwh_marts.fact_seat_inventory IS
    'seats sold and free at the end of each day, today as it stands; grain: one day, flight and cabin';
COMMENT ON COLUMN dwh_marts.fact_seat_inventory.snapshot_date IS 'UTC day';
COMMENT ON COLUMN dwh_marts.fact_seat_inventory.flight_key IS 'flight, in dim_flight';
COMMENT ON COLUMN dwh_marts.fact_seat_inventory.flight_id IS 'number of the flight in the source';
COMMENT ON COLUMN dwh_marts.fact_seat_inventory.fare_conditions IS 'cabin';
COMMENT ON COLUMN dwh_marts.fact_seat_inventory.seats_total IS 'seats of the cabin in the aircraft that flies now';
COMMENT ON COLUMN dwh_marts.fact_seat_inventory.seats_sold IS 'segments that exist now and were booked until the end of the day';
COMMENT ON COLUMN dwh_marts.fact_seat_inventory.seats_available IS
    'seats_total less seats_sold; negative when more was sold than the aircraft has';

COMMIT;
