#!/usr/bin/env bash
# Measures what a nightly truncate costs as the history of its table grows.
# In: how a psql reaches an empty scratch database (PGHOST, PGPORT, PGUSER, PGDATABASE, ...), rows of the table (500000), nights (10).
# Out: for each night a line: pages of the status satellite, pages and milliseconds that finding the open keys takes in the way of
# vault-loader/src/load/truncate.rs and by a look at the whole history, milliseconds that the whole statement takes.
# The statements are those of the loader without its conditions on epochs and parked keys, on a table with the columns and indexes of
# a status satellite. Autovacuum does its work.
set -euo pipefail

ROWS="${1:-500000}"
NIGHTS="${2:-10}"

on_scratch() {
    psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 "$@"
}

# Pages and milliseconds of a plan that EXPLAIN (ANALYZE, BUFFERS) has printed.
cost() {
    sed -nE '/^ *Buffers: / { h; /hit/!s/shared/shared hit=0/; s/.*hit=([0-9]+)( read=([0-9]+))?.*/\1 \3/; p; q }' <<<"$1" \
        | awk '{ printf "%d pages ", $1 + $2 }'
    sed -nE 's/^Execution Time: ([0-9]+).*/\1 ms/p' <<<"$1"
}

read -r -d '' SETTINGS <<'SQL' || true
SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off;
SQL

# The last version of each key among those since :since, and of the keys without a position.
read -r -d '' LAST <<'SQL' || true
(
    (
        SELECT DISTINCT ON (hash_key) hash_key, load_date, source_lsn, record_lsn, is_deleted
        FROM measured_status
        WHERE load_date >= :'since'
        ORDER BY hash_key, load_date DESC
    )
    UNION ALL
    SELECT newest.*
    FROM (SELECT DISTINCT hash_key FROM measured_status WHERE record_lsn IS NULL AND load_date < :'since') AS unplaced
    CROSS JOIN LATERAL (
        SELECT hash_key, load_date, source_lsn, record_lsn, is_deleted
        FROM measured_status AS version
        WHERE version.hash_key = unplaced.hash_key
        ORDER BY load_date DESC
        LIMIT 1
    ) AS newest
    WHERE newest.load_date < :'since'
) AS last
WHERE NOT is_deleted AND GREATEST(source_lsn, record_lsn) < :lsn IS NOT FALSE
SQL

WHOLE="(SELECT DISTINCT ON (hash_key) * FROM measured_status ORDER BY hash_key, load_date DESC) AS last
WHERE NOT is_deleted AND GREATEST(source_lsn, record_lsn) < :lsn IS NOT FALSE"

on_scratch <<'SQL'
DROP TABLE IF EXISTS measured_status;
CREATE TABLE measured_status (
    hash_key bytea NOT NULL, load_date timestamptz NOT NULL, record_source text NOT NULL, source_system_id smallint NOT NULL,
    applied_date timestamptz, source_lsn bigint, kafka_partition integer, kafka_offset bigint, hashdiff bytea,
    op text, is_deleted boolean, record_lsn bigint, PRIMARY KEY (hash_key, load_date)
);
CREATE INDEX ON measured_status USING brin (record_lsn, load_date) WITH (pages_per_range = 32, autosummarize = on);
SQL

for ((night = 1; night <= NIGHTS; night++)); do
    lsn=$(((night + 1) * 1000000000))
    on_scratch --set "night=$night" --set "rows=$ROWS" <<'SQL'
INSERT INTO measured_status
SELECT sha256(number::text::bytea), '2026-01-01'::timestamptz + :night * interval '1 day' + number * interval '10 us',
    'airline.public.measured', 1, now(), :night * 1000000000::bigint + number, 0, :night * 100000000::bigint + number, sha256('open'),
    'c', false, :night * 1000000000::bigint + number
FROM generate_series(1, :rows) AS number;
SQL
    since='-infinity'
    if ((night > 1)); then
        since="$(on_scratch --command "$SETTINGS SELECT coalesce(min(load_date), 'infinity') FROM measured_status WHERE record_lsn >= ${night}000000000")"
    fi
    variables=(--set "lsn=$lsn" --set "since=$since" --set "night=$night")
    explain="EXPLAIN (ANALYZE, BUFFERS, COSTS off)"
    now="$(printf '%s\n%s SELECT count(*) FROM %s;\n' "$SETTINGS" "$explain" "$LAST" | on_scratch "${variables[@]}")"
    whole="$(printf 'SET jit = off; %s SELECT count(*) FROM %s;\n' "$explain" "$WHOLE" | on_scratch "${variables[@]}")"
    all="$(printf '%s\n%s INSERT INTO measured_status
        SELECT hash_key, GREATEST(%s, load_date + interval %s), %s, 1, now(), :lsn, 0, 0, sha256(%s), %s, true, :lsn FROM %s;\n' \
        "$SETTINGS" "$explain" "'2026-01-01 23:00'::timestamptz + :night * interval '1 day'" "'1 us'" \
        "'airline.public.measured'" "'closed'" "'t'" "$LAST" | on_scratch "${variables[@]}")"
    printf 'night %2d: table %s pages; found by %s; by the whole history %s; whole statement %s\n' "$night" \
        "$(on_scratch --command "SELECT pg_relation_size('measured_status') / 8192")" \
        "$(cost "$now")" "$(cost "$whole")" "$(cost "$all")"
done
on_scratch --command "DROP TABLE measured_status"
