#!/usr/bin/env bash
# Three brokers with TLS and logins: each is killed, one is lost with its disk, all are restarted in turn.
# In: arguments for `cargo nextest run`; VAULTSTREAM_TEST_SEED (random unless set). Out: exit 0 when nothing was lost or
# loaded twice.

source "$(dirname "$0")/lib.sh"

exec scripts/test.sh --ignore-default-filter -E '(package(devstack) and test(/^cluster::/)) or (package(e2e) and test(/^brokers::/))' --no-capture "$@"
