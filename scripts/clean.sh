#!/usr/bin/env bash
# Ends everything that was started from this checkout and removes what was built, run and measured.
# In: nothing. Out: a checkout as it was cloned, but for .env.

source "$(dirname "$0")/lib.sh"

# Root's servers run copies of the programs that devstack makes here (devstack/src/fs.rs). Another checkout uses the same
# ones, so a copy that a process runs from stays.
COPIES=/var/tmp/vaultstream

runs_from() {
    local process words
    for process in /proc/[0-9]*; do
        words="$(tr '\0' ' ' <"$process/cmdline")" || continue
        [[ "$(readlink "$process/exe") $words" != *"$1/"* ]] || return 0
    done 2>/dev/null
    return 1
}

remove_copies() {
    [[ -O "$COPIES" && ! -L "$COPIES" ]] || return 0
    local copy
    (
        # devstack makes a copy under this lock.
        flock 9
        for copy in "$COPIES"/{etcd,postgres-*,patroni-*,copy-*}; do
            if [[ -d "$copy" ]] && ! runs_from "$copy"; then
                rm -rf "$copy"
            fi
        done
        # Other checkouts keep their servers' data here, too.
        [[ "$(ls -A "$COPIES")" != copy.lock ]] || rm -rf "$COPIES"
    ) 9>"$COPIES/copy.lock"
}

for dir in "$RUN_DIR" "$TEST_RUN_DIR" "$MENU_DIR" .run/ha .run/replication .run/bi .run/api .run/pages .run/release; do
    if [[ -d "$dir" ]]; then
        devstack down --run-dir "$dir" --purge
        rm -rf "$dir"
    fi
done
remove_copies
rm -rf .run/test-swarm
rmdir .run 2>/dev/null || true
rm -rf bench-results .venv .cache .schemathesis .hypothesis
cargo clean --quiet
