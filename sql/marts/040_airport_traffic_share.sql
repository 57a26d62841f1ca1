-- Which part of the traffic each airport has.
-- Invariant: every airport has a row, and each column of shares sums to exactly 100.00, or is NULL throughout when
-- there is nothing to share out.
--   * flights of an airport: its departures and its arrivals, so a flight counts at both of its ends; passengers
--     likewise;
--   * shares are percent with two decimals. Rounded one by one they would miss 100, so they are cut off after two
--     decimals and what is left over goes, a hundredth each, to those who lost most by it (ties: by airport code).
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW dwh_marts.v_airport_traffic_share AS
WITH traffic AS (
    SELECT
        airport_code,
        departure_flights_num + arrival_flights_num AS flights,
        departure_psngr_num + arrival_psngr_num     AS passengers
    FROM dwh_marts.v_airport_traffic
),
in_hundredths AS (
    SELECT
        airport_code,
        flights,
        passengers,
        div(10000 * flights, nullif(sum(flights) OVER (), 0))       AS flights_hundredths,
        mod(10000 * flights, nullif(sum(flights) OVER (), 0))       AS flights_lost,
        div(10000 * passengers, nullif(sum(passengers) OVER (), 0)) AS passengers_hundredths,
        mod(10000 * passengers, nullif(sum(passengers) OVER (), 0)) AS passengers_lost
    FROM traffic
),
ranked AS (
    SELECT
        *,
        row_number() OVER (ORDER BY flights_lost DESC, airport_code)    AS flights_rank,
        row_number() OVER (ORDER BY passengers_lost DESC, airport_code) AS passengers_rank,
        10000 - sum(flights_hundredths) OVER ()                         AS flights_left_over,
        10000 - sum(passengers_hundredths) OVER ()                      AS passengers_left_over
    FROM in_hundredths
)
SELECT
    share.airport_code,
    airport.airport_name,
    airport.city,
    share.flights,
    round((share.flights_hundredths + (share.flights_rank <= share.flights_left_over)::integer) / 100, 2)
        AS flights_share_pct,
    share.passengers,
    round((share.passengers_hundredths + (share.passengers_rank <= share.passengers_left_over)::integer) / 100, 2)
        AS passengers_share_pct
FROM ranked AS share
LEFT JOIN dwh_marts.current_airports AS airport ON airport.airport_code = share.airport_code
ORDER BY
    share.passengers DESC,
    share.airport_code;

COMMENT ON VIEW dwh_marts.v_airport_traffic_share IS
    'departures and arrivals of each airport with its share of all of them; cancelled flights left out';
COMMENT ON COLUMN dwh_marts.v_airport_traffic_share.airport_code IS 'airport';
COMMENT ON COLUMN dwh_marts.v_airport_traffic_share.airport_name IS 'name of the airport';
COMMENT ON COLUMN dwh_marts.v_airport_traffic_share.city IS 'city it serves';
COMMENT ON COLUMN dwh_marts.v_airport_traffic_share.flights IS 'departures and arrivals; a flight counts at both of its ends';
COMMENT ON COLUMN dwh_marts.v_airport_traffic_share.flights_share_pct IS
    'percent of the departures and arrivals of all airports; sums to 100.00; NULL when there are none';
COMMENT ON COLUMN dwh_marts.v_airport_traffic_share.passengers IS 'segments sold on those flights';
COMMENT ON COLUMN dwh_marts.v_airport_traffic_share.passengers_share_pct IS
    'percent of the passengers of all airports; sums to 100.00; NULL when there are none';

COMMIT;
