-- The dimensions that are small: days, airports, aircraft models, seats.
-- Invariant: dim_date holds every day from 2010 to 2049 once. dim_airport and dim_aircraft are of type 2: the rows of
-- one key do not overlap in time, and at most one is current. dim_seat shows the seats as they are now.
--   * a row of type 2 holds from valid_from up to, not including, valid_to; valid_to is NULL while it is current;
--   * the moments are those at which the source committed the change. Before the first change nothing else is known,
--     so the first row of a key holds from 1900 on;
--   * while an airport or a model does not exist at the source, no row of it holds.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE TABLE IF NOT EXISTS dwh_marts.dim_date (
    date_key      date    NOT NULL,
    year          integer NOT NULL,
    quarter       integer NOT NULL,
    month         integer NOT NULL,
    month_start   date    NOT NULL,
    month_name    text    NOT NULL,
    month_name_ru text    NOT NULL,
    week          integer NOT NULL,
    day_of_month  integer NOT NULL,
    day_of_week   integer NOT NULL,
    day_name      text    NOT NULL,
    day_name_ru   text    NOT NULL,
    is_weekend    boolean NOT NULL,
    CONSTRAINT dim_date_pkey PRIMARY KEY (date_key)
);
COMMENT ON TABLE dwh_marts.dim_date IS 'calendar days, 2010 to 2049; grain: one day in UTC';
COMMENT ON COLUMN dwh_marts.dim_date.date_key IS 'the day';
COMMENT ON COLUMN dwh_marts.dim_date.year IS 'year';
COMMENT ON COLUMN dwh_marts.dim_date.quarter IS 'quarter of the year, 1 to 4';
COMMENT ON COLUMN dwh_marts.dim_date.month IS 'month of the year, 1 to 12';
COMMENT ON COLUMN dwh_marts.dim_date.month_start IS 'first day of the month';
COMMENT ON COLUMN dwh_marts.dim_date.month_name IS 'name of the month, English';
COMMENT ON COLUMN dwh_marts.dim_date.month_name_ru IS 'name of the month, Russian';
COMMENT ON COLUMN dwh_marts.dim_date.week IS 'week by ISO 8601, 1 to 53';
COMMENT ON COLUMN dwh_marts.dim_date.day_of_month IS 'day of the month';
COMMENT ON COLUMN dwh_marts.dim_date.day_of_week IS 'day of the week, 1 is Monday';
COMMENT ON COLUMN dwh_marts.dim_date.day_name IS 'name of the day, English';
COMMENT ON COLUMN dwh_marts.dim_date.day_name_ru IS 'name of the day, Russian';
COMMENT ON COLUMN dwh_marts.dim_date.is_weekend IS 'Saturday or Sunday';

INSERT INTO dwh_marts.dim_date
SELECT
    day::date,
    extract(year FROM day),
    extract(quarter FROM day),
    extract(month FROM day),
    date_trunc('month', day)::date,
    (ARRAY['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October',
           'November', 'December'])[extract(month FROM day)],
    (ARRAY['январь', 'февраль', 'март', 'апрель', 'май', 'июнь', 'июль', 'август', 'сентябрь', 'октябрь',
           'ноябрь', 'декабрь'])[extract(month FROM day)],
    extract(week FROM day),
    extract(day FROM day),
    extract(isodow FROM day),
    (ARRAY['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'])[extract(isodow FROM day)],
    (ARRAY['понедельник', 'вторник', 'среда', 'четверг', 'пятница', 'суббота', 'воскресенье'])[extract(isodow FROM day)],
    extract(isodow FROM day) >= 6
FROM generate_series(timestamp '2010-01-01', timestamp '2049-12-31', interval '1 day') AS day
ON CONFLICT ON CONSTRAINT dim_date_pkey DO NOTHING;

