#!/usr/bin/env bash
# A primary with two read replicas and a small airline, and the menu over them.
# In: the environment (.env.example lists it all); arguments for `booking menu`. Out: the menu, and its exit code. The servers
# are left running, so that a second call opens the menu at once; `make down` ends them.
# Invariant: it touches no servers but those of its own run directory.

source "$(dirname "$0")/lib.sh"
PROFILE="${VAULTSTREAM_CARGO_PROFILE:-demo}"
export VAULTSTREAM_PRIMARY_PORT="${VAULTSTREAM_REPLICATED_PORT:-5440}"
source scripts/pipeline.sh

READ_PASSWORD="${READ_REPLICA_PASSWORD:-read_replica_password}"
OPERATOR_PASSWORD="${REPLICA_OPERATOR_PASSWORD:-replica_operator_password}"

prepare() {
    prepare_source
    apply sql/replicas on_primary \
        "read_replica_password=$READ_PASSWORD" \
        "operator_password=$OPERATOR_PASSWORD"
    booking seed --scale "${VAULTSTREAM_MENU_SCALE:-0.05}"
}

is_prepared() {
    [[ "$(on_primary --tuples-only --no-align --command 'SELECT count(*) > 0 FROM public.bookings' 2>/dev/null)" == t ]]
}

# Progress goes to standard error, so that standard output is the menu's alone.
{
    step "set up this machine" scripts/setup.sh demo
    step "build" build_pipeline
    step "start the primary and its replicas" "$BIN/devstack" up --profile replicas --run-dir "$MENU_DIR"
    is_prepared || step "make the airline" prepare
} >&2 </dev/null

replica_url() {
    echo "$1=postgres://read_replica:$READ_PASSWORD@$HOST:$2/$PRIMARY_DB"
}

BOOKING_REPLICAS="$(replica_url replica_one "${VAULTSTREAM_REPLICA_ONE_PORT:-5441}"),$(replica_url replica_two "${VAULTSTREAM_REPLICA_TWO_PORT:-5442}")"
export BOOKING_REPLICAS BOOKING_OPERATOR_PASSWORD="$OPERATOR_PASSWORD"
say "stop and start a replica in another terminal: $BIN/devstack stop replica_two; $BIN/devstack start replica_two" >&2
booking menu "$@"
