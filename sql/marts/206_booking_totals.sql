-- What each booking costs, and what its segments cost together: as the vault is now, and as of the watermark.
-- Invariant: at the source a transaction that changes a segment's price or a booking's segments changes the booking's total, too.
-- Loaders load the two tables one by one, so the first view may show a part of such a transaction. The second one shows whole
-- transactions only: all of those that were published at or before the watermark's publish time, and nothing of a later one
-- (docs/WATERMARK.md). It is the pattern for any mart that must not show a transaction in part. The views own no facts.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW dwh_marts.v_booking_totals AS
SELECT
    booking.book_ref,
    booking.total_amount,
    count(segment.amount)                                        AS segments,
    coalesce(sum(segment.amount), 0)                             AS segments_amount,
    booking.total_amount - coalesce(sum(segment.amount), 0)      AS difference
FROM dwh_marts.current_bookings AS booking
LEFT JOIN dwh_marts.current_tickets AS ticket ON ticket.book_ref = booking.book_ref
LEFT JOIN dwh_marts.current_ticket_flights AS segment ON segment.ticket_no = ticket.ticket_no
GROUP BY
    booking.book_ref,
    booking.total_amount;

COMMENT ON VIEW dwh_marts.v_booking_totals IS
    'each booking with the price of its segments, as the vault is now: while loaders work, a transaction may be there in part; grain: a booking';
COMMENT ON COLUMN dwh_marts.v_booking_totals.book_ref IS 'booking';
COMMENT ON COLUMN dwh_marts.v_booking_totals.total_amount IS 'price of the booking, roubles';
COMMENT ON COLUMN dwh_marts.v_booking_totals.segments IS 'segments of the booking that have a price';
COMMENT ON COLUMN dwh_marts.v_booking_totals.segments_amount IS 'what these segments cost together, roubles';
COMMENT ON COLUMN dwh_marts.v_booking_totals.difference IS 'total_amount less segments_amount; 0 at the source after each transaction';

COMMIT;

-- A vault that was made from the printed DDL alone has no loader, and so no watermark.
SELECT to_regclass('dwh_control.watermark') IS NOT NULL AS has_watermark
\gset
\if :has_watermark

BEGIN;

-- Of each satellite the last version that was published by then. A deleted key counts for nothing, as in the views of what is now.
CREATE OR REPLACE VIEW dwh_marts.v_booking_totals_as_of_watermark AS
WITH watermark AS (
    SELECT published AS complete_up_to
    FROM dwh_marts.freshness
    WHERE source = 'airline'
        AND published IS NOT NULL
),
booking_life AS (
    SELECT DISTINCT ON (version.hash_key)
        version.hash_key,
        version.is_deleted
    FROM dwh_detailed.sat_bookings_status AS version
    JOIN watermark ON version.load_date <= watermark.complete_up_to
    WHERE version.record_source <> 'SYSTEM'
    ORDER BY version.hash_key, version.load_date DESC
),
booking_amount AS (
    SELECT DISTINCT ON (version.hash_key)
        version.hash_key,
        version.total_amount
    FROM dwh_detailed.sat_bookings AS version
    JOIN watermark ON version.load_date <= watermark.complete_up_to
    ORDER BY version.hash_key, version.load_date DESC
),
ticket_life AS (
    SELECT DISTINCT ON (version.hash_key)
        version.hash_key,
        version.is_deleted
    FROM dwh_detailed.sat_tickets_status AS version
    JOIN watermark ON version.load_date <= watermark.complete_up_to
    WHERE version.record_source <> 'SYSTEM'
    ORDER BY version.hash_key, version.load_date DESC
),
ticket_booking AS (
    SELECT DISTINCT ON (version.hash_key)
        version.hash_key,
        version.link_hash_key
    FROM dwh_detailed.sat_booking_tickets_effectivity AS version
    JOIN watermark ON version.load_date <= watermark.complete_up_to
    ORDER BY version.hash_key, version.load_date DESC
),
segment_life AS (
    SELECT DISTINCT ON (version.hash_key)
        version.hash_key,
        version.is_deleted
    FROM dwh_detailed.sat_ticket_flights_status AS version
    JOIN watermark ON version.load_date <= watermark.complete_up_to
    WHERE version.record_source <> 'SYSTEM'
    ORDER BY version.hash_key, version.load_date DESC
),
segment_amount AS (
    SELECT DISTINCT ON (version.hash_key)
        version.hash_key,
        version.amount
    FROM dwh_detailed.sat_ticket_flights AS version
    JOIN watermark ON version.load_date <= watermark.complete_up_to
    ORDER BY version.hash_key, version.load_date DESC
),
sold AS (
    SELECT
        link.booking_hash_key,
        count(segment_amount.amount) AS segments,
        sum(segment_amount.amount)   AS segments_amount
    FROM segment_life
    JOIN segment_amount ON segment_amount.hash_key = segment_life.hash_key
    JOIN dwh_detailed.link_ticket_flights AS segment ON segment.hash_key = segment_life.hash_key
    JOIN ticket_life ON ticket_life.hash_key = segment.ticket_hash_key
    JOIN ticket_booking ON ticket_booking.hash_key = segment.ticket_hash_key
    JOIN dwh_detailed.link_booking_tickets AS link ON link.hash_key = ticket_booking.link_hash_key
    WHERE NOT segment_life.is_deleted
        AND NOT ticket_life.is_deleted
    GROUP BY link.booking_hash_key
)
SELECT
    booking.book_ref,
    booking_amount.total_amount,
    coalesce(sold.segments, 0)                                        AS segments,
    coalesce(sold.segments_amount, 0)                                 AS segments_amount,
    booking_amount.total_amount - coalesce(sold.segments_amount, 0)   AS difference,
    watermark.complete_up_to
FROM watermark
CROSS JOIN booking_life
JOIN dwh_detailed.hub_bookings AS booking ON booking.hash_key = booking_life.hash_key
LEFT JOIN booking_amount ON booking_amount.hash_key = booking_life.hash_key
LEFT JOIN sold ON sold.booking_hash_key = booking_life.hash_key
WHERE NOT booking_life.is_deleted;

COMMENT ON VIEW dwh_marts.v_booking_totals_as_of_watermark IS
    'each booking with the price of its segments, as of the watermark: whole transactions only; no row while there is no watermark; grain: a booking';
COMMENT ON COLUMN dwh_marts.v_booking_totals_as_of_watermark.book_ref IS 'booking';
COMMENT ON COLUMN dwh_marts.v_booking_totals_as_of_watermark.total_amount IS 'price of the booking, roubles';
COMMENT ON COLUMN dwh_marts.v_booking_totals_as_of_watermark.segments IS 'segments of the booking that have a price';
COMMENT ON COLUMN dwh_marts.v_booking_totals_as_of_watermark.segments_amount IS 'what these segments cost together, roubles';
COMMENT ON COLUMN dwh_marts.v_booking_totals_as_of_watermark.difference IS 'total_amount less segments_amount; 0 at the source after each transaction';
COMMENT ON COLUMN dwh_marts.v_booking_totals_as_of_watermark.complete_up_to IS 'the watermark''s publish time: everything that was published by then is in the row, and nothing else';

COMMIT;

\endif
