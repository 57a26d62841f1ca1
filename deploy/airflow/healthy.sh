#!/usr/bin/env bash
# Asks Airflow's webserver whether a component is well, by the heartbeats in Airflow's database.
# In: scheduler, triggerer or dag_processor. Out: exit 0 when its heartbeat is recent.
# The command `airflow jobs check` tells the same, but it loads all of Airflow: seconds of a core each time, more than a minute on
# a busy machine, and at its time-out Docker ends only the shell around it.
set -euo pipefail

answer="$(curl --silent --fail --max-time 15 http://airflow-webserver:8080/api/v2/monitor/health)"
[[ "$answer" =~ \"$1\":\ *\{\"status\":\ *\"healthy\" ]]
