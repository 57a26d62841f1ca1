#!/usr/bin/env bash
# Prepares Superset's own database, its users and roles, and imports the dashboards; runs once before the server, at every `up`.
# In: what superset_config.py and deploy.py of dashboards/superset read from the environment. Out: exit 0 only when the
# database holds every asset as the files have it.
set -euo pipefail

. /app/.venv/bin/activate
superset db upgrade
python /vaultstream/superset/deploy.py
