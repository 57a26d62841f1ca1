"""The DAG vault_checks: every query of sql/checks, each of which must return no rows.

In: the vault, read as vault_checker. Out: a task for each rule; one that finds a violation fails and names it.
Invariant: a new file in sql/checks becomes a task without a change here.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.common.sql.operators.sql import BaseSQLOperator
from airflow.sdk import DAG, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowFailException

from vaultstream import policy

DAG_ID = "vault_checks"

# Of so many violations, these are shown; the rest is counted.
SHOWN = 20

DOC = """
### Rules of the vault

Every night at 02:00 UTC: the queries of `sql/checks`, one task each. A query returns the violations of one rule; a task that gets
a row fails at once and shows it. The queries show hash keys, never business keys.

A violation is never mended by running again. It says that the loader has a fault, or that somebody wrote to the vault by hand.
"""


class NoRowsOperator(BaseSQLOperator):
    """Runs a query that must return no rows."""

    template_fields = ("sql", *BaseSQLOperator.template_fields)
    template_ext = (".sql",)
    template_fields_renderers = {"sql": "sql"}

    def __init__(self, *, sql: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sql = sql

    def execute(self, context: Any) -> None:
        violations = self.get_db_hook().get_records(self.sql)
        for row in violations[:SHOWN]:
            self.log.error("%s", " | ".join(str(value) for value in row))
        if violations:
            raise AirflowFailException(f"{len(violations)} violations of the rule; the first ones are above")
        self.log.info("no violation")


with DAG(
    dag_id=DAG_ID,
    description="runs the queries that must return no rows over the vault",
    doc_md=DOC,
    schedule=CronTriggerTimetable("0 2 * * *", timezone="UTC"),
    start_date=policy.START_DATE,
    catchup=False,
    max_active_runs=1,
    # The checks read the whole vault: two at a time leave the server room for its other work.
    max_active_tasks=2,
    is_paused_upon_creation=False,
    dagrun_timeout=timedelta(hours=3),
    deadline=policy.deadline(DAG_ID, timedelta(hours=2)),
    default_args=policy.DEFAULT_ARGS,
    tags=["vault", "daily"],
    template_searchpath=str(policy.SQL_FOLDER),
) as dag:
    for file in sorted(Path(policy.SQL_FOLDER, "checks").glob("*.sql")):
        NoRowsOperator(
            task_id=file.stem,
            doc_md=file.read_text(encoding="utf-8").split("\nWITH", 1)[0].replace("--", ""),
            conn_id=policy.CHECKER_CONNECTION,
            sql=f"checks/{file.name}",
        )
