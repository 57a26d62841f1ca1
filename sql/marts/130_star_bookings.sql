-- Tickets and booking items of the star schema.
-- Invariant: after a refresh dwh_star.tickets equals dwh_star.tickets_source, and dwh_marts.fact_bookings equals
-- dwh_star.bookings, row for row. The views are the only definitions; the refresh copies them, tickets first, because
-- dwh_star.bookings reads the table of tickets.
--   * a row of fact_bookings is a segment as it stands now: one ticket on one flight;
--   * topics are loaded independently: a segment may be there before its ticket or its booking. Until they come, what
--     they would tell is NULL.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW dwh_star.tickets_source AS
WITH live_tickets AS (
    SELECT status.hash_key
    FROM dwh_detailed.sat_tickets_status AS status
    WHERE NOT status.is_deleted
        AND status.record_source <> 'SYSTEM'
        AND NOT EXISTS (
            SELECT
            FROM dwh_detailed.sat_tickets_status AS newer
            WHERE newer.hash_key = status.hash_key
                AND newer.load_date > status.load_date
        )
),
latest_bookings AS (
    SELECT
        effectivity.hash_key,
        effectivity.link_hash_key
    FROM dwh_detailed.sat_booking_tickets_effectivity AS effectivity
    WHERE NOT EXISTS (
        SELECT
        FROM dwh_detailed.sat_booking_tickets_effectivity AS newer
        WHERE newer.hash_key = effectivity.hash_key
            AND newer.load_date > effectivity.load_date
    )
),
latest_passengers AS (
    SELECT
        effectivity.hash_key,
        effectivity.link_hash_key
    FROM dwh_detailed.sat_ticket_passengers_effectivity AS effectivity
    WHERE NOT EXISTS (
        SELECT
        FROM dwh_detailed.sat_ticket_passengers_effectivity AS newer
        WHERE newer.hash_key = effectivity.hash_key
            AND newer.load_date > effectivity.load_date
    )
),
live_bookings AS (
    SELECT
        status.hash_key,
        version.book_date
    FROM dwh_detailed.sat_bookings_status AS status
    LEFT JOIN dwh_detailed.sat_bookings AS version
        ON version.hash_key = status.hash_key
        AND NOT EXISTS (
            SELECT
            FROM dwh_detailed.sat_bookings AS newer
            WHERE newer.hash_key = version.hash_key
                AND newer.load_date > version.load_date
        )
    WHERE NOT status.is_deleted
        AND status.record_source <> 'SYSTEM'
        AND NOT EXISTS (
            SELECT
            FROM dwh_detailed.sat_bookings_status AS newer
            WHERE newer.hash_key = status.hash_key
                AND newer.load_date > status.load_date
        )
)
SELECT
    live.hash_key                    AS ticket_key,
    ticket.ticket_no::text           AS ticket_no,
    in_booking.booking_hash_key      AS booking_key,
    booking.book_ref::text           AS book_ref,
    of_passenger.passenger_hash_key  AS customer_key,
    sale.book_date                   AS book_time
FROM live_tickets AS live
JOIN dwh_detailed.hub_tickets AS ticket ON ticket.hash_key = live.hash_key
LEFT JOIN latest_bookings ON latest_bookings.hash_key = live.hash_key
LEFT JOIN dwh_detailed.link_booking_tickets AS in_booking ON in_booking.hash_key = latest_bookings.link_hash_key
LEFT JOIN dwh_detailed.hub_bookings AS booking ON booking.hash_key = in_booking.booking_hash_key
LEFT JOIN live_bookings AS sale ON sale.hash_key = in_booking.booking_hash_key
LEFT JOIN latest_passengers ON latest_passengers.hash_key = live.hash_key
LEFT JOIN dwh_detailed.link_ticket_passengers AS of_passenger
    ON of_passenger.hash_key = latest_passengers.link_hash_key;
COMMENT ON VIEW dwh_star.tickets_source IS 'what dwh_star.tickets has to hold';

CREATE TABLE IF NOT EXISTS dwh_star.tickets (
    ticket_key   bytea NOT NULL,
    ticket_no    text COLLATE "C",
    booking_key  bytea,
    book_ref     text COLLATE "C",
    customer_key bytea,
    book_time    timestamptz,
    CONSTRAINT tickets_pkey PRIMARY KEY (ticket_key)
) WITH (fillfactor = 90);
CREATE INDEX IF NOT EXISTS tickets_customer_key_idx
    ON dwh_star.tickets (customer_key);
COMMENT ON TABLE dwh_star.tickets IS 'tickets as they are now: who travels, in which booking; grain: one ticket';
COMMENT ON COLUMN dwh_star.tickets.ticket_key IS 'hash key of the ticket';
COMMENT ON COLUMN dwh_star.tickets.ticket_no IS 'ticket number';
COMMENT ON COLUMN dwh_star.tickets.booking_key IS 'hash key of the booking';
COMMENT ON COLUMN dwh_star.tickets.book_ref IS 'booking reference';
COMMENT ON COLUMN dwh_star.tickets.customer_key IS 'hash key of the passenger';
COMMENT ON COLUMN dwh_star.tickets.book_time IS 'when the booking was made';

