-- Makes presentation.frequent_flyers and its staging table where they are missing. Run by Airflow as presentation_writer, the
-- whole file in one transaction.
-- Invariant: applying it again changes nothing; the published table is filled by publish.sql only.
--
-- presentation.frequent_flyers. Grain: one row for each day and each passenger who is a frequent flyer at the end of that day.
--   * the day is a calendar day in UTC; its end is the next day's 00:00 UTC;
--   * a passenger is an identity document that tickets were bought with. Names stay where they are, see
--     dwh_marts.current_passengers: a copy in every day's rows would have to be found and changed in each of them;
--   * a flight is a segment (a row of ticket_flights) of one of the passenger's tickets on a flight that is not 'Cancelled' and
--     whose scheduled departure is before the day's end. The scheduled time decides, not the actual one: it is known beforehand,
--     while an actual time may be reported after the run, and a later run would then give another result;
--   * frequent: at least five such flights, the last two groups of dwh_marts.v_passenger_groups_revenue.
-- So a day's rows are a function of the source's rows: computed on the next day or a year later, they differ only where the
-- source has changed the past itself (a ticket removed, a flight cancelled after its scheduled departure).

{% include 'presentation/create_schemas.sql' %}

CREATE TABLE IF NOT EXISTS presentation.frequent_flyers (
    as_of_day        date           NOT NULL,
    passenger_id     text           NOT NULL,
    rank_no          bigint         NOT NULL,
    passenger_group  text           NOT NULL,
    flights_num      bigint         NOT NULL,
    revenue          numeric(14, 2) NOT NULL,
    home_airport     text           NOT NULL,
    first_flight_day date           NOT NULL,
    last_flight_day  date           NOT NULL,
    published_at     timestamptz    NOT NULL DEFAULT now(),
    CONSTRAINT frequent_flyers_pkey PRIMARY KEY (as_of_day, passenger_id),
    CONSTRAINT frequent_flyers_flights_num_check CHECK (flights_num >= 5)
);

COMMENT ON TABLE presentation.frequent_flyers IS
    'passengers with at least five flights, as of the end of each UTC day; published whole, a day at a time';
COMMENT ON COLUMN presentation.frequent_flyers.as_of_day IS 'the UTC day at whose end this holds';
COMMENT ON COLUMN presentation.frequent_flyers.passenger_id IS 'identity document of the passenger';
COMMENT ON COLUMN presentation.frequent_flyers.rank_no IS
    'place among the day''s frequent flyers: most flights first, then most revenue, then the document';
COMMENT ON COLUMN presentation.frequent_flyers.passenger_group IS 'the group of dwh_marts.v_passenger_groups_revenue';
COMMENT ON COLUMN presentation.frequent_flyers.flights_num IS
    'segments on flights that are not cancelled and were to depart before the day''s end';
COMMENT ON COLUMN presentation.frequent_flyers.revenue IS 'price of those segments, roubles';
COMMENT ON COLUMN presentation.frequent_flyers.home_airport IS
    'airport that most of those flights depart from; of several the first by code';
COMMENT ON COLUMN presentation.frequent_flyers.first_flight_day IS 'UTC day of the first of those flights';
COMMENT ON COLUMN presentation.frequent_flyers.last_flight_day IS 'UTC day of the last of those flights';
COMMENT ON COLUMN presentation.frequent_flyers.published_at IS 'when the day was published';

-- A document is personal data: mart_reader reads the other columns.
REVOKE ALL ON presentation.frequent_flyers FROM mart_reader, mart_reader_personal;
GRANT SELECT ON presentation.frequent_flyers TO mart_reader_personal;
GRANT SELECT (
    as_of_day, rank_no, passenger_group, flights_num, revenue, home_airport, first_flight_day, last_flight_day, published_at
) ON presentation.frequent_flyers TO mart_reader;

-- No constraints: what is wrong shall be found, and named, by the checks. Not logged: after a crash the run makes it anew.
CREATE UNLOGGED TABLE IF NOT EXISTS presentation_staging.frequent_flyers (
    load_id          text        NOT NULL,
    staged_at        timestamptz NOT NULL DEFAULT now(),
    as_of_day        date,
    passenger_id     text,
    rank_no          bigint,
    passenger_group  text,
    flights_num      bigint,
    revenue          numeric,
    home_airport     text,
    first_flight_day date,
    last_flight_day  date
);
CREATE INDEX IF NOT EXISTS frequent_flyers_load_id_idx ON presentation_staging.frequent_flyers (load_id);

COMMENT ON TABLE presentation_staging.frequent_flyers IS
    'rows of presentation.frequent_flyers that are being made and checked, apart for each run';
COMMENT ON COLUMN presentation_staging.frequent_flyers.load_id IS 'the run: MD5 of its DAG''s and its own identifier';
COMMENT ON COLUMN presentation_staging.frequent_flyers.staged_at IS 'when this row was made';
