-- Puts rows into the vault by hand, as the loader would. "D-5 " stands for the day five days before the one on which the test
-- runs. Each call is one row: table, key in words, moment (load date, log position and offset grow with it), content, which may set
-- the offset itself. A value of a column that ends in _hash_key is a key in words too.
CREATE FUNCTION pg_temp.put(vault_table text, key_words text, moment integer, content jsonb)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    row_content jsonb := content;
    item record;
BEGIN
    FOR item IN
        SELECT key, value
        FROM jsonb_each_text(content)
        WHERE key LIKE '%\_hash\_key'
    LOOP
        row_content := row_content || jsonb_build_object(item.key, sha256(convert_to(item.value, 'UTF8')));
    END LOOP;
    row_content := jsonb_build_object(
        'hash_key', sha256(convert_to(key_words, 'UTF8')),
        'load_date', timestamptz '2020-01-01 00:00:00+00' + moment * interval '1 second',
        'record_source', 'airline.public.' || CASE
            WHEN vault_table LIKE 'sat\_airports%' THEN 'airports'
            WHEN vault_table LIKE 'sat\_aircrafts%' THEN 'aircrafts'
            WHEN vault_table LIKE 'sat\_seats%' THEN 'seats'
            WHEN vault_table LIKE 'sat\_flight%' THEN 'flights'
            WHEN vault_table LIKE 'sat\_bookings%' THEN 'bookings'
            WHEN vault_table LIKE 'sat\_ticket\_flights%' THEN 'ticket_flights'
            WHEN vault_table LIKE 'sat\_boarding\_passes%' THEN 'boarding_passes'
            WHEN vault_table LIKE 'sat\_%' THEN 'tickets'
            ELSE 'any'
        END,
        'source_system_id', 1,
        'applied_date', timestamptz '2020-01-01 00:00:00+00' + moment * interval '1 second',
        'source_lsn', moment * 10,
        'kafka_partition', 0,
        'kafka_offset', moment,
        'hashdiff', sha256(convert_to((content - 'op' - 'kafka_offset')::text, 'UTF8'))
    ) || row_content;
    EXECUTE format(
        'INSERT INTO dwh_detailed.%1$I SELECT (jsonb_populate_record(NULL::dwh_detailed.%1$I, $1)).*',
        vault_table
    ) USING row_content;
END
$$;

CREATE FUNCTION pg_temp.born(vault_table text, key_words text, moment integer)
RETURNS void
LANGUAGE sql AS $$
    SELECT pg_temp.put(vault_table, key_words, moment, '{"op": "c", "is_deleted": false}')
$$;

CREATE FUNCTION pg_temp.died(vault_table text, key_words text, moment integer)
RETURNS void
LANGUAGE sql AS $$
    SELECT pg_temp.put(vault_table, key_words, moment, '{"op": "d", "is_deleted": true}')
$$;
