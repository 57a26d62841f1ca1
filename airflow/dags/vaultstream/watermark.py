"""Whether the watermark of a source has passed the end of a day.

In: the row of dwh_marts.freshness, and where the source's log stood at some time after the end of the day by the source's own clock, if
the source could be asked. Out: why the day is closed, or what is missing.
Invariant: "closed" is proven by what docs/WATERMARK.md says of the columns:

* source_lsn: every change whose commit ends at or before this position is loaded. What was committed in the day ends before the
  position that the source named after the day. Positions of two timelines are not compared;
* source_committed: a later transaction is loaded with all before it. Two transactions that commit at once may have their times the
  other way round than their positions, so a second has to lie between;
* published closes no day: the reader may be behind.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk.exceptions import AirflowNotFoundException

log = logging.getLogger(__name__)

# Two commits at once may have their times the other way round than their positions; never by so much.
LEAVE = timedelta(seconds=1)

# A position may lie behind the header of a page of the log, and the end of the last change before it.
PAGE_BYTES = 8192
PAGE_HEADER_BYTES_MAX = 40

FRESHNESS = """
    SELECT source_lsn, source_timeline, source_committed, published, paused_tables, waiting_events
    FROM dwh_marts.freshness
    WHERE source = %s
"""

# The end of the log that is written or is about to be: a commit that waits for its disk stands before it. The clock is read first, so
# that the log stood there at this time or later.
POSITION = """
    SELECT clock_timestamp(),
           (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint,
           ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer
"""


@dataclass(frozen=True)
class Position:
    """Where a source's log stood."""

    lsn: int
    timeline: int

    @classmethod
    def of(cls, stored: Mapping[str, int] | None) -> Position | None:
        return None if stored is None else cls(stored["lsn"], stored["timeline"])


@dataclass(frozen=True)
class Answer:
    """What a source says when it is asked: where its log stands, and what its own clock showed just before."""

    clock: datetime
    position: Position

    def is_after(self, end: datetime) -> bool:
        """Whether every transaction that the source commits from now on has its time after the end. The times of commits are the
        source's, so no other clock tells."""
        return self.clock >= end + LEAVE


@dataclass(frozen=True)
class Watermark:
    """Up to where all tables of a source are loaded together; None is what is not known."""

    source_lsn: int | None
    source_timeline: int | None
    source_committed: datetime | None
    published: datetime | None
    paused_tables: int | None
    waiting_events: int | None

    def has_reached(self, asked: Position) -> bool:
        if self.source_lsn is None or self.source_timeline != asked.timeline:
            return False
        missing = asked.lsn - self.source_lsn
        return missing <= 0 or (self.source_lsn % PAGE_BYTES == 0 and missing <= PAGE_HEADER_BYTES_MAX)

    def proof(self, end: datetime, asked: Position | None) -> str | None:
        """Why everything that the source committed before the end is loaded; None when this does not tell."""
        if self.source_lsn is None:
            return None
        if self.source_committed is not None and self.source_committed >= end + LEAVE:
            return f"a transaction of {self.source_committed} is loaded, with all before it"
        if asked is not None and self.has_reached(asked):
            return f"the position {asked.lsn} is reached, where the source's log stood after {end}"
        return None

    def standing(self, source: str, end: datetime, asked: Position | None) -> list[str]:
        """What the log says while the watermark has not passed the end: a line for each thing to look at."""
        if self.published is None:
            lines = [
                f"source {source}: there is no watermark: it is being loaded for the first time, its model has just changed, or no "
                "heartbeats come. Each table is looked at instead"
            ]
        elif self.source_lsn is None:
            lines = [
                f"source {source}: its heartbeats name no position, as those of Debezium do, so its watermark (published "
                f"{self.published}) closes no day; each table is looked at instead"
            ]
        else:
            lines = [f"source {source}: the watermark is at {self.source_committed} (position {self.source_lsn}), not at {end}"]
            if asked is None:
                lines.append(f"source {source}: nobody can ask it for a position, which would prove that it has committed nothing more")
            elif asked.timeline != self.source_timeline:
                lines.append(
                    f"source {source}: it is on timeline {asked.timeline}, and the watermark is on timeline {self.source_timeline}"
                )
            else:
                lines.append(f"source {source}: waiting for position {asked.lsn}")
        if self.paused_tables:
            lines.append(f"source {source}: {self.paused_tables} tables are paused and hold the watermark up")
        return lines


def read_watermark(conn_id: str, source: str) -> Watermark | None:
    """The watermark of a source; None when the warehouse does not know the source."""
    rows = PostgresHook(conn_id).get_records(FRESHNESS, parameters=(source,))
    return Watermark(*rows[0]) if rows else None


def source_connection(source: str) -> str:
    """The name of the connection that asks a source; AIRFLOW_CONN_SOURCE_<NAME> gives it."""
    return f"source_{source}"


def ask_source(source: str) -> Answer | None:
    """Where the source's log stands now, and its clock; None when no connection is configured, or the source does not answer."""
    conn_id = source_connection(source)
    try:
        [row] = PostgresHook(conn_id).get_records(POSITION)
    except AirflowNotFoundException:
        log.info("there is no connection %s, so the source %s is not asked for a position", conn_id, source)
        return None
    except Exception as error:  # whatever the driver raises: another proof may be found
        log.warning("the source %s does not say where its log stands: %s", source, error)
        return None
    clock, lsn, timeline = row
    return Answer(clock, Position(int(lsn), int(timeline)))


def stored(position: Position | None) -> dict[str, Any] | None:
    """A position as a task hands it to another one."""
    return None if position is None else {"lsn": position.lsn, "timeline": position.timeline}
