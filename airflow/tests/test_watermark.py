"""When the watermark closes a day: the rule itself, and the sensor against the warehouse and the real source."""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from support.servers import PRIMARY, Copy
from test_readiness import hold_back, sensor

MIDNIGHT = datetime(2026, 3, 2, tzinfo=timezone.utc)
PAGE = 8192


def watermark(lsn: int | None = 500, timeline: int | None = 1, committed: datetime | None = None, **fields: Any) -> Any:
    from vaultstream.watermark import Watermark

    known: dict[str, Any] = {"published": MIDNIGHT + timedelta(hours=1), "paused_tables": 0, "waiting_events": 0}
    return Watermark(lsn, timeline, committed, **{**known, **fields})


def position(lsn: int, timeline: int = 1) -> Any:
    from vaultstream.watermark import Position

    return Position(lsn, timeline)


def test_a_later_commit_closes_a_day_and_leaves_a_second() -> None:
    assert watermark(committed=MIDNIGHT + timedelta(seconds=1)).proof(MIDNIGHT, None)
    assert watermark(committed=MIDNIGHT + timedelta(seconds=0.9)).proof(MIDNIGHT, None) is None
    assert watermark(committed=None).proof(MIDNIGHT, None) is None


def test_a_position_closes_the_day_of_a_source_that_commits_nothing() -> None:
    idle = watermark(lsn=500, committed=MIDNIGHT - timedelta(hours=9))
    assert idle.proof(MIDNIGHT, None) is None
    assert idle.proof(MIDNIGHT, position(501)) is None
    assert idle.proof(MIDNIGHT, position(500))
    assert idle.proof(MIDNIGHT, position(400, timeline=2)) is None, "another timeline has other changes there"


def test_the_header_of_a_page_is_no_change_that_is_missing() -> None:
    assert watermark(lsn=PAGE).proof(MIDNIGHT, position(PAGE + 40))
    assert watermark(lsn=PAGE).proof(MIDNIGHT, position(PAGE + 41)) is None
    assert watermark(lsn=PAGE + 1).proof(MIDNIGHT, position(PAGE + 24)) is None


def test_heartbeats_without_a_position_close_nothing() -> None:
    debezium = watermark(lsn=None, timeline=None, published=MIDNIGHT + timedelta(days=1))
    assert debezium.proof(MIDNIGHT, position(1)) is None
    assert "name no position, as those of Debezium" in debezium.standing("airline", MIDNIGHT, None)[0]


def test_what_is_waited_for_is_named() -> None:
    lines = watermark(paused_tables=2, committed=MIDNIGHT).standing("airline", MIDNIGHT, position(900))
    assert all(line.startswith("source airline: ") for line in lines)
    assert "not at 2026-03-02" in lines[0]
    assert "waiting for position 900" in lines[1]
    assert "2 tables are paused" in lines[2]
    assert "timeline 2" in watermark().standing("airline", MIDNIGHT, position(900, timeline=2))[1]
    assert "there is no watermark" in watermark(lsn=None, published=None).standing("airline", MIDNIGHT, None)[0]


def set_watermark(warehouse: Copy, lsn: int | None, timeline: int | None = 1) -> None:
    shown = "NULL" if lsn is None else str(lsn), "NULL" if timeline is None else str(timeline)
    with warehouse.connect() as session:
        session.execute(f"UPDATE dwh_control.watermark SET source_lsn = {shown[0]}, source_timeline = {shown[1]}")


def ask(day: date) -> dict[str, int] | None:
    """What the task ask_source hands over."""
    from vaultstream.readiness import SourcePositionSensor

    answer = SourcePositionSensor(task_id="ask", source="airline", day=day.isoformat()).poke({})
    return answer.xcom_value


