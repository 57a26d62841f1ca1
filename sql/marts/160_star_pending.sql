-- What in the star schema the vault has overtaken: the keys whose rows have to be made anew.
-- Invariant: a row of the star that differs from what its view says has its key in dwh_star.pending, or pending says
-- that everything is due. Keys too many cost time and nothing else.
--
-- Everything is due when the star was never built, and when offsets no longer tell what came: they went back, a
-- partition is gone, the vault was migrated to another model (topics may have been read again), events were loaded from
-- the quarantine (their offsets were passed before), or so many records wait that going through all keys is cheaper.
--
-- From a changed version to the rows that show it the way leads through links. A link keeps every row that ever held, so
-- the passenger who gave a ticket away is found like the one who got it; hub and link rows come in the transaction of the
-- satellite that needs them, or the other table's version, which comes later, finds them there.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE FUNCTION dwh_star.changed_keys(satellite text, of_table text)
RETURNS bytea[]
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moved   record;
    found   bytea[];
    changed bytea[] := '{}';
BEGIN
    -- One statement for each partition, with its bounds as constants: a join would read the index from the lower bound on.
    FOR moved IN
        SELECT record_source, partition, from_offset, next_offset
        FROM dwh_star.moved
        WHERE source_table = of_table
    LOOP
        EXECUTE format(
            'SELECT array_agg(DISTINCT hash_key)
             FROM dwh_detailed.%I
             WHERE kafka_partition = $1
                 AND kafka_offset >= $2
                 AND kafka_offset < $3
                 AND record_source = $4',
            satellite
        )
        INTO found
        USING moved.partition, moved.from_offset, moved.next_offset, moved.record_source;
        changed := changed || coalesce(found, '{}');
    END LOOP;
    -- A truncate closes keys of other partitions without moving their offsets.
    IF satellite LIKE '%\_status'
        AND EXISTS (SELECT FROM dwh_star.new_truncations AS truncation WHERE truncation.source_table = of_table)
    THEN
        EXECUTE format(
            'SELECT array_agg(DISTINCT version.hash_key)
             FROM dwh_star.new_truncations AS truncation
             JOIN dwh_detailed.%I AS version
                 ON version.record_source = truncation.record_source
                 AND coalesce(version.source_epoch, 0) = truncation.epoch
                 AND version.record_lsn = truncation.source_lsn
             WHERE truncation.source_table = $1
                 AND version.op = ''t''',
            satellite
        )
        INTO found
        USING of_table;
        changed := changed || coalesce(found, '{}');
    END IF;
    RETURN changed;
END
$$;
COMMENT ON FUNCTION dwh_star.changed_keys(text, text) IS
    'keys of a satellite''s versions that came since the last refresh; the source''s table that feeds it is named too';

CREATE OR REPLACE FUNCTION dwh_star.pending(
    records_max bigint DEFAULT NULL,
    OUT everything text,
    OUT records bigint,
    OUT cabins boolean,
    OUT flights bytea[],
    OUT tickets bytea[],
    OUT segments bytea[],
    OUT customers bytea[],
    OUT operations bytea[]
)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off
AS $$
DECLARE
    tables_moved      text[];
    changed_bookings  bytea[] := '{}';
    sold_segments     bytea[] := '{}';
    switched_flights  bytea[] := '{}';
    customers_tickets bytea[];
BEGIN
    cabins := false;
    flights := '{}';
    tickets := '{}';
    segments := '{}';
    customers := '{}';
    operations := '{}';

    SELECT
        coalesce(array_agg(DISTINCT moved.source_table), '{}'),
        coalesce(sum(abs(moved.next_offset - moved.from_offset)), 0)
    INTO
        tables_moved,
        records
    FROM dwh_star.moved AS moved;
    tables_moved := tables_moved || ARRAY(SELECT truncation.source_table FROM dwh_star.new_truncations AS truncation);

    everything := CASE
        WHEN NOT EXISTS (SELECT FROM dwh_star.state)
            THEN 'the star has never been built'
        WHEN (SELECT state.model_id FROM dwh_star.state AS state)
            IS DISTINCT FROM (SELECT max(model.id) FROM dwh_control.models AS model)
            THEN 'the vault has another model'
        WHEN (SELECT state.parking_versions FROM dwh_star.state AS state)
            IS DISTINCT FROM (SELECT sum(loaded.parking_version)::bigint FROM dwh_control.offsets AS loaded)
            THEN 'events were taken out of the quarantine'
        WHEN EXISTS (SELECT FROM dwh_star.moved AS moved WHERE moved.next_offset < moved.from_offset)
            THEN 'an offset went back'
        WHEN EXISTS (
            SELECT
            FROM dwh_star.offsets AS seen
            WHERE NOT EXISTS (
                SELECT
                FROM dwh_control.offsets AS loaded
                WHERE loaded.topic = seen.topic
                    AND loaded.partition = seen.partition
            )
        )
            THEN 'a partition is gone'
        WHEN records > records_max
            THEN format('more than %s records wait', records_max)
    END;
    IF everything IS NOT NULL THEN
        RETURN;
    END IF;

    cabins := 'seats' = ANY (tables_moved);
    IF 'flights' = ANY (tables_moved) THEN
        flights := dwh_star.changed_keys('sat_flights_status', 'flights')
            || dwh_star.changed_keys('sat_flight_schedules', 'flights')
            || dwh_star.changed_keys('sat_flight_operations', 'flights')
            || dwh_star.changed_keys('sat_flight_routes_effectivity', 'flights');
    END IF;
    IF 'tickets' = ANY (tables_moved) THEN
        tickets := dwh_star.changed_keys('sat_tickets_status', 'tickets')
            || dwh_star.changed_keys('sat_booking_tickets_effectivity', 'tickets')
            || dwh_star.changed_keys('sat_ticket_passengers_effectivity', 'tickets');
    END IF;
    IF 'bookings' = ANY (tables_moved) THEN
        changed_bookings := dwh_star.changed_keys('sat_bookings_status', 'bookings')
            || dwh_star.changed_keys('sat_bookings', 'bookings');
    END IF;
    IF 'ticket_flights' = ANY (tables_moved) THEN
        sold_segments := dwh_star.changed_keys('sat_ticket_flights_status', 'ticket_flights')
            || dwh_star.changed_keys('sat_ticket_flights', 'ticket_flights');
    END IF;
    IF 'boarding_passes' = ANY (tables_moved) THEN
        segments := dwh_star.changed_keys('sat_boarding_passes_status', 'boarding_passes');
    END IF;

    flights := ARRAY(SELECT DISTINCT unnest(flights));
    tickets := ARRAY(
        SELECT unnest(tickets)
        UNION
        SELECT link.ticket_hash_key
        FROM dwh_detailed.link_booking_tickets AS link
        WHERE link.booking_hash_key = ANY (changed_bookings)
    );
    segments := ARRAY(
        SELECT unnest(segments || sold_segments)
        UNION
        SELECT link.hash_key
        FROM dwh_detailed.link_ticket_flights AS link
        WHERE link.ticket_hash_key = ANY (tickets)
    );
    operations := ARRAY(
        SELECT unnest(flights)
        UNION
        SELECT link.flight_hash_key
        FROM dwh_detailed.link_ticket_flights AS link
        WHERE link.hash_key = ANY (segments)
    );
    -- A customer's flights change with a flight only when it is cancelled, or no longer is.
    IF flights <> '{}' THEN
        switched_flights := ARRAY(
            SELECT flight_key
            FROM (
                SELECT flight.flight_key, flight.is_cancelled
                FROM dwh_marts.dim_flight AS flight
                WHERE flight.flight_key = ANY (flights)
            ) AS shown
            FULL JOIN (
                SELECT flight.flight_key, flight.is_cancelled
                FROM dwh_star.flights AS flight
                WHERE flight.flight_key = ANY (flights)
            ) AS fresh USING (flight_key)
            WHERE coalesce(shown.is_cancelled, false) <> coalesce(fresh.is_cancelled, false)
        );
    END IF;
    customers_tickets := ARRAY(
        SELECT unnest(tickets)
        UNION
        SELECT link.ticket_hash_key
        FROM dwh_detailed.link_ticket_flights AS link
        WHERE link.hash_key = ANY (sold_segments)
        UNION
        SELECT link.ticket_hash_key
        FROM dwh_detailed.link_ticket_flights AS link
        WHERE link.flight_hash_key = ANY (switched_flights)
    );
    customers := ARRAY(
        SELECT DISTINCT link.passenger_hash_key
        FROM dwh_detailed.link_ticket_passengers AS link
        WHERE link.ticket_hash_key = ANY (customers_tickets)
    );
END
$$;
COMMENT ON FUNCTION dwh_star.pending(bigint) IS
    'keys whose rows of the star have to be made anew, or in "everything" the reason why all have to be; with records_max, also when more records wait than that';

COMMIT;
