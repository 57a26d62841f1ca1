#!/usr/bin/env bash
# Draws the pictures of the documentation again from their text sources; asked for "check", says whether one is stale.
# In: nothing or "check". Out: docs/images/architecture.svg; with "check" nothing, and exit 1 when a picture is not what its source draws.

source "$(dirname "$0")/lib.sh"

MODE="${1:-draw}"
[[ "$MODE" == draw || "$MODE" == check ]] || fail "unknown mode $MODE: give check, or nothing"
command -v python3 >/dev/null || fail "please install python3"

drawn="$(mktemp)"
trap 'rm -f "$drawn"' EXIT
python3 scripts/architecture.py >"$drawn"
if [[ "$MODE" == check ]]; then
    cmp --silent "$drawn" docs/images/architecture.svg || fail "docs/images/architecture.svg is stale: run scripts/pictures.sh"
else
    cp "$drawn" docs/images/architecture.svg
fi
