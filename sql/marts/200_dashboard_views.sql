-- What the dashboards read: views over the star schema and over what the loader remembers.
-- Invariant: a dashboard reads views whose name begins with v_dashboard_ and nothing else, so the star can change behind
-- them. They own no facts. Where a view of the thirty days (v_active_airports_30d, v_passenger_metrics_30d) or of shares
-- (v_airport_traffic_share, v_passenger_groups_revenue) gives the same measure, the two are equal. A booking of which no
-- segment is left is in the former and not here: the star has items only.
--   * times are UTC without a time zone, so that no client converts them: a chart shows the same day as the marts;
--   * is_last_30d marks the last thirty calendar days in UTC, today included, nothing after now();
--   * no document number and no name of a passenger is shown.
--
-- Dimensions are joined LEFT on their primary key. A query that names no column of one does not read it.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW dwh_marts.v_dashboard_airport_movements AS
SELECT
    flight.flight_id,
    flight.flight_no,
    flight.route_key,
    movement.direction,
    movement.airport_code,
    airport.airport_name,
    airport.city,
    airport.longitude,
    airport.latitude,
    airport.timezone,
    movement.moved_at AT TIME ZONE 'UTC'                                  AS moved_at,
    (movement.moved_at AT TIME ZONE 'UTC')::date                          AS moved_on,
    extract(hour FROM movement.planned_at AT TIME ZONE airport.timezone)::integer AS planned_hour_local,
    movement.delay_min,
    flight.status,
    movement.moved_at <= now()                                            AS has_happened,
    movement.moved_at <= now()
        AND (movement.moved_at AT TIME ZONE 'UTC')::date >= (now() AT TIME ZONE 'UTC')::date - 29 AS is_last_30d
FROM dwh_marts.dim_flight AS flight
CROSS JOIN LATERAL (
    VALUES
        (
            'departure',
            flight.departure_airport,
            coalesce(flight.actual_departure, flight.scheduled_departure),
            flight.scheduled_departure,
            flight.departure_delay_min
        ),
        (
            'arrival',
            flight.arrival_airport,
            coalesce(flight.actual_arrival, flight.scheduled_arrival),
            flight.scheduled_arrival,
            flight.arrival_delay_min
        )
) AS movement (direction, airport_code, moved_at, planned_at, delay_min)
LEFT JOIN dwh_marts.current_airports AS airport ON airport.airport_code = movement.airport_code
WHERE NOT flight.is_cancelled;

COMMENT ON VIEW dwh_marts.v_dashboard_airport_movements IS
    'departures and arrivals of flights that are not cancelled, past and future; grain: a flight at one of its two airports';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_movements.flight_id IS 'number of the flight in the source';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_movements.flight_no IS 'flight number';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_movements.route_key IS 'route';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_movements.direction IS 'departure or arrival';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_movements.airport_code IS 'airport that the flight leaves or reaches';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_movements.airport_name IS 'its name now';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_movements.city IS 'its city now';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_movements.longitude IS 'degrees east';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_movements.latitude IS 'degrees north';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_movements.timezone IS 'time zone';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_movements.moved_at IS 'actual moment, UTC; the scheduled one as long as the actual one is not known';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_movements.moved_on IS 'UTC day of moved_at';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_movements.planned_hour_local IS 'hour of the scheduled moment on the clock of the airport, 0 to 23';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_movements.delay_min IS 'minutes after the schedule, negative when early; NULL before it happened';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_movements.status IS 'Scheduled, On Time, Delayed, Departed or Arrived';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_movements.has_happened IS 'moved_at is not after now()';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_movements.is_last_30d IS 'in the last thirty UTC days, today included, not after now()';

-- Segments are counted before they meet airports: one pass over the facts whatever is asked.
CREATE OR REPLACE VIEW dwh_marts.v_dashboard_airport_passengers AS
WITH sold AS (
    SELECT
        flight_key,
        fare_conditions,
        count(*) AS passengers
    FROM dwh_marts.fact_bookings
    GROUP BY
        flight_key,
        fare_conditions
)
SELECT
    flight.flight_id,
    movement.direction,
    movement.airport_code,
    airport.airport_name,
    airport.city,
    (movement.moved_at AT TIME ZONE 'UTC')::date AS moved_on,
    sold.fare_conditions,
    sold.passengers,
    movement.moved_at <= now()                   AS has_happened,
    movement.moved_at <= now()
        AND (movement.moved_at AT TIME ZONE 'UTC')::date >= (now() AT TIME ZONE 'UTC')::date - 29 AS is_last_30d
