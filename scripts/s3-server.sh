#!/usr/bin/env bash
# A server that speaks S3, for tests: moto, which keeps everything in memory. `--install` puts it below .venv/s3 at the
# versions of booking/s3/requirements.txt. In: a port, or --install. Out: the server, in the foreground.

source "$(dirname "$0")/lib.sh"

WHAT="${1:?give a port, or --install}"
VENV="$PWD/.venv/s3"
LIST=booking/s3/requirements.txt

if [[ "$WHAT" == --install ]]; then
    install_python "$VENV" "$LIST"
    exit
fi
cmp -s "$LIST" "$VENV/installed" || fail "moto is not installed as $LIST says; run scripts/s3-server.sh --install"
exec "$VENV/bin/python" -m moto.server --host 127.0.0.1 --port "$WHAT"
