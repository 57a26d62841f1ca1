"""What goes wrong, for real: rows that break a rule, a task that is killed. What was published stays, whole.

Every test compares all columns, the time of publishing included: a row that was taken away and put back would be seen.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest

from support import process
from support.runs import MARTS, all_of, published, run
from support.servers import Copy
from support.source import Source

# A newer version of one of yesterday's segments says a price that cannot be: the sum of its passenger falls below zero.
NEGATIVE_PRICE = """
    INSERT INTO dwh_detailed.sat_ticket_flights
    SELECT (jsonb_populate_record(version, jsonb_build_object(
        'amount', -99999999,
        'load_date', version.load_date + interval '1 second'
    ))).*
    FROM dwh_detailed.sat_ticket_flights AS version
    JOIN dwh_detailed.link_ticket_flights AS link ON link.hash_key = version.hash_key
    JOIN dwh_detailed.hub_tickets AS ticket ON ticket.hash_key = link.ticket_hash_key
    JOIN dwh_detailed.hub_flights AS flight ON flight.hash_key = link.flight_hash_key
    WHERE (ticket.ticket_no, flight.flight_id) = ('{ticket_no}', {flight_id})
    ORDER BY version.load_date DESC
    LIMIT 1
"""
# A flight that lands where it has left from.
CIRCLE = """
    UPDATE dwh_detailed.link_flight_routes
    SET arrival_airport_hash_key = departure_airport_hash_key
    WHERE flight_hash_key = (SELECT hash_key FROM dwh_detailed.hub_flights WHERE flight_id = {flight_id})
"""


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 240) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"not within {seconds} s: {what}"
        time.sleep(0.1)


def spoil(warehouse: Copy, source: Source, dag_id: str, day: date) -> str:
    """Breaks the vault so that the day's rows break a rule; says which check has to see it."""
    if dag_id == "frequent_flyer_mart":
        frequent = {row[1] for row in source.frequent_flyers(day)}
        segment = next(
            segment
            for segment in source.segments
            if segment.passenger_id in frequent
            and source.flights[segment.flight_id].status != "Cancelled"
        )
        warehouse.change(
            NEGATIVE_PRICE.format(ticket_no=segment.ticket_no, flight_id=segment.flight_id),
            undo="DELETE FROM dwh_detailed.sat_ticket_flights WHERE amount < 0",
        )
        return "validate.columns"
    flight = next(
        flight
        for flight in source.flights.values()
        if flight.status != "Cancelled" and flight.scheduled_departure.date() == day
    )
    routes = "dwh_detailed.link_flight_routes"
    warehouse.change(
        f"CREATE TABLE public.routes_before AS TABLE {routes}; {CIRCLE.format(flight_id=flight.flight_id)}",
        undo=f"UPDATE {routes} AS route SET arrival_airport_hash_key = before.arrival_airport_hash_key "
        "FROM public.routes_before AS before WHERE before.hash_key = route.hash_key "
        "AND before.arrival_airport_hash_key <> route.arrival_airport_hash_key; DROP TABLE public.routes_before",
    )
    return "validate.rows"


@pytest.mark.parametrize("dag_id", MARTS)
def test_rows_that_break_a_rule_are_never_seen(
    dag_id: str, dags: dict[str, Any], warehouse: Copy, source: Source, yesterday: date
) -> None:
    table = MARTS[dag_id]
    for day in (yesterday - timedelta(days=1), yesterday):
        assert run(dags[dag_id], day).state == "success"
    before = all_of(warehouse, table)
    assert {row[0] for row in before} == {yesterday - timedelta(days=1), yesterday}

    failing = spoil(warehouse, source, dag_id, yesterday)
    broken = run(dags[dag_id], yesterday)
    assert broken.state == "failed"
    assert broken.tasks[failing] == "failed"
    assert broken.tries[failing] == 1, "another try would not help"
    assert broken.tasks["publish"] == "upstream_failed"
    assert all_of(warehouse, table) == before

    warehouse.take_back()
    assert run(dags[dag_id], yesterday).state == "success"
    assert published(warehouse, table, yesterday) == getattr(source, table)(yesterday)


def test_a_row_that_is_lost_is_missed(
    dags: dict[str, Any], warehouse: Copy, yesterday: date
) -> None:
    dag = dags["airport_passenger_flow_mart"]
    assert run(dag, yesterday).state == "success"
    before = all_of(warehouse, "airport_passenger_flow")
    with warehouse.connect() as session:
        session.execute(
            """CREATE FUNCTION public.lose_one() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                RETURN CASE WHEN NEW.airport_code < 'M' THEN NULL ELSE NEW END;
            END $$"""
        )
        session.execute("GRANT USAGE ON SCHEMA public TO presentation_writer")
    warehouse.change(
        "CREATE TRIGGER lose BEFORE INSERT ON presentation_staging.airport_passenger_flow "
        "FOR EACH ROW EXECUTE FUNCTION public.lose_one()",
        undo="DROP FUNCTION public.lose_one() CASCADE; REVOKE USAGE ON SCHEMA public FROM presentation_writer",
    )
    broken = run(dag, yesterday)
    assert broken.tasks["validate.columns"] == "success"
    assert broken.tasks["validate.rows"] == "success"
    assert broken.tasks["validate.reconcile"] == "failed"
    assert broken.tasks["publish"] == "upstream_failed"
    assert all_of(warehouse, "airport_passenger_flow") == before