FROM sold
JOIN dwh_marts.dim_flight AS flight ON flight.flight_key = sold.flight_key
CROSS JOIN LATERAL (
    VALUES
        ('departure', flight.departure_airport, coalesce(flight.actual_departure, flight.scheduled_departure)),
        ('arrival', flight.arrival_airport, coalesce(flight.actual_arrival, flight.scheduled_arrival))
) AS movement (direction, airport_code, moved_at)
LEFT JOIN dwh_marts.current_airports AS airport ON airport.airport_code = movement.airport_code
WHERE NOT flight.is_cancelled;

COMMENT ON VIEW dwh_marts.v_dashboard_airport_passengers IS
    'passengers of flights that are not cancelled; grain: a flight at one of its two airports, by cabin';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_passengers.flight_id IS 'number of the flight in the source';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_passengers.direction IS 'departure or arrival';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_passengers.airport_code IS 'airport that the flight leaves or reaches';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_passengers.airport_name IS 'its name now';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_passengers.city IS 'its city now';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_passengers.moved_on IS 'UTC day of the actual moment, of the scheduled one as long as that is not known';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_passengers.fare_conditions IS 'cabin';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_passengers.passengers IS 'segments sold on the flight in the cabin';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_passengers.has_happened IS 'the moment is not after now()';
COMMENT ON COLUMN dwh_marts.v_dashboard_airport_passengers.is_last_30d IS 'in the last thirty UTC days, today included, not after now()';

CREATE OR REPLACE VIEW dwh_marts.v_dashboard_bookings AS
SELECT
    item.book_ref,
    item.customer_key,
    item.book_time AT TIME ZONE 'UTC'  AS booked_at,
    item.book_date                     AS booked_on,
    item.fare_conditions,
    item.amount,
    flight.route_key,
    flight.departure_airport,
    flight.arrival_airport,
    NOT flight.is_cancelled            AS is_flown,
    customer.group_no,
    customer.passenger_group,
    item.book_time <= now()
        AND item.book_date >= (now() AT TIME ZONE 'UTC')::date - 29 AS is_last_30d
FROM dwh_marts.fact_bookings AS item
LEFT JOIN dwh_marts.dim_flight AS flight ON flight.flight_key = item.flight_key
LEFT JOIN dwh_marts.dim_customer AS customer ON customer.customer_key = item.customer_key;

COMMENT ON VIEW dwh_marts.v_dashboard_bookings IS 'what was sold; grain: a booking item (segment)';
COMMENT ON COLUMN dwh_marts.v_dashboard_bookings.book_ref IS 'booking';
COMMENT ON COLUMN dwh_marts.v_dashboard_bookings.customer_key IS 'hash of the passenger: counts people without showing who they are';
COMMENT ON COLUMN dwh_marts.v_dashboard_bookings.booked_at IS 'moment of the booking, UTC';
COMMENT ON COLUMN dwh_marts.v_dashboard_bookings.booked_on IS 'UTC day of the booking';
COMMENT ON COLUMN dwh_marts.v_dashboard_bookings.fare_conditions IS 'cabin';
COMMENT ON COLUMN dwh_marts.v_dashboard_bookings.amount IS 'price, roubles';
COMMENT ON COLUMN dwh_marts.v_dashboard_bookings.route_key IS 'route';
COMMENT ON COLUMN dwh_marts.v_dashboard_bookings.departure_airport IS 'airport of departure';
COMMENT ON COLUMN dwh_marts.v_dashboard_bookings.arrival_airport IS 'airport of arrival';
COMMENT ON COLUMN dwh_marts.v_dashboard_bookings.is_flown IS 'the flight is not cancelled; NULL as long as the flight is not known';
COMMENT ON COLUMN dwh_marts.v_dashboard_bookings.group_no IS 'order of the passenger''s group, the rarest flyers first';
COMMENT ON COLUMN dwh_marts.v_dashboard_bookings.passenger_group IS 'the passenger''s group by the number of flights, over the whole time';
COMMENT ON COLUMN dwh_marts.v_dashboard_bookings.is_last_30d IS 'booked in the last thirty UTC days, today included, not after now()';

CREATE OR REPLACE VIEW dwh_marts.v_dashboard_retention AS
WITH active_months AS (
    SELECT DISTINCT
        customer_key,
        date_trunc('month', book_date::timestamp)::date AS month
    FROM dwh_marts.fact_bookings
    WHERE customer_key IS NOT NULL
        AND book_time <= now()
),
first_months AS (
    SELECT
        customer_key,
        min(month) AS cohort_month
    FROM active_months
    GROUP BY customer_key
),
cohorts AS (
    SELECT
        cohort_month,
        count(*) AS cohort_size
    FROM first_months
    GROUP BY cohort_month
),
returned AS (
    SELECT
        first.cohort_month,
        active.month,
        count(*) AS customers
    FROM first_months AS first
    JOIN active_months AS active ON active.customer_key = first.customer_key
    GROUP BY
        first.cohort_month,
        active.month
)
SELECT
    cohort.cohort_month,
    to_char(cohort.cohort_month, 'YYYY-MM') AS cohort,
    (
        12 * (extract(year FROM step.month) - extract(year FROM cohort.cohort_month))
        + extract(month FROM step.month) - extract(month FROM cohort.cohort_month)
    )::integer                              AS months_since,
    cohort.cohort_size,
    coalesce(returned.customers, 0)         AS customers
