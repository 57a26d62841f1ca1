-- How many events were loaded, by the minute in which they were published.
-- Invariant: a row is counted on in the transaction that moves the offset, so an event counts once. A partition has one row for each
-- minute of the day at most: a minute takes the place of the one a day before.

CREATE TABLE dwh_control.event_minutes (
    topic              text        NOT NULL,
    partition          integer     NOT NULL,
    minute_of_day      integer     NOT NULL,
    minute             timestamptz NOT NULL,
    events             bigint      NOT NULL,
    publish_lag_max_us bigint      NOT NULL,
    CONSTRAINT event_minutes_pkey PRIMARY KEY (topic, partition, minute_of_day),
    CONSTRAINT event_minutes_minute_of_day_check CHECK (minute_of_day BETWEEN 0 AND 1439),
    CONSTRAINT event_minutes_events_check CHECK (events > 0)
) WITH (fillfactor = 50);
COMMENT ON TABLE dwh_control.event_minutes IS 'events loaded, by the minute in which they were published; the last day of each partition';
COMMENT ON COLUMN dwh_control.event_minutes.topic IS 'Kafka topic';
COMMENT ON COLUMN dwh_control.event_minutes.partition IS 'partition of the topic';
COMMENT ON COLUMN dwh_control.event_minutes.minute_of_day IS 'minute of the UTC day, 0 to 1439';
COMMENT ON COLUMN dwh_control.event_minutes.minute IS 'the minute in which the events were published';
COMMENT ON COLUMN dwh_control.event_minutes.events IS 'row changes and truncates loaded; without tombstones and events in quarantine';
COMMENT ON COLUMN dwh_control.event_minutes.publish_lag_max_us IS 'longest time from a commit at the source to the publishing, microseconds';
