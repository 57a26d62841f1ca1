"""The rows of both tables, run for real: right for thirty days, and the same again."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from support import process
from support.runs import MARTS, published, run
from support.servers import Copy
from support.source import Source, days

BACKFILL_DAYS = 30
BACKFILL_SECONDS = 900


def test_thirty_past_days_equal_the_source(warehouse: Copy, source: Source, yesterday: date) -> None:
    first = yesterday - timedelta(days=BACKFILL_DAYS - 1)
    running = {dag_id: process.start(dag_id, dag_id, first, BACKFILL_DAYS) for dag_id in MARTS}
    for dag_id, backfill in running.items():
        assert backfill.wait(BACKFILL_SECONDS) == 0, process.output(dag_id)
    for table in MARTS.values():
        for day in days(yesterday, BACKFILL_DAYS):
            expected = getattr(source, table)(day)
            assert published(warehouse, table, day) == expected, f"{table} of {day}"
        for day in days(yesterday, 3):
            assert published(warehouse, table, day), f"{table} of {day} is empty: this proves nothing"


@pytest.mark.parametrize("dag_id", MARTS)
def test_a_day_that_is_built_again_is_the_same(
    dag_id: str, dags: dict[str, Any], warehouse: Copy, source: Source, yesterday: date
) -> None:
    table = MARTS[dag_id]
    assert run(dags[dag_id], yesterday).state == "success"
    once = published(warehouse, table)
    assert once == getattr(source, table)(yesterday)
    assert run(dags[dag_id], yesterday).state == "success"
    assert published(warehouse, table) == once
    staged = warehouse.rows(
        f"SELECT (SELECT count(*) FROM presentation_staging.{table}), "
        "(SELECT count(*) FROM presentation_staging.control_totals)"
    )
    assert staged == [(0, 0)], "what was published is staged no more"


def test_a_run_by_hand_builds_the_day_that_is_asked_for(
    dags: dict[str, Any], warehouse: Copy, source: Source, yesterday: date
) -> None:
    day = yesterday - timedelta(days=4)
    dag = dags["airport_passenger_flow_mart"]
    assert run(dag, conf={"day": day.isoformat()}).state == "success"
    assert published(warehouse, "airport_passenger_flow") == source.airport_passenger_flow(day)
    assert run(dag, yesterday).state == "success"
    assert published(warehouse, "airport_passenger_flow", yesterday), "the next run is about its own day again"
