"""The rows of both tables, run for real: right, the same again, for thirty days."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from support.runs import MARTS, published, run
from support.servers import Copy
from support.source import Source, days


@pytest.mark.parametrize("dag_id", MARTS)
def test_three_past_days_equal_the_source(
    dag_id: str, dags: dict[str, Any], warehouse: Copy, source: Source, today: datetime
) -> None:
    table = MARTS[dag_id]
    for day in days((today - timedelta(days=1)).date(), 3):
        assert run(dags[dag_id], day).state == "success"
        expected = getattr(source, table)(day)
        assert expected, f"the source has no rows for {day}: this would prove nothing"
        assert published(warehouse, table, day) == expected
