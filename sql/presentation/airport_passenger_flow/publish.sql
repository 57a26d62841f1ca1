-- Puts the checked rows in the place of the day's old ones.
-- Invariant: all statements of this file are one transaction: readers see the old day or the new one, whole, and a run that is
-- killed here leaves the old one.
-- Parameters: load_id; day.

-- Two runs for one day take turns; without this the second would trip over the primary key.
SELECT pg_advisory_xact_lock(hashtextextended('presentation.airport_passenger_flow', 0));

DELETE FROM presentation.airport_passenger_flow
WHERE flow_day = %(day)s::date;

INSERT INTO presentation.airport_passenger_flow (
    flow_day,
    airport_code,
    linked_airport_code,
    flights_out,
    passengers_out,
    flights_in,
    passengers_in
)
SELECT
    flow_day,
    airport_code,
    linked_airport_code,
    flights_out,
    passengers_out,
    flights_in,
    passengers_in
FROM presentation_staging.airport_passenger_flow
WHERE load_id = %(load_id)s;

DELETE FROM presentation_staging.airport_passenger_flow
WHERE load_id = %(load_id)s;

DELETE FROM presentation_staging.control_totals
WHERE load_id = %(load_id)s;
