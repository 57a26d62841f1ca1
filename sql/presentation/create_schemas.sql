-- The schemas that every table of schema presentation needs, and what the runs share. Included by each create_schema.sql.
-- Invariant: applying it again changes nothing. sql/warehouse/020_presentation_roles.sql makes the schemas with their rights; where
-- somebody dropped one, making it here fails with "permission denied for database", which says what is to be done.

DO $$
BEGIN
    -- Two jobs may make the same table at the same moment.
    PERFORM pg_advisory_xact_lock(hashtextextended('presentation', 0));
    IF to_regnamespace('presentation') IS NULL THEN
        CREATE SCHEMA presentation;
    END IF;
    IF to_regnamespace('presentation_staging') IS NULL THEN
        CREATE SCHEMA presentation_staging;
    END IF;
END
$$;

CREATE UNLOGGED TABLE IF NOT EXISTS presentation_staging.control_totals (
    load_id   text        NOT NULL,
    name      text        NOT NULL,
    total     numeric     NOT NULL,
    staged_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT control_totals_pkey PRIMARY KEY (load_id, name)
);

COMMENT ON TABLE presentation_staging.control_totals IS
    'what the staged rows of a run have to add up to, computed from the vault in another way and at the same moment';
COMMENT ON COLUMN presentation_staging.control_totals.load_id IS 'the run: MD5 of its DAG''s and its own identifier';
COMMENT ON COLUMN presentation_staging.control_totals.name IS 'what is added up';
COMMENT ON COLUMN presentation_staging.control_totals.total IS 'the sum';
COMMENT ON COLUMN presentation_staging.control_totals.staged_at IS 'when it was computed';
