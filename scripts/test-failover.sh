#!/usr/bin/env bash
# Failovers of a highly available source under load, with the whole pipeline behind it. A failover takes about a minute.
# In: VAULTSTREAM_FAILOVERS (50 unless set), VAULTSTREAM_BOOKING_RATE (200 bookings a second unless set),
# VAULTSTREAM_TEST_SEED (random unless set). Out: exit 0 when no confirmed booking was lost, no seat was sold twice,
# writes went on within 15 s each time, and the vault is exact; a line for each failover, and the figures of the run.

source "$(dirname "$0")/lib.sh"

export VAULTSTREAM_FAILOVERS="${VAULTSTREAM_FAILOVERS:-50}"
scripts/setup.sh test
scripts/patroni.sh --install
exec scripts/test.sh --ignore-default-filter -E 'package(e2e) and test(/^failover::many/)' --no-capture "$@"
