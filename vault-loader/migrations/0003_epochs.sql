-- Since when the places in a topic and the positions in a source's log count anew, and what stands at the end of what was loaded.
-- Invariant: an epoch and its first offsets are written together with the epoch of the offsets, so that a loader that knows an older
-- epoch is fenced by the compare-and-set of the offsets.

ALTER TABLE dwh_control.offsets
    ADD COLUMN record_source text,
    ADD COLUMN epoch integer NOT NULL DEFAULT 0,
    ADD COLUMN last_digest bytea;
COMMENT ON COLUMN dwh_control.offsets.record_source IS 'the source''s table; it stays the same when the topic gets another name';
COMMENT ON COLUMN dwh_control.offsets.epoch IS 'epoch of the table in which the next offset is read';
COMMENT ON COLUMN dwh_control.offsets.last_digest IS 'SHA-256 of key and value of the record before next_offset; NULL when there is none that was read';

CREATE TABLE dwh_control.epochs (
    record_source  text        NOT NULL,
    epoch          integer     NOT NULL,
    topic          text        NOT NULL,
    is_new_topic   boolean     NOT NULL,
    is_source_back boolean     NOT NULL,
    reason         text        NOT NULL,
    started_by     text        NOT NULL DEFAULT session_user,
    started_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT epochs_pkey PRIMARY KEY (record_source, epoch),
    CONSTRAINT epochs_epoch_check CHECK (epoch > 0),
    CONSTRAINT epochs_kind_check CHECK (is_new_topic OR is_source_back)
);
COMMENT ON TABLE dwh_control.epochs IS 'since when offsets or log positions of a table count anew; epoch 0 is not listed';
COMMENT ON COLUMN dwh_control.epochs.record_source IS 'the source''s table';
COMMENT ON COLUMN dwh_control.epochs.epoch IS 'number of the epoch';
COMMENT ON COLUMN dwh_control.epochs.topic IS 'topic of the table in this epoch';
COMMENT ON COLUMN dwh_control.epochs.is_new_topic IS 'the topic is another one than before: its offsets count anew';
COMMENT ON COLUMN dwh_control.epochs.is_source_back IS 'the source went back (restored, or promoted without the end of its log): its log positions count anew';
COMMENT ON COLUMN dwh_control.epochs.reason IS 'why, in the words of whoever started it';
COMMENT ON COLUMN dwh_control.epochs.started_by IS 'role that started it';
COMMENT ON COLUMN dwh_control.epochs.started_at IS 'when';

CREATE TABLE dwh_control.epoch_starts (
    record_source text    NOT NULL,
    epoch         integer NOT NULL,
    partition     integer NOT NULL,
    first_offset  bigint  NOT NULL,
    CONSTRAINT epoch_starts_pkey PRIMARY KEY (record_source, epoch, partition)
);
COMMENT ON TABLE dwh_control.epoch_starts IS 'first offset of an epoch in each partition that the topic had';
COMMENT ON COLUMN dwh_control.epoch_starts.record_source IS 'the source''s table';
COMMENT ON COLUMN dwh_control.epoch_starts.epoch IS 'number of the epoch';
COMMENT ON COLUMN dwh_control.epoch_starts.partition IS 'partition of the topic';
COMMENT ON COLUMN dwh_control.epoch_starts.first_offset IS 'first offset that belongs to it';

ALTER TABLE dwh_control.truncations
    ADD COLUMN epoch integer NOT NULL DEFAULT 0,
    DROP CONSTRAINT truncations_pkey,
    ADD CONSTRAINT truncations_pkey PRIMARY KEY (topic, epoch, source_lsn);
COMMENT ON COLUMN dwh_control.truncations.epoch IS 'epoch of the table to which the log position belongs';