FROM cohorts AS cohort
CROSS JOIN LATERAL (
    SELECT generate_series(
        cohort.cohort_month::timestamp,
        date_trunc('month', now() AT TIME ZONE 'UTC'),
        interval '1 month'
    )::date AS month
) AS step
LEFT JOIN returned
    ON returned.cohort_month = cohort.cohort_month
    AND returned.month = step.month;

COMMENT ON VIEW dwh_marts.v_dashboard_retention IS
    'how many of the passengers who first booked in a month booked again in a later one; grain: month of the first booking and a month since';
COMMENT ON COLUMN dwh_marts.v_dashboard_retention.cohort_month IS 'first day of the UTC month of the first booking';
COMMENT ON COLUMN dwh_marts.v_dashboard_retention.cohort IS 'the same as text: YYYY-MM';
COMMENT ON COLUMN dwh_marts.v_dashboard_retention.months_since IS 'calendar months since the first one; 0 is the first itself';
COMMENT ON COLUMN dwh_marts.v_dashboard_retention.cohort_size IS 'passengers who first booked in that month';
COMMENT ON COLUMN dwh_marts.v_dashboard_retention.customers IS 'those of them who booked months_since later; zero when nobody did';

CREATE OR REPLACE VIEW dwh_marts.v_dashboard_table_freshness AS
WITH source_tables AS (
    SELECT DISTINCT
        source,
        table_name AS source_table
    FROM dwh_marts.source_topics
),
loaded AS (
    SELECT
        source_topics.source,
        source_topics.table_name       AS source_table,
        sum(next_offset)::bigint       AS events_loaded,
        max(source_committed)          AS source_committed,
        max(last_published)            AS last_published,
        max(loaded_at)                 AS loaded_at,
        max(extract(epoch FROM loaded_at - source_committed)) FILTER (WHERE source_lsn IS NOT NULL) AS load_lag_s
    FROM dwh_control.offsets
    JOIN dwh_marts.source_topics AS source_topics USING (topic)
    GROUP BY
        source_topics.source,
        source_topics.table_name
),
held AS (
    SELECT
        source_topics.source,
        source_topics.table_name                            AS source_table,
        count(*)                                            AS quarantined_events,
        max(quarantined_at)                                 AS last_quarantined_at,
        (array_agg(reason ORDER BY quarantined_at DESC))[1] AS last_reason
    FROM dwh_control.quarantine
    JOIN dwh_marts.source_topics AS source_topics USING (topic)
    GROUP BY
        source_topics.source,
        source_topics.table_name
)
SELECT
    source_tables.source_table,
    coalesce(loaded.events_loaded, 0)                                       AS events_loaded,
    loaded.source_committed AT TIME ZONE 'UTC'                              AS source_committed,
    loaded.last_published AT TIME ZONE 'UTC'                                AS last_published,
    loaded.loaded_at AT TIME ZONE 'UTC'                                     AS loaded_at,
    round(greatest(extract(epoch FROM now() - loaded.loaded_at), 0), 1)     AS seconds_since_load,
    round(CASE WHEN loaded.load_lag_s < 0 THEN 0 ELSE loaded.load_lag_s END, 3) AS load_lag_s,
    coalesce(held.quarantined_events, 0)                                    AS quarantined_events,
    held.last_quarantined_at AT TIME ZONE 'UTC'                             AS last_quarantined_at,
    held.last_reason,
    source_tables.source
FROM source_tables
LEFT JOIN loaded
    ON loaded.source_table = source_tables.source_table
    AND loaded.source IS NOT DISTINCT FROM source_tables.source
LEFT JOIN held
    ON held.source_table = source_tables.source_table
    AND held.source IS NOT DISTINCT FROM source_tables.source;

COMMENT ON VIEW dwh_marts.v_dashboard_table_freshness IS
    'how far each table of the source is loaded, and what of it is in quarantine; grain: a table of a source';
