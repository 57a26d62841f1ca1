#!/usr/bin/env bash
# Shows or ends what the demo, the menu, the highly available cluster or a test of the replication left running.
# In: a subcommand of devstack that takes a run directory. Out: its words and its exit code.

source "$(dirname "$0")/lib.sh"

(($# == 1)) || fail "give one of: down, status"

found=no
code=0
for dir in "$RUN_DIR" "$MENU_DIR" .run/ha .run/replication; do
    [[ -e "$dir/state.json" ]] || continue
    found=yes
    devstack "$1" --run-dir "$dir" || code=$?
done
if [[ "$found" == no ]]; then
    echo "nothing is up in $RUN_DIR, $MENU_DIR, .run/ha or .run/replication"
    [[ "$1" == down ]] || code=1
fi
exit "$code"
