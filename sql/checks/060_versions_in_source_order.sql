-- Rule: load dates of a key grow as the source's changes did. From one version to the next the log position does not
-- fall and does not get lost (a version that a snapshot read made carries on the position before it), and within a
-- partition the offset grows, all within an epoch, and epochs grow; only a truncate, which is no record of the key's own, keeps the offset before it.
WITH versions AS (
    SELECT 'sat_airports' AS table_name, hash_key, load_date, source_lsn, kafka_partition, source_epoch, kafka_offset, NULL AS op
    FROM dwh_detailed.sat_airports
    UNION ALL
    SELECT 'sat_aircrafts', hash_key, load_date, source_lsn, kafka_partition, source_epoch, kafka_offset, NULL
    FROM dwh_detailed.sat_aircrafts
    UNION ALL
    SELECT 'sat_seats', hash_key, load_date, source_lsn, kafka_partition, source_epoch, kafka_offset, NULL
    FROM dwh_detailed.sat_seats
    UNION ALL
    SELECT 'sat_flight_schedules', hash_key, load_date, source_lsn, kafka_partition, source_epoch, kafka_offset, NULL
    FROM dwh_detailed.sat_flight_schedules
    UNION ALL
    SELECT 'sat_flight_operations', hash_key, load_date, source_lsn, kafka_partition, source_epoch, kafka_offset, NULL
    FROM dwh_detailed.sat_flight_operations
    UNION ALL
    SELECT 'sat_bookings', hash_key, load_date, source_lsn, kafka_partition, source_epoch, kafka_offset, NULL
    FROM dwh_detailed.sat_bookings
    UNION ALL
    SELECT 'sat_ticket_passengers', hash_key, load_date, source_lsn, kafka_partition, source_epoch, kafka_offset, NULL
    FROM dwh_detailed.sat_ticket_passengers
    UNION ALL
    SELECT 'sat_ticket_flights', hash_key, load_date, source_lsn, kafka_partition, source_epoch, kafka_offset, NULL
    FROM dwh_detailed.sat_ticket_flights
    UNION ALL
    SELECT 'sat_boarding_passes', hash_key, load_date, source_lsn, kafka_partition, source_epoch, kafka_offset, NULL
    FROM dwh_detailed.sat_boarding_passes
    UNION ALL
    SELECT 'sat_airports_status', hash_key, load_date, source_lsn, kafka_partition, source_epoch, kafka_offset, op
    FROM dwh_detailed.sat_airports_status
    UNION ALL
    SELECT 'sat_aircrafts_status', hash_key, load_date, source_lsn, kafka_partition, source_epoch, kafka_offset, op
    FROM dwh_detailed.sat_aircrafts_status
    UNION ALL
    SELECT 'sat_seats_status', hash_key, load_date, source_lsn, kafka_partition, source_epoch, kafka_offset, op
    FROM dwh_detailed.sat_seats_status
    UNION ALL
    SELECT 'sat_flights_status', hash_key, load_date, source_lsn, kafka_partition, source_epoch, kafka_offset, op
    FROM dwh_detailed.sat_flights_status
    UNION ALL
    SELECT 'sat_bookings_status', hash_key, load_date, source_lsn, kafka_partition, source_epoch, kafka_offset, op
    FROM dwh_detailed.sat_bookings_status
    UNION ALL
    SELECT 'sat_tickets_status', hash_key, load_date, source_lsn, kafka_partition, source_epoch, kafka_offset, op
    FROM dwh_detailed.sat_tickets_status
    UNION ALL
    SELECT 'sat_ticket_flights_status', hash_key, load_date, source_lsn, kafka_partition, source_epoch, kafka_offset, op
    FROM dwh_detailed.sat_ticket_flights_status
    UNION ALL
    SELECT 'sat_boarding_passes_status', hash_key, load_date, source_lsn, kafka_partition, source_epoch, kafka_offset, op
    FROM dwh_detailed.sat_boarding_passes_status
    UNION ALL
    SELECT 'sat_flight_routes_effectivity', hash_key, load_date, source_lsn, kafka_partition, source_epoch, kafka_offset, NULL
    FROM dwh_detailed.sat_flight_routes_effectivity
    UNION ALL
    SELECT 'sat_booking_tickets_effectivity', hash_key, load_date, source_lsn, kafka_partition, source_epoch, kafka_offset, NULL
    FROM dwh_detailed.sat_booking_tickets_effectivity
    UNION ALL
    SELECT 'sat_ticket_passengers_effectivity', hash_key, load_date, source_lsn, kafka_partition, source_epoch, kafka_offset, NULL
    FROM dwh_detailed.sat_ticket_passengers_effectivity
),
with_previous AS (
    SELECT
        *,
        lag(source_lsn) OVER in_order      AS previous_lsn,
        lag(kafka_partition) OVER in_order AS previous_partition,
        lag(kafka_offset) OVER in_order    AS previous_offset,
        lag(source_epoch) OVER in_order    AS previous_epoch
    FROM versions
    WINDOW in_order AS (PARTITION BY table_name, hash_key ORDER BY load_date)
)
SELECT
    'versions stand in source order' AS rule,
    table_name,
    format(
        'hash key %s: version of %s has position %s and offset %s, the one before it %s and %s',
        encode(hash_key, 'hex'),
        load_date,
        coalesce(source_lsn::text, 'NULL'),
        coalesce(kafka_offset::text, 'NULL'),
        coalesce(previous_lsn::text, 'NULL'),
        coalesce(previous_offset::text, 'NULL')
    )                                AS detail
FROM with_previous
WHERE source_epoch < previous_epoch
    OR (
        source_epoch IS NOT DISTINCT FROM previous_epoch
        AND (
            (previous_lsn IS NOT NULL AND source_lsn IS NULL)
            OR source_lsn < previous_lsn
            OR (
                kafka_partition = previous_partition
                AND (
                    kafka_offset < previous_offset
                    OR (kafka_offset = previous_offset AND op IS DISTINCT FROM 't')
                )
            )
        )
    );
