#!/usr/bin/env bash
# A highly available PostgreSQL in .run/ha: three servers under Patroni, three nodes of etcd, HAProxy before them.
# In: nothing; the ports come from the environment. Out: it runs, and its addresses are shown; `make down` ends it.

source "$(dirname "$0")/lib.sh"

scripts/setup.sh demo
scripts/patroni.sh --install
step "build" cargo build --quiet --locked --package devstack
step "start three servers, three nodes of etcd and HAProxy" "$TARGET_DIR/debug/devstack" up --profile ha
say "writes: 127.0.0.1:${VAULTSTREAM_HA_WRITE_PORT:-5450}, reads: 127.0.0.1:${VAULTSTREAM_HA_READ_PORT:-5451}, \
statistics: http://127.0.0.1:${VAULTSTREAM_HA_STATS_PORT:-8404}/stats (user admin)"
