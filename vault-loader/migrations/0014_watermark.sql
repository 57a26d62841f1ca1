-- Up to where all topics of a source are loaded together, so that a query can say as of when the vault is complete.
-- Invariant: a row says nothing that is not loaded. It moves forward only (a position within its timeline), after the offsets of all partitions of the source have
-- passed the ends that Kafka named after a heartbeat came. It is taken away when the source's model changes and when an epoch
-- begins, because events that were published earlier may then be loaded again, or for the first time.

CREATE TABLE dwh_control.watermark (
    source_system_id smallint    NOT NULL,
    source_lsn       bigint,
    source_timeline  integer,
    source_committed timestamptz,
    published        timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    CONSTRAINT watermark_pkey PRIMARY KEY (source_system_id)
);
COMMENT ON TABLE dwh_control.watermark IS 'up to where every topic of a source is loaded; no row while that is not known';
COMMENT ON COLUMN dwh_control.watermark.source_system_id IS 'number of the source';
COMMENT ON COLUMN dwh_control.watermark.source_lsn IS 'position in the source''s log: every change whose commit ends at or before it is loaded; NULL when the heartbeats name no position, as those of Debezium do';
COMMENT ON COLUMN dwh_control.watermark.source_timeline IS 'timeline of the source''s log that the position belongs to; on a later one the position begins anew, because a promotion may have lost what stood before it';
COMMENT ON COLUMN dwh_control.watermark.source_committed IS 'when the last known transaction at or before that position committed; NULL when none is known';
COMMENT ON COLUMN dwh_control.watermark.published IS 'every event that was published at or before this time is loaded, so no version with a load date at or before it can still come, except by a command of an operator (quarantine retry, epoch close-missing)';
COMMENT ON COLUMN dwh_control.watermark.updated_at IS 'when this row was written, by the warehouse''s clock';
