"""Every chart's query, through Superset; and its figures against the marts, by another way."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from psycopg2.extensions import connection

import bundle
from superset_api import Superset

CHARTS = sorted(path.stem for path in (bundle.BUNDLE / "charts").glob("*.yaml"))
assert CHARTS, "the bundle has no charts"


def chart_id(superset: Superset, name: str) -> int:
    return superset.chart_id(bundle.read_files()[f"charts/{name}.yaml"]["uuid"])


def rows_of(superset: Superset, name: str, **changes: Any) -> list[dict[str, Any]]:
    """The rows that the analyst's dashboard would show, with parts of the query changed."""
    context = superset.query_context(chart_id(superset, name))
    context["queries"][0].update(changes)
    answer = superset.chart_data(context)
    assert answer.status_code == 200, f"{name}: {answer.status_code} {answer.text[:1000]}"
    result = answer.json()["result"][0]
    assert result["error"] is None, f"{name}: {result['error']}"
    return list(result["data"])


def query(session: connection, statement: str) -> list[tuple[Any, ...]]:
    with session.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_answers_with_rows(analyst: Superset, name: str) -> None:
    rows = rows_of(analyst, name)
    assert rows, f"{name} shows nothing"
    metrics = bundle.metrics_of(bundle.read_files()[f"charts/{name}.yaml"]["params"])
    for metric in metrics:
        assert any(row[metric] is not None for row in rows), f"{name}: {metric} is nowhere known"


@pytest.mark.parametrize("name", CHARTS)
def test_the_query_that_superset_keeps_answers_too(analyst: Superset, name: str) -> None:
    answer = analyst.get(f"/api/v1/chart/{chart_id(analyst, name)}/data/")
    assert answer.status_code == 200, answer.text[:500]
    assert answer.json()["result"][0]["rowcount"] > 0


def test_active_airports(analyst: Superset, warehouse: connection) -> None:
    by_day = {
        str(day): count
        for day, count, _ in query(warehouse, "SELECT * FROM dwh_marts.v_active_airports_30d")
    }
    in_window = query(
        warehouse, "SELECT max(active_airports_30d) FROM dwh_marts.v_active_airports_30d"
    )[0][0]
    assert rows_of(analyst, "airports_active_30d")[0]["active_airports"] == in_window
    shown = {
        day_of(row["moved_on"]): row["active_airports"]
        for row in rows_of(analyst, "airports_active_by_day")
    }
    recent = {day: count for day, count in by_day.items() if count}
    assert recent
    assert {day: shown.get(day) for day in recent} == recent


