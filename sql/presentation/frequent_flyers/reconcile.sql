-- Holds the staged rows against the totals that load.sql computed from the vault in another way, at the same moment.
-- Invariant: one row of booleans, each of which must be true; without totals they are NULL, which fails too.
-- Parameters: load_id.

WITH staged AS (
    SELECT
        count(*)                      AS passengers,
        coalesce(sum(flights_num), 0) AS flights,
        coalesce(sum(revenue), 0)     AS revenue
    FROM presentation_staging.frequent_flyers
    WHERE load_id = %(load_id)s
),
control AS (
    SELECT
        max(total) FILTER (WHERE name = 'passengers') AS passengers,
        max(total) FILTER (WHERE name = 'flights')    AS flights,
        max(total) FILTER (WHERE name = 'revenue')    AS revenue
    FROM presentation_staging.control_totals
    WHERE load_id = %(load_id)s
)
SELECT
    staged.passengers = control.passengers AS all_passengers_are_here,
    staged.flights = control.flights       AS all_flights_are_here,
    staged.revenue = control.revenue       AS all_revenue_is_here
FROM staged
CROSS JOIN control;