def test_an_idle_source_is_asked_and_its_day_is_closed_by_the_position(
    warehouse: Copy, today: datetime, yesterday: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_back(warehouse, today)
    assert ask(yesterday) is None, "there is no connection"
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_AIRLINE", PRIMARY.readonly_uri())
    asked = ask(yesterday)
    assert asked and asked["timeline"] == 1 and asked["lsn"] > 0
    with PRIMARY.connect() as session:
        [(now,)] = session.execute("SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint").fetchall()
    assert asked["lsn"] <= now
    set_watermark(warehouse, asked["lsn"] - 1)
    assert not sensor(yesterday, asked).poke({})
    set_watermark(warehouse, asked["lsn"])
    assert sensor(yesterday, asked).poke({})
    # Another position was asked for before a promotion: the source is asked again, and is on timeline 1.
    before = {"lsn": 1, "timeline": 7}
    set_watermark(warehouse, asked["lsn"] - 1)
    assert not sensor(yesterday, before).poke({}), "its log stands further now"
    set_watermark(warehouse, now + 10**9)
    assert sensor(yesterday, before).poke({})
    set_watermark(warehouse, now + 10**9, timeline=8)
    assert not sensor(yesterday, before).poke({})
    set_watermark(warehouse, None, None)
    assert not sensor(yesterday, asked).poke({})


def answers(monkeypatch: pytest.MonkeyPatch, clock: datetime, lsn: int, timeline: int = 1) -> None:
    """The source answers with this clock and this position."""

    class Hook:
        def __init__(self, conn_id: str) -> None:
            assert conn_id == "source_airline"

        def get_records(self, sql: str) -> list[tuple[datetime, int, int]]:
            assert sql.index("clock_timestamp()") < sql.index("pg_current_wal_insert_lsn()")
            return [(clock, lsn, timeline)]

    monkeypatch.setattr("vaultstream.watermark.PostgresHook", Hook)


def test_a_position_from_before_the_end_by_the_sources_clock_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from vaultstream.readiness import SourcePositionSensor

    # By Airflow's clock the day has been over for long.
    asking = SourcePositionSensor(task_id="ask", source="airline", day=(MIDNIGHT - timedelta(days=1)).date().isoformat())
    for clock in (MIDNIGHT - timedelta(minutes=5), MIDNIGHT, MIDNIGHT + timedelta(seconds=0.9)):
        answers(monkeypatch, clock, 900)
        assert asking.poke({}) is False, clock
    answers(monkeypatch, MIDNIGHT + timedelta(seconds=1), 901)
    assert asking.poke({}).xcom_value == {"lsn": 901, "timeline": 1}


@pytest.mark.parametrize("asked", [None, {"lsn": 600, "timeline": 7}])
def test_a_source_that_is_asked_again_before_the_end_by_its_clock_keeps_the_old_answer(
    asked: dict[str, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vaultstream.watermark import Position

    waiting = sensor((MIDNIGHT - timedelta(days=1)).date(), asked)
    answers(monkeypatch, MIDNIGHT + timedelta(seconds=0.9), 400)
    assert waiting.position(watermark(lsn=500), MIDNIGHT) == Position.of(asked)
    answers(monkeypatch, MIDNIGHT + timedelta(seconds=1), 400)
    assert waiting.position(watermark(lsn=500), MIDNIGHT) == position(400)


def test_a_source_that_does_not_answer_stops_nothing(
    warehouse: Copy, today: datetime, yesterday: date, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_AIRLINE", "postgresql://somebody:hidden_word@127.0.0.1:1/airline_tickets")
    with caplog.at_level(logging.WARNING):
        assert ask(yesterday) is None
    assert "does not say where its log stands" in caplog.text
    assert "hidden_word" not in caplog.text
    assert sensor(yesterday).poke({}), "a later commit proves it"
    assert ask_is_waiting(today)


def ask_is_waiting(today: datetime) -> bool:
    from vaultstream.readiness import SourcePositionSensor

    return SourcePositionSensor(task_id="ask", source="airline", day=today.date().isoformat()).poke({}) is False


def test_a_second_source_with_tables_of_the_same_names_proves_nothing_and_holds_nothing_up(
    warehouse: Copy, today: datetime, yesterday: date
) -> None:
    hold_back(warehouse, today)
    set_watermark(warehouse, None, None)
    other = "INSERT INTO dwh_control.sources VALUES ('charter', 77); " + "".join(
        f"""INSERT INTO dwh_control.offsets (topic, partition, next_offset, source_lsn, source_committed, record_source)
            VALUES ('charter.public.{table}', 0, 5, 1, now() {committed}, 'charter.public.{table}'); """
        for table, committed in (("flights", ""), ("tickets", ""), ("ticket_flights", ""))
    )
    warehouse.change(
        other,
        undo="DELETE FROM dwh_control.offsets WHERE topic LIKE 'charter.%'; DELETE FROM dwh_control.sources WHERE source_system_id = 77",
    )
    assert {source for (source,) in warehouse.rows("SELECT DISTINCT source FROM dwh_marts.load_progress")} == {"airline", "charter"}
    waiting = sensor(yesterday)
    assert not waiting.poke({}), "the other source is past the day"
    assert not [reason for reason in waiting.reasons if "charter" in reason], waiting.reasons
    with warehouse.connect() as session:
        session.execute("UPDATE dwh_control.offsets SET source_committed = now() WHERE topic NOT LIKE 'charter.%'")
        session.execute("UPDATE dwh_control.offsets SET source_committed = '2020-01-01' WHERE topic LIKE 'charter.%'")
    assert sensor(yesterday).poke({}), "the other source is behind"


def test_a_time_out_says_what_was_waited_for(warehouse: Copy, today: datetime, yesterday: date) -> None:
    from airflow.sdk.exceptions import AirflowSensorTimeout

    hold_back(warehouse, today)
    set_watermark(warehouse, 500)
    waiting = sensor(yesterday, timeout=0, mode="poke")
    with pytest.raises(AirflowSensorTimeout) as raised:
        waiting.execute({})
    said = str(raised.value)
    assert f"of the source airline up to the end of {yesterday}" in said
    assert "the watermark is at" in said and "airline.public.tickets[0], loaded up to" in said


def test_a_source_that_the_warehouse_does_not_know_fails_at_once(warehouse: Copy, yesterday: date) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    unknown = sensor(yesterday)
    unknown.source = "another"
    with pytest.raises(AirflowFailException, match="has no source another"):
        unknown.poke({})


def test_events_in_quarantine_are_told_and_not_waited_for(
    warehouse: Copy, yesterday: date, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from vaultstream.readiness import VaultLoadedSensor

    # The logger of tasks hands nothing on.
    monkeypatch.setattr(VaultLoadedSensor, "log", logging.getLogger("of_this_test"))
    warehouse.change(
        "INSERT INTO dwh_control.quarantine (topic, partition, kafka_offset, reason, record_source) "
        "SELECT topic, 0, -5, 'no change', record_source FROM dwh_control.offsets WHERE record_source = 'airline.public.seats' LIMIT 1",
        undo="DELETE FROM dwh_control.quarantine WHERE kafka_offset = -5",
    )
    with caplog.at_level(logging.WARNING):
        assert sensor(yesterday).poke({})
    assert "source airline: 1 events wait in the quarantine" in caplog.text
    set_watermark(warehouse, None, None)
    with caplog.at_level(logging.INFO):
        assert sensor(yesterday).poke({})
    assert "name no position, as those of Debezium" in caplog.text
    assert "each table that is needed is complete" in caplog.text
