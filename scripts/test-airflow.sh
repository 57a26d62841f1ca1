#!/usr/bin/env bash
# Tests of the scheduled jobs: on a copy of the demo's warehouse, against the demo's primary, and once with a whole Airflow.
# In: a running demo (`make demo`), whose databases are only read; arguments for pytest, such as -k policy. Out: exit 0 when every
# test passed.

source "$(dirname "$0")/lib.sh"

HOST=127.0.0.1

# Whether a server of the demo lets us in: port, database.
answers() {
    PGPASSWORD="${VAULTSTREAM_ADMIN_PASSWORD:-adminpassword}" PGCONNECT_TIMEOUT=5 psql --no-psqlrc --quiet \
        --host "$HOST" --port "$1" --dbname "$2" --username "${VAULTSTREAM_ADMIN_USER:-admin}" --command 'SELECT' >/dev/null 2>&1
}

answers "${VAULTSTREAM_PRIMARY_PORT:-5432}" airline_tickets || fail "the demo's primary does not answer: run \`make demo\` first"
answers "${VAULTSTREAM_DWH_PORT:-5434}" airline_tickets_dwh || fail "the demo's warehouse does not answer: run \`make demo\` first"
step "Airflow's Python environment" scripts/airflow.sh setup
step "tests of the scheduled jobs" .venv/airflow/bin/python -m pytest --config-file airflow/pytest.ini airflow/tests "$@"
