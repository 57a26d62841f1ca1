#!/usr/bin/env bash
# Prepares Airflow's own database and its first user; runs once before the other containers of Airflow, and again at every `up`.
# In: AIRFLOW__DATABASE__SQL_ALCHEMY_CONN, AIRFLOW_ADMIN_USER, AIRFLOW_ADMIN_PASSWORD. Out: a migrated database with that user.
set -euo pipefail

airflow db migrate
# A user that is there already is left as it is, its password included.
airflow users create --username "$AIRFLOW_ADMIN_USER" --password "$AIRFLOW_ADMIN_PASSWORD" --role Admin \
    --firstname Airflow --lastname Admin --email "$AIRFLOW_ADMIN_USER@localhost"
