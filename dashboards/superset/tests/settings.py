"""Where the tests find what they test; the demo's addresses unless the environment says otherwise."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection

ROOT = Path(__file__).resolve().parents[3]
LOOPBACK = "127.0.0.1"


def variable(name: str, default: str) -> str:
    return os.environ.get(name) or default


@dataclass(frozen=True)
class Settings:
    superset_url: str
    admin: tuple[str, str]
    analyst: tuple[str, str]
    warehouse: dict[str, str]
    source: dict[str, str]
    pictures: Path
    chromium: str

    def read_warehouse(self) -> connection:
        """A session of the role that Superset uses."""
        return psycopg2.connect(**self.warehouse, options="-c statement_timeout=120000")

    def write_source(self) -> connection:
        """A session of the booking application."""
        return psycopg2.connect(**self.source)


def from_environment() -> Settings:
    port = variable("VAULTSTREAM_SUPERSET_PORT", "8088")
    return Settings(
        superset_url=variable("SUPERSET_URL", f"http://{LOOPBACK}:{port}"),
        admin=(
            variable("SUPERSET_ADMIN_USER", "admin"),
            variable("SUPERSET_ADMIN_PASSWORD", "admin"),
        ),
        analyst=(
            variable("SUPERSET_ANALYST_USER", "analyst"),
            variable("SUPERSET_ANALYST_PASSWORD", "analyst"),
        ),
        warehouse={
            "host": variable("VAULTSTREAM_WAREHOUSE_HOST", LOOPBACK),
            "port": variable(
                "VAULTSTREAM_WAREHOUSE_PORT", variable("VAULTSTREAM_DWH_PORT", "5434")
            ),
            "dbname": variable("VAULTSTREAM_WAREHOUSE_DB", "airline_tickets_dwh"),
            "user": "mart_reader",
            "password": variable("MART_READER_PASSWORD", "mart_reader_password"),
        },
        source={
            "host": variable("VAULTSTREAM_PRIMARY_HOST", LOOPBACK),
            "port": variable("VAULTSTREAM_PRIMARY_PORT", "5432"),
            "dbname": "airline_tickets",
            "user": "booking_app",
            "password": variable("BOOKING_APP_PASSWORD", "booking_app_password"),
        },
        pictures=Path(
            variable("VAULTSTREAM_DASHBOARD_IMAGES", str(ROOT / ".run" / "dashboard-images"))
        ),
        chromium=variable("CHROMIUM", shutil.which("chromium") or "/usr/bin/chromium"),
    )
