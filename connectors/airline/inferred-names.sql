-- The names of the model by hand over the airline's inferred model, so that sql/marts works over either; run by the owner of the
-- vault after `vault-loader migrate` and before sql/marts.
-- Invariant: every view holds facts of the inferred vault alone. Keys, hash keys and latest versions are those that the model by
-- hand gives. README.md beside this file says which names differ, and why.
--   * an alias has another name for a table or a column, and nothing else;
--   * routes and passengers have no table of their own in the inferred vault. Their views compute the hash keys that the model by
--     hand gives them (docs/HASHING.md), so two vaults of one source can be compared row by row;
--   * a hash key that is computed here is made without a secret. A warehouse whose hash keys have one is refused: everybody who
--     reads dim_customer could find a passenger's document by trying.
--
-- `vault-loader migrate` leaves the views alone. When it refuses to change a table or a view because one of these depends on it,
-- drop that one, migrate, and apply this file and sql/marts again.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

DO $$
BEGIN
    IF (SELECT key_secret_fingerprint IS NOT NULL FROM dwh_control.warehouse) THEN
        RAISE EXCEPTION 'the hash keys of this warehouse have a secret, and passengers would get keys without it'
            USING HINT = 'Load the airline with connectors/airline/vault.toml, whose hub_passengers has keys with the secret.';
    END IF;
END
$$;

-- ------------------------------------------------------------ aliases

CREATE OR REPLACE VIEW dwh_detailed.link_aircraft_seats AS
SELECT
    hash_key,
    load_date,
    record_source,
    source_system_id,
    aircraft_hash_key,
    seat_no
FROM dwh_detailed.link_seats;
COMMENT ON VIEW dwh_detailed.link_aircraft_seats IS 'link_seats by the name of the model by hand';

CREATE OR REPLACE VIEW dwh_detailed.link_booking_tickets AS
SELECT
    hash_key,
    load_date,
    record_source,
    source_system_id,
    ticket_hash_key,
    book_hash_key AS booking_hash_key
FROM dwh_detailed.link_tickets_book;
COMMENT ON VIEW dwh_detailed.link_booking_tickets IS 'link_tickets_book by the names of the model by hand';

CREATE OR REPLACE VIEW dwh_detailed.sat_booking_tickets_effectivity AS
SELECT
    hash_key,
    load_date,
    record_source,
    source_system_id,
    applied_date,
    source_lsn,
    kafka_partition,
    source_epoch,
    kafka_offset,
    hashdiff,
    link_hash_key
FROM dwh_detailed.sat_tickets_book_effectivity;
COMMENT ON VIEW dwh_detailed.sat_booking_tickets_effectivity IS 'sat_tickets_book_effectivity by the name of the model by hand';

-- One satellite instead of two: a version of either is a version of both, so the latest ones are the same.
CREATE OR REPLACE VIEW dwh_detailed.sat_flight_schedules AS
SELECT
    hash_key,
    load_date,
    record_source,
    source_system_id,
    applied_date,
    source_lsn,
    kafka_partition,
    source_epoch,
    kafka_offset,
    flight_no,
    scheduled_departure,
    scheduled_arrival
FROM dwh_detailed.sat_flights;
COMMENT ON VIEW dwh_detailed.sat_flight_schedules IS 'what was planned; each version of sat_flights';

CREATE OR REPLACE VIEW dwh_detailed.sat_flight_operations AS
SELECT
    hash_key,
    load_date,
    record_source,
    source_system_id,
    applied_date,
    source_lsn,
    kafka_partition,
    source_epoch,
    kafka_offset,
    status,
    actual_departure,
    actual_arrival
FROM dwh_detailed.sat_flights;
COMMENT ON VIEW dwh_detailed.sat_flight_operations IS 'what happens; each version of sat_flights';

-- current_passengers asks when the data of a ticket changed last. A version in which only the document is another one is none.
CREATE OR REPLACE VIEW dwh_detailed.sat_ticket_passengers AS
SELECT
    hash_key,
    load_date,
    record_source,
    source_system_id,
    applied_date,
    source_lsn,
    kafka_partition,
    source_epoch,
    kafka_offset,
    passenger_name,
    contact_data
FROM (
    SELECT
        version.*,
        lag(version.hash_key) OVER of_ticket IS NULL
            OR lag(version.passenger_name) OVER of_ticket IS DISTINCT FROM version.passenger_name
            OR lag(version.contact_data) OVER of_ticket IS DISTINCT FROM version.contact_data AS is_change
    FROM dwh_detailed.sat_tickets AS version
    WINDOW of_ticket AS (PARTITION BY version.hash_key ORDER BY version.load_date)
) AS compared
WHERE is_change;
COMMENT ON VIEW dwh_detailed.sat_ticket_passengers IS
    'personal data of the passenger as given for this ticket; the versions of sat_tickets that change it';

-- ------------------------------------------------------------ routes

