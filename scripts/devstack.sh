#!/usr/bin/env bash
# Shows or ends what the demo left running.
# In: a subcommand of devstack that takes a run directory. Out: its words and its exit code.

source "$(dirname "$0")/lib.sh"

(($# == 1)) || fail "give one of: down, status"
if [[ ! -d "$RUN_DIR" ]]; then
    echo "nothing is up in $RUN_DIR"
    [[ "$1" == down ]]
    exit
fi
devstack "$1" --run-dir "$RUN_DIR"
