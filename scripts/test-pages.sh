#!/usr/bin/env bash
# A real headless Chromium on the pages of the booking service, over a whole pipeline: search, seat, booking, check-in,
# reports, reference data. In: CHROMIUM (default: the one of the machine). Out: pictures docs/images/booking-*.png, and
# exit 0 when everything could be done, no page complained, and a booking was in the dashboards' data within 2 s.

# Everything beside the demo: another run directory, other ports. Set before lib.sh reads .env, which holds the demo's.
export VAULTSTREAM_RUN_DIR=.run/pages
export VAULTSTREAM_PRIMARY_PORT=26432 VAULTSTREAM_DWH_PORT=26434 VAULTSTREAM_KAFKA_PORT=26092
export VAULTSTREAM_READER_PORT=26083 VAULTSTREAM_BOOKING_READER_PORT=26085 VAULTSTREAM_LOADER_PORT=26084
export VAULTSTREAM_BOOKING_PORT=26000 VAULTSTREAM_REDIS_PORT=26380 VAULTSTREAM_PGBOUNCER_PORT=26433
export VAULTSTREAM_CARGO_PROFILE="${VAULTSTREAM_CARGO_PROFILE:-dev}"
export VAULTSTREAM_SCALE=0.2
export VAULTSTREAM_SERVERS=demo

source "$(dirname "$0")/lib.sh"
source scripts/pipeline.sh

VENV="$PWD/.venv/pages"
LIST=booking/browser/requirements.txt
CHROMIUM="${CHROMIUM:-$(command -v chromium || true)}"
PICTURES="$PWD/docs/images"
OWNER_URL="postgres://$ADMIN:$ADMIN_PASSWORD@$HOST:$PRIMARY_PORT/$PRIMARY_DB"
MARTS_URL="postgres://mart_reader:$MART_PASSWORD@$HOST:$DWH_PORT/$DWH_DB"
# psql has its address on its command line, which everybody reads, so the password is in the environment.
MARTS="postgres://mart_reader@$HOST:$DWH_PORT/$DWH_DB"

end_servers() {
    local code=$?
    say "ending the servers"
    end_test_servers "$BIN/devstack" "$RUN_DIR" "$code" || code=1
    exit "$code"
}

install_tools() {
    [[ -n "$CHROMIUM" ]] || install_packages chromium fonts-dejavu-core
    CHROMIUM="${CHROMIUM:-$(command -v chromium || true)}"
    [[ -x "$CHROMIUM" ]] || fail "no Chromium: install chromium, or name one in CHROMIUM"
    install_python "$VENV" "$LIST"
}

# The flight whose check-in is open: id, airports, day by the clock of the airport of departure.
find_flight() {
    local ids
    ids="$(on_primary --no-align --tuples-only --file booking/api/flights.sql)"
    FLIGHT="$(on_primary --no-align --tuples-only --command "
        SELECT concat_ws(',', f.flight_id, f.departure_airport, f.arrival_airport,
                         (f.scheduled_departure AT TIME ZONE a.timezone)::date)
        FROM public.flights AS f
        JOIN public.airports AS a ON a.airport_code = f.departure_airport
        WHERE f.flight_id = ${ids%%,*}")"
    [[ "$FLIGHT" == *,*,*,* ]] || fail "no flight was found"
}

start_pages() {
    BOOKING_WAREHOUSE_URL="$MARTS_URL" start_booking_service --instance-name booking-one --rate 0 --sign-in-rate 0
}

drive() {
    export FLIGHT PICTURES CHROMIUM
    export SERVICE_URL="http://$HOST:$BOOKING_PORT" WAREHOUSE="$MARTS" WAREHOUSE_PASSWORD="$MART_PASSWORD"
    export PYTHONDONTWRITEBYTECODE=1
    BOOKING_OWNER_URL="$OWNER_URL" GRANT_STAFF="$BIN/booking staff --grant" "$VENV/bin/python" booking/browser/drive.py
}

scripts/setup.sh test
step "tools" install_tools
step "build" build_pipeline
trap end_servers EXIT
trap 'exit 130' INT TERM
end_earlier_pipeline
step "start servers" start_servers
step "prepare the source" prepare_source
step "seed the source" seed
step "prepare the warehouse" prepare_warehouse
step "start reader and loader" start_pipeline
find_flight
step "snapshot into the vault" wait_until_caught_up 300
step "start the booking service" start_pages
step "a browser on the pages" drive
