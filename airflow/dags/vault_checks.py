"""The DAG vault_checks: every rule of the vault, a view of the schema dwh_checks that must show no rows.

In: the vault, read as vault_checker. Out: a task for each rule; one that finds a violation fails and names it.
Invariant: RULES are the views of dwh_checks; tests/test_failures.py compares them with the warehouse.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.common.sql.operators.sql import BaseSQLOperator
from airflow.sdk import DAG, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowFailException

from vaultstream import policy

DAG_ID = "vault_checks"

# `vault-loader migrate` makes all but the last one, which belongs to the star schema.
RULES = (
    "hash_keys",
    "link_hubs_exist",
    "satellite_parents_exist",
    "satellite_versions_unique",
    "versions_differ",
    "versions_in_source_order",
    "effectivity_links_exist",
    "effectivity_links_of_their_key",
    "system_rows",
    "business_keys_unique",
    "keys_have_versions",
    "star_equals_vault",
)

# Of so many violations, these are shown; the rest is counted.
SHOWN = 20

DOC = """
### Rules of the vault

Every night at 02:00 UTC: the views of `dwh_checks`, one task each. A view shows the violations of one rule; a task that gets a row
fails at once and shows it. The views show hash keys; only
`star_equals_vault` shows rows, those of the star schema.

A violation is never mended by running again. It says that the loader has a fault, or that somebody wrote to the vault by hand.
"""


class NoRowsOperator(BaseSQLOperator):
    """Runs a query that must return no rows."""

    template_fields = ("sql", *BaseSQLOperator.template_fields)
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
) as dag:
    for rule in RULES:
        NoRowsOperator(
            task_id=rule,
            doc_md=f"The comment on `dwh_checks.{rule}` says what the rule is.",
            conn_id=policy.CHECKER_CONNECTION,
            sql=f"SELECT rule, table_name, detail FROM dwh_checks.{rule}",
        )
