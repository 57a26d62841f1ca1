-- Makes presentation.airport_passenger_flow and its staging table where they are missing. Run by Airflow as
-- presentation_writer, the whole file in one transaction.
-- Invariant: applying it again changes nothing; the published table is filled by publish.sql only.
--
-- presentation.airport_passenger_flow. Grain: one row for each day, airport, and airport at the other end of its flights.
--   * the day is a calendar day in UTC; a flight leaves on the day of its scheduled departure and arrives on the day of its
--     scheduled arrival, so a flight over midnight is in two days. Scheduled times decide, not actual ones: they are known
--     beforehand, while an actual time may be reported after the run, and a later run would then give another result;
--   * flights that are 'Cancelled' do not count;
--   * passengers are the segments (rows of ticket_flights) sold on those flights, checked in or not, as in airport_traffic;
--   * a pair of airports without a flight on the day has no row.
-- Every flight counts once as going out and once as coming in, so over all rows and days flights_out equals flights_in.
-- A day's rows are a function of the source's rows: computed on the next day or a year later, they differ only where the source
-- has changed the past itself (a flight cancelled or moved after its day, a segment removed).

{% include 'presentation/create_schemas.sql' %}

CREATE TABLE IF NOT EXISTS presentation.airport_passenger_flow (
    flow_day            date        NOT NULL,
    airport_code        text        NOT NULL,
    linked_airport_code text        NOT NULL,
    flights_out         bigint      NOT NULL,
    passengers_out      bigint      NOT NULL,
    flights_in          bigint      NOT NULL,
    passengers_in       bigint      NOT NULL,
    published_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT airport_passenger_flow_pkey PRIMARY KEY (flow_day, airport_code, linked_airport_code)
);

COMMENT ON TABLE presentation.airport_passenger_flow IS
    'flights and passengers of each UTC day between each airport and those it is linked to; published whole, a day at a time';
COMMENT ON COLUMN presentation.airport_passenger_flow.flow_day IS 'UTC day';
COMMENT ON COLUMN presentation.airport_passenger_flow.airport_code IS 'the airport that is looked at';
COMMENT ON COLUMN presentation.airport_passenger_flow.linked_airport_code IS 'the airport at the other end';
COMMENT ON COLUMN presentation.airport_passenger_flow.flights_out IS
    'flights from the first to the second whose scheduled departure is on the day, cancelled ones left out';
COMMENT ON COLUMN presentation.airport_passenger_flow.passengers_out IS 'segments sold on those flights';
COMMENT ON COLUMN presentation.airport_passenger_flow.flights_in IS
    'flights from the second to the first whose scheduled arrival is on the day, cancelled ones left out';
COMMENT ON COLUMN presentation.airport_passenger_flow.passengers_in IS 'segments sold on those flights';
COMMENT ON COLUMN presentation.airport_passenger_flow.published_at IS 'when the day was published';

GRANT SELECT ON presentation.airport_passenger_flow TO mart_reader;

-- No constraints: what is wrong shall be found, and named, by the checks. Not logged: after a crash the run makes it anew.
CREATE UNLOGGED TABLE IF NOT EXISTS presentation_staging.airport_passenger_flow (
    load_id             text        NOT NULL,
    staged_at           timestamptz NOT NULL DEFAULT now(),
    flow_day            date,
    airport_code        text,
    linked_airport_code text,
    flights_out         bigint,
    passengers_out      bigint,
    flights_in          bigint,
    passengers_in       bigint
);
CREATE INDEX IF NOT EXISTS airport_passenger_flow_load_id_idx
    ON presentation_staging.airport_passenger_flow (load_id);

COMMENT ON TABLE presentation_staging.airport_passenger_flow IS
    'rows of presentation.airport_passenger_flow that are being made and checked, apart for each run';
COMMENT ON COLUMN presentation_staging.airport_passenger_flow.load_id IS
    'the run: MD5 of its DAG''s and its own identifier';
COMMENT ON COLUMN presentation_staging.airport_passenger_flow.staged_at IS 'when this row was made';
