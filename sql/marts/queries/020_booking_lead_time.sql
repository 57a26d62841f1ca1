-- Question: how long before departure do people book, and what do they pay then?
-- Grain: one range of days between booking and departure, five rows at most; cancelled flights included.
-- Columns: range_no: order of the ranges; lead_time: the range; segments: seats sold; share_pct: percent of all segments;
-- average_amount: average fare, roubles.
WITH segments AS (
    SELECT
        flight.departure_day - segment.book_date AS lead_days,
        segment.amount
    FROM dwh_marts.fact_bookings AS segment
    JOIN dwh_marts.dim_flight AS flight ON flight.flight_key = segment.flight_key
    WHERE segment.book_date IS NOT NULL
        AND flight.departure_day IS NOT NULL
),
ranges (range_no, lead_time, days_min, days_max) AS (
    VALUES
        (1, '0-1 days', NULL, 1),
        (2, '2-7 days', 2, 7),
        (3, '8-14 days', 8, 14),
        (4, '15-30 days', 15, 30),
        (5, '31 days and more', 31, NULL)
),
by_days AS (
    SELECT
        lead_days,
        count(*)    AS segments,
        sum(amount) AS revenue
    FROM segments
    GROUP BY lead_days
)
SELECT
    ranges.range_no,
    ranges.lead_time,
    sum(by_days.segments)                                                         AS segments,
    round(100 * sum(by_days.segments) / sum(sum(by_days.segments)) OVER (), 2) AS share_pct,
    round(sum(by_days.revenue) / sum(by_days.segments), 2)                     AS average_amount
FROM by_days
JOIN ranges
    ON (by_days.lead_days >= ranges.days_min OR ranges.days_min IS NULL)
    AND (by_days.lead_days <= ranges.days_max OR ranges.days_max IS NULL)
GROUP BY
    ranges.range_no,
    ranges.lead_time
ORDER BY ranges.range_no;
