"""Which day a run is about, and under which key it stages its rows.

In: the run. Out: a calendar day in UTC as text, and an identifier that is safe inside SQL text.
Invariant: the day depends on the run alone, never on the clock: a run that is repeated is about the same day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any


def period_day(dag_run: Any, params: Mapping[str, Any]) -> str:
    """The day of a run: what the operator asked for, else the day on which the run's data interval begins.

    A run that was started by hand without a logical date has no data interval: it is about the last whole day before it.
    """
    asked = params.get("day")
    if asked:
        return date.fromisoformat(asked).isoformat()
    begins: datetime | None = dag_run.data_interval_start
    if begins is not None:
        return begins.astimezone(timezone.utc).date().isoformat()
    return (dag_run.run_after.astimezone(timezone.utc).date() - timedelta(days=1)).isoformat()


def load_id(dag_run: Any) -> str:
    """The run as 32 hexadecimal digits. A run's own identifier may be chosen by hand and may hold a quote."""
    name = f"{dag_run.dag_id}\n{dag_run.run_id}"
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()


MACROS = {"period_day": period_day, "load_id": load_id}
