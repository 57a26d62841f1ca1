#!/usr/bin/env bash
# Prepares the source's database on whichever server is the primary.
# In: PGHOST and PGPORT, where the primary is reached; PGPASSWORD, POSTGRES_USER, POSTGRES_DB; PSQL_VARIABLES. Out:
# schema, publications and roles. A primary that is not there yet fails it, and the swarm starts it again. It may run
# twice.
set -euo pipefail

if [[ "$(psql --no-psqlrc -At --username "$POSTGRES_USER" --dbname postgres --set "name=$POSTGRES_DB" \
    <<<"SELECT count(*) FROM pg_database WHERE datname = :'name'")" == 0 ]]; then
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres --set "name=$POSTGRES_DB" \
        <<<'CREATE DATABASE :"name";'
fi
exec /vaultstream/init.sh
