"""Runs days of a DAG in a process of its own, so that it can be killed, or run beside another.

In: DAG, first day, number of days, as arguments; the tests' environment. Out: exit 0 when every run succeeded; a line for each.
Invariant: has a database of Airflow's of its own: SQLite lets one process write at a time.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any


def start(name: str, dag_id: str, first: date, count: int = 1) -> subprocess.Popen[str]:
    """Starts such a process; its output goes to <AIRFLOW_HOME>/output."""
    home = Path(os.environ["AIRFLOW_HOME"])
    own = home / name
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir()
    # A copy of the file would lack what still stands in the write-ahead log beside it.
    with closing(sqlite3.connect(home / "airflow.db")) as ours, closing(sqlite3.connect(own / "airflow.db")) as theirs:
        ours.backup(theirs)
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(own),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{own}/airflow.db",
    }
    with open(own / "output", "w", encoding="utf-8") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "support.process", dag_id, first.isoformat(), str(count)],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )


def output(name: str) -> str:
    return (Path(os.environ["AIRFLOW_HOME"]) / name / "output").read_text(encoding="utf-8")


def main(dag_id: str, first: date, count: int) -> int:
    from airflow.dag_processing.dagbag import DagBag

    from support.runs import run

    dags: dict[str, Any] = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]).dags
    failed = 0
    for ahead in range(count):
        done = run(dags[dag_id], first + timedelta(days=ahead))
        print(first + timedelta(days=ahead), done, flush=True)
        failed += done.state != "success"
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], date.fromisoformat(sys.argv[2]), int(sys.argv[3])))
