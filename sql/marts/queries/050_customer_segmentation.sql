-- Question: which kinds of customers are there, and what is each worth?
-- Grain: one group by number of flights, split by whether the customer booked in the thirty days up to the newest booking.
-- Columns: group_no, passenger_group: as in dim_customer; is_recent; customers; bookings; flights; revenue: roubles;
-- revenue_per_customer; revenue_share_pct: percent of all revenue, NULL when there is none.
WITH customers AS (
    SELECT
        *,
        last_book_date > max(last_book_date) OVER () - 30 AS is_recent
    FROM dwh_marts.dim_customer
    WHERE last_book_date IS NOT NULL
)
SELECT
    group_no,
    passenger_group,
    is_recent,
    count(*)                                                                     AS customers,
    sum(bookings)                                                                AS bookings,
    sum(flights)                                                                 AS flights,
    sum(revenue)                                                                 AS revenue,
    round(sum(revenue) / count(*), 2)                                            AS revenue_per_customer,
    round(100 * sum(revenue) / nullif(sum(sum(revenue)) OVER (), 0), 2)       AS revenue_share_pct
FROM customers
GROUP BY
    group_no,
    passenger_group,
    is_recent
ORDER BY
    group_no,
    is_recent DESC;