-- A flight has a new row of the link whenever one of its three parts is another one.
CREATE OR REPLACE VIEW dwh_detailed.sat_flight_routes_effectivity AS
WITH moments AS (
    SELECT hash_key, load_date, record_source, source_system_id, applied_date, source_lsn, kafka_partition, source_epoch, kafka_offset
    FROM dwh_detailed.sat_flights_departure_airport_effectivity
    WHERE record_source <> 'SYSTEM'
    UNION
    SELECT hash_key, load_date, record_source, source_system_id, applied_date, source_lsn, kafka_partition, source_epoch, kafka_offset
    FROM dwh_detailed.sat_flights_arrival_airport_effectivity
    WHERE record_source <> 'SYSTEM'
    UNION
    SELECT hash_key, load_date, record_source, source_system_id, applied_date, source_lsn, kafka_partition, source_epoch, kafka_offset
    FROM dwh_detailed.sat_flights_aircraft_effectivity
    WHERE record_source <> 'SYSTEM'
)
SELECT
    moments.hash_key,
    moments.load_date,
    moments.record_source,
    moments.source_system_id,
    moments.applied_date,
    moments.source_lsn,
    moments.kafka_partition,
    moments.source_epoch,
    moments.kafka_offset,
    sha256(
        '\x0202fe00000020'::bytea || moments.hash_key
        || '\xfe00000020'::bytea || departure.airport_hash_key
        || '\xfe00000020'::bytea || arrival.airport_hash_key
        || '\xfe00000020'::bytea || aircraft.aircraft_hash_key
    ) AS link_hash_key,
    departure.airport_hash_key AS departure_airport_hash_key,
    arrival.airport_hash_key   AS arrival_airport_hash_key,
    aircraft.aircraft_hash_key
FROM moments
CROSS JOIN LATERAL (
    SELECT link.departure_airport_hash_key AS airport_hash_key
    FROM dwh_detailed.sat_flights_departure_airport_effectivity AS held
    JOIN dwh_detailed.link_flights_departure_airport AS link ON link.hash_key = held.link_hash_key
    WHERE held.hash_key = moments.hash_key
        AND held.load_date <= moments.load_date
    ORDER BY held.load_date DESC
    LIMIT 1
) AS departure
CROSS JOIN LATERAL (
    SELECT link.arrival_airport_hash_key AS airport_hash_key
    FROM dwh_detailed.sat_flights_arrival_airport_effectivity AS held
    JOIN dwh_detailed.link_flights_arrival_airport AS link ON link.hash_key = held.link_hash_key
    WHERE held.hash_key = moments.hash_key
        AND held.load_date <= moments.load_date
    ORDER BY held.load_date DESC
    LIMIT 1
) AS arrival
CROSS JOIN LATERAL (
    SELECT link.aircraft_hash_key
    FROM dwh_detailed.sat_flights_aircraft_effectivity AS held
    JOIN dwh_detailed.link_flights_aircraft AS link ON link.hash_key = held.link_hash_key
    WHERE held.hash_key = moments.hash_key
        AND held.load_date <= moments.load_date
    ORDER BY held.load_date DESC
    LIMIT 1
) AS aircraft;
COMMENT ON VIEW dwh_detailed.sat_flight_routes_effectivity IS
    'which airports and aircraft a flight has from when, of the three effectivity satellites of flights';

CREATE OR REPLACE VIEW dwh_detailed.link_flight_routes AS
SELECT DISTINCT ON (link_hash_key)
    link_hash_key AS hash_key,
    load_date,
    record_source,
    source_system_id,
    hash_key      AS flight_hash_key,
    departure_airport_hash_key,
    arrival_airport_hash_key,
    aircraft_hash_key
FROM dwh_detailed.sat_flight_routes_effectivity
ORDER BY
    link_hash_key,
    load_date;
COMMENT ON VIEW dwh_detailed.link_flight_routes IS 'a flight with its two airports and its aircraft, of the three links of flights';

-- ------------------------------------------------------------ passengers

CREATE OR REPLACE VIEW dwh_detailed.sat_ticket_passengers_effectivity AS
SELECT
    version.hash_key,
    version.load_date,
    version.record_source,
    version.source_system_id,
    version.applied_date,
    version.source_lsn,
    version.kafka_partition,
    version.source_epoch,
    version.kafka_offset,
    sha256(
        '\x0202fe00000020'::bytea || version.hash_key
        || '\xfe00000020'::bytea || passenger.hash_key
    )                  AS link_hash_key,
    passenger.hash_key AS passenger_hash_key,
    version.passenger_id
FROM dwh_detailed.sat_tickets AS version
CROSS JOIN LATERAL (
    SELECT coalesce(
        sha256(
            '\x020101'::bytea
            || int4send(octet_length(convert_to(version.passenger_id, 'UTF8')))
            || convert_to(version.passenger_id, 'UTF8')
        ),
        decode(repeat('00', 32), 'hex')
    ) AS hash_key
) AS passenger
WHERE version.record_source <> 'SYSTEM';
COMMENT ON VIEW dwh_detailed.sat_ticket_passengers_effectivity IS
    'who travels on a ticket from when; each version of sat_tickets';

