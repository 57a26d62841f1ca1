# shellcheck shell=bash
# The whole pipeline on servers of its own: its settings, and each step of starting and comparing it.
# Sourced after lib.sh by what runs a pipeline (the demo, the tests of dashboards and of scheduled tables), never run.
# Invariant: a function does one step and fails loudly; which steps, and in what order, is the caller's.

# Where cargo puts the binaries of a profile.
profile_folder() {
    [[ "$1" == dev ]] && echo debug || echo "$1"
}

# The cargo profile of the binaries: "demo" builds in half the time of "release"; the tests use what they have built,
# "dev".
PROFILE="${VAULTSTREAM_CARGO_PROFILE:-demo}"
HOST=127.0.0.1
PRIMARY_PORT="${VAULTSTREAM_PRIMARY_PORT:-5432}"
DWH_PORT="${VAULTSTREAM_DWH_PORT:-5434}"
KAFKA_PORT="${VAULTSTREAM_KAFKA_PORT:-9092}"
READER_PORT="${VAULTSTREAM_READER_PORT:-8083}"
BOOKING_READER_PORT="${VAULTSTREAM_BOOKING_READER_PORT:-8085}"
LOADER_PORT="${VAULTSTREAM_LOADER_PORT:-8084}"
BOOKING_PORT="${VAULTSTREAM_BOOKING_PORT:-4000}"
REDIS_PORT="${VAULTSTREAM_REDIS_PORT:-6380}"
PGBOUNCER_PORT="${VAULTSTREAM_PGBOUNCER_PORT:-6432}"
PRIMARY_DB=airline_tickets
DWH_DB=airline_tickets_dwh
ADMIN="${VAULTSTREAM_ADMIN_USER:-admin}"
ADMIN_PASSWORD="${VAULTSTREAM_ADMIN_PASSWORD:-adminpassword}"
READER_PASSWORD="${CDC_READER_PASSWORD:-cdc_reader_password}"
APP_PASSWORD="${BOOKING_APP_PASSWORD:-booking_app_password}"
READONLY_PASSWORD="${AIRLINE_READONLY_PASSWORD:-airline_readonly_password}"
SERVICE_PASSWORD="${BOOKING_SERVICE_PASSWORD:-booking_service_password}"
REDIS_PASSWORD="${BOOKING_REDIS_PASSWORD:-booking_redis_password}"
OWNER_PASSWORD="${VAULT_OWNER_PASSWORD:-vault_owner_password}"
LOADER_PASSWORD="${VAULT_LOADER_PASSWORD:-vault_loader_password}"
MART_PASSWORD="${MART_READER_PASSWORD:-mart_reader_password}"
REFRESHER_PASSWORD="${MART_REFRESHER_PASSWORD:-mart_refresher_password}"
PRESENTATION_PASSWORD="${PRESENTATION_WRITER_PASSWORD:-presentation_writer_password}"
CHECKER_PASSWORD="${VAULT_CHECKER_PASSWORD:-vault_checker_password}"
SCALE="${VAULTSTREAM_SCALE:-1}"
# Which servers: "demo", or "backup" for those with a hot backup and a WAL archive.
SERVERS="${VAULTSTREAM_SERVERS:-demo}"
MODEL=connectors/airline/vault.toml
CONNECTOR=connectors/airline/connector.json
# What the booking service keeps in the same database, as a source of its own.
BOOKING_MODEL=connectors/booking/vault.toml
BOOKING_CONNECTOR=connectors/booking/connector.json
MODELS=(--model "$MODEL" --model "$BOOKING_MODEL")
BIN="$TARGET_DIR/$(profile_folder "$PROFILE")"
TABLES=(airports aircrafts seats flights bookings tickets ticket_flights boarding_passes)

# psql without the user's own settings, stopping at the first error: port, database, user, password, then arguments.
run_psql() {
    local port="$1" database="$2" user="$3" password="$4"
    shift 4
    PGPASSWORD="$password" psql --no-psqlrc --set ON_ERROR_STOP=1 --quiet \
        --host "$HOST" --port "$port" --dbname "$database" --username "$user" "$@"
}

on_primary() {
    run_psql "$PRIMARY_PORT" "$PRIMARY_DB" "$ADMIN" "$ADMIN_PASSWORD" "$@"
}

on_warehouse() {
    run_psql "$DWH_PORT" "$DWH_DB" "$ADMIN" "$ADMIN_PASSWORD" "$@"
}

as_owner() {
    run_psql "$DWH_PORT" "$DWH_DB" vault_owner "$OWNER_PASSWORD" "$@"
}

