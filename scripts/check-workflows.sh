#!/usr/bin/env bash
# Lets zizmor read the workflows and dependabot.yml for what weakens them, and actionlint for mistakes, without asking
# the network about the actions. What a workflow calls has to exist.
# In: .github. Out: exit 0 when nothing is to be said about them.

source "$(dirname "$0")/lib.sh"

ZIZMOR_VERSION=1.32.0
ZIZMOR_SHA256=84a6acb975accc13408786a2bd274b572537ca19c933ebbc13e78f3988562071
ACTIONLINT_VERSION=1.7.12

# Prints the path of zizmor; fetches its wheel from PyPI first when it is not there.
zizmor_program() {
    local dir="$CACHE_DIR/zizmor-$ZIZMOR_VERSION"
    # The shell of a command substitution does not end by itself when a command fails.
    [[ -x "$dir/zizmor" ]] ||
        fetch_wheel "zizmor==$ZIZMOR_VERSION" "$ZIZMOR_SHA256" "zizmor-$ZIZMOR_VERSION.data/scripts/zizmor" "$dir" || exit 1
    echo "$dir/zizmor"
}

# Prints the path of actionlint, or nothing: it is a Go program, and only a machine with Go can build it.
actionlint_program() {
    local dir="$CACHE_DIR/actionlint-$ACTIONLINT_VERSION"
    if command -v actionlint; then
        return
    fi
    if [[ ! -x "$dir/actionlint" ]]; then
        command -v go >/dev/null || return 0
        say "actionlint $ACTIONLINT_VERSION: building it" >&2
        GOBIN="$dir" go install "github.com/rhysd/actionlint/cmd/actionlint@v$ACTIONLINT_VERSION" >&2 || fail "actionlint cannot be built"
    fi
    echo "$dir/actionlint"
}

# The targets in the matrices of nightly.yml.
nightly_targets() {
    sed -n '/^ *target:$/,/^ *timeout/s/^ *- //p' .github/workflows/nightly.yml
}

# CONTRIBUTING.md says so. test-monitoring looks at a demo that somebody has left running.
every_test_runs_at_night() {
    local target
    while read -r target; do
        [[ "$target" == test-monitoring ]] || grep -qxF "$target" <(nightly_targets) || grep -q "make $target " .github/workflows/nightly.yml ||
            fail "nightly.yml does not run make $target"
    done < <(sed -n 's/^\(test-[a-z-]*\):.*/\1/p' Makefile)
}

# A target of the Makefile or a script that a workflow calls, and nobody has.
called_things_exist() {
    local target script
    while read -r target; do
        grep -q "^$target:" Makefile || fail "a workflow calls make $target, which the Makefile does not have"
    done < <(
        grep -ohE 'make (test|check|release|advisories)[a-z-]*' .github/workflows/*.yml | sed 's/^make //'
        nightly_targets
    )
    while read -r script; do
        [[ -x "$script" ]] || fail "a workflow calls $script, which is not there or cannot be run"
    done < <(grep -ohE 'scripts/[a-z0-9-]+\.sh|\.ci/run' .github/workflows/*.yml | sort -u)
}

if [[ "$(uname -m)" == x86_64 ]]; then
    ZIZMOR="$(zizmor_program)"
    "$ZIZMOR" --offline --no-progress --quiet .github
else
    say "  zizmor is fetched for x86_64 only: nobody has looked for weaknesses of the workflows"
fi
ACTIONLINT="$(actionlint_program)"
if [[ -n "$ACTIONLINT" ]]; then
    "$ACTIONLINT" -no-color
else
    say "  there is no Go on this machine to build actionlint with: zizmor alone has read the workflows"
fi
called_things_exist
every_test_runs_at_night
say "workflows: $(find .github/workflows -name '*.yml' | wc -l) files"