CREATE OR REPLACE VIEW dwh_detailed.link_ticket_passengers AS
SELECT DISTINCT ON (link_hash_key)
    link_hash_key AS hash_key,
    load_date,
    record_source,
    source_system_id,
    hash_key      AS ticket_hash_key,
    passenger_hash_key
FROM dwh_detailed.sat_ticket_passengers_effectivity
ORDER BY
    link_hash_key,
    load_date;
COMMENT ON VIEW dwh_detailed.link_ticket_passengers IS 'a ticket with a passenger who travels, or did, on it, of sat_tickets';

CREATE OR REPLACE VIEW dwh_detailed.hub_passengers AS
SELECT DISTINCT ON (passenger_hash_key)
    passenger_hash_key AS hash_key,
    load_date,
    record_source,
    source_system_id,
    passenger_id
FROM dwh_detailed.sat_ticket_passengers_effectivity
WHERE passenger_id IS NOT NULL
ORDER BY
    passenger_hash_key,
    load_date;
COMMENT ON VIEW dwh_detailed.hub_passengers IS 'passengers, known by the documents that tickets were bought with, of sat_tickets';

-- ------------------------------------------------------------ current links

CREATE OR REPLACE VIEW dwh_marts.current_link_aircraft_seats AS
SELECT
    hash_key,
    aircraft_hash_key,
    aircraft_code,
    seat_no,
    has_waiting_events
FROM dwh_marts.current_link_seats;
COMMENT ON VIEW dwh_marts.current_link_aircraft_seats IS 'current_link_seats by the name of the model by hand';

CREATE OR REPLACE VIEW dwh_marts.current_link_booking_tickets AS
SELECT
    hash_key,
    ticket_hash_key,
    book_hash_key AS booking_hash_key,
    ticket_no,
    book_ref,
    has_waiting_events
FROM dwh_marts.current_link_tickets_book;
COMMENT ON VIEW dwh_marts.current_link_booking_tickets IS 'current_link_tickets_book by the names of the model by hand';

CREATE OR REPLACE VIEW dwh_marts.current_link_flight_routes AS
SELECT
    sha256(
        '\x0202fe00000020'::bytea || departure.flight_hash_key
        || '\xfe00000020'::bytea || departure.departure_airport_hash_key
        || '\xfe00000020'::bytea || arrival.arrival_airport_hash_key
        || '\xfe00000020'::bytea || aircraft.aircraft_hash_key
    )                      AS hash_key,
    departure.flight_hash_key,
    departure.departure_airport_hash_key,
    arrival.arrival_airport_hash_key,
    aircraft.aircraft_hash_key,
    departure.flight_id,
    departure.airport_code AS departure_airport,
    arrival.airport_code   AS arrival_airport,
    aircraft.aircraft_code,
    departure.has_waiting_events
FROM dwh_marts.current_link_flights_departure_airport AS departure
JOIN dwh_marts.current_link_flights_arrival_airport AS arrival ON arrival.flight_hash_key = departure.flight_hash_key
JOIN dwh_marts.current_link_flights_aircraft AS aircraft ON aircraft.flight_hash_key = departure.flight_hash_key;
COMMENT ON VIEW dwh_marts.current_link_flight_routes IS 'a flight with the airports and the aircraft that it has now';

CREATE OR REPLACE VIEW dwh_marts.current_link_ticket_passengers AS
SELECT
    held.link_hash_key AS hash_key,
    ticket.hash_key    AS ticket_hash_key,
    held.passenger_hash_key,
    ticket.ticket_no,
    held.passenger_id,
    ticket.has_waiting_events
FROM dwh_marts.current_hub_tickets AS ticket
JOIN dwh_detailed.sat_ticket_passengers_effectivity AS held ON held.hash_key = ticket.hash_key
WHERE NOT EXISTS (
    SELECT
    FROM dwh_detailed.sat_tickets AS newer
    WHERE newer.hash_key = held.hash_key
        AND newer.load_date > held.load_date
);
COMMENT ON VIEW dwh_marts.current_link_ticket_passengers IS 'a ticket with the passenger who travels on it now';

-- The way from offsets to versions, for the refresh of the star: the tables behind the views that sql/marts cannot index.
SELECT format(
    'CREATE INDEX IF NOT EXISTS %1$s ON dwh_detailed.%2$I (kafka_partition, kafka_offset)',
    left(satellite, 46) || '_kafka_offset_idx',
    satellite
)
FROM unnest(ARRAY[
    'sat_flights',
    'sat_flights_departure_airport_effectivity',
    'sat_flights_arrival_airport_effectivity',
    'sat_flights_aircraft_effectivity',
    'sat_tickets',
    'sat_tickets_book_effectivity'
]) AS satellite
\gexec

COMMIT;
