"""When a day is complete in the vault: the rule itself, and the sensor against the warehouse and programs that answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from support.runs import all_of, published, run
from support.servers import Copy
from support.source import Source

MIDNIGHT = datetime(2026, 3, 2, tzinfo=timezone.utc)
BEFORE = MIDNIGHT - timedelta(hours=1)
AFTER = MIDNIGHT + timedelta(seconds=1)

IDLE_READER = """
debezium_metrics_Connected{plugin="postgres",name="airline",context="streaming"} 1
debezium_metrics_SnapshotRunning{plugin="postgres",name="airline",context="snapshot"} 0
cdc_reader_publish_queue_messages 0
cdc_reader_slot_unconfirmed_wal_bytes 9632
"""
BUSY_READER = IDLE_READER.replace("wal_bytes 9632", "wal_bytes 5e8")
assert BUSY_READER != IDLE_READER


def partition(table: str, committed: datetime | None, is_streamed: bool = True, number: int = 0) -> Any:
    from vaultstream.readiness import Partition

    return Partition(f"airline.public.{table}", number, table, is_streamed, committed)


def reasons(
    partitions: list[Any], waiting: dict | None = None, reader_is_idle: bool | None = None
) -> list[str]:
    from vaultstream.readiness import Answers, missing

    return missing(partitions, ("flights", "tickets"), MIDNIGHT, Answers(waiting, reader_is_idle))


def lag(flights: int, tickets: int) -> dict[tuple[str, int], int]:
    return {("airline.public.flights", 0): flights, ("airline.public.tickets", 0): tickets}


def test_an_event_of_the_next_day_on_every_partition_is_proof() -> None:
    both = [partition("flights", AFTER), partition("tickets", AFTER)]
    assert reasons(both) == []
    at_midnight = [partition("flights", AFTER), partition("tickets", MIDNIGHT)]
    assert reasons(at_midnight), "another one of that time may come"


def test_one_partition_that_lags_is_enough_to_wait() -> None:
    found = reasons(
        [partition("flights", AFTER), partition("tickets", AFTER), partition("tickets", BEFORE, number=1)]
    )
    assert len(found) == 1
    assert "tickets[1]" in found[0]


def test_a_table_that_the_loader_has_not_met_is_waited_for() -> None:
    assert reasons([partition("flights", AFTER)], lag(0, 0), True) == [
        "table tickets: the loader has never seen its topic"
    ]


def test_rows_of_a_snapshot_prove_nothing() -> None:
    both = [partition("flights", AFTER), partition("tickets", AFTER, is_streamed=False)]
    assert reasons(both)
    assert reasons(both, lag(0, 7))
    assert reasons(both, lag(0, 0)) == []


def test_a_quiet_partition_needs_the_loaders_word() -> None:
    quiet = [partition("flights", AFTER), partition("tickets", BEFORE)]
    assert reasons(quiet)
    assert reasons(quiet, lag(0, 3))
    assert reasons(quiet, {("airline.public.flights", 0): 0}), "it says nothing about this partition"
    assert reasons(quiet, lag(0, 0)) == []


def test_a_quiet_source_needs_the_readers_word_too() -> None:
    quiet = [partition("flights", BEFORE), partition("tickets", None)]
    assert reasons(quiet, lag(0, 0)), "the reader may be down since yesterday"
    assert reasons(quiet, lag(0, 0), reader_is_idle=False)
    assert reasons(quiet, None, reader_is_idle=True)
    assert reasons(quiet, lag(0, 0), reader_is_idle=True) == []


def test_other_tables_do_not_matter() -> None:
    both = [partition("flights", AFTER), partition("tickets", AFTER), partition("seats", BEFORE)]
    assert reasons(both) == []


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ('Connected{plugin="postgres",name="airline",context="streaming"} 1', "Connected 0"),
        ("SnapshotRunning{plugin=\"postgres\",name=\"airline\",context=\"snapshot\"} 0", "SnapshotRunning 1"),
        ("queue_messages 0", "queue_messages 4"),
        ("wal_bytes 9632", "wal_bytes 1e9"),
        ("cdc_reader_slot_unconfirmed_wal_bytes 9632", ""),
    ],
)
def test_a_reader_is_idle_only_if_everything_says_so(line: str, instead: str) -> None:
    from vaultstream.readiness import reader_is_idle

    assert line in IDLE_READER
    assert reader_is_idle(IDLE_READER)
    assert not reader_is_idle(IDLE_READER.replace(line, instead))


class Program:
    """A program that shows metrics, as the loader and the reader do."""

    def __init__(self) -> None:
        self.text = ""

    @contextmanager
    def serve(self) -> Iterator[str]:
        program = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/metrics" else 404)
                self.end_headers()
                self.wfile.write(program.text.encode())

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()


def loader_metrics(events: int) -> str:
    tables = ("flights", "tickets", "ticket_flights", "bookings")
    return "".join(
        f'vault_loader_lag_events{{topic="airline.public.{table}",partition="0"}} {events}\n' for table in tables
    )


def hold_back(warehouse: Copy, until: datetime) -> None:
    """Sets the loader's progress back, as if it had loaded nothing that was committed at or after a moment."""
    warehouse.change(
        "CREATE TABLE public.watermark_before AS TABLE dwh_control.watermark; "
        "UPDATE dwh_control.watermark SET source_committed = least(source_committed, "
        f"'{until.isoformat()}'::timestamptz - interval '1 second'); "
        "CREATE TABLE public.offsets_before AS TABLE dwh_control.offsets; "
        "UPDATE dwh_control.offsets SET source_committed = least(source_committed, "
        f"'{until.isoformat()}'::timestamptz - interval '1 second'), source_lsn = coalesce(source_lsn, 1)",
        undo="UPDATE dwh_control.offsets AS o SET source_committed = b.source_committed, source_lsn = b.source_lsn "
        "FROM public.offsets_before AS b WHERE (b.topic, b.partition) = (o.topic, o.partition); "
        "DROP TABLE public.offsets_before; "
        "DELETE FROM dwh_control.watermark; INSERT INTO dwh_control.watermark TABLE public.watermark_before; "
        "DROP TABLE public.watermark_before",
    )


