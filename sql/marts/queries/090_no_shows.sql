-- Question: how many passengers do not come, in which cabin and how late did they book?
-- Grain: one cabin, over all flights that have left.
-- Columns: fare_conditions: cabin; segments: seats sold on flights that have left; no_shows: those without a boarding
-- pass; no_show_pct; revenue: what the no-shows paid, roubles; lead_days: average days from booking to departure of
-- no-shows, lead_days_others: of everybody else.
SELECT
    segment.fare_conditions,
    count(*)                                                                               AS segments,
    count(*) FILTER (WHERE NOT segment.is_checked_in)                                      AS no_shows,
    round(100.0 * count(*) FILTER (WHERE NOT segment.is_checked_in) / count(*), 2)     AS no_show_pct,
    coalesce(sum(segment.amount) FILTER (WHERE NOT segment.is_checked_in), 0.00)          AS revenue,
    round(avg(flight.departure_day - segment.book_date) FILTER (WHERE NOT segment.is_checked_in), 1) AS lead_days,
    round(avg(flight.departure_day - segment.book_date) FILTER (WHERE segment.is_checked_in), 1)     AS lead_days_others
FROM dwh_marts.fact_bookings AS segment
JOIN dwh_marts.dim_flight AS flight ON flight.flight_key = segment.flight_key
WHERE flight.status IN ('Departed', 'Arrived')
GROUP BY segment.fare_conditions
ORDER BY segment.fare_conditions COLLATE "C";
