#!/usr/bin/env bash
# The contract of the official PostgreSQL image, as far as its documentation states it and this project uses it.
# In: POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB, POSTGRES_INITDB_ARGS, PGDATA; a command. Out: the command, run as postgres;
# before a server's first start a prepared data directory. Invariant: the port is open only when preparation is complete.
set -euo pipefail

own_data_directory() {
    install -d -m 0700 "$PGDATA"
    find "$PGDATA" \! -user postgres -exec chown postgres {} +
}

init_data_directory() {
    : "${POSTGRES_PASSWORD:?a new data directory needs POSTGRES_PASSWORD}"
    # shellcheck disable=SC2086 # these are arguments
    initdb --username "$POSTGRES_USER" --pwfile <(printf '%s\n' "$POSTGRES_PASSWORD") ${POSTGRES_INITDB_ARGS:-}
    printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
}

run_init_scripts() {
    local file
    if [[ "$POSTGRES_DB" != postgres ]]; then
        psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
            --set "name=$POSTGRES_DB" <<<'CREATE DATABASE :"name";'
    fi
    for file in /docker-entrypoint-initdb.d/*; do
        case "$file" in
            *.sh)
                if [[ -x "$file" ]]; then
                    "$file"
                else
                    # shellcheck disable=SC1090 # whatever was mounted
                    . "$file"
                fi
                ;;
            *.sql)
                psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --file "$file"
                ;;
        esac
    done
}

[[ "${1:-}" != -* ]] || set -- postgres "$@"
if [[ "$1" == postgres ]]; then
    if ((EUID == 0)); then
        own_data_directory
        exec gosu postgres "$0" "$@"
    fi
    if [[ ! -s "$PGDATA/PG_VERSION" ]]; then
        export POSTGRES_USER="${POSTGRES_USER:-postgres}"
        export POSTGRES_DB="${POSTGRES_DB:-$POSTGRES_USER}"
        init_data_directory
        pg_ctl --pgdata "$PGDATA" --wait --options "-c listen_addresses=''" start
        run_init_scripts
        pg_ctl --pgdata "$PGDATA" --wait --mode fast stop
        echo 'the data directory is ready'
    fi
fi
exec "$@"
