"""What every DAG here must have. Needs no server.

Invariant: a DAG or a task that is added without an owner, retries, a time-out or a deadline fails here.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from support.servers import ROOT

SCHEDULES = {
    "frequent_flyer_mart": "0 0 * * *",
    "airport_passenger_flow_mart": "0 1 * * *",
    "vault_checks": "0 2 * * *",
}


def test_every_dag_is_imported(dags: dict[str, Any]) -> None:
    # The fixture has asserted that no file had an import error.
    assert set(dags) == set(SCHEDULES)


def test_dags_run_when_the_document_says(dags: dict[str, Any]) -> None:
    for dag_id, cron in SCHEDULES.items():
        timetable = dags[dag_id].timetable
        assert timetable.expression == cron, dag_id
        assert str(timetable.timezone) == "UTC", dag_id


def test_dags_keep_the_policy(dags: dict[str, Any]) -> None:
    for dag_id, dag in dags.items():
        assert dag.max_active_runs == 1, dag_id
        assert dag.catchup is False, dag_id
        assert dag.dagrun_timeout and dag.dagrun_timeout <= timedelta(hours=12), dag_id
        assert dag.tags, dag_id
        assert dag.description, dag_id
        assert dag.doc_md and len(dag.doc_md) > 200, dag_id
        assert dag.start_date.tzinfo is not None, dag_id
        [deadline] = dag.deadline
        assert timedelta(0) < deadline.interval < dag.dagrun_timeout, dag_id


def test_tasks_keep_the_policy(dags: dict[str, Any]) -> None:
    for dag_id, dag in dags.items():
        for task in dag.tasks:
            name = f"{dag_id}.{task.task_id}"
            assert task.owner not in ("", "airflow"), name
            assert 1 <= task.retries <= 5, name
            assert task.retry_exponential_backoff == 2.0, name
            assert task.retry_delay <= timedelta(minutes=1), name
            assert task.max_retry_delay == timedelta(minutes=10), name
            assert task.execution_timeout and task.execution_timeout <= timedelta(minutes=30), name
            assert task.doc_md, name


def test_marts_take_the_steps_of_the_document(dags: dict[str, Any]) -> None:
    for dag_id in ("frequent_flyer_mart", "airport_passenger_flow_mart"):
        dag = dags[dag_id]
        order = ["ask_source", "wait_for_vault", "create_schema", "clear_period", "load"]
        for earlier, later in zip(order, order[1:], strict=False):
            assert later in dag.get_task(earlier).downstream_task_ids, dag_id
        checks = {task.task_id for task in dag.tasks if task.task_id.startswith("validate.")}
        assert checks == {"validate.columns", "validate.rows", "validate.reconcile"}
        assert dag.get_task("publish").upstream_task_ids == checks, "nothing is seen before every check has passed"
        for sensor in ("ask_source", "wait_for_vault"):
            assert dag.get_task(sensor).mode == "reschedule"


def test_connections_come_from_the_environment_only() -> None:
    for path in (ROOT / "airflow" / "dags").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"password|://[^/\s]*@", text, re.IGNORECASE), path


def test_the_callback_of_a_deadline_can_be_imported_and_says_what_is_late(
    dags: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    for dag_id, dag in dags.items():
        [deadline] = dag.deadline
        module, name = deadline.callback.path.rsplit(".", 1)
        callback = getattr(importlib.import_module(module), name)
        assert inspect.iscoroutinefunction(callback)
        with caplog.at_level(logging.ERROR):
            asyncio.run(callback(**deadline.callback.kwargs, context={"dag_run": {"dag_run_id": "of-this-test"}}))
        assert dag_id in caplog.text
        assert "of-this-test" in caplog.text


def test_files_of_sql_begin_with_what_they_are_for() -> None:
    files = list(Path(ROOT, "sql", "presentation").rglob("*.sql"))
    assert len(files) == 11
    for path in files:
        head = path.read_text(encoding="utf-8").split("\n\n", 1)[0]
        assert head.startswith("-- ") and "Invariant:" in head, path