-- A key's row changes when a version of its attributes or of its status comes. At each such moment what counts is the
-- latest version of either.
CREATE OR REPLACE VIEW dwh_marts.dim_airport AS
WITH moments AS (
    SELECT hash_key, applied_date AS moment
    FROM dwh_detailed.sat_airports
    WHERE record_source <> 'SYSTEM'
    UNION
    SELECT hash_key, applied_date AS moment
    FROM dwh_detailed.sat_airports_status
    WHERE record_source <> 'SYSTEM'
),
states AS (
    SELECT
        moments.hash_key,
        moments.moment,
        status.is_deleted,
        details.airport_name,
        details.city,
        details.longitude,
        details.latitude,
        details.timezone
    FROM moments
    LEFT JOIN LATERAL (
        SELECT version.is_deleted
        FROM dwh_detailed.sat_airports_status AS version
        WHERE version.hash_key = moments.hash_key
            AND version.applied_date <= moments.moment
        ORDER BY version.load_date DESC
        LIMIT 1
    ) AS status ON true
    LEFT JOIN LATERAL (
        SELECT version.*
        FROM dwh_detailed.sat_airports AS version
        WHERE version.hash_key = moments.hash_key
            AND version.applied_date <= moments.moment
        ORDER BY version.load_date DESC
        LIMIT 1
    ) AS details ON true
),
-- An insert over a row that exists is a moment at which nothing changes.
changes AS (
    SELECT
        *,
        ROW (is_deleted, airport_name, city, longitude, latitude, timezone)
            IS DISTINCT FROM lag(ROW (is_deleted, airport_name, city, longitude, latitude, timezone)) OVER of_key AS is_change,
        lag(moment) OVER of_key IS NULL AS is_first
    FROM states
    WINDOW of_key AS (PARTITION BY hash_key ORDER BY moment)
),
periods AS (
    SELECT
        *,
        lead(moment) OVER (PARTITION BY hash_key ORDER BY moment) AS next_moment
    FROM changes
    WHERE is_change
)
SELECT
    periods.hash_key                                                                             AS airport_key,
    airport.airport_code::text                                                                   AS airport_code,
    periods.airport_name,
    periods.city,
    periods.longitude,
    periods.latitude,
    periods.timezone,
    CASE WHEN periods.is_first THEN timestamptz '1900-01-01 00:00:00+00' ELSE periods.moment END AS valid_from,
    periods.next_moment                                                                          AS valid_to,
    periods.next_moment IS NULL                                                                  AS is_current
FROM periods
JOIN dwh_detailed.hub_airports AS airport ON airport.hash_key = periods.hash_key
WHERE NOT periods.is_deleted;
COMMENT ON VIEW dwh_marts.dim_airport IS 'airports with their history; grain: one state of one airport (type 2)';
COMMENT ON COLUMN dwh_marts.dim_airport.airport_key IS 'hash key of the airport; unique with valid_from';
COMMENT ON COLUMN dwh_marts.dim_airport.airport_code IS 'IATA code';
COMMENT ON COLUMN dwh_marts.dim_airport.airport_name IS 'name of the airport';
COMMENT ON COLUMN dwh_marts.dim_airport.city IS 'city it serves';
COMMENT ON COLUMN dwh_marts.dim_airport.longitude IS 'degrees east';
COMMENT ON COLUMN dwh_marts.dim_airport.latitude IS 'degrees north';
COMMENT ON COLUMN dwh_marts.dim_airport.timezone IS 'IANA time zone';
COMMENT ON COLUMN dwh_marts.dim_airport.valid_from IS 'first moment at which the state holds';
COMMENT ON COLUMN dwh_marts.dim_airport.valid_to IS 'first moment at which it holds no longer; NULL while it is current';
COMMENT ON COLUMN dwh_marts.dim_airport.is_current IS 'whether it holds now';

CREATE OR REPLACE VIEW dwh_marts.dim_aircraft AS
WITH moments AS (
    SELECT hash_key, applied_date AS moment
    FROM dwh_detailed.sat_aircrafts
    WHERE record_source <> 'SYSTEM'
    UNION
    SELECT hash_key, applied_date AS moment
    FROM dwh_detailed.sat_aircrafts_status
    WHERE record_source <> 'SYSTEM'
),
states AS (
    SELECT
        moments.hash_key,
        moments.moment,
        status.is_deleted,
        details.model,
        details.range
    FROM moments
    LEFT JOIN LATERAL (
        SELECT version.is_deleted
        FROM dwh_detailed.sat_aircrafts_status AS version
        WHERE version.hash_key = moments.hash_key
            AND version.applied_date <= moments.moment
        ORDER BY version.load_date DESC
        LIMIT 1
    ) AS status ON true
    LEFT JOIN LATERAL (
        SELECT version.*
        FROM dwh_detailed.sat_aircrafts AS version
        WHERE version.hash_key = moments.hash_key
            AND version.applied_date <= moments.moment
        ORDER BY version.load_date DESC
        LIMIT 1
    ) AS details ON true
),
-- An insert over a row that exists is a moment at which nothing changes.
changes AS (
    SELECT
        *,
        ROW (is_deleted, model, range)
            IS DISTINCT FROM lag(ROW (is_deleted, model, range)) OVER of_key AS is_change,
        lag(moment) OVER of_key IS NULL AS is_first
    FROM states
    WINDOW of_key AS (PARTITION BY hash_key ORDER BY moment)
),
periods AS (
    SELECT
        *,
        lead(moment) OVER (PARTITION BY hash_key ORDER BY moment) AS next_moment
    FROM changes
    WHERE is_change
)
SELECT
    periods.hash_key                                                                             AS aircraft_key,
    aircraft.aircraft_code::text                                                                 AS aircraft_code,
    periods.model,
    periods.range,
    CASE WHEN periods.is_first THEN timestamptz '1900-01-01 00:00:00+00' ELSE periods.moment END AS valid_from,
    periods.next_moment                                                                          AS valid_to,
    periods.next_moment IS NULL                                                                  AS is_current
