-- Bookings by day and by who sold them: the booking service, or everybody else. It stands on the vaults of two models:
-- the airline's and the booking service's (connectors/booking). Run by the owner of the marts, after sql/marts.
-- Invariant: a booking is counted once. An order of the service outlives its booking, so a cancelled booking of the
-- service counts still, without an amount; one of somebody else's is gone when the source has removed it. The view owns
-- no facts and shows nobody.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW dwh_marts.service_bookings AS
WITH sold AS (
    SELECT
        'service'                                      AS channel,
        placed.book_date,
        placed.account_id,
        booking.book_ref IS NOT NULL                   AS is_held,
        booking.total_amount
    FROM dwh_marts.current_orders AS placed
    LEFT JOIN dwh_marts.current_bookings AS booking
        ON booking.book_ref = placed.book_ref
            AND booking.book_date = placed.book_date
    UNION ALL
    SELECT
        'other',
        booking.book_date,
        NULL,
        TRUE,
        booking.total_amount
    FROM dwh_marts.current_bookings AS booking
    WHERE NOT EXISTS (
        SELECT
        FROM dwh_marts.current_orders AS placed
        WHERE placed.book_ref = booking.book_ref
            AND placed.book_date = booking.book_date
    )
)
SELECT
    (book_date AT TIME ZONE 'UTC')::date          AS day,
    channel,
    count(*)                                      AS bookings,
    count(*) FILTER (WHERE NOT is_held)           AS cancelled,
    count(DISTINCT account_id)                    AS accounts,
    coalesce(sum(total_amount), 0)                AS total_amount
FROM sold
GROUP BY
    (book_date AT TIME ZONE 'UTC')::date,
    channel;

COMMENT ON VIEW dwh_marts.service_bookings IS
    'bookings by day and channel, as the vault is now; the tables of two sources are loaded one by one; grain: a UTC day and a channel';
COMMENT ON COLUMN dwh_marts.service_bookings.day IS 'UTC day of the booking';
COMMENT ON COLUMN dwh_marts.service_bookings.channel IS 'service: the booking service; other: everybody else who writes bookings';
COMMENT ON COLUMN dwh_marts.service_bookings.bookings IS 'bookings made';
COMMENT ON COLUMN dwh_marts.service_bookings.cancelled IS 'bookings of them that are not there: cancelled, or not loaded yet; 0 for other, whose bookings are then not counted';
COMMENT ON COLUMN dwh_marts.service_bookings.accounts IS 'customers who made them; 0 for other';
COMMENT ON COLUMN dwh_marts.service_bookings.total_amount IS 'price of those that are there, roubles';

GRANT SELECT ON dwh_marts.service_bookings TO mart_reader;

COMMIT;
