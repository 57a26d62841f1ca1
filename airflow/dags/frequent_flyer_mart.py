"""The DAG frequent_flyer_mart: who flies often, as of the end of each day, to presentation.frequent_flyers."""

from __future__ import annotations

from vaultstream.presentation import Mart, build

MART = Mart(
    name="frequent_flyers",
    dag_id="frequent_flyer_mart",
    schedule="0 0 * * *",
    source="airline",
    source_tables=("flights", "tickets", "ticket_flights"),
    tags=("presentation", "daily", "passengers"),
    column_checks={
        "as_of_day": {"null_check": {"equal_to": 0}, "distinct_check": {"leq_to": 1}},
        "passenger_id": {"null_check": {"equal_to": 0}, "unique_check": {"equal_to": 0}},
        "rank_no": {"null_check": {"equal_to": 0}, "unique_check": {"equal_to": 0}},
        "flights_num": {"null_check": {"equal_to": 0}},
        "revenue": {"null_check": {"equal_to": 0}, "min": {"geq_to": 0}},
        "home_airport": {"null_check": {"equal_to": 0}},
        "first_flight_day": {"null_check": {"equal_to": 0}},
        "last_flight_day": {"null_check": {"equal_to": 0}},
    },
    table_checks={
        "day_is_asked_for": {
            "check_statement": "count(*) FILTER (WHERE as_of_day <> '{{ period_day(dag_run, params) }}') = 0"
        },
        "nobody_flies_rarely": {"check_statement": "count(*) FILTER (WHERE flights_num < 5) = 0"},
        "first_flight_is_not_after_last": {
            "check_statement": "count(*) FILTER (WHERE first_flight_day > last_flight_day) = 0"
        },
        "no_flight_is_after_the_day": {
            "check_statement": "count(*) FILTER (WHERE last_flight_day > as_of_day) = 0"
        },
        "ranks_have_no_gap": {"check_statement": "coalesce(max(rank_no), 0) = count(*)"},
        "group_tells_the_flights": {
            "check_statement": "count(*) FILTER (WHERE passenger_group <> "
            "CASE WHEN flights_num >= 10 THEN '10 flights and more' ELSE '5-9 flights' END) = 0"
        },
    },
    doc="""
### Frequent flyers

Every night at 00:00 UTC: the passengers with at least five flights as of the end of the day that has just ended, with what
they paid, where they fly from most, and their place. Target: `presentation.frequent_flyers`, one row for each day and
passenger.

A flight counts by its **scheduled** departure, cancelled flights do not count. So a day's rows do not depend on when they are
computed, and any day can be built again: `airflow backfill create --dag-id frequent_flyer_mart --from-date … --to-date …`.

Rows are made in `presentation_staging`, checked there, and replace the day's old rows in one transaction. **A failed run changes
nothing that is published.** What to do then: see the log of the failed task, mend the cause, clear the run.
""",
)

dag = build(MART)
