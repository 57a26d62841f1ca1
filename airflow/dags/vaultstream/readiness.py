"""Whether the vault holds everything that the source committed before a moment.

In: the source's watermark (watermark.py); dwh_marts.load_progress; where they are known, what the loader and the reader say about
themselves. Out: yes, or what is missing.
Invariant: "yes" is proven, never guessed. The watermark proves it for all tables of the source. Where it does not tell, because the
heartbeats name no position or because it stands still for another table, each partition of the wanted tables is looked at:

* a partition carries the streamed changes in the order of the source's commits, so one streamed event at or after the moment
  proves everything before it. Rows of a snapshot prove nothing: they are in the order of the table;
* a quiet partition gives no such event. Then the loader has to say that nothing waits in Kafka for it, and it must be known
  that nothing waits in the source: either by another partition's event at or after the moment (the reader publishes in the
  order of commits), or by the reader's own word that it is connected and has no backlog. Both are asked twice, for the
  loader learns of Kafka's ends every now and then only.

Where the loader or the reader cannot be asked, a quiet partition means waiting. Other sources may have tables of the same names, so
partitions of other sources count for nothing.
"""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import BaseSensorOperator, Connection
from airflow.sdk.bases.sensor import PokeReturnValue
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException, AirflowSensorTimeout

from vaultstream.policy import setting
from vaultstream.watermark import LEAVE, Position, Watermark, ask_source, read_watermark, stored

LOADER_CONNECTION = "vault_loader"
READER_CONNECTION = "cdc_reader"

# A source that has just committed, and a reader that is about to see it, look idle for a moment.
SETTLE = timedelta(minutes=1)

# What an idle server writes on its own (checkpoints, vacuum) between two confirmations of the slot is less than this.
IDLE_BACKLOG_BYTES = 1024 * 1024

HTTP_TIMEOUT_SECONDS = 10

# Between the two questions: more than librdkafka's interval of statistics, from which the loader has Kafka's ends.
ASK_AGAIN_SECONDS = float(setting("VAULTSTREAM_ASK_AGAIN_SECONDS", "10"))

PROGRESS = """
    SELECT topic, partition, table_name, is_streamed, source_committed
    FROM dwh_marts.load_progress
    WHERE source = %s
    ORDER BY topic, partition
"""


@dataclass(frozen=True)
class Partition:
    """A partition of a topic, and how far it is loaded."""

    topic: str
    number: int
    table: str
    is_streamed: bool
    source_committed: datetime | None

    def is_past(self, moment: datetime) -> bool:
        return (
            self.is_streamed
            and self.source_committed is not None
            and self.source_committed >= moment + LEAVE
        )


@dataclass(frozen=True)
class Answers:
    """What the pipeline says about itself; None where it could not be asked."""

    waiting_events: Mapping[tuple[str, int], int] | None
    reader_is_idle: bool | None


def missing(
    progress: Iterable[Partition], tables: Iterable[str], moment: datetime, answers: Answers
) -> list[str]:
    """What stands in the way, one line each; nothing when everything before the moment is in the vault."""
    partitions = list(progress)
    wanted = set(tables)
    reasons = [
        f"table {table}: the loader has never seen its topic"
        for table in sorted(wanted - {partition.table for partition in partitions})
    ]
    published = answers.reader_is_idle or any(partition.is_past(moment) for partition in partitions)
    for partition in partitions:
        if partition.table not in wanted or partition.is_past(moment):
            continue
        name = f"{partition.topic}[{partition.number}], loaded up to {partition.source_committed}"
        if not published:
            reasons.append(f"{name}: nothing proves that the reader is past {moment}")
        elif answers.waiting_events is None:
            reasons.append(f"{name}: the loader cannot be asked whether events wait in Kafka")
        elif (waiting := answers.waiting_events.get((partition.topic, partition.number))) is None:
            reasons.append(f"{name}: the loader does not say how many events wait in Kafka")
        elif waiting > 0:
            reasons.append(f"{name}: {waiting} events wait in Kafka")
    return reasons


def metric_values(text: str, name: str) -> list[tuple[dict[str, str], float]]:
    """The samples of one metric in Prometheus' text format: labels and value."""
    samples = []
    for line in text.splitlines():
        found = re.fullmatch(rf"{re.escape(name)}(?:\{{(.*)\}})? (\S+)(?: \d+)?", line)
        if found:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', found[1] or ""))
            samples.append((labels, float(found[2])))
    return samples


def waiting_events(text: str) -> dict[tuple[str, int], int]:
    """Events that are published and not loaded, by topic and partition, from the loader's metrics."""
    samples = metric_values(text, "vault_loader_lag_events")
    return {(labels["topic"], int(labels["partition"])): int(value) for labels, value in samples}


def reader_is_idle(text: str) -> bool:
    """Whether the reader streams, has published what it read, and has nothing to read."""

    def value(name: str) -> float | None:
        samples = [number for _, number in metric_values(text, name)]
        return samples[0] if samples else None

    backlog = value("cdc_reader_slot_unconfirmed_wal_bytes")
    return (
        value("debezium_metrics_Connected") == 1
        and value("debezium_metrics_SnapshotRunning") == 0
        and value("cdc_reader_publish_queue_messages") == 0
        and backlog is not None
        and backlog < IDLE_BACKLOG_BYTES
    )


