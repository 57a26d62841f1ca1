#!/usr/bin/env bash
# What the primary needs for read replicas: their roles, and a bound on what their slots keep. Runs to its end at each start.
# In: PGHOST, PGUSER, PGPASSWORD, PGDATABASE of the primary; READ_REPLICA_PASSWORD, REPLICA_OPERATOR_PASSWORD, SLOT_WAL_MAX;
# /vaultstream/sql/*.sql. Out: roles with these passwords; max_slot_wal_keep_size, unless somebody has bounded it already.
set -euo pipefail

for file in /vaultstream/sql/*.sql; do
    echo "applying $file"
    # psql reads the passwords from its environment, because everybody may read a program's arguments.
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --command '\getenv read_replica_password READ_REPLICA_PASSWORD' \
        --command '\getenv operator_password REPLICA_OPERATOR_PASSWORD' --file "$file"
done
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set "most=$SLOT_WAL_MAX" <<'SQL'
SELECT format('ALTER SYSTEM SET max_slot_wal_keep_size = %L', :'most')
WHERE current_setting('max_slot_wal_keep_size') = '-1'
\gexec
SELECT pg_reload_conf();
SQL
