#!/usr/bin/env bash
# The tests that `make test` leaves out because each takes minutes (.config/nextest.toml).
# In: arguments for `cargo nextest run`. Out: exit 0 when every one of them passed.

source "$(dirname "$0")/lib.sh"

exec scripts/test.sh --ignore-default-filter -E 'not default()' "$@"
