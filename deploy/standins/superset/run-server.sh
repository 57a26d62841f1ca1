#!/usr/bin/env bash
# Starts the web server as the official image does: gunicorn with threads.
# In: SERVER_WORKER_AMOUNT, SERVER_THREADS_AMOUNT, GUNICORN_TIMEOUT, SUPERSET_PORT. Out: the server in the foreground.
set -euo pipefail

exec gunicorn --bind "0.0.0.0:${SUPERSET_PORT:-8088}" --workers "${SERVER_WORKER_AMOUNT:-1}" --worker-class gthread \
    --threads "${SERVER_THREADS_AMOUNT:-20}" --timeout "${GUNICORN_TIMEOUT:-60}" --access-logfile - --error-logfile - "$FLASK_APP"
