-- The hash keys and hashdiffs of the vault, computed in SQL: docs/HASHING.md specifies them.
-- Invariant: a function gives the bytes that the loader makes in version 2 of the canonical form, or an error, and never others.
-- The warehouse knows of the secret of its hash keys, if there is one, no more than a fingerprint, which never changes.
-- Nobody but the owner may call them, until the owner grants it.

CREATE FUNCTION dwh_control.canonical_json(p_json jsonb, p_depth integer DEFAULT 0) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_number numeric;
    v_digits text;
    v_significant text;
BEGIN
    IF p_json IS NULL OR p_depth > 100 THEN
        RETURN p_json::text;
    END IF;
    CASE jsonb_typeof(p_json)
    WHEN 'object' THEN
        RETURN (
            SELECT '{' || coalesce(string_agg(
                to_json(key)::text || ':' || dwh_control.canonical_json(value, p_depth + 1), ',' ORDER BY key COLLATE "C"
            ), '') || '}'
            FROM jsonb_each(p_json)
        );
    WHEN 'array' THEN
        RETURN (
            SELECT '[' || coalesce(string_agg(dwh_control.canonical_json(value, p_depth + 1), ',' ORDER BY place), '') || ']'
            FROM jsonb_array_elements(p_json) WITH ORDINALITY AS items (value, place)
        );
    WHEN 'number' THEN
        v_number := trim_scale((p_json #>> '{}')::numeric);
        IF v_number = 0 THEN
            RETURN '0';
        END IF;
        v_digits := ltrim(replace(abs(v_number)::text, '.', ''), '0');
        v_significant := rtrim(v_digits, '0');
        RETURN CASE WHEN v_number < 0 THEN '-' ELSE '' END || v_significant || 'e'
            || (length(v_digits) - length(v_significant) - scale(v_number))::text;
    ELSE
        RETURN p_json::text;
    END CASE;
END
$$;
COMMENT ON FUNCTION dwh_control.canonical_json(jsonb, integer) IS 'a document as it is hashed; called by canonical';

CREATE FUNCTION dwh_control.canonical(p_value anyelement) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_type regtype := pg_typeof(p_value);
    v_micros numeric;
    v_tag bytea;
    v_bytes bytea;
BEGIN
    CASE v_type
    WHEN 'text'::regtype, 'character varying'::regtype, 'character'::regtype, 'json'::regtype THEN
        v_tag := '\x01';
        v_bytes := convert_to(p_value::text, 'UTF8');
    WHEN 'smallint'::regtype, 'integer'::regtype, 'bigint'::regtype THEN
        v_tag := '\x02';
        v_bytes := convert_to(p_value::text, 'UTF8');
    WHEN 'numeric'::regtype THEN
        v_tag := '\x03';
        v_bytes := convert_to(trim_scale(p_value)::text, 'UTF8');
    WHEN 'timestamp without time zone'::regtype THEN
        RETURN dwh_control.canonical(p_value AT TIME ZONE interval '0');
    WHEN 'timestamp with time zone'::regtype THEN
        v_tag := '\x04';
        -- The server sends microseconds since 2000-01-01. The form counts from 1970-01-01, and wraps around at 2^63.
        v_micros := ('x' || encode(timestamptz_send(p_value), 'hex'))::bit(64)::bigint;
        IF isfinite(p_value) THEN
            v_micros := v_micros + 946684800000000;
            IF v_micros > 9223372036854775807 THEN
                v_micros := v_micros - 18446744073709551616;
            END IF;
            IF v_micros IN (9223372036854775807, -9223372036854775808) THEN
                RAISE EXCEPTION 'this microsecond of the year 294247 has the number of an infinite time, so it has no hash'
                    USING ERRCODE = 'datetime_field_overflow';
            END IF;
        END IF;
        v_bytes := int8send(v_micros::bigint);
    WHEN 'date'::regtype THEN
        v_tag := '\x06';
        v_bytes := CASE p_value
            WHEN 'infinity' THEN '\x7fffffff'
            WHEN '-infinity' THEN '\x80000000'
            ELSE int4send(p_value - date '1970-01-01')
        END;
    WHEN 'boolean'::regtype THEN
        v_tag := '\x07';
        v_bytes := CASE WHEN p_value THEN '\x01'::bytea ELSE '\x00' END;
    WHEN 'jsonb'::regtype THEN
        v_tag := '\x08';
        v_bytes := convert_to(dwh_control.canonical_json(p_value), 'UTF8');
    WHEN 'bytea'::regtype THEN
        v_tag := '\x09';
        v_bytes := p_value;
    WHEN 'uuid'::regtype THEN
        v_tag := '\x0a';
        v_bytes := uuid_send(p_value);
    WHEN 'real'::regtype, 'double precision'::regtype THEN
        v_tag := '\x0b';
        v_bytes := CASE
            WHEN p_value = 'NaN' THEN '\x7ff8000000000000'
            WHEN p_value = 0 THEN '\x0000000000000000'
            ELSE float8send(p_value)
        END;
    WHEN 'time without time zone'::regtype THEN
        v_tag := '\x0c';
        v_bytes := time_send(p_value);
    WHEN 'time with time zone'::regtype THEN
        v_tag := '\x0c';
        v_bytes := time_send(CASE
            WHEN p_value = '24:00:00+00' THEN '24:00:00'
            ELSE (p_value AT TIME ZONE interval '0')::time
        END);
    WHEN 'point'::regtype THEN
        v_tag := '\x0e';
        v_bytes := dwh_control.canonical(p_value[0]) || dwh_control.canonical(p_value[1]);
    ELSE
        PERFORM FROM pg_type WHERE oid = v_type AND typcategory = 'A' AND typlen = -1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'type % is none that the vault stores, so it has no canonical form', v_type
                USING ERRCODE = 'datatype_mismatch', HINT = 'Cast the value to the type of the vault''s column.';
        END IF;
        v_tag := '\x0d';
        v_bytes := coalesce((
            SELECT string_agg(dwh_control.canonical(array_length(p_value, dimension)), '' ORDER BY dimension)
            FROM generate_series(1, array_ndims(p_value)) AS dimension
        ), '') || '\xfe00000000' || coalesce((
            SELECT string_agg(dwh_control.canonical(element), '' ORDER BY place)
            FROM unnest(p_value) WITH ORDINALITY AS elements (element, place)
        ), '');
    END CASE;
    RETURN CASE WHEN p_value IS NULL THEN '\x00' ELSE v_tag || int4send(length(v_bytes)) || v_bytes END;
END
$$;
COMMENT ON FUNCTION dwh_control.canonical(anyelement) IS 'a value as it is hashed: tag, length, bytes; the value has the type of the vault''s column';

CREATE FUNCTION dwh_control.folded(p_text text) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF octet_length(convert_to(p_text, 'UTF8')) <> length(p_text) THEN
        RAISE EXCEPTION 'a text with characters outside ASCII cannot be folded here'
            USING ERRCODE = 'feature_not_supported', HINT = 'Only the loader has the Unicode tables for it.';
    END IF;
    RETURN dwh_control.canonical(upper(btrim(p_text, E'\t\n\013\f\r ') COLLATE "C"));
END
$$;
COMMENT ON FUNCTION dwh_control.folded(text) IS 'the value of a hub''s key column that folds, as it is hashed; refuses what is not ASCII';

CREATE FUNCTION dwh_control.check_canonical(p_parts bytea[]) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_part bytea;
BEGIN
    FOREACH v_part IN ARRAY p_parts LOOP
        CONTINUE WHEN v_part = '\x00';
        CONTINUE WHEN length(v_part) >= 5
            AND get_byte(v_part, 0) IN (1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14)
            AND substring(v_part FROM 2 FOR 4) = int4send(length(v_part) - 5);
        RAISE EXCEPTION 'a value is not in its canonical form'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Make it with dwh_control.canonical or dwh_control.folded.';
    END LOOP;
END
$$;
COMMENT ON FUNCTION dwh_control.check_canonical(bytea[]) IS 'refuses what canonical and folded do not give; called by the functions that hash';

ALTER TABLE dwh_control.warehouse ADD COLUMN key_secret_fingerprint bytea;
COMMENT ON COLUMN dwh_control.warehouse.key_secret_fingerprint IS 'fingerprint of the secret that the hash keys of hubs and links are made with; NULL when they are made without one';

CREATE FUNCTION dwh_control.key_secret() RETURNS bytea
LANGUAGE plpgsql STABLE PARALLEL SAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_fingerprint bytea;
    v_secret bytea := convert_to(current_setting('dwh_control.key_secret', true), 'UTF8');
BEGIN
    SELECT key_secret_fingerprint
    INTO STRICT v_fingerprint
    FROM dwh_control.warehouse;
    IF v_fingerprint IS NULL THEN
        RETURN '';
    END IF;
    v_secret := '\xfd'::bytea || int4send(length(v_secret)) || v_secret;
    IF sha256('\x0204'::bytea || v_secret) IS DISTINCT FROM v_fingerprint THEN
        RAISE EXCEPTION 'the hash keys of this warehouse are made with a secret, and this session does not have it'
            USING ERRCODE = 'invalid_authorization_specification', HINT = 'Set dwh_control.key_secret in this session.';
    END IF;
    RETURN v_secret;
END
$$;
COMMENT ON FUNCTION dwh_control.key_secret() IS 'the part of the secret that this session has, if it is the warehouse''s; called by hub_key and link_key';

CREATE FUNCTION dwh_control.hub_key(p_source text, VARIADIC p_values bytea[]) RETURNS bytea
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_form bytea := '\x0201'::bytea || dwh_control.key_secret();
BEGIN
    IF coalesce(cardinality(p_values), 0) = 0 THEN
        RAISE EXCEPTION 'a hub''s key has at least one value' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM dwh_control.check_canonical(p_values);
    IF '\x00' = ALL (p_values) THEN
        RETURN decode(repeat('00', 32), 'hex');
    END IF;
    IF p_source IS NOT NULL THEN
        v_form := v_form || '\xff' || int4send(octet_length(convert_to(p_source, 'UTF8'))) || convert_to(p_source, 'UTF8');
    END IF;
    RETURN sha256(v_form || (
        SELECT string_agg(value, '' ORDER BY place)
        FROM unnest(p_values) WITH ORDINALITY AS parts (value, place)
    ));
END
$$;
COMMENT ON FUNCTION dwh_control.hub_key(text, bytea[]) IS 'hash key of a hub''s row: the source''s name if the hub''s scope is the source, else NULL; the key''s values, each by canonical or folded';

CREATE FUNCTION dwh_control.link_key(p_hubs bytea[], VARIADIC p_dependent bytea[] DEFAULT '{}') RETURNS bytea
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF coalesce(cardinality(p_hubs), 0) = 0 OR (32 = ALL (SELECT length(key) FROM unnest(p_hubs) AS key)) IS NOT TRUE THEN
        RAISE EXCEPTION 'a link''s key is made of hubs'' hash keys of 32 bytes each'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Make them with dwh_control.hub_key.';
    END IF;
    PERFORM dwh_control.check_canonical(p_dependent);
    RETURN sha256('\x0202'::bytea || dwh_control.key_secret() || (
        SELECT string_agg('\xfe00000020'::bytea || key, '' ORDER BY place)
        FROM unnest(p_hubs) WITH ORDINALITY AS hubs (key, place)
    ) || coalesce((
        SELECT string_agg(value, '' ORDER BY place)
        FROM unnest(p_dependent) WITH ORDINALITY AS parts (value, place)
    ), ''));
END
$$;
COMMENT ON FUNCTION dwh_control.link_key(bytea[], bytea[]) IS 'hash key of a link''s row: the hubs'' hash keys in the order of the roles; the dependent key''s values, each by canonical';

CREATE FUNCTION dwh_control.hashdiff(p_names text[], p_values bytea[]) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_names IS NULL OR p_values IS NULL OR cardinality(p_names) <> cardinality(p_values)
        OR (SELECT count(DISTINCT name) FROM unnest(p_names) AS name) <> cardinality(p_names)
    THEN
        RAISE EXCEPTION 'a hashdiff needs a name of its own for each value' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM dwh_control.check_canonical(p_values);
    RETURN sha256('\x0203'::bytea || coalesce((
        SELECT string_agg(int4send(length(name)) || name || value, '' ORDER BY name)
        FROM (
            SELECT convert_to(name, 'UTF8') AS name, value
            FROM unnest(p_names, p_values) AS columns (name, value)
        ) AS named
        WHERE value <> '\x00'
    ), ''));
END
$$;
COMMENT ON FUNCTION dwh_control.hashdiff(text[], bytea[]) IS 'hashdiff of a satellite''s row: names of its columns in the vault, and their values, each by canonical';

REVOKE ALL ON FUNCTION
    dwh_control.canonical_json(jsonb, integer),
    dwh_control.canonical(anyelement),
    dwh_control.folded(text),
    dwh_control.check_canonical(bytea[]),
    dwh_control.key_secret(),
    dwh_control.hub_key(text, bytea[]),
    dwh_control.link_key(bytea[], bytea[]),
    dwh_control.hashdiff(text[], bytea[])
FROM PUBLIC;
