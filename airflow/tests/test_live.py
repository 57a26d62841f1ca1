"""Airflow as it is started for people: web interface, scheduler, DAG processor and triggerer, asked over HTTP.

In: scripts/airflow.sh run, on ports and with a database of the test's own. Out: a login, runs that are started by hand and by a
backfill, a deadline that is missed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from support.runs import MARTS, published
from support.servers import ROOT, WAREHOUSE, Copy
from support.source import Source, days

PORT = int(os.environ.get("VAULTSTREAM_TEST_AIRFLOW_PORT") or "18090")
START_SECONDS = 900
RUN_SECONDS = 600


class Live:
    """A running Airflow, seen through its REST interface."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.token = ""

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{PORT}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def log_in(self, user: str, password: str) -> None:
        self.token = self.ask("/auth/token", {"username": user, "password": password})["access_token"]

    def trigger(self, dag_id: str, **conf: Any) -> str:
        return self.ask(f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"]

    def state(self, dag_id: str, run_id: str) -> str:
        return self.ask(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"]

    def log(self, component: str) -> str:
        return (self.home / f"{component}.log").read_text(encoding="utf-8", errors="replace")


def wait_for(condition: Callable[[], bool], what: str, seconds: float = RUN_SECONDS) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"not within {seconds} s: {what}"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def live(warehouse_and_source: tuple[Copy, Source], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    copy = warehouse_and_source[0]
    copy.forget_published()
    home = tmp_path_factory.mktemp("airflow")
    metadata = f"{copy.name}_metadata"
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW_", "PYTHONPATH")) or name == "AIRFLOW_METADATA_PASSWORD"
    }
    environment |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_METADATA_DB": metadata,
        "AIRFLOW_ADMIN_USER": "admin",
        "AIRFLOW_ADMIN_PASSWORD": "admin",
        "VAULTSTREAM_AIRFLOW_PORT": str(PORT),
        "VAULTSTREAM_DWH_DB": copy.name,
        # A run is to wait for a day that is not over, and to be late at once.
        "VAULTSTREAM_DEADLINE_SECONDS": "5",
        "VAULTSTREAM_WAIT_SECONDS": "5",
    }
    running = subprocess.Popen(
        [str(ROOT / "scripts" / "airflow.sh"), "run"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    airflow = Live(home)
    try:
        wait_until_up(airflow, running)
        yield airflow
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(90)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
        with WAREHOUSE.connect("postgres", autocommit=True) as session:
            session.execute(f"DROP DATABASE IF EXISTS {metadata} WITH (FORCE)")


def wait_until_up(airflow: Live, running: subprocess.Popen[str]) -> None:
    def is_up() -> bool:
        assert running.poll() is None, f"Airflow has ended: {running.stdout and running.stdout.read()}"
        try:
            airflow.log_in("admin", "admin")
            return set(MARTS) <= {dag["dag_id"] for dag in airflow.ask("/api/v2/dags")["dags"]}
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    wait_for(is_up, "Airflow to be up", START_SECONDS)


def test_nobody_gets_in_without_a_password(live: Live) -> None:
    stranger = Live(live.home)
    with pytest.raises(urllib.error.HTTPError) as refused:
        stranger.log_in("admin", "guess")
    assert refused.value.code == 401
    with pytest.raises(urllib.error.HTTPError) as refused:
        stranger.ask("/api/v2/dags")
    assert refused.value.code in (401, 403)


def test_runs_started_over_http_publish_what_the_source_says(
    live: Live, warehouse_and_source: tuple[Copy, Source], yesterday: date
) -> None:
    copy, source = warehouse_and_source
    day = yesterday - timedelta(days=1)
    runs = {dag_id: live.trigger(dag_id, day=day.isoformat()) for dag_id in MARTS}
    for dag_id, run_id in runs.items():
        wait_for(lambda: live.state(dag_id, run_id) in ("success", "failed"), f"{dag_id} to end")
        assert live.state(dag_id, run_id) == "success", dag_id
        table = MARTS[dag_id]
        assert published(copy, table, day) == getattr(source, table)(day)


def test_a_backfill_builds_days_by_their_logical_dates(
    live: Live, warehouse_and_source: tuple[Copy, Source], yesterday: date
) -> None:
    copy, source = warehouse_and_source
    dag_id, table = "airport_passenger_flow_mart", "airport_passenger_flow"
    wanted = days(yesterday - timedelta(days=5), 2)
    midnight = datetime.min.time()
    backfill = live.ask(
        "/api/v2/backfills",
        {
            "dag_id": dag_id,
            "from_date": datetime.combine(min(wanted), midnight, timezone.utc).isoformat(),
            "to_date": datetime.combine(max(wanted) + timedelta(days=1), midnight, timezone.utc).isoformat(),
            "max_active_runs": 2,
        },
    )
    wait_for(
        lambda: live.ask(f"/api/v2/backfills/{backfill['id']}")["completed_at"] is not None, "the backfill to end"
    )
    for day in wanted:
        assert published(copy, table, day) == source.airport_passenger_flow(day), day


def test_a_run_that_is_late_is_reported(live: Live, today: datetime) -> None:
    """Waits for a day that is not over, for longer than its deadline: the triggerer says so."""
    run_id = live.trigger("airport_passenger_flow_mart", day=(today + timedelta(days=1)).date().isoformat())
    late = f"deadline missed: run {run_id} of DAG airport_passenger_flow_mart"
    wait_for(lambda: late in live.log("triggerer"), "the deadline to be reported")
    assert live.state("airport_passenger_flow_mart", run_id) == "running"
    live.ask(f"/api/v2/dags/airport_passenger_flow_mart/dagRuns/{run_id}", {"state": "failed"}, method="PATCH")
