"""A DAG that builds one table of schema presentation, a UTC day at a time.

In: the description of the table. Out: a DAG with the steps ask, wait, create, clear, load, validate, publish.
Invariant: a day's rows become visible in one transaction, after every check has passed on exactly these rows. A run that fails,
or is killed, at any point leaves what was published before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from airflow.providers.common.sql.operators.sql import (
    SQLCheckOperator,
    SQLColumnCheckOperator,
    SQLExecuteQueryOperator,
    SQLTableCheckOperator,
)
from airflow.sdk import DAG, CronDataIntervalTimetable, Param, TaskGroup, chain

from vaultstream import policy
from vaultstream.period import MACROS
from vaultstream.readiness import SourcePositionSensor, VaultLoadedSensor

# How long a run waits for the vault; a night's outage is survived, a longer one is somebody's business.
WAIT_TIMEOUT = timedelta(seconds=float(policy.setting("VAULTSTREAM_WAIT_TIMEOUT_SECONDS", "21600")))

# How often a waiting run looks. Between two looks it holds no slot.
WAIT_INTERVAL = timedelta(seconds=float(policy.setting("VAULTSTREAM_WAIT_SECONDS", "60")))

# A run takes a minute once the vault is ready; a run that is not done after this needs a look.
DEADLINE = timedelta(seconds=float(policy.setting("VAULTSTREAM_DEADLINE_SECONDS", "3600")))

DAY = "{{ period_day(dag_run, params) }}"
LOAD_ID = "{{ load_id(dag_run) }}"


@dataclass(frozen=True)
class Mart:
    """A table of schema presentation: where it comes from, when it is built, what has to hold for its rows."""

    name: str
    dag_id: str
    schedule: str
    doc: str
    source: str
    source_tables: tuple[str, ...]
    column_checks: Mapping[str, Mapping[str, Mapping[str, Any]]]
    table_checks: Mapping[str, Mapping[str, str]]
    tags: tuple[str, ...] = field(default=("presentation", "daily"))

    @property
    def staging_table(self) -> str:
        return f"presentation_staging.{self.name}"

    def file(self, step: str) -> str:
        return f"presentation/{self.name}/{step}.sql"


def build(mart: Mart) -> DAG:
    """The DAG of a mart."""
    dag = DAG(
        dag_id=mart.dag_id,
        description=f"builds presentation.{mart.name}, one UTC day at a time",
        doc_md=mart.doc,
        schedule=CronDataIntervalTimetable(mart.schedule, timezone="UTC"),
        start_date=policy.START_DATE,
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        dagrun_timeout=WAIT_TIMEOUT + timedelta(hours=2),
        deadline=policy.deadline(mart.dag_id, DEADLINE),
        default_args=policy.DEFAULT_ARGS,
        tags=list(mart.tags),
        template_searchpath=str(policy.SQL_FOLDER),
        user_defined_macros=MACROS,
        params={
            "day": Param(
                None,
                type=["null", "string"],
                format="date",
                title="Day",
                description="UTC day to build, for a run that is started by hand; empty: the last whole day",
            )
        },
    )
    with dag:
        steps(mart)
    return dag


def steps(mart: Mart) -> None:
    waiting: dict[str, Any] = {
        "day": DAY,
        "mode": "reschedule",
        "poke_interval": WAIT_INTERVAL.total_seconds(),
        "timeout": WAIT_TIMEOUT.total_seconds(),
        "execution_timeout": timedelta(minutes=5),
    }
    ask = SourcePositionSensor(
        task_id="ask_source",
        doc_md="Asks the source, once the day is over, where its log stands. Without a connection to the source it asks nobody.",
        source=mart.source,
        **waiting,
    )
    wait = VaultLoadedSensor(
        task_id="wait_for_vault",
        doc_md="Waits until everything that the source committed before the day's end is in the vault.",
        conn_id=policy.WRITER_CONNECTION,
        source=mart.source,
        tables=mart.source_tables,
        asked=ask.output,
        **waiting,
    )
    # Without parameters the whole file goes to the server as one string, and so as one transaction.
    create = SQLExecuteQueryOperator(
        task_id="create_schema",
        doc_md="Makes schema and tables where they are missing.",
        conn_id=policy.WRITER_CONNECTION,
        sql=mart.file("create_schema"),
    )
    clear = statements(mart, "clear_period", "Removes what earlier attempts staged. Published rows stay.")
    load = statements(mart, "load", "Computes the day's rows into the staging table.")
    publish = statements(mart, "publish", "Replaces the day's published rows by the checked ones, in one transaction.")
    with TaskGroup("validate", tooltip="what has to hold before anybody sees the rows") as validate:
        checks(mart)
    chain(ask, wait, create, clear, load, validate, publish)


def statements(mart: Mart, step: str, doc: str) -> SQLExecuteQueryOperator:
    """A task that runs a file of statements as one transaction."""
    return SQLExecuteQueryOperator(
        task_id=step,
        doc_md=doc,
        conn_id=policy.WRITER_CONNECTION,
        sql=mart.file(step),
        parameters={"day": DAY, "load_id": LOAD_ID},
        split_statements=True,
        autocommit=False,
    )


def checks(mart: Mart) -> None:
    """Rows that break a rule break it again on the next try, so a failed check ends the run at once."""
    common: dict[str, Any] = {
        "conn_id": policy.WRITER_CONNECTION,
        "retry_on_failure": False,
    }
    own_rows = f"load_id = '{LOAD_ID}'"
    SQLColumnCheckOperator(
        task_id="columns",
        doc_md="Each column on its own: no gaps, and within bounds.",
        table=mart.staging_table,
        partition_clause=own_rows,
        column_mapping={column: dict(rules) for column, rules in mart.column_checks.items()},
        **common,
    )
    SQLTableCheckOperator(
        task_id="rows",
        doc_md="Rows as a whole: keys are unique, columns agree with each other.",
        table=mart.staging_table,
        partition_clause=own_rows,
        checks={name: dict(rule) for name, rule in mart.table_checks.items()},
        **common,
    )
    ReconcileOperator(
        task_id="reconcile",
        doc_md="Sums over the staged rows equal sums over the vault that are computed in another way.",
        sql=mart.file("reconcile"),
        parameters={"day": DAY, "load_id": LOAD_ID},
        **common,
    )


class ReconcileOperator(SQLCheckOperator):
    """The check operator, with parameters that are templates."""

    template_fields = (*SQLCheckOperator.template_fields, "parameters")
    template_ext = SQLCheckOperator.template_ext
