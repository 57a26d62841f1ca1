-- What change data capture may read from the WAL.
-- Invariant: the publication holds exactly the eight tables, with every kind of change. It belongs to the owner of the
-- tables, so the capturing role needs no right to create or change one.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

SELECT 'CREATE PUBLICATION airline_publication'
WHERE NOT EXISTS (
    SELECT
    FROM pg_catalog.pg_publication
    WHERE pubname = 'airline_publication'
)
\gexec

ALTER PUBLICATION airline_publication SET TABLE
    public.airports,
    public.aircrafts,
    public.seats,
    public.flights,
    public.bookings,
    public.tickets,
    public.ticket_flights,
    public.boarding_passes;

ALTER PUBLICATION airline_publication SET (
    publish = 'insert, update, delete, truncate'
);

COMMIT;
