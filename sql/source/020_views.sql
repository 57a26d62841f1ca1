-- The airport statistics of the operational database.
-- Invariant: one row for every airport, zeros where nothing flies. What counts:
--   * flights: every flight of the airport, past and future, whose status is not 'Cancelled';
--   * passengers: the segments (ticket_flights rows) sold on those flights, checked in or not.
-- The warehouse reproduces this view row for row from the captured changes.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW public.airport_traffic AS
WITH sold_segments AS (
    SELECT
        flight_id,
        count(*) AS psngr_num
    FROM public.ticket_flights
    GROUP BY flight_id
),
operated_flights AS (
    SELECT
        f.departure_airport,
        f.arrival_airport,
        coalesce(s.psngr_num, 0) AS psngr_num
    FROM public.flights AS f
    LEFT JOIN sold_segments AS s ON s.flight_id = f.flight_id
    WHERE f.status <> 'Cancelled'
),
departures AS (
    SELECT
        departure_airport AS airport_code,
        count(*)          AS flights_num,
        sum(psngr_num)    AS psngr_num
    FROM operated_flights
    GROUP BY departure_airport
),
arrivals AS (
    SELECT
        arrival_airport AS airport_code,
        count(*)        AS flights_num,
        sum(psngr_num)  AS psngr_num
    FROM operated_flights
    GROUP BY arrival_airport
)
SELECT
    ap.airport_code,
    coalesce(d.flights_num, 0)::bigint AS departure_flights_num,
    coalesce(d.psngr_num, 0)::bigint   AS departure_psngr_num,
    coalesce(a.flights_num, 0)::bigint AS arrival_flights_num,
    coalesce(a.psngr_num, 0)::bigint   AS arrival_psngr_num
FROM public.airports AS ap
LEFT JOIN departures AS d ON d.airport_code = ap.airport_code
LEFT JOIN arrivals AS a ON a.airport_code = ap.airport_code;

COMMENT ON VIEW public.airport_traffic IS
    'flights that are not cancelled and their sold segments, by airport; every airport has a row';
COMMENT ON COLUMN public.airport_traffic.airport_code IS 'airport';
COMMENT ON COLUMN public.airport_traffic.departure_flights_num IS 'flights that depart here, cancelled ones left out';
COMMENT ON COLUMN public.airport_traffic.departure_psngr_num IS 'segments sold on those flights';
COMMENT ON COLUMN public.airport_traffic.arrival_flights_num IS 'flights that arrive here, cancelled ones left out';
COMMENT ON COLUMN public.airport_traffic.arrival_psngr_num IS 'segments sold on those flights';

COMMIT;
