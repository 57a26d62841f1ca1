#!/usr/bin/env python3
"""How long it takes from the commit of a booking until a dashboard's chart shows it.

In: how many bookings, and optionally the program `booking`, which then simulates an airline meanwhile. Out: p50, p95 and
the most, in milliseconds; exit 1 when the 95th percentile is more than --limit-ms. The bookings are made at the source as
the application makes them, in one transaction each. They are looked for with the query of the chart "revenue by day",
narrowed to the booking: through Superset and through its cache, as a dashboard asks, as the analyst.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from psycopg2.extensions import connection  # noqa: E402

import bundle  # noqa: E402
from settings import Settings, from_environment  # noqa: E402
from superset_api import Superset  # noqa: E402

CHART = "passengers_revenue_by_day"
AMOUNT = 4_700
GIVE_UP_S = 60.0


@dataclass(frozen=True)
class Percentiles:
    p50: float
    p95: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Percentiles:
        ordered = sorted(values)
        # The smallest value that so many percent of all do not exceed.
        at = lambda share: ordered[max(math.ceil(share * len(ordered)) - 1, 0)]  # noqa: E731
        return cls(at(0.50), at(0.95), ordered[-1])


def book(session: connection, chance: random.Random) -> tuple[str, float]:
    """One booking of one passenger on one flight with a free seat; its reference and when it was committed."""
    reference = f"{chance.randrange(1 << 24):06X}"
    ticket = f"0007{chance.randrange(10**9):09d}"
    with session.cursor() as cursor:
        cursor.execute(
            "SELECT f.flight_id FROM public.flights AS f"
            " WHERE f.status = 'Scheduled' AND f.scheduled_departure > now() + interval '3 days'"
            " AND (SELECT count(*) FROM public.ticket_flights AS t"
            "      WHERE t.flight_id = f.flight_id AND t.fare_conditions = 'Economy')"
            "   < (SELECT count(*) FROM public.seats AS s"
            "      WHERE s.aircraft_code = f.aircraft_code AND s.fare_conditions = 'Economy')"
            " ORDER BY random() LIMIT 1 FOR UPDATE OF f"
        )
        found = cursor.fetchone()
        if found is None:
            raise RuntimeError("no flight has a free seat; seed the source first")
        cursor.execute(
            "INSERT INTO public.bookings (book_ref, book_date, total_amount) VALUES (%s, now(), %s)",
            (reference, AMOUNT),
        )
        cursor.execute(
            "INSERT INTO public.tickets (ticket_no, book_ref, passenger_id, passenger_name)"
            " VALUES (%s, %s, %s, 'FRESHNESS MEASURED')",
            (ticket, reference, f"9{chance.randrange(10**9):09d}"),
        )
        cursor.execute(
            "INSERT INTO public.ticket_flights (ticket_no, flight_id, fare_conditions, amount)"
            " VALUES (%s, %s, 'Economy', %s)",
            (ticket, found[0], AMOUNT),
        )
    session.commit()
    return reference, time.monotonic()


def narrowed(context: dict[str, Any], reference: str) -> dict[str, Any]:
    query = context["queries"][0]
    filters = [*query["filters"], {"col": "book_ref", "op": "==", "val": reference}]
    return {**context, "queries": [{**query, "filters": filters}]}


def seen_after(superset: Superset, context: dict[str, Any], reference: str, since: float) -> float:
    """Seconds until an answer has the booking's whole revenue."""
    wanted = narrowed(context, reference)
    while time.monotonic() - since < GIVE_UP_S:
        answer = superset.chart_data(wanted)
        answer.raise_for_status()
        rows = answer.json()["result"][0]["data"]
        if sum(float(row["revenue_millions"] or 0) for row in rows) * 1_000_000 > AMOUNT - 1:
            return time.monotonic() - since
        time.sleep(0.05)
    raise RuntimeError(f"booking {reference} is not in the dashboard after {GIVE_UP_S} s")


@contextlib.contextmanager
def simulation(program: str | None, rate: int, settings: Settings) -> Iterator[None]:
    """The airline lives meanwhile, if its program is given."""
    if program is None:
        yield
        return
    source = settings.source
    url = f"postgres://{source['user']}:{source['password']}@{source['host']}:{source['port']}/{source['dbname']}"
    process = subprocess.Popen(
        [program, "simulate", "--rate", str(rate), "--duration", "1h"],
        env=os.environ | {"BOOKING_DATABASE_URL": url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
        if process.poll() is not None:
            raise RuntimeError(f"the simulation ended by itself with {process.returncode}")
    finally:
        process.terminate()
        process.wait(30)


def measure(count: int, program: str | None, rate: int) -> list[float]:
    settings = from_environment()
    superset = Superset(settings.superset_url, *settings.analyst)
    uuid = bundle.read_files()[f"charts/{CHART}.yaml"]["uuid"]
    context = superset.query_context(superset.chart_id(uuid))
    chance = random.Random()
    session = settings.write_source()
    try:
        with simulation(program, rate, settings):
            values = []
            for _ in range(count):
                # At any moment of the refresh and of the cache.
                time.sleep(chance.uniform(0.1, 1.1))
                reference, committed = book(session, chance)
                values.append(seen_after(superset, context, reference, committed))
            return values
    finally:
        session.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bookings", type=int, default=40)
    parser.add_argument(
        "--simulate", metavar="PROGRAM", help="the program `booking`, to run meanwhile"
    )
    parser.add_argument(
        "--rate", type=int, default=20, help="transactions a second of the simulation"
    )
    parser.add_argument("--limit-ms", type=float, default=2_000)
    arguments = parser.parse_args()
    found = Percentiles.of(measure(arguments.bookings, arguments.simulate, arguments.rate))
    print(
        f"commit to dashboard, {arguments.bookings} bookings:"
        f" p50 {found.p50 * 1000:.0f} ms, p95 {found.p95 * 1000:.0f} ms, most {found.most * 1000:.0f} ms"
    )
    return 0 if found.p95 * 1000 <= arguments.limit_ms else 1


if __name__ == "__main__":
    raise SystemExit(main())
