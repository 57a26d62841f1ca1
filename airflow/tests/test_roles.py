"""Each role of the jobs can do its work and nothing beside it. Asked of the server, by trying."""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg
import pytest

from support.runs import run
from support.servers import CHECKER_PASSWORD, READER_PASSWORD, WRITER_PASSWORD, Copy

PASSWORDS = {
    "presentation_writer": WRITER_PASSWORD,
    "vault_checker": CHECKER_PASSWORD,
    "mart_reader": READER_PASSWORD,
}
ALLOWED = [
    ("presentation_writer", "SELECT count(*) FROM dwh_marts.current_flights"),
    ("presentation_writer", "SELECT count(*) FROM dwh_marts.load_progress"),
    ("vault_checker", "SELECT 1 + count(*) FROM dwh_checks.hash_keys"),
    ("vault_checker", "SELECT 1 + count(*) FROM dwh_checks.star_equals_vault"),
    ("mart_reader", "SELECT count(*) FROM presentation.airport_passenger_flow"),
]
REFUSED = [
    ("presentation_writer", "SELECT FROM dwh_detailed.hub_airports"),
    ("presentation_writer", "SELECT FROM dwh_control.offsets"),
    ("presentation_writer", "CREATE TABLE dwh_marts.own (one integer)"),
    ("presentation_writer", "CREATE SCHEMA own"),
    ("vault_checker", "INSERT INTO dwh_detailed.hub_airports SELECT * FROM dwh_detailed.hub_airports"),
    ("vault_checker", "SELECT FROM dwh_detailed.hub_airports"),
    ("vault_checker", "SELECT FROM dwh_control.offsets"),
    ("vault_checker", "SELECT FROM dwh_marts.current_flights"),
    ("vault_checker", "SELECT FROM presentation.airport_passenger_flow"),
    ("mart_reader", "SELECT FROM presentation_staging.airport_passenger_flow"),
    ("mart_reader", "DELETE FROM presentation.airport_passenger_flow"),
    ("mart_reader", "CREATE TABLE presentation.own (one integer)"),
]


def test_roles_can_do_their_work_and_nothing_else(dags: dict[str, Any], warehouse: Copy, yesterday: date) -> None:
    assert run(dags["airport_passenger_flow_mart"], yesterday).state == "success"
    for role, query in ALLOWED:
        found = warehouse.rows(query, user=role, password=PASSWORDS[role])
        assert found != [(0,)], f"{role}: {query}"
    for role, statement in REFUSED:
        with warehouse.connect(user=role, password=PASSWORDS[role]) as session:
            # A default is no right: the role may turn it off and must still be refused.
            session.execute("SET default_transaction_read_only = off")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement)
                pytest.fail(f"{role} may: {statement}")


def test_everything_explains_itself(dags: dict[str, Any], warehouse: Copy, yesterday: date) -> None:
    for dag_id in ("airport_passenger_flow_mart", "frequent_flyer_mart"):
        assert run(dags[dag_id], yesterday).state == "success"
    silent = warehouse.rows(
        """SELECT t.relname, a.attname
           FROM pg_class AS t JOIN pg_attribute AS a ON a.attrelid = t.oid
           WHERE t.relnamespace = 'presentation'::regnamespace AND t.relkind = 'r' AND a.attnum > 0
               AND (obj_description(t.oid, 'pg_class') IS NULL OR col_description(t.oid, a.attnum) IS NULL)"""
    )
    assert silent == []
