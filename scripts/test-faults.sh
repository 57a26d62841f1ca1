#!/usr/bin/env bash
# Loaders of one group under many random faults: first two loaders, then four. It takes about ten minutes for each.
# In: VAULTSTREAM_TEST_FAULTS, the faults of each run (200 unless set); VAULTSTREAM_TEST_SEED (random unless set).
# Out: exit 0 when no row was lost or loaded twice and nothing got stuck; the seed and the figures of each run.

source "$(dirname "$0")/lib.sh"

export VAULTSTREAM_TEST_FAULTS="${VAULTSTREAM_TEST_FAULTS:-200}"
exec scripts/test.sh --ignore-default-filter -E 'package(e2e) and test(/^faults::.*loaders/)' --no-capture "$@"
