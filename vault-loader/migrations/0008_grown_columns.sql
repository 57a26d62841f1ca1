-- Columns that satellites have grown because the source's tables got them, and the only way in which a loader may add one.
-- Invariant: a column is added together with its row here, so a restart, a replay and a migration know it. The function adds
-- nullable columns to satellites of the vault and can do nothing else.

CREATE TABLE dwh_control.grown_columns (
    satellite   text        NOT NULL,
    column_name text        NOT NULL,
    source_type text        NOT NULL,
    topic       text        NOT NULL,
    grown_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT grown_columns_pkey PRIMARY KEY (satellite, column_name)
);
COMMENT ON TABLE dwh_control.grown_columns IS 'columns that satellites have grown by themselves, because the source''s table got them';
COMMENT ON COLUMN dwh_control.grown_columns.satellite IS 'satellite in dwh_detailed';
COMMENT ON COLUMN dwh_control.grown_columns.column_name IS 'name of the column, in the source and in the satellite';
COMMENT ON COLUMN dwh_control.grown_columns.source_type IS 'type of the column in the source, as a model spells it';
COMMENT ON COLUMN dwh_control.grown_columns.topic IS 'topic of the table that got the column';
COMMENT ON COLUMN dwh_control.grown_columns.grown_at IS 'when the satellite grew';

CREATE FUNCTION dwh_control.grow_satellite(
    p_topic text, p_satellite text, p_column text, p_source_type text, p_vault_type text
) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
    v_table regclass;
    v_found text;
BEGIN
    SELECT c.oid
    INTO v_table
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'hashdiff'
    WHERE n.nspname = 'dwh_detailed'
      AND c.relname = p_satellite
      AND c.relkind IN ('r', 'p')
      AND c.relname LIKE 'sat\_%'
      AND pg_get_userbyid(c.relowner) = current_user;
    IF v_table IS NULL THEN
        RAISE EXCEPTION 'dwh_detailed.% is no satellite that can grow', p_satellite USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p_column !~ '^[a-z_][a-z0-9_$]{0,62}$' THEN
        RAISE EXCEPTION 'column % has a name that a model cannot have', p_column USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- The type is put into a statement, so it may be one of PostgreSQL's own, by the name that format_type gives it.
    IF p_vault_type !~ '^[a-z ]+(\([0-9]+(,-?[0-9]+)?\))?(\[\])?$'
        OR NOT EXISTS (
            SELECT
            FROM pg_type AS t
            WHERE t.typnamespace = 'pg_catalog'::regnamespace
              AND t.typtype = 'b'
              AND format_type(t.oid, NULL) = regexp_replace(p_vault_type, '\([^)]*\)', '')
        )
    THEN
        RAISE EXCEPTION 'type % is none that a satellite can grow by', p_vault_type USING ERRCODE = 'invalid_parameter_value';
    END IF;
    EXECUTE format('ALTER TABLE %s ADD COLUMN IF NOT EXISTS %I %s', v_table, p_column, p_vault_type);
    SELECT format_type(a.atttypid, a.atttypmod)
    INTO v_found
    FROM pg_attribute AS a
    WHERE a.attrelid = v_table
      AND a.attname = p_column
      AND NOT a.attisdropped;
    IF v_found IS DISTINCT FROM p_vault_type THEN
        RAISE EXCEPTION 'column % of % is % already, not %', p_column, v_table, v_found, p_vault_type
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', v_table, p_column, p_column || ' of ' || p_topic);
    INSERT INTO dwh_control.grown_columns (satellite, column_name, source_type, topic)
    VALUES (p_satellite, p_column, p_source_type, p_topic)
    ON CONFLICT ON CONSTRAINT grown_columns_pkey DO NOTHING;
END
$$;
COMMENT ON FUNCTION dwh_control.grow_satellite(text, text, text, text, text) IS 'adds a nullable column to a satellite of the vault, waiting two seconds at most for its lock';
REVOKE ALL ON FUNCTION dwh_control.grow_satellite(text, text, text, text, text) FROM PUBLIC;
