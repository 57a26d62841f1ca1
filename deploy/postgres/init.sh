#!/usr/bin/env bash
# First start of a server from the official image, and each update after it: applies SQL files and lets replicas in.
# In: /vaultstream/sql/*.sql; psql variables from PSQL_VARIABLES (name=value, one a line); REPLICATOR_PASSWORD where a
# replica is wanted. Out: a prepared database. The image runs it on an empty data directory, before it opens the port. A
# second run changes passwords to those of the environment, and repeats nothing.
set -euo pipefail

on_database() {
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" "$@"
}

# psql reads the values, which are passwords, from its environment, because everybody may read a program's arguments.
variables=()
while IFS= read -r line; do
    [[ -n "$line" ]] || continue
    export "VAULTSTREAM_PSQL_$line"
    variables+=(--command "\\getenv ${line%%=*} VAULTSTREAM_PSQL_${line%%=*}")
done <<<"${PSQL_VARIABLES:-}"

for file in /vaultstream/sql/*.sql; do
    echo "applying $file"
    on_database "${variables[@]}" --file "$file"
done

if [[ -n "${REPLICATOR_PASSWORD:-}" ]]; then
    on_database <<'SQL'
\getenv replicator_password REPLICATOR_PASSWORD
SET log_statement = 'none';
SELECT 'CREATE ROLE replicator' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'replicator')
\gexec
ALTER ROLE replicator LOGIN REPLICATION PASSWORD :'replicator_password';
COMMENT ON ROLE replicator IS 'streams the WAL to the hot backup and to read replicas';
SQL
    # The image lets everybody with a password into every database, but into physical replication nobody. Replicas live
    # in the container's own network, so nobody else is let in.
    rule='host replication replicator samenet scram-sha-256'
    if ! grep --quiet --fixed-strings --line-regexp "$rule" "$PGDATA/pg_hba.conf"; then
        echo "$rule" >>"$PGDATA/pg_hba.conf"
        on_database --command 'SELECT pg_reload_conf()' >/dev/null
    fi
fi