CREATE OR REPLACE VIEW dwh_star.bookings AS
WITH live_segments AS (
    SELECT status.hash_key
    FROM dwh_detailed.sat_ticket_flights_status AS status
    WHERE NOT status.is_deleted
        AND status.record_source <> 'SYSTEM'
        AND NOT EXISTS (
            SELECT
            FROM dwh_detailed.sat_ticket_flights_status AS newer
            WHERE newer.hash_key = status.hash_key
                AND newer.load_date > status.load_date
        )
),
latest_sales AS (
    SELECT
        version.hash_key,
        version.fare_conditions,
        version.amount
    FROM dwh_detailed.sat_ticket_flights AS version
    WHERE NOT EXISTS (
        SELECT
        FROM dwh_detailed.sat_ticket_flights AS newer
        WHERE newer.hash_key = version.hash_key
            AND newer.load_date > version.load_date
    )
),
live_passes AS (
    SELECT status.hash_key
    FROM dwh_detailed.sat_boarding_passes_status AS status
    WHERE NOT status.is_deleted
        AND status.record_source <> 'SYSTEM'
        AND NOT EXISTS (
            SELECT
            FROM dwh_detailed.sat_boarding_passes_status AS newer
            WHERE newer.hash_key = status.hash_key
                AND newer.load_date > status.load_date
        )
)
SELECT
    live.hash_key                                    AS segment_key,
    segment.ticket_hash_key                          AS ticket_key,
    ticket.booking_key,
    ticket.customer_key,
    segment.flight_hash_key                          AS flight_key,
    ticket.book_ref,
    ticket.ticket_no,
    flight.flight_id,
    ticket.book_time,
    (ticket.book_time AT TIME ZONE 'UTC')::date      AS book_date,
    sale.fare_conditions::text                       AS fare_conditions,
    sale.amount,
    pass.hash_key IS NOT NULL                        AS is_checked_in
FROM live_segments AS live
JOIN dwh_detailed.link_ticket_flights AS segment ON segment.hash_key = live.hash_key
LEFT JOIN dwh_detailed.hub_flights AS flight ON flight.hash_key = segment.flight_hash_key
LEFT JOIN latest_sales AS sale ON sale.hash_key = live.hash_key
LEFT JOIN live_passes AS pass ON pass.hash_key = live.hash_key
LEFT JOIN dwh_star.tickets AS ticket ON ticket.ticket_key = segment.ticket_hash_key;
COMMENT ON VIEW dwh_star.bookings IS 'what dwh_marts.fact_bookings has to hold';

CREATE TABLE IF NOT EXISTS dwh_marts.fact_bookings (
    segment_key     bytea   NOT NULL,
    ticket_key      bytea   NOT NULL,
    booking_key     bytea,
    customer_key    bytea,
    flight_key      bytea   NOT NULL,
    book_ref        text COLLATE "C",
    ticket_no       text COLLATE "C",
    flight_id       integer,
    book_time       timestamptz,
    book_date       date,
    fare_conditions text,
    amount          numeric(10, 2),
    is_checked_in   boolean NOT NULL,
    CONSTRAINT fact_bookings_pkey PRIMARY KEY (segment_key)
) WITH (fillfactor = 90);
CREATE INDEX IF NOT EXISTS fact_bookings_ticket_key_idx
    ON dwh_marts.fact_bookings (ticket_key);
CREATE INDEX IF NOT EXISTS fact_bookings_flight_key_idx
    ON dwh_marts.fact_bookings (flight_key);
COMMENT ON TABLE dwh_marts.fact_bookings IS 'booking items as they stand now; grain: one segment, that is one ticket on one flight';
COMMENT ON COLUMN dwh_marts.fact_bookings.segment_key IS 'hash key of the segment';
COMMENT ON COLUMN dwh_marts.fact_bookings.ticket_key IS 'hash key of the ticket';
COMMENT ON COLUMN dwh_marts.fact_bookings.booking_key IS 'hash key of the booking';
COMMENT ON COLUMN dwh_marts.fact_bookings.customer_key IS 'customer who travels, in dim_customer';
COMMENT ON COLUMN dwh_marts.fact_bookings.flight_key IS 'flight, in dim_flight';
COMMENT ON COLUMN dwh_marts.fact_bookings.book_ref IS 'booking reference';
COMMENT ON COLUMN dwh_marts.fact_bookings.ticket_no IS 'ticket number';
COMMENT ON COLUMN dwh_marts.fact_bookings.flight_id IS 'number of the flight in the source';
COMMENT ON COLUMN dwh_marts.fact_bookings.book_time IS 'when the booking was made';
COMMENT ON COLUMN dwh_marts.fact_bookings.book_date IS 'UTC day of the booking, in dim_date';
COMMENT ON COLUMN dwh_marts.fact_bookings.fare_conditions IS 'cabin that was bought';
COMMENT ON COLUMN dwh_marts.fact_bookings.amount IS 'price of the segment, roubles';
COMMENT ON COLUMN dwh_marts.fact_bookings.is_checked_in IS 'whether a boarding pass was issued';

COMMIT;
