#!/usr/bin/env bash
# The dashboards' tests: the files by themselves, then a real Superset on a real warehouse, then a real browser.
# In: a running pipeline whose ports the environment names (VAULTSTREAM_*_PORT) and whose run directory is
# VAULTSTREAM_RUN_DIR; arguments for pytest. Out: exit 0 when every test passed.
# Superset is started in that run directory unless it runs there already, and ends with the pipeline (make down).
#
#   --update-images   keep the pictures of the dashboards in docs/images
#   --freshness       also measure from a booking's commit to the dashboard; the marts have to be refreshed all the time

source "$(dirname "$0")/lib.sh"

RUN="$PWD/.venv/superset/bin/python"
BOOKING="${VAULTSTREAM_BOOKING:-$(newest_file "$TARGET_DIR"/{release,debug}/booking)}"
FRESHNESS=no
ARGUMENTS=()
for argument in "$@"; do
    case "$argument" in
        --update-images) export VAULTSTREAM_DASHBOARD_IMAGES="$PWD/docs/images" ;;
        --freshness) FRESHNESS=yes ;;
        *) ARGUMENTS+=("$argument") ;;
    esac
done

run_tests() {
    scripts/superset.sh run "$RUN" -m pytest -c dashboards/superset/pyproject.toml --rootdir dashboards/superset \
        "${ARGUMENTS[@]:-dashboards/superset/tests}"
}

measure_freshness() {
    [[ -n "$BOOKING" ]] || fail "the program booking is not built: cargo build --package booking, or name it in VAULTSTREAM_BOOKING"
    scripts/superset.sh run "$RUN" dashboards/superset/tests/measure_freshness.py --simulate "$BOOKING"
}

step "packages and browser" scripts/superset.sh setup test
step "start Superset" scripts/superset.sh start
step "tests of the dashboards" run_tests
if [[ "$FRESHNESS" == yes ]]; then
    step "freshness of the dashboards" measure_freshness
fi
