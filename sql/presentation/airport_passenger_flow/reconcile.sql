-- Holds the staged rows against the totals that load.sql computed from the vault in another way, at the same moment.
-- Invariant: one row of booleans, each of which must be true; without totals they are NULL, which fails too.
-- Parameters: load_id.

WITH staged AS (
    SELECT
        coalesce(sum(flights_out), 0)    AS flights_out,
        coalesce(sum(passengers_out), 0) AS passengers_out,
        coalesce(sum(flights_in), 0)     AS flights_in,
        coalesce(sum(passengers_in), 0)  AS passengers_in
    FROM presentation_staging.airport_passenger_flow
    WHERE load_id = %(load_id)s
),
control AS (
    SELECT
        max(total) FILTER (WHERE name = 'flights_out')    AS flights_out,
        max(total) FILTER (WHERE name = 'passengers_out') AS passengers_out,
        max(total) FILTER (WHERE name = 'flights_in')     AS flights_in,
        max(total) FILTER (WHERE name = 'passengers_in')  AS passengers_in
    FROM presentation_staging.control_totals
    WHERE load_id = %(load_id)s
)
SELECT
    staged.flights_out = control.flights_out       AS all_flights_out_are_here,
    staged.passengers_out = control.passengers_out AS all_passengers_out_are_here,
    staged.flights_in = control.flights_in         AS all_flights_in_are_here,
    staged.passengers_in = control.passengers_in   AS all_passengers_in_are_here
FROM staged
CROSS JOIN control;
