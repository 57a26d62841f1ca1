-- Question: at which hours of the day do people book?
-- Grain: one hour of the day in UTC with bookings.
-- Columns: hour: 0 to 23; bookings; segments: seats sold; revenue: roubles; share_pct: percent of all bookings;
-- busiest: rank by bookings, 1 is the busiest hour.
WITH sales AS (
    SELECT
        booking_key,
        extract(hour FROM min(book_time) AT TIME ZONE 'UTC')::integer AS hour,
        count(*)                                                      AS segments,
        sum(amount)                                                   AS revenue
    FROM dwh_marts.fact_bookings
    WHERE book_time IS NOT NULL
    GROUP BY booking_key
)
SELECT
    hour,
    count(*)                                                AS bookings,
    sum(segments)                                           AS segments,
    sum(revenue)                                            AS revenue,
    round(100 * count(*) / sum(count(*)) OVER (), 2)     AS share_pct,
    rank() OVER (ORDER BY count(*) DESC)                    AS busiest
FROM sales
GROUP BY hour
ORDER BY hour;
