#!/usr/bin/env bash
# Exercises every operation of the booking service's OpenAPI document: by generated tests, and by a generated client.
# In: VAULTSTREAM_API_EXAMPLES, requests for each operation and phase (default 25). Out: exit 0 when every operation
# succeeded at least once, no answer was a server error or other than the document says, and the client could do
# everything. The servers are started for this and ended after it.

# Everything beside the demo: another run directory, other ports. Set before lib.sh reads .env, which holds the demo's.
export VAULTSTREAM_RUN_DIR=.run/api
export VAULTSTREAM_PRIMARY_PORT=25432 VAULTSTREAM_DWH_PORT=25434 VAULTSTREAM_KAFKA_PORT=29092
export VAULTSTREAM_READER_PORT=28083 VAULTSTREAM_BOOKING_READER_PORT=28085 VAULTSTREAM_LOADER_PORT=28084
export VAULTSTREAM_BOOKING_PORT=24000 VAULTSTREAM_REDIS_PORT=28380 VAULTSTREAM_PGBOUNCER_PORT=25433
export VAULTSTREAM_CARGO_PROFILE=dev
export VAULTSTREAM_SCALE=0.2
export VAULTSTREAM_SERVERS=demo

source "$(dirname "$0")/lib.sh"
source scripts/pipeline.sh

VENV="$PWD/.venv/api"
LIST=booking/api/requirements.txt
EXAMPLES="${VAULTSTREAM_API_EXAMPLES:-25}"
WORK="$PWD/$RUN_DIR/api"
export SERVICE_URL="http://$HOST:$BOOKING_PORT"
export PYTHONDONTWRITEBYTECODE=1

end_servers() {
    local code=$?
    say "ending the servers"
    end_test_servers "$BIN/devstack" "$RUN_DIR" "$code" || code=1
    exit "$code"
}

build_service() {
    cargo build --profile "$PROFILE" --locked --bins --package booking --package devstack
}

# A field of a JSON object on standard input.
field() {
    "$VENV/bin/python" -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}

post() {
    curl --silent --show-error --fail-with-body --header 'Content-Type: application/json' --data "$2" "$SERVICE_URL$1"
}

# A customer who is signed in, and flights of one route with many free seats; check-in of the first is open.
prepare_tests() {
    local session
    export SERVICE_EMAIL=generated@example.org SERVICE_PASSWORD=generated-password
    post /api/v1/customers \
        "{\"email\": \"$SERVICE_EMAIL\", \"name\": \"GENERATED TESTS\", \"password\": \"$SERVICE_PASSWORD\"}" >/dev/null
    session="$(post /api/v1/sessions "{\"email\": \"$SERVICE_EMAIL\", \"password\": \"$SERVICE_PASSWORD\"}")"
    SERVICE_TOKEN="$(field token <<<"$session")"
    SERVICE_CUSTOMER="$(field customer_id <<<"$session")"
    SERVICE_FLIGHTS="$(on_primary --no-align --tuples-only --file booking/api/flights.sql)"
    export SERVICE_TOKEN SERVICE_CUSTOMER SERVICE_FLIGHTS
    [[ "$SERVICE_FLIGHTS" == *,* ]] || fail "no flights were added"
}

generated_tests() {
    SCHEMATHESIS_HOOKS=hooks PYTHONPATH=booking/api "$VENV/bin/schemathesis" \
        --config-file booking/api/schemathesis.toml run "$SERVICE_URL/openapi.json" \
        --header "Authorization: Bearer $SERVICE_TOKEN" --max-examples "$EXAMPLES" --seed 1
}

every_operation() {
    "$VENV/bin/python" booking/api/coverage.py
}

generated_client() {
    rm -rf "$WORK" && mkdir -p "$WORK"
    curl --silent --show-error --fail --output "$WORK/openapi.json" "$SERVICE_URL/openapi.json"
    PATH="$VENV/bin:$PATH" "$VENV/bin/openapi-python-client" generate --fail-on-warning --config booking/api/client.yaml \
        --path "$WORK/openapi.json" --output-path "$WORK/client" --meta none --overwrite
    mkdir -p "$WORK/packages" && mv "$WORK/client" "$WORK/packages/booking_service_client"
    PYTHONPATH="$WORK/packages" "$VENV/bin/python" booking/api/drive_client.py
}

scripts/setup.sh test
step "tools" install_python "$VENV" "$LIST"
step "build" build_service
trap end_servers EXIT
trap 'exit 130' INT TERM
end_earlier_pipeline
step "start servers" start_servers
step "prepare the source" prepare_source
step "seed the source" seed
step "start the booking service" start_booking_service --rate 0 --sign-in-rate 0
step "a customer" prepare_tests
step "generated client" generated_client
step "generated tests" generated_tests
step "every operation" every_operation
