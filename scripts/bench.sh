#!/usr/bin/env bash
# Runs a bench of the e2e crate on servers that it starts and ends itself.
# In: the bench's name and its arguments. Out: a table, and JSON below bench-results/.

source "$(dirname "$0")/lib.sh"

(($# >= 1)) || fail "give one of: bench-reader, bench-loader"
scripts/setup.sh demo
cargo build --release --workspace --bins --locked
"$TARGET_DIR/release/$1" "${@:2}"
