-- Question: of the customers who first booked in a month, how many book again in the months after it?
-- Grain: one month of first booking and one later month with bookings of these customers, the first included (UTC).
-- Columns: first_month; months_later: 0 is the first month itself; customers: in the cohort; active: of them, those who
-- booked in that month; active_pct.
WITH purchases AS (
    SELECT DISTINCT
        customer_key,
        date_trunc('month', book_date::timestamp)::date AS month
    FROM dwh_marts.fact_bookings
    WHERE book_date IS NOT NULL
        AND customer_key IS NOT NULL
),
activity AS (
    SELECT
        date_trunc('month', customer.first_book_date::timestamp)::date AS first_month,
        purchase.month
    FROM purchases AS purchase
    JOIN dwh_marts.dim_customer AS customer ON customer.customer_key = purchase.customer_key
),
cohorts AS (
    SELECT
        date_trunc('month', first_book_date::timestamp)::date AS first_month,
        count(*)                                              AS customers
    FROM dwh_marts.dim_customer
    GROUP BY 1
),
active_by_month AS (
    SELECT
        first_month,
        month,
        count(*) AS active
    FROM activity
    GROUP BY
        first_month,
        month
)
SELECT
    cohorts.first_month,
    (
        12 * (extract(year FROM active.month) - extract(year FROM cohorts.first_month))
        + extract(month FROM active.month) - extract(month FROM cohorts.first_month)
    )::integer                                               AS months_later,
    cohorts.customers,
    active.active,
    round(100.0 * active.active / cohorts.customers, 2)   AS active_pct
FROM active_by_month AS active
JOIN cohorts ON cohorts.first_month = active.first_month
ORDER BY
    cohorts.first_month,
    months_later;
