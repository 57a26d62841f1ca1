-- Which events are missing, because Kafka deleted them before they were loaded and an operator accepted the loss.
-- Invariant: a row is written in the transaction that moves the offset over the gap, and never changed.

CREATE TABLE dwh_control.gaps (
    id           bigint      GENERATED ALWAYS AS IDENTITY,
    source       text        NOT NULL,
    topic        text        NOT NULL,
    partition    integer     NOT NULL,
    first_offset bigint      NOT NULL,
    last_offset  bigint      NOT NULL,
    accepted_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    accepted_by  text        NOT NULL DEFAULT session_user,
    CONSTRAINT gaps_pkey PRIMARY KEY (id),
    CONSTRAINT gaps_offsets_check CHECK (first_offset BETWEEN 0 AND last_offset)
);
COMMENT ON TABLE dwh_control.gaps IS 'events that are lost to this warehouse: Kafka deleted them before they were loaded, and an operator accepted that';
COMMENT ON COLUMN dwh_control.gaps.id IS 'order of acceptance';
COMMENT ON COLUMN dwh_control.gaps.source IS 'name of the source whose events are lost';
COMMENT ON COLUMN dwh_control.gaps.topic IS 'Kafka topic';
COMMENT ON COLUMN dwh_control.gaps.partition IS 'partition of the topic';
COMMENT ON COLUMN dwh_control.gaps.first_offset IS 'first offset that is lost';
COMMENT ON COLUMN dwh_control.gaps.last_offset IS 'last offset that is lost';
COMMENT ON COLUMN dwh_control.gaps.accepted_at IS 'when the loss was accepted';
COMMENT ON COLUMN dwh_control.gaps.accepted_by IS 'database user who accepted it';
