#!/usr/bin/env bash
# The tests that `make test` leaves out because each takes minutes (.config/nextest.toml), but for the many failovers,
# which take an hour and are `make test-failover`.
# In: arguments for `cargo nextest run`. Out: exit 0 when every one of them passed.

source "$(dirname "$0")/lib.sh"

scripts/setup.sh test
scripts/patroni.sh --install
exec scripts/test.sh --ignore-default-filter -E 'not default() and not test(/^failover::many/)' "$@"
