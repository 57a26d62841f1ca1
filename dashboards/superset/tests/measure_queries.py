#!/usr/bin/env python3
"""How long each chart's query takes.

In: how many times each is asked. Out: every chart with its median in milliseconds, the slowest first; exit 1 when a median
is more than --limit-ms. The charts are asked as the analyst, through Superset and around its cache, one after another.
"""

from __future__ import annotations

import argparse
import statistics
import time

from settings import from_environment
from superset_api import Superset


def milliseconds(superset: Superset, chart: int) -> float:
    context = {**superset.query_context(chart), "force": True}
    started = time.monotonic()
    superset.chart_data(context).raise_for_status()
    return (time.monotonic() - started) * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--limit-ms", type=float, default=2_000)
    arguments = parser.parse_args()
    settings = from_environment()
    superset = Superset(settings.superset_url, *settings.analyst)
    medians = {
        entry["slice_name"]: statistics.median(
            milliseconds(superset, entry["id"]) for _ in range(arguments.times)
        )
        for entry in superset.all_of("chart")
    }
    for name, median in sorted(medians.items(), key=lambda entry: -entry[1]):
        print(f"{median:8.0f} ms  {name}")
    return 0 if max(medians.values()) <= arguments.limit_ms else 1


if __name__ == "__main__":
    raise SystemExit(main())
