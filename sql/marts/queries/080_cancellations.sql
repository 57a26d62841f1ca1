-- Question: how many flights are cancelled, and whom does it hit?
-- Grain: one month of planned or actual departure (UTC).
-- Columns: month: its first day; flights: all flights; cancelled; cancelled_pct; passengers_hit: segments on cancelled
-- flights that were not given back; revenue_hit: what they cost, roubles.
WITH hit AS (
    SELECT
        segment.flight_key,
        count(*)            AS segments,
        sum(segment.amount) AS revenue
    FROM dwh_marts.fact_bookings AS segment
    JOIN dwh_marts.dim_flight AS flight ON flight.flight_key = segment.flight_key
    WHERE flight.is_cancelled
    GROUP BY segment.flight_key
)
SELECT
    day.month_start                                                              AS month,
    count(*)                                                                     AS flights,
    count(*) FILTER (WHERE flight.is_cancelled)                                  AS cancelled,
    round(100.0 * count(*) FILTER (WHERE flight.is_cancelled) / count(*), 2) AS cancelled_pct,
    coalesce(sum(hit.segments), 0)                                               AS passengers_hit,
    coalesce(sum(hit.revenue), 0.00)                                             AS revenue_hit
FROM dwh_marts.dim_flight AS flight
JOIN dwh_marts.dim_date AS day ON day.date_key = flight.departure_day
LEFT JOIN hit ON hit.flight_key = flight.flight_key
GROUP BY day.month_start
ORDER BY day.month_start;
