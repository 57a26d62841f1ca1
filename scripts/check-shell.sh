#!/usr/bin/env bash
# Lets shellcheck read every shell script, by the settings in .shellcheckrc.
# In: the scripts of .ci, scripts and deploy, known by their first line. Out: exit 0 when shellcheck finds nothing.

source "$(dirname "$0")/lib.sh"

command -v shellcheck >/dev/null || fail "shellcheck is missing: run scripts/setup.sh test"

scripts=()
while IFS= read -r -d '' file; do
    IFS= read -r first <"$file" || true
    if [[ "$first" == '#!'*sh || "$first" == '# shellcheck shell='* ]]; then
        scripts+=("$file")
    fi
done < <(find .ci scripts deploy -type f -print0 | sort -z)
((${#scripts[@]} > 0)) || fail "no shell script found in $PWD"
shellcheck "${scripts[@]}"
say "shellcheck: ${#scripts[@]} scripts"
