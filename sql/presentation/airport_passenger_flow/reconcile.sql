-- Holds the staged rows against the vault by another way than the one they were made by: no airports, only sums over the day.
-- One row of booleans; each must be true.
-- A change that the vault loads between load.sql and this, and that lies on the day, makes this fail; the whole run is then to
-- be repeated, which is right: half of the day's rows would be older than the other half.
-- Parameters: load_id; day.

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
vault AS (
    SELECT
        count(DISTINCT flight_id) FILTER (WHERE day_out = %(day)s::date) AS flights_out,
        count(ticket_no) FILTER (WHERE day_out = %(day)s::date)          AS passengers_out,
        count(DISTINCT flight_id) FILTER (WHERE day_in = %(day)s::date)  AS flights_in,
        count(ticket_no) FILTER (WHERE day_in = %(day)s::date)           AS passengers_in
    FROM segments
),
staged AS (
    SELECT
        coalesce(sum(flights_out), 0)    AS flights_out,
        coalesce(sum(passengers_out), 0) AS passengers_out,
        coalesce(sum(flights_in), 0)     AS flights_in,
        coalesce(sum(passengers_in), 0)  AS passengers_in
    FROM presentation_staging.airport_passenger_flow
    WHERE load_id = %(load_id)s
)
SELECT
    staged.flights_out = vault.flights_out       AS all_flights_out_are_here,
    staged.passengers_out = vault.passengers_out AS all_passengers_out_are_here,
    staged.flights_in = vault.flights_in         AS all_flights_in_are_here,
    staged.passengers_in = vault.passengers_in   AS all_passengers_in_are_here
FROM staged
CROSS JOIN vault;
