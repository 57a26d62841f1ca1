#!/usr/bin/env bash
# Holds the alerts and rules against series made for them; asked for "live", also against the programs that `make demo` left running.
# In: nothing or "live". Out: exit 0 when every check passed.
# Invariant: the Prometheus of "live" listens on loopback, stores below the run directory and ends with this script.

source "$(dirname "$0")/lib.sh"

PROMETHEUS=dashboards/prometheus
HOST=127.0.0.1
PORT="${VAULTSTREAM_PROMETHEUS_PORT:-9090}"
READER_PORT="${VAULTSTREAM_READER_PORT:-8083}"
BOOKING_READER_PORT="${VAULTSTREAM_BOOKING_READER_PORT:-8085}"
LOADER_PORT="${VAULTSTREAM_LOADER_PORT:-8084}"
BOOKING_PORT="${VAULTSTREAM_BOOKING_PORT:-4000}"

check_rules() {
    promtool check config "$PROMETHEUS/prometheus.yml" "$PROMETHEUS/prometheus.demo.yml"
    promtool test rules "$PROMETHEUS"/tests/*.test.yml
}

# A Prometheus of our own, with the ports of this machine's programs.
check_live() {
    local dir="$RUN_DIR/prometheus" pid
    rm -rf "$dir"
    mkdir -p "$dir"
    cp -r "$PROMETHEUS/rules" "$dir/"
    # The service counts a route from its first request on.
    curl --silent --show-error --fail --output /dev/null "http://$HOST:$BOOKING_PORT/api/v1/airports"
    sed -e "s/127.0.0.1:8083/$HOST:$READER_PORT/; s/127.0.0.1:8085/$HOST:$BOOKING_READER_PORT/; s/127.0.0.1:8084/$HOST:$LOADER_PORT/; s/127.0.0.1:9090/$HOST:$PORT/" \
        -e "s/127.0.0.1:4000/$HOST:$BOOKING_PORT/" \
        "$PROMETHEUS/prometheus.demo.yml" >"$dir/prometheus.yml"
    prometheus --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/data" --storage.tsdb.retention.time=1h \
        --web.listen-address="$HOST:$PORT" --log.level=warn 2>"$dir/prometheus.log" &
    pid="$!"
    # shellcheck disable=SC2064 # the process as it is now
    trap "kill $pid 2>/dev/null; wait $pid 2>/dev/null || true" EXIT
    if ! python3 "$PROMETHEUS/tests/live.py" "http://$HOST:$PORT"; then
        tail -n 5 "$dir/prometheus.log" >&2
        fail "Prometheus does not see what it has to"
    fi
}

LEVEL="${1:-rules}"
[[ "$LEVEL" == rules || "$LEVEL" == live ]] || fail "unknown level $LEVEL: give live, or nothing"

scripts/setup.sh monitoring
export PATH="$PATH:$PROMETHEUS_DIR"
step "scrape files, rules and alerts" check_rules
if [[ "$LEVEL" == live ]]; then
    step "the running programs" check_live
fi
