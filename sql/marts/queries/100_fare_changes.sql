-- Question: how do fares move from month to month?
-- Grain: one route, cabin and month of booking (UTC) with sales.
-- Columns: route_key; fare_conditions: cabin; month: its first day; segments: seats sold; average_amount: average fare,
-- roubles; change_pct: percent that it moved against the month of sale before, NULL in the first.
WITH fares AS (
    SELECT
        flight.route_key,
        segment.fare_conditions,
        day.month_start     AS month,
        count(*)            AS segments,
        avg(segment.amount) AS average_amount
    FROM dwh_marts.fact_bookings AS segment
    JOIN dwh_marts.dim_flight AS flight ON flight.flight_key = segment.flight_key
    JOIN dwh_marts.dim_date AS day ON day.date_key = segment.book_date
    WHERE flight.route_key IS NOT NULL
    GROUP BY
        flight.route_key,
        segment.fare_conditions,
        day.month_start
)
SELECT
    route_key,
    fare_conditions,
    month,
    segments,
    round(average_amount, 2) AS average_amount,
    round(100 * (average_amount / nullif(lag(average_amount) OVER of_cabin, 0) - 1), 2) AS change_pct
FROM fares
WINDOW of_cabin AS (PARTITION BY route_key, fare_conditions ORDER BY month)
ORDER BY
    route_key COLLATE "C",
    fare_conditions COLLATE "C",
    month;
