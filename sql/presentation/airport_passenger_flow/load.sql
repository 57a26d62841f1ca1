-- Computes one day's flow between airports into the staging table; create_schema.sql says what the columns mean.
-- Beside the rows it keeps what they have to add up to, computed in another way; reconcile.sql compares.
-- Invariant: reads dwh_marts.current_* only, which are exact at any time; all of it sees the vault at one moment, so that what the
-- loader writes meanwhile cannot make rows and totals disagree.
-- Parameters: load_id; day, the calendar day in UTC.

SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;

INSERT INTO presentation_staging.airport_passenger_flow (
    load_id,
    flow_day,
    airport_code,
    linked_airport_code,
    flights_out,
    passengers_out,
    flights_in,
    passengers_in
)
WITH day_bounds AS (
    SELECT
        %(day)s::date::timestamp AT TIME ZONE 'UTC'       AS begins,
        (%(day)s::date + 1)::timestamp AT TIME ZONE 'UTC' AS ends
),
day_flights AS (
    SELECT
        flight.flight_id,
        flight.departure_airport,
        flight.arrival_airport,
        flight.scheduled_departure >= day.begins AND flight.scheduled_departure < day.ends AS leaves,
        flight.scheduled_arrival >= day.begins AND flight.scheduled_arrival < day.ends     AS arrives
    FROM dwh_marts.current_flights AS flight
    CROSS JOIN day_bounds AS day
    WHERE flight.status <> 'Cancelled'
        AND flight.scheduled_departure < day.ends
        AND flight.scheduled_arrival >= day.begins
),
flight_passengers AS (
    SELECT
        flight_id,
        count(*) AS passengers
    FROM dwh_marts.current_ticket_flights
    GROUP BY flight_id
),
movements AS (
    SELECT
        movement.airport_code,
        movement.linked_airport_code,
        movement.is_out,
        coalesce(sold.passengers, 0) AS passengers
    FROM day_flights AS flight
    LEFT JOIN flight_passengers AS sold ON sold.flight_id = flight.flight_id
    CROSS JOIN LATERAL (
        VALUES
            (flight.departure_airport, flight.arrival_airport, true, flight.leaves),
            (flight.arrival_airport, flight.departure_airport, false, flight.arrives)
    ) AS movement (airport_code, linked_airport_code, is_out, is_on_day)
    WHERE movement.is_on_day
)
SELECT
    %(load_id)s,
    %(day)s::date,
    airport_code,
    linked_airport_code,
    count(*) FILTER (WHERE is_out),
    coalesce(sum(passengers) FILTER (WHERE is_out), 0)::bigint,
    count(*) FILTER (WHERE NOT is_out),
    coalesce(sum(passengers) FILTER (WHERE NOT is_out), 0)::bigint
FROM movements
GROUP BY
    airport_code,
    linked_airport_code;

-- No airports, only sums over the day.
INSERT INTO presentation_staging.control_totals (
    load_id,
    name,
    total
)
WITH segments AS (
    SELECT
        (flight.scheduled_departure AT TIME ZONE 'UTC')::date AS day_out,
        (flight.scheduled_arrival AT TIME ZONE 'UTC')::date   AS day_in,
        flight.flight_id,
        segment.ticket_no
    FROM dwh_marts.current_flights AS flight
    LEFT JOIN dwh_marts.current_ticket_flights AS segment ON segment.flight_id = flight.flight_id
    WHERE flight.status <> 'Cancelled'
),
sums AS (
    SELECT
        count(DISTINCT flight_id) FILTER (WHERE day_out = %(day)s::date) AS flights_out,
        count(ticket_no) FILTER (WHERE day_out = %(day)s::date)          AS passengers_out,
        count(DISTINCT flight_id) FILTER (WHERE day_in = %(day)s::date)  AS flights_in,
        count(ticket_no) FILTER (WHERE day_in = %(day)s::date)           AS passengers_in
    FROM segments
)
SELECT
    %(load_id)s,
    control.name,
    control.total
FROM sums
CROSS JOIN LATERAL (
    VALUES
        ('flights_out', sums.flights_out),
        ('passengers_out', sums.passengers_out),
        ('flights_in', sums.flights_in),
        ('passengers_in', sums.passengers_in)
) AS control (name, total);