def day_of(epoch_ms: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(epoch_ms / 1000, UTC).date().isoformat()


def test_shares_of_airports(analyst: Superset, warehouse: connection) -> None:
    traffic = query(
        warehouse, "SELECT airport_code, flights, passengers FROM dwh_marts.v_airport_traffic_share"
    )
    flights = {code.strip(): int(count) for code, count, _ in traffic if count}
    passengers = {code.strip(): int(count) for code, _, count in traffic if count}
    shown = {
        row["airport_code"]: row["movements"] for row in rows_of(analyst, "airports_flight_share")
    }
    assert shown == flights and flights
    shown = {
        row["airport_code"]: int(row["passenger_count"])
        for row in rows_of(analyst, "airports_passenger_share")
    }
    assert shown == passengers and passengers


def test_passengers_of_thirty_days(analyst: Superset, warehouse: connection) -> None:
    wanted = query(
        warehouse,
        "SELECT unique_passengers_30d, revenue_30d, flights_per_passenger_30d"
        " FROM dwh_marts.v_passenger_metrics_30d LIMIT 1",
    )[0]
    unique = rows_of(analyst, "passengers_unique_30d")[0]["unique_passengers"]
    revenue = rows_of(analyst, "passengers_revenue_30d")[0]["revenue"]
    average = rows_of(analyst, "passengers_average_check_30d")[0]["average_check"]
    flights = rows_of(analyst, "passengers_flights_per_passenger_30d")[0]["flights_per_passenger"]
    assert unique == wanted[0]
    assert round(Decimal(str(revenue)), 2) == wanted[1]
    # A booking whose segments were all refunded is a booking there, with no revenue, and nothing in the star.
    with_segments = query(
        warehouse,
        "SELECT count(*) FROM dwh_marts.current_bookings AS b WHERE b.book_date <= now()"
        " AND (b.book_date AT TIME ZONE 'UTC')::date >= (now() AT TIME ZONE 'UTC')::date - 29"
        " AND b.book_ref IN (SELECT t.book_ref FROM dwh_marts.current_link_booking_tickets AS t"
        "  JOIN dwh_marts.current_link_ticket_flights AS s ON s.ticket_hash_key = t.ticket_hash_key)",
    )[0][0]
    assert round(Decimal(str(average)), 2) == round(wanted[1] / with_segments, 2)
    assert with_segments > 0
    assert round(Decimal(str(flights)), 2) == wanted[2]


def test_revenue_and_passengers_by_day(analyst: Superset, warehouse: connection) -> None:
    wanted = {
        str(day): (people, round(Decimal(revenue) / 1_000_000, 6))
        for day, people, revenue in query(
            warehouse,
            "SELECT day, unique_passengers, revenue FROM dwh_marts.v_passenger_metrics_30d"
            # Bookings after now() are left out there, and the charts show what is booked.
            " WHERE day < (now() AT TIME ZONE 'UTC')::date AND bookings > 0",
        )
    }
    people = {
        day_of(row["booked_on"]): row["unique_passengers"]
        for row in rows_of(analyst, "passengers_unique_by_day")
    }
    revenue: dict[str, Decimal] = {}
    for row in rows_of(analyst, "passengers_revenue_by_day"):
        day = day_of(row["booked_on"])
        revenue[day] = revenue.get(day, Decimal(0)) + Decimal(str(row["revenue_millions"]))
    assert wanted
    assert {day: (people[day], round(revenue[day], 6)) for day in wanted} == wanted


def test_revenue_by_group(analyst: Superset, warehouse: connection) -> None:
    wanted = sorted(
        round(Decimal(revenue), 2)
        for (revenue,) in query(
            warehouse,
            "SELECT revenue FROM dwh_marts.v_passenger_groups_revenue WHERE passengers > 0",
        )
    )
    shown = sorted(
        round(Decimal(str(row["revenue"])), 2)
        for row in rows_of(analyst, "passengers_revenue_by_group")
    )
    assert shown == wanted and wanted


def test_retention_equals_a_count_by_hand(warehouse: connection) -> None:
    bookings = query(
        warehouse,
        "SELECT DISTINCT encode(customer_key, 'hex'), to_char(book_date, 'YYYY-MM'),"
        " 12 * extract(year FROM book_date)::int + extract(month FROM book_date)::int"
        " FROM dwh_marts.fact_bookings WHERE customer_key IS NOT NULL AND book_time <= now()",
    )
    months: dict[str, set[tuple[int, str]]] = {}
    for customer, name, number in bookings:
        months.setdefault(customer, set()).add((number, name))
    wanted: dict[tuple[str, int], int] = {}
    for active in months.values():
        first, cohort = min(active)
        for number, _ in active:
            key = (cohort, number - first)
            wanted[key] = wanted.get(key, 0) + 1
    shown = query(
        warehouse,
        "SELECT cohort, months_since, customers, cohort_size FROM dwh_marts.v_dashboard_retention",
    )
    assert {(cohort, since): people for cohort, since, people, _ in shown if people} == wanted
    assert wanted
    assert all(size == wanted[(cohort, 0)] for cohort, _, _, size in shown)


def test_a_filter_narrows_what_a_chart_shows(analyst: Superset) -> None:
    whole = rows_of(analyst, "passengers_revenue_30d")[0]["revenue"]
    cabin = rows_of(
        analyst,
        "passengers_revenue_30d",
        filters=[
            {"col": "is_last_30d", "op": "IS TRUE", "val": None},
            {"col": "cabin", "op": "IN", "val": ["Бизнес"]},
        ],
    )[0]["revenue"]
    assert 0 < cabin < whole


def test_a_second_look_within_a_second_is_answered_from_the_cache(analyst: Superset) -> None:
    context = analyst.query_context(chart_id(analyst, "airports_flights_30d"))
    # An entry lasts until the next whole second: on a busy machine not every second look comes in time.
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        analyst.chart_data(context)
        if analyst.chart_data(context).json()["result"][0]["is_cached"]:
            return
    pytest.fail("no second look was answered from the cache")


def test_a_look_after_a_second_is_not(analyst: Superset) -> None:
    context = analyst.query_context(chart_id(analyst, "airports_flights_30d"))
    analyst.chart_data(context)
    time.sleep(2.1)
    assert not analyst.chart_data(context).json()["result"][0]["is_cached"]