FROM periods
JOIN dwh_detailed.hub_aircrafts AS aircraft ON aircraft.hash_key = periods.hash_key
WHERE NOT periods.is_deleted;
COMMENT ON VIEW dwh_marts.dim_aircraft IS 'aircraft models with their history; grain: one state of one model (type 2)';
COMMENT ON COLUMN dwh_marts.dim_aircraft.aircraft_key IS 'hash key of the model; unique with valid_from';
COMMENT ON COLUMN dwh_marts.dim_aircraft.aircraft_code IS 'IATA aircraft type code';
COMMENT ON COLUMN dwh_marts.dim_aircraft.model IS 'manufacturer and model';
COMMENT ON COLUMN dwh_marts.dim_aircraft.range IS 'maximal flight distance, km';
COMMENT ON COLUMN dwh_marts.dim_aircraft.valid_from IS 'first moment at which the state holds';
COMMENT ON COLUMN dwh_marts.dim_aircraft.valid_to IS 'first moment at which it holds no longer; NULL while it is current';
COMMENT ON COLUMN dwh_marts.dim_aircraft.is_current IS 'whether it holds now';

-- Where the aisles are follows from the widest row of the model. Up to six abreast there is one, in the middle (with an
-- odd number the smaller block is on the left); beyond, there are two, and each outer block has a third of the seats,
-- rounded down. A narrower row of the same model leaves seats out, but its aisles run through the same letters.
CREATE OR REPLACE VIEW dwh_marts.dim_seat AS
WITH seats AS (
    SELECT
        aircraft_code::text AS aircraft_code,
        seat_no::text                                          AS seat_no,
        fare_conditions::text                                  AS fare_conditions,
        substring(seat_no FROM '^([0-9]+)[A-Z]$')::integer     AS seat_row,
        substring(seat_no FROM '^[0-9]+([A-Z])$') COLLATE "C" AS seat_letter
    FROM dwh_marts.current_seats
),
rows_of_seats AS (
    SELECT
        aircraft_code,
        seat_row,
        array_agg(seat_letter ORDER BY seat_letter) AS letters
    FROM seats
    WHERE seat_letter IS NOT NULL
    GROUP BY
        aircraft_code,
        seat_row
),
widest_rows AS (
    SELECT DISTINCT ON (aircraft_code)
        aircraft_code,
        letters,
        cardinality(letters)                                                   AS abreast,
        cardinality(letters) / CASE WHEN cardinality(letters) <= 6 THEN 2 ELSE 3 END AS outer_block
    FROM rows_of_seats
    ORDER BY
        aircraft_code,
        cardinality(letters) DESC,
        seat_row
),
blocks AS (
    SELECT
        seats.*,
        CASE
            WHEN seats.seat_letter <= widest.letters[widest.outer_block] THEN 1
            WHEN widest.abreast > 6 AND seats.seat_letter <= widest.letters[widest.abreast - widest.outer_block] THEN 2
            ELSE 3
        END AS block
    FROM seats
    LEFT JOIN widest_rows AS widest ON widest.aircraft_code = seats.aircraft_code
),
places AS (
    SELECT
        *,
        row_number() OVER (in_row ORDER BY seat_letter)        AS from_left,
        row_number() OVER (in_row ORDER BY seat_letter DESC)   AS from_right,
        row_number() OVER (in_block ORDER BY seat_letter)      AS from_block_left,
        row_number() OVER (in_block ORDER BY seat_letter DESC) AS from_block_right
    FROM blocks
    WINDOW in_row AS (PARTITION BY aircraft_code, seat_row),
        in_block AS (PARTITION BY aircraft_code, seat_row, block)
)
SELECT
    aircraft_code,
    seat_no,
    fare_conditions,
    seat_row,
    seat_letter,
    CASE
        WHEN seat_letter IS NULL THEN NULL
        WHEN 1 IN (from_left, from_right) THEN 'window'
        WHEN 1 IN (from_block_left, from_block_right) THEN 'aisle'
        ELSE 'middle'
    END AS position
FROM places;
COMMENT ON VIEW dwh_marts.dim_seat IS 'seats that aircraft models have now; grain: one seat of one model';
COMMENT ON COLUMN dwh_marts.dim_seat.aircraft_code IS 'aircraft model; unique with seat_no';
COMMENT ON COLUMN dwh_marts.dim_seat.seat_no IS 'row and letter';
COMMENT ON COLUMN dwh_marts.dim_seat.fare_conditions IS 'cabin';
COMMENT ON COLUMN dwh_marts.dim_seat.seat_row IS 'row; NULL when the seat''s number is not a row and a letter';
COMMENT ON COLUMN dwh_marts.dim_seat.seat_letter IS 'letter; NULL when the seat''s number is not a row and a letter';
COMMENT ON COLUMN dwh_marts.dim_seat.position IS 'window, middle or aisle; a seat at both window and aisle is a window seat';

COMMIT;
