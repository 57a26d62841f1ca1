"""What the tests share: settings, the bundle's files, sessions with Superset."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from flask import Flask
from psycopg2.extensions import connection

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import bundle  # noqa: E402
from settings import Settings, from_environment  # noqa: E402
from superset_api import Superset  # noqa: E402


@pytest.fixture(scope="session")
def settings() -> Settings:
    return from_environment()


@pytest.fixture(scope="session")
def superset_app() -> Iterator[Flask]:
    """A Superset of the pinned version inside the test's process."""
    from superset.app import create_app

    app = create_app()
    with app.app_context():
        yield app


@pytest.fixture(scope="session")
def files() -> bundle.Files:
    return bundle.read_files()


@pytest.fixture
def warehouse(settings: Settings) -> Iterator[connection]:
    session = settings.read_warehouse()
    session.set_session(
        isolation_level=psycopg2.extensions.ISOLATION_LEVEL_REPEATABLE_READ, readonly=True
    )
    yield session
    session.close()


@pytest.fixture(scope="session")
def admin(settings: Settings) -> Superset:
    return Superset(settings.superset_url, *settings.admin)


@pytest.fixture(scope="session")
def analyst(settings: Settings) -> Superset:
    return Superset(settings.superset_url, *settings.analyst)


@pytest.fixture(scope="session")
def nobody(settings: Settings) -> Superset:
    return Superset(settings.superset_url)