# Applies the files of a folder in the order of their names: folder, what runs psql, then psql variables as name=value.
# Their values are passwords. psql reads them from its environment, because everybody may read a program's arguments.
apply() (
    folder="$1" run="$2" given=()
    shift 2
    for variable in "$@"; do
        export "VAULTSTREAM_PSQL_$variable"
        given+=(--command "\\getenv ${variable%%=*} VAULTSTREAM_PSQL_${variable%%=*}")
    done
    for file in "$folder"/*.sql; do
        "$run" "${given[@]}" --file "$file" >/dev/null || fail "cannot apply $file"
    done
)

# Builds the programs of a pipeline; arguments are further options of cargo.
build_pipeline() {
    cargo build --profile "$PROFILE" --locked --bins \
        --package booking --package cdc-reader --package devstack --package vault-loader "$@"
}

end_earlier_pipeline() {
    if [[ -e "$RUN_DIR/state.json" ]]; then
        say "an earlier pipeline is up in $RUN_DIR: ending it, its data goes"
        "$BIN/devstack" down --run-dir "$RUN_DIR" --purge
    fi
}

start_servers() {
    "$BIN/devstack" up --profile "$SERVERS" --run-dir "$RUN_DIR" --fresh
}

prepare_source() {
    # The files belong to the database that was there before.
    rm -rf "$RUN_DIR/uploads"
    apply sql/source on_primary \
        "reader_password=$READER_PASSWORD" \
        "app_password=$APP_PASSWORD" \
        "readonly_password=$READONLY_PASSWORD" \
        "service_password=$SERVICE_PASSWORD"
}

seed() {
    booking seed --scale "$SCALE"
}

booking() {
    BOOKING_DATABASE_URL="postgres://booking_app:$APP_PASSWORD@$HOST:$PRIMARY_PORT/$PRIMARY_DB" "$BIN/booking" "$@"
}

# Starts Redis and PgBouncer beside the servers, until `make down`: what instances of the booking service share.
start_companions() {
    BOOKING_REDIS_PASSWORD="$REDIS_PASSWORD" VAULTSTREAM_REDIS_PORT="$REDIS_PORT" \
        "$BIN/devstack" add --run-dir "$RUN_DIR" redis
    VAULTSTREAM_PGBOUNCER_PORT="$PGBOUNCER_PORT" "$BIN/devstack" add --run-dir "$RUN_DIR" pgbouncer
    BOOKING_REDIS_URL="redis://booking:$REDIS_PASSWORD@$HOST:$REDIS_PORT"
    export BOOKING_REDIS_URL
    SERVICE_DB_PORT="$PGBOUNCER_PORT"
}

# Starts the booking service beside the servers, until `make down`; arguments are further options of `booking serve`.
# After start_companions it uses them.
start_booking_service() {
    local ends=$((SECONDS + 60))
    BOOKING_DATABASE_URL="postgres://booking_service:$SERVICE_PASSWORD@$HOST:${SERVICE_DB_PORT:-$PRIMARY_PORT}/$PRIMARY_DB" \
        "$BIN/devstack" spawn --run-dir "$RUN_DIR" --name booking --endpoint "$HOST:$BOOKING_PORT" -- \
        "$BIN/booking" serve --listen "$HOST:$BOOKING_PORT" --uploads-url "file://$(realpath "$RUN_DIR")/uploads" "$@"
    until curl --silent --fail --max-time 5 --output /dev/null "http://$HOST:$BOOKING_PORT/health/ready"; do
        ((SECONDS < ends)) || fail "the booking service is not ready; see $RUN_DIR/booking.log"
        sleep 0.2
    done
}

# The loader as a role: role, password, then arguments.
loader_as() {
    local role="$1" password="$2"
    shift 2
    env \
        VAULT_LOADER__BOOTSTRAP_SERVERS="$HOST:$KAFKA_PORT" \
        VAULT_LOADER__DATABASE__HOST="$HOST" \
        VAULT_LOADER__DATABASE__PORT="$DWH_PORT" \
        VAULT_LOADER__DATABASE__NAME="$DWH_DB" \
        VAULT_LOADER__DATABASE__USER="$role" \
        VAULT_LOADER__DATABASE__PASSWORD="$password" \
        VAULT_LOADER__LISTEN="$HOST:$LOADER_PORT" \
        "$@"
}

prepare_warehouse() {
    apply sql/warehouse on_warehouse \
        "loader_password=$LOADER_PASSWORD" \
        "owner_password=$OWNER_PASSWORD" \
        "mart_password=$MART_PASSWORD" \
        "refresher_password=$REFRESHER_PASSWORD" \
        "presentation_password=$PRESENTATION_PASSWORD" \
        "checker_password=$CHECKER_PASSWORD"
    loader_as vault_owner "$OWNER_PASSWORD" "$BIN/vault-loader" migrate "${MODELS[@]}"
    apply sql/marts as_owner
    apply sql/service_marts as_owner
}

start_pipeline() {
    loader_as vault_loader "$LOADER_PASSWORD" \
        "$BIN/devstack" spawn --run-dir "$RUN_DIR" --name vault-loader --endpoint "$HOST:$LOADER_PORT" -- \
        "$BIN/vault-loader" run "${MODELS[@]}"
    loader_as mart_refresher "$REFRESHER_PASSWORD" \
        "$BIN/devstack" spawn --run-dir "$RUN_DIR" --name mart-refresher -- \
        "$BIN/vault-loader" refresh-marts
    start_reader cdc-reader "$READER_PORT" "$CONNECTOR"
    start_reader booking-reader "$BOOKING_READER_PORT" "$BOOKING_CONNECTOR"
}

# Starts a reader: its name, its port, its connector.
start_reader() {
    BOOTSTRAP_SERVERS="$HOST:$KAFKA_PORT" \
        CDC_READER_LISTEN="$HOST:$2" \
        PRIMARY_HOST="$HOST" \
        PRIMARY_PORT="$PRIMARY_PORT" \
        CDC_READER_PASSWORD="$READER_PASSWORD" \
        "$BIN/devstack" spawn --run-dir "$RUN_DIR" --name "$1" --endpoint "$HOST:$2" -- \
        "$BIN/cdc-reader" run --connector "$3"
}

# Bytes of WAL that the reader has not confirmed yet; nothing while there is no slot.
unconfirmed_wal_bytes() {
    on_primary --tuples-only --no-align --command "
        SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint
        FROM pg_replication_slots
        WHERE slot_name = 'airline_slot'"
}

# One line a captured table: its name, and its columns in their order.
captured_columns() {
    local list
    printf -v list "'%s', " "${TABLES[@]}"
    on_primary --tuples-only --no-align --command "
        SELECT table_name, string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)
        FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name IN (${list%, })
        GROUP BY table_name"
}

# One line a relation: its name, its number of rows, a hash over all of them. Columns that only the warehouse's views
# have are left out. Arguments: how the relation is named there (a printf format), what runs a query.
fingerprints() {
    local format="$1" relation columns query=
    shift
    while IFS='|' read -r relation columns; do
        # shellcheck disable=SC2059 # the format is ours
        query+="${query:+ UNION ALL }SELECT '$relation', count(*), md5(string_agg(t::text, '|' ORDER BY t::text COLLATE \"C\")) FROM (SELECT $columns FROM $(printf "$format" "$relation")) AS t"
    done < <(captured_columns)
    [[ -n "$query" ]] || return 1
    "$@" --tuples-only --no-align --command "$query ORDER BY 1"
}

# Whether the warehouse shows what the primary holds: each table and the view airport_traffic, row for row.
warehouse_equals_primary() {
    local columns='airport_code, departure_flights_num, departure_psngr_num, arrival_flights_num, arrival_psngr_num'
    local traffic="SELECT $columns FROM %s ORDER BY airport_code"
    SOURCE_PRINT="$(fingerprints 'public.%s' on_primary)" || return 1
    VAULT_PRINT="$(fingerprints 'dwh_marts.current_%s' on_warehouse)" || return 1
    # shellcheck disable=SC2059 # the format is ours
    SOURCE_PRINT+=$'\n'"$(on_primary --tuples-only --no-align --command "$(printf "$traffic" airport_traffic)")"
    # shellcheck disable=SC2059 # the format is ours
    VAULT_PRINT+=$'\n'"$(on_warehouse --tuples-only --no-align --command "$(printf "$traffic" dwh_marts.v_airport_traffic)")"
    [[ "$SOURCE_PRINT" == "$VAULT_PRINT" ]]
}

# The relations in which the warehouse still differs.
differences() {
    diff <(printf '%s\n' "$SOURCE_PRINT") <(printf '%s\n' "$VAULT_PRINT") | sed 's/^</primary:  /; s/^>/warehouse:/' | head -n 20
}

# Whether the loader has loaded what is in Kafka. Asked first, for it costs less than a comparison.
nothing_waits_in_kafka() {
    local status
    status="$(loader_as vault_loader "$LOADER_PASSWORD" "$BIN/vault-loader" status "${MODELS[@]}" 2>&1)" || return 1
    [[ "$status" == *"lag in all: 0 events"* ]]
}

# Waits until the warehouse has caught up, at most so many seconds; shows the log of what has ended.
wait_until_caught_up() {
    local ends=$((SECONDS + $1)) program
    until nothing_waits_in_kafka && warehouse_equals_primary; do
        if ! "$BIN/devstack" status --run-dir "$RUN_DIR" >/dev/null; then
            for program in cdc-reader booking-reader vault-loader mart-refresher; do
                printf '%s: ' "$program" >&2
                tail -n 1 "$RUN_DIR/$program.log" >&2 || true
            done
            fail "a part of the pipeline has ended; see $RUN_DIR/*.log"
        fi
        if ((SECONDS >= ends)); then
            warehouse_equals_primary || differences >&2
            fail "the warehouse has not caught up in $1 s; see $RUN_DIR/*.log"
        fi
        sleep 0.2
    done
}
