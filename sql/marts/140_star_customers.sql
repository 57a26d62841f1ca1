-- Customers of the star schema with what they did so far.
-- Invariant: after a refresh dwh_marts.dim_customer equals dwh_star.customers row for row: everybody who holds a ticket
-- now. There is no personal data: a customer is the hash of the document that tickets were bought with.
--   * flights: segments of all tickets, past and future, on flights that are not cancelled;
--   * revenue: what all segments cost, cancelled flights included: it was paid;
--   * groups are those of dwh_marts.v_passenger_groups_revenue.
-- Reads the tables that are refreshed before: tickets, fact_bookings, dim_flight.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW dwh_star.customers AS
WITH totals AS (
    SELECT
        ticket.customer_key,
        (min(ticket.book_time) AT TIME ZONE 'UTC')::date                                     AS first_book_date,
        (max(ticket.book_time) AT TIME ZONE 'UTC')::date                                     AS last_book_date,
        count(DISTINCT ticket.booking_key)                                                   AS bookings,
        count(segment.segment_key) FILTER (WHERE flight.is_cancelled IS NOT TRUE)            AS flights,
        coalesce(sum(segment.amount), 0.00)                                                  AS revenue
    FROM dwh_star.tickets AS ticket
    LEFT JOIN dwh_marts.fact_bookings AS segment ON segment.ticket_key = ticket.ticket_key
    LEFT JOIN dwh_marts.dim_flight AS flight ON flight.flight_key = segment.flight_key
    WHERE ticket.customer_key IS NOT NULL
    GROUP BY ticket.customer_key
)
SELECT
    customer_key,
    first_book_date,
    last_book_date,
    bookings,
    flights,
    revenue,
    CASE
        WHEN flights = 0 THEN 'no flights'
        WHEN flights = 1 THEN '1 flight'
        WHEN flights = 2 THEN '2 flights'
        WHEN flights <= 4 THEN '3-4 flights'
        WHEN flights <= 9 THEN '5-9 flights'
        ELSE '10 flights and more'
    END AS passenger_group,
    CASE
        WHEN flights <= 2 THEN flights + 1
        WHEN flights <= 4 THEN 4
        WHEN flights <= 9 THEN 5
        ELSE 6
    END::integer AS group_no
FROM totals;
COMMENT ON VIEW dwh_star.customers IS 'what dwh_marts.dim_customer has to hold';

CREATE TABLE IF NOT EXISTS dwh_marts.dim_customer (
    customer_key    bytea   NOT NULL,
    first_book_date date,
    last_book_date  date,
    bookings        bigint  NOT NULL,
    flights         bigint  NOT NULL,
    revenue         numeric NOT NULL,
    passenger_group text    NOT NULL,
    group_no        integer NOT NULL,
    CONSTRAINT dim_customer_pkey PRIMARY KEY (customer_key)
) WITH (fillfactor = 80);
COMMENT ON TABLE dwh_marts.dim_customer IS 'people who hold a ticket now, with lifetime measures; grain: one customer';
COMMENT ON COLUMN dwh_marts.dim_customer.customer_key IS 'hash key of the passenger';
COMMENT ON COLUMN dwh_marts.dim_customer.first_book_date IS 'UTC day of the first booking';
COMMENT ON COLUMN dwh_marts.dim_customer.last_book_date IS 'UTC day of the last booking';
COMMENT ON COLUMN dwh_marts.dim_customer.bookings IS 'bookings with a ticket of the customer';
COMMENT ON COLUMN dwh_marts.dim_customer.flights IS 'segments on flights that are not cancelled';
COMMENT ON COLUMN dwh_marts.dim_customer.revenue IS 'price of all segments, cancelled flights included, roubles';
COMMENT ON COLUMN dwh_marts.dim_customer.passenger_group IS 'group by number of flights';
COMMENT ON COLUMN dwh_marts.dim_customer.group_no IS 'order of the groups, the rarest flyers first';

COMMIT;
