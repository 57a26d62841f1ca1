"""A warehouse of the tests' own, and Airflow without its servers.

In: the demo's primary and warehouse, by the environment with the demo's defaults. Out: a copy of the warehouse, DAGs, and what the
source says about past days.
Invariant: the demo's databases are only read. The copy holds exactly the past that the source held when it was made, so that
whatever differs later is a fault of the DAGs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, datetime, time as time_of_day, timedelta, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DAGS = ROOT / "airflow" / "dags"
HOME = Path(tempfile.mkdtemp(prefix="airflow-test-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))

sys.path[:0] = [str(DAGS), str(Path(__file__).resolve().parent)]

from support.servers import PRIMARY, WAREHOUSE, Copy  # noqa: E402

COPY_NAME = f"airflow_test_{os.getpid()}"

# Airflow reads its settings when it is imported for the first time.
os.environ.update(
    {
        "AIRFLOW_HOME": str(HOME),
        "PYTHONPATH": os.pathsep.join([str(DAGS), str(Path(__file__).resolve().parent)]),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW_CONN_WAREHOUSE_PRESENTATION": WAREHOUSE.writer_uri(COPY_NAME),
        "AIRFLOW_CONN_WAREHOUSE_CHECKER": WAREHOUSE.checker_uri(COPY_NAME),
        "VAULTSTREAM_RETRY_SECONDS": "1",
        "VAULTSTREAM_WAIT_SECONDS": "1",
        "VAULTSTREAM_WAIT_TIMEOUT_SECONDS": "300",
        "VAULTSTREAM_ASK_AGAIN_SECONDS": "0",
    }
)
# Tests that need a loader, a reader or a source that can be asked bring their own.
for name in ("AIRFLOW_CONN_VAULT_LOADER", "AIRFLOW_CONN_CDC_READER", "AIRFLOW_CONN_SOURCE_AIRLINE"):
    os.environ.pop(name, None)

import pytest  # noqa: E402

from support.source import Source  # noqa: E402

# How often the copy is made again when the past changed meanwhile, or the loader lagged.
COPY_ATTEMPTS = 6


def pytest_sessionfinish() -> None:
    subprocess.run(["rm", "-rf", str(HOME)], check=False)


@pytest.fixture(scope="session")
def today() -> datetime:
    """The beginning of the current UTC day."""
    return datetime.combine(datetime.now(timezone.utc).date(), time_of_day.min, timezone.utc)


@pytest.fixture(scope="session")
def yesterday(today: datetime) -> date:
    """The last whole UTC day."""
    return (today - timedelta(days=1)).date()


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Airflow's tables."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture(scope="session")
def warehouse_and_source(today: datetime) -> Iterator[tuple[Copy, Source]]:
    """The copy, and the source's past as it stands in that copy."""
    copy = Copy(WAREHOUSE, COPY_NAME)
    try:
        for _ in range(COPY_ATTEMPTS):
            source = Source.read(PRIMARY, before=today)
            copy.make()
            if copy.past(before=today) == source.past():
                break
            time.sleep(5)
        else:
            pytest.fail("the demo's warehouse does not catch up with the primary: is the pipeline up?")
        yield copy, source
    finally:
        copy.drop()


@pytest.fixture(scope="session")
def source(warehouse_and_source: tuple[Copy, Source]) -> Source:
    return warehouse_and_source[1]


@pytest.fixture
def warehouse(warehouse_and_source: tuple[Copy, Source], airflow_database: None) -> Iterator[Copy]:
    """The copy, as it was at first: what a test changed in the vault is taken back, what it published is gone."""
    copy = warehouse_and_source[0]
    copy.forget_published()
    yield copy
    copy.take_back()


@pytest.fixture(scope="session")
def dags(airflow_database: None) -> dict:
    """The DAGs as the DAG processor sees them."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(DAGS))
    assert bag.import_errors == {}
    return bag.dags
