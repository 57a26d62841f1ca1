-- Which role may let a satellite grow.
-- Invariant: a role that may not write a satellite cannot change it either, so a loader of one source leaves the satellites of
-- other sources alone.

ALTER FUNCTION dwh_control.grow_satellite(text, text, text, text, text) RENAME TO grow_any_satellite;
REVOKE ALL ON FUNCTION dwh_control.grow_any_satellite(text, text, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION dwh_control.grow_any_satellite(text, text, text, text, text) IS 'adds a nullable column to a satellite of the vault; called by grow_satellite alone';

CREATE FUNCTION dwh_control.grow_satellite(
    p_topic text, p_satellite text, p_column text, p_source_type text, p_vault_type text
) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
BEGIN
    IF NOT coalesce(
        has_table_privilege(session_user, to_regclass(format('dwh_detailed.%I', p_satellite)), 'INSERT'), false
    ) THEN
        RAISE EXCEPTION '% may not write dwh_detailed.%, so it may not let it grow', session_user, p_satellite
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM dwh_control.grow_any_satellite(p_topic, p_satellite, p_column, p_source_type, p_vault_type);
END
$$;
COMMENT ON FUNCTION dwh_control.grow_satellite(text, text, text, text, text) IS 'adds a nullable column to a satellite that the caller may write, waiting two seconds at most for its lock';
REVOKE ALL ON FUNCTION dwh_control.grow_satellite(text, text, text, text, text) FROM PUBLIC;
