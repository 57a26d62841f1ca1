-- Where the loader stands, and what it could not load.
-- Invariant: offsets move in the transaction that writes the rows, by compare-and-set; nothing here is derived from the vault.

CREATE TABLE dwh_control.models (
    id             bigint      GENERATED ALWAYS AS IDENTITY,
    format_version integer     NOT NULL,
    hash_version   integer     NOT NULL,
    model_hash     bytea       NOT NULL,
    model          text        NOT NULL,
    applied_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT models_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE dwh_control.models IS 'every model that was applied; the last one is what the vault looks like';
COMMENT ON COLUMN dwh_control.models.id IS 'order of application';
COMMENT ON COLUMN dwh_control.models.format_version IS 'format of the model file';
COMMENT ON COLUMN dwh_control.models.hash_version IS 'canonical form of the hash keys';
COMMENT ON COLUMN dwh_control.models.model_hash IS 'SHA-256 of the model file';
COMMENT ON COLUMN dwh_control.models.model IS 'text of the model file';
COMMENT ON COLUMN dwh_control.models.applied_at IS 'when it was applied';

CREATE TABLE dwh_control.offsets (
    topic             text        NOT NULL,
    partition         integer     NOT NULL,
    next_offset       bigint      NOT NULL,
    source_lsn        bigint,
    source_committed  timestamptz,
    last_published    timestamptz,
    loaded_at         timestamptz,
    CONSTRAINT offsets_pkey PRIMARY KEY (topic, partition),
    CONSTRAINT offsets_next_offset_check CHECK (next_offset >= 0)
) WITH (fillfactor = 50);
COMMENT ON TABLE dwh_control.offsets IS 'the next offset of every partition, moved together with the rows: the only truth about what is loaded';
COMMENT ON COLUMN dwh_control.offsets.topic IS 'Kafka topic';
COMMENT ON COLUMN dwh_control.offsets.partition IS 'partition of the topic';
COMMENT ON COLUMN dwh_control.offsets.next_offset IS 'first offset that is not loaded yet';
COMMENT ON COLUMN dwh_control.offsets.source_lsn IS 'log position of the last streamed row change loaded from here';
COMMENT ON COLUMN dwh_control.offsets.source_committed IS 'commit time at the source of the last event loaded from here';
COMMENT ON COLUMN dwh_control.offsets.last_published IS 'publish time of the last event loaded from here';
COMMENT ON COLUMN dwh_control.offsets.loaded_at IS 'when the last batch was committed, by the warehouse''s clock';

CREATE TABLE dwh_control.quarantine (
    id             bigint      GENERATED ALWAYS AS IDENTITY,
    topic          text        NOT NULL,
    partition      integer     NOT NULL,
    kafka_offset   bigint      NOT NULL,
    source_lsn     bigint,
    source_tx_id   bigint,
    key            bytea,
    value          bytea,
    reason         text        NOT NULL,
    sqlstate       text,
    quarantined_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT quarantine_pkey PRIMARY KEY (id),
    CONSTRAINT quarantine_topic_partition_kafka_offset_key UNIQUE (topic, partition, kafka_offset)
);
COMMENT ON TABLE dwh_control.quarantine IS 'events that could not be loaded, whole, with the reason; loading went on behind them';
COMMENT ON COLUMN dwh_control.quarantine.id IS 'order of arrival here';
COMMENT ON COLUMN dwh_control.quarantine.topic IS 'Kafka topic';
COMMENT ON COLUMN dwh_control.quarantine.partition IS 'partition of the topic';
COMMENT ON COLUMN dwh_control.quarantine.kafka_offset IS 'offset in the partition';
COMMENT ON COLUMN dwh_control.quarantine.source_lsn IS 'log position at the source, if the event could be read that far';
COMMENT ON COLUMN dwh_control.quarantine.source_tx_id IS 'transaction at the source, if the event could be read that far';
COMMENT ON COLUMN dwh_control.quarantine.key IS 'the record''s key, as it came';
COMMENT ON COLUMN dwh_control.quarantine.value IS 'the record''s value, as it came';
COMMENT ON COLUMN dwh_control.quarantine.reason IS 'why; never shows a value';
COMMENT ON COLUMN dwh_control.quarantine.sqlstate IS 'SQLSTATE when it was the warehouse that refused';
COMMENT ON COLUMN dwh_control.quarantine.quarantined_at IS 'when';

CREATE TABLE dwh_control.truncations (
    topic          text        NOT NULL,
    source_lsn     bigint      NOT NULL,
    load_date      timestamptz NOT NULL,
    applied_date   timestamptz NOT NULL,
    CONSTRAINT truncations_pkey PRIMARY KEY (topic, source_lsn)
);
COMMENT ON TABLE dwh_control.truncations IS 'every truncate of a source table: closes also the keys whose older events come later, from another partition';
COMMENT ON COLUMN dwh_control.truncations.topic IS 'topic of the table';
COMMENT ON COLUMN dwh_control.truncations.source_lsn IS 'log position of the truncate';
COMMENT ON COLUMN dwh_control.truncations.load_date IS 'when it was published';
COMMENT ON COLUMN dwh_control.truncations.applied_date IS 'when the source committed it';
