-- An event that cannot be loaded parks its key: the later events of the key wait behind it, in order.
-- Invariant: while a key has a row with its key_hash in the quarantine, no event of the key from that place on is in the vault. A command
-- that takes events out of the quarantine moves the partition's parking_version in the same transaction, and a loader moves its offset
-- only at the version that it knows.

ALTER TABLE dwh_control.offsets
    ADD COLUMN parking_version bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN dwh_control.offsets.parking_version IS 'how often a command took events of this partition out of the quarantine';

-- Events from before this migration have no key_hash: the later events of their keys were loaded, so they park nothing.
ALTER TABLE dwh_control.quarantine
    DROP CONSTRAINT quarantine_topic_partition_kafka_offset_key,
    ADD COLUMN record_source   text,
    ADD COLUMN epoch           integer NOT NULL DEFAULT 0,
    ADD CONSTRAINT quarantine_place_key UNIQUE (topic, partition, epoch, kafka_offset),
    ADD COLUMN key_hash        bytea,
    ADD COLUMN parent_hash_key bytea,
    ADD COLUMN at_fault        boolean NOT NULL DEFAULT true,
    ADD COLUMN header_names    text[]  NOT NULL DEFAULT '{}',
    ADD COLUMN header_values   bytea[] NOT NULL DEFAULT '{}',
    ADD COLUMN retried_at      timestamptz,
    ADD COLUMN redacted_at     timestamptz,
    ADD CONSTRAINT quarantine_redacted_check
        CHECK (redacted_at IS NULL OR (key IS NULL AND value IS NULL AND header_values = '{}'));
COMMENT ON TABLE dwh_control.quarantine IS 'events that could not be loaded, and the later events of their keys, whole, with the reason; all other keys go on';
COMMENT ON COLUMN dwh_control.quarantine.record_source IS 'the source''s table, as the vault names it; NULL in rows from before this column';
COMMENT ON COLUMN dwh_control.quarantine.epoch IS 'epoch of the table to which the offset belongs';
COMMENT ON COLUMN dwh_control.quarantine.key_hash IS 'SHA-256 of the record''s key, which is parked; NULL when the event has no key or is no event of this table, and parks nothing';
COMMENT ON COLUMN dwh_control.quarantine.parent_hash_key IS 'hash key of the hub or link whose history the event belongs to, if the record''s key can be read';
COMMENT ON COLUMN dwh_control.quarantine.at_fault IS 'whether the event itself cannot be loaded; false when it waits behind another event';
COMMENT ON COLUMN dwh_control.quarantine.header_names IS 'names of the record''s headers that decoding reads';
COMMENT ON COLUMN dwh_control.quarantine.header_values IS 'their values, in the same order';
COMMENT ON COLUMN dwh_control.quarantine.retried_at IS 'when a retry failed last';
COMMENT ON COLUMN dwh_control.quarantine.redacted_at IS 'when key, value and headers were removed; the event cannot be retried any more';

CREATE INDEX quarantine_key_hash_idx
    ON dwh_control.quarantine (topic, partition, key_hash, epoch, kafka_offset);
CREATE INDEX quarantine_parent_hash_key_idx
    ON dwh_control.quarantine (record_source, parent_hash_key);

CREATE TABLE dwh_control.dropped_events (
    id              bigint      NOT NULL,
    topic           text        NOT NULL,
    partition       integer     NOT NULL,
    kafka_offset    bigint      NOT NULL,
    source_lsn      bigint,
    source_tx_id    bigint,
    parent_hash_key bytea,
    reason          text        NOT NULL,
    quarantined_at  timestamptz NOT NULL,
    dropped_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    dropped_by      text        NOT NULL DEFAULT session_user,
    why             text        NOT NULL,
    CONSTRAINT dropped_events_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE dwh_control.dropped_events IS 'events that an operator took out of the quarantine without loading them; no content';
COMMENT ON COLUMN dwh_control.dropped_events.id IS 'number that the event had in the quarantine';
COMMENT ON COLUMN dwh_control.dropped_events.topic IS 'Kafka topic';
COMMENT ON COLUMN dwh_control.dropped_events.partition IS 'partition of the topic';
COMMENT ON COLUMN dwh_control.dropped_events.kafka_offset IS 'offset in the partition';
COMMENT ON COLUMN dwh_control.dropped_events.source_lsn IS 'log position at the source, if the event could be read that far';
COMMENT ON COLUMN dwh_control.dropped_events.source_tx_id IS 'transaction at the source, if the event could be read that far';
COMMENT ON COLUMN dwh_control.dropped_events.parent_hash_key IS 'hash key of the hub or link whose history lacks the event, if it is known';
COMMENT ON COLUMN dwh_control.dropped_events.reason IS 'why the event could not be loaded';
COMMENT ON COLUMN dwh_control.dropped_events.quarantined_at IS 'when it came into the quarantine';
COMMENT ON COLUMN dwh_control.dropped_events.dropped_at IS 'when it was dropped';
COMMENT ON COLUMN dwh_control.dropped_events.dropped_by IS 'role of the warehouse that dropped it';
COMMENT ON COLUMN dwh_control.dropped_events.why IS 'what the operator gave as the reason';

ALTER TABLE dwh_control.truncations
    ADD COLUMN kafka_partition integer,
    ADD COLUMN kafka_offset    bigint;
COMMENT ON COLUMN dwh_control.truncations.kafka_partition IS 'partition of its record; NULL in rows from before this column';
COMMENT ON COLUMN dwh_control.truncations.kafka_offset IS 'offset of its record; NULL in rows from before this column';
