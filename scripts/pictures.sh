#!/usr/bin/env bash
# Draws the pictures of the documentation again from their sources, and what else is made from a model; asked for "check", says whether
# one is stale.
# In: nothing or "check". Out: the files below; with "check" nothing, and exit 1 when a file is not what its source makes.

source "$(dirname "$0")/lib.sh"

MODE="${1:-draw}"
[[ "$MODE" == draw || "$MODE" == check ]] || fail "unknown mode $MODE: give check, or nothing"
command -v python3 >/dev/null || fail "please install python3"

drawn="$(mktemp --directory)"
trap 'rm -rf "$drawn"' EXIT

model() {
    cargo run --quiet --locked --package vault-loader -- model "$@"
}

# Puts a drawn file into its place, or compares it with what is there.
place() {
    if [[ "$MODE" == check ]]; then
        cmp --silent "$drawn/$1" "$2" || fail "$2 is stale: run scripts/pictures.sh"
    else
        cp "$drawn/$1" "$2"
    fi
}

python3 scripts/architecture.py >"$drawn/architecture.svg"
# Figures are measured on a quiet machine, and the report that is shown is kept beside its picture.
if [[ -f docs/images/bench-loader.json ]]; then
    python3 scripts/bench_picture.py docs/images/bench-loader.json >"$drawn/bench-loader.svg"
    place bench-loader.svg docs/images/bench-loader.svg
fi
model schema >"$drawn/vault-model.schema.json"
model docs --model connectors/airline/vault.toml --output-dir "$drawn/airline" >/dev/null
model docs --model e2e/tests/sources/library.vault.toml --output-dir "$drawn/library" >/dev/null

place architecture.svg docs/images/architecture.svg
place vault-model.schema.json connectors/vault-model.schema.json
place airline/DWH_SCHEMA.md docs/DWH_SCHEMA.md
place airline/dwh_schema.svg docs/dwh_schema.svg
place library/dwh_schema.svg docs/images/model-library.svg