def metrics_of(connection_id: str) -> str | None:
    """The metrics of a program that a connection names; None when there is no such connection or it does not answer."""
    try:
        connection = Connection.get(connection_id)
        url = f"http://{connection.host}:{connection.port}/metrics"
        with urllib.request.urlopen(url, timeout=HTTP_TIMEOUT_SECONDS) as answer:
            return answer.read().decode()
    except (AirflowNotFoundException, OSError):
        return None


class SourcePositionSensor(BaseSensorOperator):
    """Waits until a UTC day is over, and then asks the source where its log stands.

    An answer counts when the day is over by the source's own clock too: the source may be behind Airflow, and commit more in the day.
    The answer goes to the sensor that waits for it. That one cannot ask again and again: on a busy source, each answer lies ahead of
    what is loaded.
    """

    template_fields = ("day",)

    def __init__(self, *, source: str, day: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.day = day

    def poke(self, context: Mapping[str, Any]) -> bool | PokeReturnValue:
        if datetime.now(timezone.utc) < period_end(self.day):
            self.log.info("the day %s is not over yet", self.day)
            return False
        answer = ask_source(self.source)
        if answer is None:
            return PokeReturnValue(True, None)
        if not answer.is_after(period_end(self.day)):
            self.log.info("by the clock of the source %s, which shows %s, the day %s is not over yet", self.source, answer.clock, self.day)
            return False
        asked = answer.position
        self.log.info("the log of the source %s stands at %s on timeline %s", self.source, asked.lsn, asked.timeline)
        return PokeReturnValue(True, stored(asked))


class VaultLoadedSensor(BaseSensorOperator):
    """Waits until the vault holds everything that the source committed before a UTC day ended."""

    template_fields = ("day", "asked")

    def __init__(
        self, *, source: str, tables: Iterable[str], day: str, conn_id: str, asked: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.tables = tuple(tables)
        self.day = day
        self.conn_id = conn_id
        self.asked = asked
        self.reasons: list[str] = []

    def execute(self, context: Any) -> Any:
        """As every sensor; a time-out says what was waited for."""
        try:
            return super().execute(context)
        except AirflowSensorTimeout as error:
            waited = "; ".join(self.reasons)
            raise AirflowSensorTimeout(
                f"the vault does not hold everything of the source {self.source} up to the end of {self.day}: {waited} ({error})"
            ) from error

    def poke(self, context: Mapping[str, Any]) -> bool:
        end = period_end(self.day)
        if datetime.now(timezone.utc) < end:
            self.reasons = [f"the day {self.day} is not over yet"]
        else:
            self.reasons = self.missing(end)
        for reason in self.reasons:
            self.log.info("waiting: %s", reason)
        return not self.reasons

    def missing(self, end: datetime) -> list[str]:
        """What stands in the way; nothing when everything before the end is in the vault."""
        watermark = read_watermark(self.conn_id, self.source)
        if watermark is None:
            raise AirflowFailException(
                f"dwh_marts.freshness has no source {self.source}: the warehouse was not migrated to its model"
            )
        if watermark.waiting_events:
            self.log.warning(
                "source %s: %s events wait in the quarantine; they are not in the vault, and nobody waits for them here",
                self.source,
                watermark.waiting_events,
            )
        asked = self.position(watermark, end)
        if (proof := watermark.proof(end, asked)) is not None:
            self.log.info("source %s: complete up to %s: %s", self.source, end, proof)
            return []
        return self.missing_by_tables(end, watermark, asked)

    def position(self, watermark: Watermark, end: datetime) -> Position | None:
        """Where the source's log stood after the end, on the watermark's timeline if somebody knows that.

        The source is asked again if it did not answer at first, and if it was promoted since then. An answer from before the end, by
        the clock of the source, does not count.
        """
        asked = Position.of(self.asked)
        if watermark.source_lsn is None or watermark.proof(end, asked) is not None:
            return asked
        if asked is None or asked.timeline != watermark.source_timeline:
            answer = ask_source(self.source)
            return answer.position if answer is not None and answer.is_after(end) else asked
        return asked

    def missing_by_tables(self, end: datetime, watermark: Watermark, asked: Position | None) -> list[str]:
        reasons = missing(self.progress(), self.tables, end, Answers(None, None))
        if reasons and datetime.now(timezone.utc) >= end + SETTLE:
            reasons = missing(self.progress(), self.tables, end, ask_pipeline())
            if not reasons:
                time.sleep(ASK_AGAIN_SECONDS)
                reasons = missing(self.progress(), self.tables, end, ask_pipeline())
        standing = watermark.standing(self.source, end, asked)
        if reasons:
            return [*standing, *reasons]
        for line in standing:
            self.log.info("%s", line)
        self.log.info("source %s: each table that is needed is complete up to %s by itself", self.source, end)
        return []

    def progress(self) -> list[Partition]:
        rows = PostgresHook(self.conn_id).get_records(PROGRESS, parameters=(self.source,))
        return [Partition(*row) for row in rows]


def period_end(day: str) -> datetime:
    """The end of a UTC day."""
    begins = datetime.combine(date.fromisoformat(day), datetime.min.time(), timezone.utc)
    return begins + timedelta(days=1)


def ask_pipeline() -> Answers:
    """Asks the reader before the loader: what the reader has published by then, the loader's answer counts."""
    reader = metrics_of(READER_CONNECTION)
    loader = metrics_of(LOADER_CONNECTION)
    return Answers(
        waiting_events=None if loader is None else waiting_events(loader),
        reader_is_idle=None if reader is None else reader_is_idle(reader),
    )