def sensor(day: date, asked: dict[str, int] | None = None, **options: Any) -> Any:
    from vaultstream.policy import WRITER_CONNECTION
    from vaultstream.readiness import VaultLoadedSensor

    return VaultLoadedSensor(
        task_id="wait",
        conn_id=WRITER_CONNECTION,
        source="airline",
        tables=("flights", "tickets", "ticket_flights"),
        day=day.isoformat(),
        asked=asked,
        **options,
    )


def test_the_sensor_asks_the_pipeline_when_the_source_is_quiet(
    warehouse: Copy, today: datetime, yesterday: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_back(warehouse, today)
    monkeypatch.setattr("vaultstream.readiness.SETTLE", timedelta(0))
    wait = sensor(yesterday)
    assert not wait.poke({}), "nobody can be asked"
    loader, reader = Program(), Program()
    with loader.serve() as loader_address, reader.serve() as reader_address:
        monkeypatch.setenv("AIRFLOW_CONN_VAULT_LOADER", loader_address)
        monkeypatch.setenv("AIRFLOW_CONN_CDC_READER", reader_address)
        loader.text, reader.text = loader_metrics(5), IDLE_READER
        assert not wait.poke({}), "events wait in Kafka"
        loader.text, reader.text = loader_metrics(0), BUSY_READER
        assert not wait.poke({}), "the reader is behind"
        loader.text, reader.text = loader_metrics(0), IDLE_READER
        assert wait.poke({})
    assert not wait.poke({}), "nobody answers any more"


def test_a_day_that_is_not_over_is_waited_for(warehouse: Copy, today: datetime) -> None:
    assert not sensor(today.date()).poke({})


def test_a_run_waits_while_the_loader_lags_and_goes_on_when_it_has_caught_up(
    dags: dict[str, Any], warehouse: Copy, source: Source, today: datetime, yesterday: date
) -> None:
    dag = dags["airport_passenger_flow_mart"]
    assert run(dag, yesterday).state == "success"
    before = all_of(warehouse, "airport_passenger_flow")
    hold_back(warehouse, today)
    seen: dict[str, Any] = {}

    def catch_up() -> None:
        # Longer than a whole run takes: had it not waited, it would have published by then.
        time.sleep(20)
        seen["meanwhile"] = all_of(warehouse, "airport_passenger_flow")
        warehouse.take_back()

    loader = threading.Thread(target=catch_up)
    loader.start()
    done = run(dag, yesterday)
    loader.join()
    assert seen["meanwhile"] == before
    assert done.state == "success"
    assert all_of(warehouse, "airport_passenger_flow") != before, "it has published again"
    assert published(warehouse, "airport_passenger_flow", yesterday) == source.airport_passenger_flow(yesterday)


def run_of(**fields: Any) -> Any:
    return SimpleNamespace(**{"data_interval_start": None, "run_after": MIDNIGHT, **fields})


def test_the_day_of_a_run() -> None:
    from vaultstream.period import period_day

    begins = datetime(2026, 3, 1, 1, tzinfo=timezone.utc)
    assert period_day(run_of(data_interval_start=begins), {}) == "2026-03-01"
    assert period_day(run_of(data_interval_start=begins), {"day": "2026-02-03"}) == "2026-02-03"
    assert period_day(run_of(), {"day": None}) == "2026-03-01"
    in_moscow = datetime(2026, 3, 2, 2, tzinfo=timezone(timedelta(hours=3)))
    assert period_day(run_of(data_interval_start=in_moscow), {}) == "2026-03-01"
    with pytest.raises(ValueError, match="Invalid isoformat"):
        period_day(run_of(), {"day": "2026-02-03'; DROP TABLE x"})


def test_a_run_has_a_key_that_is_safe_in_sql() -> None:
    from vaultstream.period import load_id

    keys = {load_id(SimpleNamespace(dag_id=dag, run_id=run_id)) for dag in "ab" for run_id in ("x'--", "y")}
    assert len(keys) == 4
    assert all(len(key) == 32 and set(key) <= set("0123456789abcdef") for key in keys)
