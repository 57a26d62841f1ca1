-- Many sources in one warehouse: whose models these are, which tables migrate made for whom, and which warehouse this is.
-- Invariant: a source has one name and one number in a warehouse. A satellite belongs to one source; hubs and links belong to all.

CREATE TABLE dwh_control.warehouse (
    only_row boolean     NOT NULL DEFAULT true,
    id       uuid        NOT NULL DEFAULT gen_random_uuid(),
    made_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT warehouse_pkey PRIMARY KEY (only_row),
    CONSTRAINT warehouse_only_row_check CHECK (only_row)
);
COMMENT ON TABLE dwh_control.warehouse IS 'which warehouse this is; one row';
COMMENT ON COLUMN dwh_control.warehouse.only_row IS 'true; keeps a second row out';
COMMENT ON COLUMN dwh_control.warehouse.id IS 'identity of this warehouse, part of its loaders'' consumer groups; a copy of the database needs a new one';
COMMENT ON COLUMN dwh_control.warehouse.made_at IS 'when the identity was made';
INSERT INTO dwh_control.warehouse DEFAULT VALUES;

CREATE TABLE dwh_control.sources (
    source           text     NOT NULL,
    source_system_id smallint NOT NULL,
    CONSTRAINT sources_pkey PRIMARY KEY (source),
    CONSTRAINT sources_source_system_id_key UNIQUE (source_system_id)
);
COMMENT ON TABLE dwh_control.sources IS 'the sources whose models this warehouse was migrated to';
COMMENT ON COLUMN dwh_control.sources.source IS 'name of the source, as its model says';
COMMENT ON COLUMN dwh_control.sources.source_system_id IS 'its number in the vault''s rows';

ALTER TABLE dwh_control.models
    ADD COLUMN source text,
    ADD COLUMN file   text;
-- Before, a warehouse had one source. Its name and number stand in the models' section [source].
UPDATE dwh_control.models
SET source = COALESCE(substring(model FROM '\[source\][^\[]*?\mname\s*=\s*["'']([^"'']*)["'']'), '');
ALTER TABLE dwh_control.models
    ALTER COLUMN source SET NOT NULL;
COMMENT ON TABLE dwh_control.models IS 'every model that was applied; the last one of each source is what its tables look like';
COMMENT ON COLUMN dwh_control.models.model_hash IS 'SHA-256 of what the model says; comments and the order of entries do not count';
COMMENT ON COLUMN dwh_control.models.source IS 'name of the source that the model is about';
COMMENT ON COLUMN dwh_control.models.file IS 'path of the model file when it was applied';
INSERT INTO dwh_control.sources (source, source_system_id)
SELECT source, system_id
FROM (
    SELECT source, substring(model FROM '\[source\][^\[]*?\msystem_id\s*=\s*(\d+)')::smallint AS system_id
    FROM dwh_control.models
    ORDER BY id DESC
    LIMIT 1
) AS last
WHERE system_id IS NOT NULL;

CREATE TABLE dwh_control.vault_tables (
    table_name text        NOT NULL,
    source     text,
    made_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT vault_tables_pkey PRIMARY KEY (table_name)
);
COMMENT ON TABLE dwh_control.vault_tables IS 'the tables of the vault that migrate made; everything else in the vault''s schema is somebody else''s and left alone';
COMMENT ON COLUMN dwh_control.vault_tables.table_name IS 'name in the vault''s schema';
COMMENT ON COLUMN dwh_control.vault_tables.source IS 'the source that a satellite belongs to; NULL for a hub or link, which all sources share';
COMMENT ON COLUMN dwh_control.vault_tables.made_at IS 'when migrate made it, or began to remember it';
-- Before, migrate refused a vault with tables of others, so all of them were its own.
INSERT INTO dwh_control.vault_tables (table_name, source)
SELECT c.relname, CASE WHEN c.relname LIKE 'sat\_%' THEN last.source END
FROM pg_class AS c
CROSS JOIN (
    SELECT source
    FROM dwh_control.models
    ORDER BY id DESC
    LIMIT 1
) AS last
WHERE c.relnamespace = to_regnamespace('dwh_detailed')
  AND c.relkind IN ('r', 'p');
