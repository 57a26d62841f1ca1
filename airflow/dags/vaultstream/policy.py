"""What holds for every task and every DAG here: owner, retries, time-outs, deadline.

In: the duration within which a run is to end. Out: arguments for DAG().
Invariant: no task retries without end and none runs without end; tests/test_policy.py holds every DAG to this.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference

OWNER = "data-platform"


def setting(name: str, default: str) -> str:
    """A setting of the environment; empty counts as not set."""
    return os.environ.get(name) or default


# The first run that may exist: the tables have no days before it.
START_DATE = datetime(2026, 1, 1, tzinfo=timezone.utc)

# Where the SQL lies: beside airflow/ in a checkout; containers mount it elsewhere and say where.
SQL_FOLDER = Path(setting("VAULTSTREAM_SQL_DIR", str(Path(__file__).resolve().parents[3] / "sql")))

# Roles of the warehouse, by the names under which AIRFLOW_CONN_<NAME> gives them.
WRITER_CONNECTION = "warehouse_presentation"
CHECKER_CONNECTION = "warehouse_checker"

# Three more tries after 30 s, 1 min and 2 min: long enough for a server that restarts, short enough to be done by morning.
DEFAULT_ARGS: dict[str, Any] = {
    "owner": OWNER,
    "depends_on_past": False,
    "retries": 3,
    "retry_delay": timedelta(seconds=float(setting("VAULTSTREAM_RETRY_SECONDS", "30"))),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
    "execution_timeout": timedelta(minutes=30),
}

log = logging.getLogger(__name__)


async def log_missed_deadline(dag_name: str, limit_seconds: int, context: Mapping[str, Any]) -> None:
    """Says in the triggerer's log that a run is late. It is the place to add a pager to.

    The context holds the run as the REST interface shows it.
    """
    log.error(
        "deadline missed: run %s of DAG %s has not ended within %d s",
        context["dag_run"]["dag_run_id"],
        dag_name,
        limit_seconds,
    )


def deadline(dag_id: str, limit: timedelta) -> DeadlineAlert:
    """A run that has not ended so long after it was queued is reported."""
    return DeadlineAlert(
        name=f"{dag_id} within {limit}",
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=limit,
        callback=AsyncCallback(
            log_missed_deadline,
            kwargs={"dag_name": dag_id, "limit_seconds": int(limit.total_seconds())},
        ),
    )
