#!/usr/bin/env bash
# Applies the marts as the owner of the vault, after the vault was migrated.
# In: PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD; /vaultstream/marts/*.sql and then
# /vaultstream/service_marts/*.sql. Out: the views of dwh_marts, as the files say.
set -euo pipefail

for file in /vaultstream/marts/*.sql /vaultstream/service_marts/*.sql; do
    echo "applying $file"
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --file "$file"
done
