#!/usr/bin/env bash
# Ends everything that was started from this checkout and removes what was built, run and measured.
# In: nothing. Out: a checkout as it was cloned, but for .env.

source "$(dirname "$0")/lib.sh"

for dir in "$RUN_DIR" "$TEST_RUN_DIR" "$MENU_DIR" .run/ha .run/bi .run/api .run/pages .run/release; do
    if [[ -d "$dir" ]]; then
        devstack down --run-dir "$dir" --purge
        rm -rf "$dir"
    fi
done
rm -rf .run/test-swarm
rmdir .run 2>/dev/null || true
rm -rf bench-results .venv .cache .schemathesis .hypothesis
cargo clean --quiet
