#!/usr/bin/env bash
# A server that speaks S3, for tests: moto, which keeps everything in memory. In: a port. Out: the server, in the foreground.
# The Python that has moto already is used as it is; otherwise it is installed below .venv/s3, at the version that stands here.

source "$(dirname "$0")/lib.sh"

PORT="${1:?give a port}"
VERSION=5.2.1
VENV="$PWD/.venv/s3"
PYTHON=python3

# Several tests may come at once: one of them installs.
install_moto() {
    local lock
    mkdir -p .venv
    exec {lock}>.venv/s3.lock
    flock "$lock"
    if ! has_moto "$VENV/bin/python"; then
        python3 -m venv "$VENV" || fail "no Python with venv; install python3 and python3-venv"
        "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "moto[s3,server]==$VERSION"
    fi
    exec {lock}>&-
}

has_moto() {
    "$1" -c "import flask, moto; assert moto.__version__ == '$VERSION'" 2>/dev/null
}

if ! has_moto "$PYTHON"; then
    PYTHON="$VENV/bin/python"
    install_moto
fi
exec "$PYTHON" -m moto.server --host 127.0.0.1 --port "$PORT"
