#!/usr/bin/env bash
# Runs a bench of the e2e crate on servers that it starts and ends itself.
# In: the bench's name and its arguments; BENCH_PROFILE, the cargo profile to build with (release, or bench-quick while one works on
# the programs). Out: a table, and JSON below bench-results/.

source "$(dirname "$0")/lib.sh"

(($# >= 1)) || fail "give one of: bench-reader, bench-loader, bench-booking"
scripts/setup.sh demo
PROFILE="${BENCH_PROFILE:-release}"
cargo build --profile "$PROFILE" --workspace --bins --locked
"$TARGET_DIR/$PROFILE/$1" "${@:2}"