def waits_for_a_lock(warehouse: Copy, query: str) -> bool:
    waiting = warehouse.rows(
        """SELECT count(*) FROM pg_stat_activity
           WHERE datname = current_database() AND usename = 'presentation_writer'
               AND wait_event_type = 'Lock' AND query LIKE %s""",
        (query,),
    )
    return waiting == [(1,)]


def writer_sessions(warehouse: Copy) -> int:
    found = warehouse.rows(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'presentation_writer'"
    )
    return found[0][0]


def test_a_task_that_is_killed_in_the_middle_leaves_the_old_rows(
    dags: dict[str, Any], warehouse: Copy, source: Source, yesterday: date
) -> None:
    """One process is killed while it loads, another in the middle of its publishing transaction."""
    for dag_id in MARTS:
        assert run(dags[dag_id], yesterday).state == "success"
    before = {table: all_of(warehouse, table) for table in MARTS.values()}

    with warehouse.connect() as session:
        session.execute(
            """CREATE FUNCTION public.pause() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                PERFORM pg_advisory_xact_lock(42);
                RETURN NULL;
            END $$"""
        )
    # The one waits when it has inserted what it computed, the other between its delete and its insert.
    warehouse.change(
        "CREATE TRIGGER pause AFTER INSERT ON presentation_staging.frequent_flyers EXECUTE FUNCTION public.pause(); "
        "CREATE TRIGGER pause AFTER DELETE ON presentation.airport_passenger_flow EXECUTE FUNCTION public.pause()",
        undo="DROP FUNCTION public.pause() CASCADE",
    )
    running = []
    with warehouse.connect(autocommit=False) as held:
        held.execute("SELECT pg_advisory_xact_lock(42)")
        try:
            running = [process.start(f"killed-{dag_id}", dag_id, yesterday) for dag_id in MARTS]
            for statement in (
                "INSERT INTO presentation_staging.frequent_flyers%",
                "DELETE FROM presentation.airport_passenger_flow%",
            ):
                wait_for(lambda: waits_for_a_lock(warehouse, statement), f"{statement} to wait")
        finally:
            for task in running:
                task.send_signal(signal.SIGKILL)
        for task in running:
            assert task.wait(30) == -signal.SIGKILL
        # The server finds out by itself, while the sessions still wait for their locks.
        wait_for(lambda: writer_sessions(warehouse) == 0, "the server to end the sessions", 60)
    warehouse.take_back()
    for table in MARTS.values():
        assert all_of(warehouse, table) == before[table]

    for dag_id, table in MARTS.items():
        assert run(dags[dag_id], yesterday).state == "success"
        assert published(warehouse, table, yesterday) == getattr(source, table)(yesterday)


def test_every_rule_of_the_vault_is_a_task(dags: dict[str, Any], warehouse: Copy) -> None:
    rules = warehouse.rows("SELECT viewname FROM pg_views WHERE schemaname = 'dwh_checks'")
    assert set(dags["vault_checks"].task_ids) == {name for (name,) in rules}


def test_a_vault_without_violations_passes_its_checks(dags: dict[str, Any], warehouse: Copy) -> None:
    done = run(dags["vault_checks"])
    assert done.state == "success"
    assert len(done.tasks) >= 11


def test_a_violation_fails_its_own_check_at_once(
    dags: dict[str, Any], warehouse: Copy
) -> None:
    orphan = "decode(repeat('5a', 32), 'hex')"
    warehouse.change(
        f"""INSERT INTO dwh_detailed.sat_airports
            SELECT (jsonb_populate_record(version, jsonb_build_object('hash_key', {orphan}::text))).*
            FROM dwh_detailed.sat_airports AS version WHERE record_source <> 'SYSTEM' LIMIT 1""",
        undo=f"DELETE FROM dwh_detailed.sat_airports WHERE hash_key = {orphan}",
    )
    done = run(dags["vault_checks"])
    assert done.state == "failed"
    failed = {name for name, state in done.tasks.items() if state != "success"}
    assert failed == {"satellite_parents_exist"}
    assert done.tries["satellite_parents_exist"] == 1


def test_a_reader_cannot_hold_a_publication_up(
    dags: dict[str, Any], warehouse: Copy, yesterday: date
) -> None:
    """Somebody reads the day in a long transaction: publishing goes on, and the reader goes on seeing the old day."""
    dag = dags["airport_passenger_flow_mart"]
    assert run(dag, yesterday).state == "success"
    before = all_of(warehouse, "airport_passenger_flow")
    with warehouse.connect(autocommit=False) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        assert sorted(reader.execute("SELECT * FROM presentation.airport_passenger_flow").fetchall()) == before
        assert run(dag, yesterday).state == "success"
        assert sorted(reader.execute("SELECT * FROM presentation.airport_passenger_flow").fetchall()) == before
    after = all_of(warehouse, "airport_passenger_flow")
    assert after != before
    assert [row[:-1] for row in after] == [row[:-1] for row in before]
