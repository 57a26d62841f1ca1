"""The demo's servers, and a copy of its warehouse.

In: the environment, with the defaults of .env.example. Out: connections, and a database that a test may break.
Invariant: nothing is written to the demo's own databases.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

ROOT = Path(__file__).resolve().parents[3]
HOST = "127.0.0.1"
WRITER_PASSWORD = os.environ.get("PRESENTATION_WRITER_PASSWORD") or "presentation_writer_password"
CHECKER_PASSWORD = os.environ.get("VAULT_CHECKER_PASSWORD") or "vault_checker_password"
OWNER_PASSWORD = os.environ.get("VAULT_OWNER_PASSWORD") or "vault_owner_password"
READONLY_PASSWORD = os.environ.get("AIRLINE_READONLY_PASSWORD") or "airline_readonly_password"
READER_PASSWORD = os.environ.get("MART_READER_PASSWORD") or "mart_reader_password"


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server of the demo, as its superuser."""

    port: int
    database: str
    user: str = os.environ.get("VAULTSTREAM_ADMIN_USER") or "admin"
    password: str = os.environ.get("VAULTSTREAM_ADMIN_PASSWORD") or "adminpassword"

    def connect(self, database: str | None = None, **options: Any) -> psycopg.Connection:
        return psycopg.connect(
            host=HOST,
            port=self.port,
            dbname=database or self.database,
            user=options.pop("user", self.user),
            password=options.pop("password", self.password),
            **options,
        )

    def uri(self, user: str, password: str, database: str) -> str:
        return f"postgresql://{user}:{password}@{HOST}:{self.port}/{database}"

    def writer_uri(self, database: str) -> str:
        return self.uri("presentation_writer", WRITER_PASSWORD, database)

    def checker_uri(self, database: str) -> str:
        return self.uri("vault_checker", CHECKER_PASSWORD, database)

    def readonly_uri(self) -> str:
        """The source, as somebody who may only read."""
        return self.uri("airline_readonly", READONLY_PASSWORD, self.database)

    def run(self, program: Path, *arguments: str, user: str | None = None, password: str | None = None) -> None:
        address = ["--host", HOST, "--port", str(self.port), "--username", user or self.user]
        done = subprocess.run(
            [str(program), *address, *arguments],
            env={**os.environ, "PGPASSWORD": password or self.password},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program.name} failed: {done.stderr}")


PRIMARY = Server(int(os.environ.get("VAULTSTREAM_PRIMARY_PORT") or "5432"), "airline_tickets")
WAREHOUSE = Server(int(os.environ.get("VAULTSTREAM_DWH_PORT") or "5434"), "airline_tickets_dwh")


def client_program(name: str) -> Path:
    """A client program of PostgreSQL 15 or newer; the one in PATH may be older than the servers."""
    found = [
        path
        for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
        if int(path.parts[-3]) >= 15
    ]
    if not found:
        raise RuntimeError(f"{name} of PostgreSQL 15 or newer is not installed")
    return max(found, key=lambda path: int(path.parts[-3]))


class Copy:
    """A database with the demo's vault and marts, and with the roles and schemas of the scheduled jobs."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self._undo: list[str] = []

    def make(self) -> None:
        self.drop()
        with self.server.connect("postgres", autocommit=True) as session:
            session.execute(f"CREATE DATABASE {self.name}")
        with tempfile.NamedTemporaryFile(suffix=".dump") as dump:
            self.server.run(
                client_program("pg_dump"),
                # What the demo's own Airflow has published is none of the tests' business.
                "--exclude-schema=presentation",
                "--exclude-schema=presentation_staging",
                "--format=custom",
                "--compress=0",
                f"--file={dump.name}",
                self.server.database,
            )
            self.server.run(client_program("pg_restore"), f"--dbname={self.name}", "--jobs=2", dump.name)
        psql = client_program("psql")
        self.server.run(
            psql,
            "--no-psqlrc",
            "--quiet",
            f"--dbname={self.name}",
            f"--set=presentation_password={WRITER_PASSWORD}",
            f"--set=checker_password={CHECKER_PASSWORD}",
            f"--file={ROOT / 'sql/warehouse/020_presentation_roles.sql'}",
        )
        # The demo may have been started before these views were there.
        for name in ("080_load_progress", "090_grants", "205_freshness"):
            self.server.run(
                psql,
                "--no-psqlrc",
                "--quiet",
                f"--dbname={self.name}",
                f"--file={ROOT / 'sql/marts' / name}.sql",
                user="vault_owner",
                password=OWNER_PASSWORD,
            )
        with self.connect() as session:
            # The caller compares the copy with the source: it is complete, however long the source has been quiet.
            session.execute("UPDATE dwh_control.offsets SET source_committed = now(), source_lsn = coalesce(source_lsn, 1)")
            session.execute(
                """INSERT INTO dwh_control.watermark
                       (source_system_id, source_lsn, source_timeline, source_committed, published, updated_at)
                   VALUES (1, 1000, 1, now(), now(), now())
                   ON CONFLICT (source_system_id) DO UPDATE
                   SET source_lsn = 1000, source_timeline = 1, source_committed = now(), published = now()"""
            )
            session.execute("ANALYZE")

    def drop(self) -> None:
        with self.server.connect("postgres", autocommit=True) as session:
            session.execute(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")

    def connect(self, **options: Any) -> psycopg.Connection:
        """A session of the superuser that commits each statement."""
        return self.server.connect(self.name, **{"autocommit": True, **options})

    def rows(self, query: str, parameters: Any = None, **options: Any) -> list[tuple]:
        with self.connect(**options) as session:
            return session.execute(query, parameters).fetchall()

    def change(self, statement: str, undo: str) -> None:
        """Changes the vault as somebody with every right could, until the end of the test."""
        self._undo.append(undo)
        with self.connect() as session:
            session.execute(statement)

    def take_back(self) -> None:
        with self.connect() as session:
            while self._undo:
                session.execute(self._undo.pop())

    def forget_published(self) -> None:
        with self.connect() as session:
            for schema in ("presentation", "presentation_staging"):
                tables = session.execute(
                    "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables WHERE schemaname = %s",
                    (schema,),
                ).fetchall()
                for (table,) in tables:
                    session.execute(f"DROP TABLE {table}")

    def past(self, before: datetime) -> tuple[set[tuple], set[tuple]]:
        """Flights that were to leave before a moment, and their segments, as Source.past has them."""
        flights = self.rows(
            """SELECT flight_id, scheduled_departure, scheduled_arrival, departure_airport, arrival_airport, status
               FROM dwh_marts.current_flights WHERE scheduled_departure < %s""",
            (before,),
        )
        segments = self.rows(
            """SELECT s.ticket_no, s.flight_id, s.amount, t.passenger_id
               FROM dwh_marts.current_ticket_flights AS s
               JOIN dwh_marts.current_flights AS f ON f.flight_id = s.flight_id
               JOIN dwh_marts.current_link_ticket_passengers AS t ON t.ticket_no = s.ticket_no
               WHERE f.scheduled_departure < %s""",
            (before,),
        )
        return set(flights), set(segments)