COMMENT ON COLUMN dwh_marts.v_dashboard_table_freshness.source_table IS 'table of the source';
COMMENT ON COLUMN dwh_marts.v_dashboard_table_freshness.events_loaded IS 'events read from its topic so far, quarantined ones included';
COMMENT ON COLUMN dwh_marts.v_dashboard_table_freshness.source_committed IS 'commit of the last loaded event at the source, UTC';
COMMENT ON COLUMN dwh_marts.v_dashboard_table_freshness.last_published IS 'publish time of the last loaded event, UTC';
COMMENT ON COLUMN dwh_marts.v_dashboard_table_freshness.loaded_at IS 'commit of the last batch in the warehouse, UTC';
COMMENT ON COLUMN dwh_marts.v_dashboard_table_freshness.seconds_since_load IS 'seconds since that batch; grows while the source is quiet';
COMMENT ON COLUMN dwh_marts.v_dashboard_table_freshness.load_lag_s IS 'seconds from the commit at the source to the commit in the warehouse, for the last change; NULL as long as only the snapshot is loaded';
COMMENT ON COLUMN dwh_marts.v_dashboard_table_freshness.quarantined_events IS 'events that could not be loaded';
COMMENT ON COLUMN dwh_marts.v_dashboard_table_freshness.last_quarantined_at IS 'when the last of them came, UTC';
COMMENT ON COLUMN dwh_marts.v_dashboard_table_freshness.last_reason IS 'why it could not be loaded; never shows a value';
COMMENT ON COLUMN dwh_marts.v_dashboard_table_freshness.source IS 'name of the source; NULL while nothing was loaded from any of its topics';

-- The loader counts in the transaction that loads. A tombstone is no event, and what is in quarantine was not loaded.
CREATE OR REPLACE VIEW dwh_marts.v_dashboard_events_by_minute AS
WITH minutes AS (
    SELECT generate_series(
        date_trunc('minute', now() AT TIME ZONE 'UTC') - interval '60 minutes',
        date_trunc('minute', now() AT TIME ZONE 'UTC'),
        interval '1 minute'
    ) AS minute
),
by_minute AS (
    SELECT
        source_topics.source,
        source_topics.table_name                      AS source_table,
        minute AT TIME ZONE 'UTC'                     AS minute,
        sum(events)::bigint                           AS events,
        max(publish_lag_max_us)::numeric / 1000000    AS publish_lag_max_s
    FROM dwh_control.event_minutes
    JOIN dwh_marts.source_topics AS source_topics USING (topic)
    WHERE minute >= now() - interval '61 minutes'
    GROUP BY
        source_topics.source,
        source_topics.table_name,
        minute
),
source_tables AS (
    SELECT
        source,
        source_table
    FROM dwh_marts.v_dashboard_table_freshness
)
SELECT
    minutes.minute,
    source_tables.source_table,
    coalesce(by_minute.events, 0)               AS events,
    round(by_minute.publish_lag_max_s, 3)       AS publish_lag_max_s,
    source_tables.source
FROM minutes
CROSS JOIN source_tables
LEFT JOIN by_minute
    ON by_minute.minute = minutes.minute
    AND by_minute.source_table = source_tables.source_table
    AND by_minute.source IS NOT DISTINCT FROM source_tables.source;

COMMENT ON VIEW dwh_marts.v_dashboard_events_by_minute IS
    'events loaded, by minute of publishing, over the last hour; grain: a minute and a table of a source';
COMMENT ON COLUMN dwh_marts.v_dashboard_events_by_minute.minute IS 'minute in which the events were published, UTC';
COMMENT ON COLUMN dwh_marts.v_dashboard_events_by_minute.source_table IS 'table of the source';
COMMENT ON COLUMN dwh_marts.v_dashboard_events_by_minute.events IS 'events; zero in a quiet minute';
COMMENT ON COLUMN dwh_marts.v_dashboard_events_by_minute.publish_lag_max_s IS
    'most seconds from the commit at the source to the publishing; NULL in a quiet minute';
COMMENT ON COLUMN dwh_marts.v_dashboard_events_by_minute.source IS 'name of the source; NULL while nothing was loaded from any of its topics';

CREATE OR REPLACE VIEW dwh_marts.v_dashboard_mart_refresh AS
SELECT
    refreshed_at AT TIME ZONE 'UTC'                                  AS refreshed_at,
    round(greatest(extract(epoch FROM now() - refreshed_at), 0), 1)  AS seconds_since_refresh,
    round(duration_ms::numeric, 1)                                   AS duration_ms,
    rows_changed,
    outcome
FROM dwh_marts.mart_refreshes;

COMMENT ON VIEW dwh_marts.v_dashboard_mart_refresh IS 'how the last refresh of the star went; one row, none before the first refresh';
COMMENT ON COLUMN dwh_marts.v_dashboard_mart_refresh.refreshed_at IS 'when, UTC';
COMMENT ON COLUMN dwh_marts.v_dashboard_mart_refresh.seconds_since_refresh IS 'seconds since then; the data of the dashboards is that old at most';
COMMENT ON COLUMN dwh_marts.v_dashboard_mart_refresh.duration_ms IS 'how long it took, milliseconds';
COMMENT ON COLUMN dwh_marts.v_dashboard_mart_refresh.rows_changed IS 'rows that it changed';
COMMENT ON COLUMN dwh_marts.v_dashboard_mart_refresh.outcome IS 'what it did';

COMMIT;
