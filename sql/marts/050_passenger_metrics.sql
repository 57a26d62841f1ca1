-- What passengers bought, day by day.
-- Invariant: thirty rows, one for each of the last thirty calendar days in UTC, today included, newest first; the
-- columns that end in _30d hold the same measure over all thirty days and are the same in every row.
--   * a day's bookings: those made on it (book_date), as they stand now, those after now() left out;
--   * revenue: their total_amount, in roubles;
--   * average check: revenue for each booking, rounded to kopecks; NULL without bookings;
--   * unique passengers: different passengers on the tickets of those bookings. Somebody who books on two days
--     counts on both, and once over thirty days;
--   * flights for each passenger: segments of those tickets on flights that are not cancelled, for each unique
--     passenger, rounded to two decimals; NULL without passengers.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW dwh_marts.v_passenger_metrics_30d AS
WITH days AS (
    SELECT (now() AT TIME ZONE 'UTC')::date - days_ago AS day
    FROM generate_series(0, 29) AS days_ago
),
recent_bookings AS (
    SELECT
        book_ref,
        (book_date AT TIME ZONE 'UTC')::date AS day,
        total_amount
    FROM dwh_marts.current_bookings
    WHERE book_date <= now()
        AND book_date >= ((now() AT TIME ZONE 'UTC')::date - 29)::timestamp AT TIME ZONE 'UTC'
),
cancelled_flights AS (
    SELECT version.hash_key
    FROM dwh_detailed.sat_flight_operations AS version
    WHERE version.status = 'Cancelled'
        AND NOT EXISTS (
            SELECT
            FROM dwh_detailed.sat_flight_operations AS newer
            WHERE newer.hash_key = version.hash_key
                AND newer.load_date > version.load_date
        )
),
flown_segments AS (
    SELECT
        segment.ticket_hash_key,
        count(*) AS flights
    FROM dwh_marts.current_link_ticket_flights AS segment
    WHERE NOT EXISTS (
        SELECT
        FROM cancelled_flights AS cancelled
        WHERE cancelled.hash_key = segment.flight_hash_key
    )
    GROUP BY segment.ticket_hash_key
),
recent_tickets AS (
    SELECT
        booking.day,
        of_passenger.passenger_hash_key,
        coalesce(flown.flights, 0) AS flights
    FROM recent_bookings AS booking
    JOIN dwh_marts.current_link_booking_tickets AS ticket ON ticket.book_ref = booking.book_ref
    JOIN dwh_marts.current_link_ticket_passengers AS of_passenger
        ON of_passenger.ticket_hash_key = ticket.ticket_hash_key
    LEFT JOIN flown_segments AS flown ON flown.ticket_hash_key = ticket.ticket_hash_key
),
-- The row whose day is NULL holds the thirty days together.
sales AS (
    SELECT
        day,
        count(*)                          AS bookings,
        coalesce(sum(total_amount), 0.00) AS revenue
    FROM recent_bookings
    GROUP BY GROUPING SETS ((day), ())
),
travellers AS (
    SELECT
        day,
        count(DISTINCT passenger_hash_key) AS unique_passengers,
        coalesce(sum(flights), 0)::bigint  AS flights
    FROM recent_tickets
    GROUP BY GROUPING SETS ((day), ())
),
measures AS (
    SELECT
        sold.day,
        sold.bookings,
        sold.revenue,
        round(sold.revenue / nullif(sold.bookings, 0), 2)                        AS average_check,
        coalesce(people.unique_passengers, 0)                                    AS unique_passengers,
        round(people.flights::numeric / nullif(people.unique_passengers, 0), 2) AS flights_per_passenger
    FROM sales AS sold
    LEFT JOIN travellers AS people ON people.day IS NOT DISTINCT FROM sold.day
)
SELECT
    days.day,
    coalesce(daily.unique_passengers, 0) AS unique_passengers,
    coalesce(daily.bookings, 0)          AS bookings,
    coalesce(daily.revenue, 0.00)        AS revenue,
    daily.average_check,
    daily.flights_per_passenger,
    total.unique_passengers              AS unique_passengers_30d,
    total.bookings                       AS bookings_30d,
    total.revenue                        AS revenue_30d,
    total.average_check                  AS average_check_30d,
    total.flights_per_passenger          AS flights_per_passenger_30d
FROM days
LEFT JOIN measures AS daily ON daily.day = days.day
LEFT JOIN measures AS total ON total.day IS NULL
ORDER BY days.day DESC;

COMMENT ON VIEW dwh_marts.v_passenger_metrics_30d IS
    'bookings and their passengers by UTC day of booking, for the last thirty days, today included, and over all of them';
COMMENT ON COLUMN dwh_marts.v_passenger_metrics_30d.day IS 'calendar day in UTC';
COMMENT ON COLUMN dwh_marts.v_passenger_metrics_30d.unique_passengers IS
    'different passengers on the tickets of the day''s bookings';
COMMENT ON COLUMN dwh_marts.v_passenger_metrics_30d.bookings IS 'bookings made on the day';
COMMENT ON COLUMN dwh_marts.v_passenger_metrics_30d.revenue IS 'total amount of those bookings, roubles';
COMMENT ON COLUMN dwh_marts.v_passenger_metrics_30d.average_check IS
    'revenue for each booking, rounded to kopecks; NULL without bookings';
COMMENT ON COLUMN dwh_marts.v_passenger_metrics_30d.flights_per_passenger IS
    'segments bought on flights that are not cancelled, for each unique passenger, two decimals; NULL without passengers';
COMMENT ON COLUMN dwh_marts.v_passenger_metrics_30d.unique_passengers_30d IS 'different passengers over the thirty days';
COMMENT ON COLUMN dwh_marts.v_passenger_metrics_30d.bookings_30d IS 'bookings over the thirty days';
COMMENT ON COLUMN dwh_marts.v_passenger_metrics_30d.revenue_30d IS 'revenue over the thirty days, roubles';
COMMENT ON COLUMN dwh_marts.v_passenger_metrics_30d.average_check_30d IS
    'revenue for each booking over the thirty days, rounded to kopecks';
COMMENT ON COLUMN dwh_marts.v_passenger_metrics_30d.flights_per_passenger_30d IS
    'flights for each unique passenger over the thirty days, two decimals';

COMMIT;
