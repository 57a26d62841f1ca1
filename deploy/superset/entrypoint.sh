#!/usr/bin/env bash
# Superset in a container.
# In: "import" (metadata database, roles, users, dashboards; then ends), "server" (serves what is there), or "health";
# SUPERSET_SECRET_KEY and MART_READER_PASSWORD, and what docs/DASHBOARDS.md lists. Out: their exit code.
# Invariant: "import" can be run again, also while the server runs; it ends with 0 only after a comparison.

set -euo pipefail

: "${SUPERSET_HOME:=/var/lib/superset}"
: "${SUPERSET_PORT:=8088}"
export SUPERSET_HOME

case "${1:-server}" in
    import)
        superset db upgrade
        exec python /vaultstream/superset/deploy.py
        ;;
    server)
        exec gunicorn --bind "0.0.0.0:$SUPERSET_PORT" --workers "${SUPERSET_WORKERS:-2}" --worker-class gthread \
            --threads "${SUPERSET_THREADS:-8}" --timeout 120 --graceful-timeout 5 --keep-alive 5 'superset.app:create_app()'
        ;;
    health)
        exec python -c "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('SUPERSET_PORT', '8088') + '/health', timeout=4)"
        ;;
    *)
        exec "$@"
        ;;
esac
