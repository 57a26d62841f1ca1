-- Question: how many customers come back, and how much of the money is theirs?
-- Grain: one month of first booking (UTC).
-- Columns: month: its first day; customers: whose first booking is of the month; repeat_customers: those with more than
-- one booking; repeat_pct; revenue: of all those customers, roubles; repeat_revenue_pct: percent of it that repeat
-- customers paid, NULL without revenue; bookings_per_customer.
SELECT
    day.month_start                                                                            AS month,
    count(*)                                                                                   AS customers,
    count(*) FILTER (WHERE customer.bookings > 1)                                              AS repeat_customers,
    round(100.0 * count(*) FILTER (WHERE customer.bookings > 1) / count(*), 2)             AS repeat_pct,
    sum(customer.revenue)                                                                      AS revenue,
    round(
        100 * coalesce(sum(customer.revenue) FILTER (WHERE customer.bookings > 1), 0)
            / nullif(sum(customer.revenue), 0),
        2
    )                                                                                          AS repeat_revenue_pct,
    round(avg(customer.bookings), 2)                                                           AS bookings_per_customer
FROM dwh_marts.dim_customer AS customer
JOIN dwh_marts.dim_date AS day ON day.date_key = customer.first_book_date
GROUP BY day.month_start
ORDER BY day.month_start;
