"""The DAG airport_passenger_flow_mart: flights and passengers between airports by day, to presentation.airport_passenger_flow."""

from __future__ import annotations

from vaultstream.presentation import Mart, build

MART = Mart(
    name="airport_passenger_flow",
    dag_id="airport_passenger_flow_mart",
    schedule="0 1 * * *",
    source="airline",
    source_tables=("flights", "ticket_flights"),
    tags=("presentation", "daily", "airports"),
    column_checks={
        "flow_day": {"null_check": {"equal_to": 0}, "distinct_check": {"leq_to": 1}},
        "airport_code": {"null_check": {"equal_to": 0}},
        "linked_airport_code": {"null_check": {"equal_to": 0}},
        "flights_out": {"null_check": {"equal_to": 0}, "min": {"geq_to": 0}},
        "passengers_out": {"null_check": {"equal_to": 0}, "min": {"geq_to": 0}},
        "flights_in": {"null_check": {"equal_to": 0}, "min": {"geq_to": 0}},
        "passengers_in": {"null_check": {"equal_to": 0}, "min": {"geq_to": 0}},
    },
    table_checks={
        "day_is_asked_for": {
            "check_statement": "count(*) FILTER (WHERE flow_day <> '{{ period_day(dag_run, params) }}') = 0"
        },
        "key_is_unique": {"check_statement": "count(*) = count(DISTINCT (airport_code, linked_airport_code))"},
        "airports_differ": {"check_statement": "count(*) FILTER (WHERE airport_code = linked_airport_code) = 0"},
        "no_row_without_flights": {"check_statement": "count(*) FILTER (WHERE flights_out + flights_in = 0) = 0"},
        "no_passengers_without_flights": {
            "check_statement": "count(*) FILTER (WHERE (flights_out = 0 AND passengers_out > 0) "
            "OR (flights_in = 0 AND passengers_in > 0)) = 0"
        },
    },
    doc="""
### Passenger flow of airports

Every night at 01:00 UTC: flights and passengers of the UTC day that has ended, between each airport and those it is linked to.
Target: `presentation.airport_passenger_flow`, one row for each day, airport and linked airport.

A flight goes out on the day of its **scheduled** departure and comes in on the day of its scheduled arrival; cancelled flights
do not count; passengers are the segments sold. So a day's rows do not depend on when they are computed, and any day can be
built again: `airflow backfill create --dag-id airport_passenger_flow_mart --from-date … --to-date …`.

Rows are made in `presentation_staging`, checked there, and replace the day's old rows in one transaction. **A failed run changes
nothing that is published.** What to do then: see the log of the failed task, mend the cause, clear the run.
""",
)

dag = build(MART)
