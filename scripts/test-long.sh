#!/usr/bin/env bash
# The tests that `make test` leaves out because each takes minutes (.config/nextest.toml), but for those of failovers and of
# three brokers, which are commands of their own.
# In: arguments for `cargo nextest run`. Out: exit 0 when every one of them passed.

source "$(dirname "$0")/lib.sh"

exec scripts/test.sh --ignore-default-filter -E 'not default() and not test(/^(failover|brokers|cluster)::/)' "$@"
