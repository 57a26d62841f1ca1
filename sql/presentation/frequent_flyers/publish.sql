-- Puts the checked rows in the place of the day's old ones.
-- Invariant: all statements of this file are one transaction: readers see the old day or the new one, whole, and a run that is
-- killed here leaves the old one.
-- Parameters: load_id; day.

-- Two runs for one day take turns; without this the second would trip over the primary key.
SELECT pg_advisory_xact_lock(hashtextextended('presentation.frequent_flyers', 0));

DELETE FROM presentation.frequent_flyers
WHERE as_of_day = %(day)s::date;

INSERT INTO presentation.frequent_flyers (
    as_of_day,
    passenger_id,
    rank_no,
    passenger_group,
    flights_num,
    revenue,
    home_airport,
    first_flight_day,
    last_flight_day
)
SELECT
    as_of_day,
    passenger_id,
    rank_no,
    passenger_group,
    flights_num,
    revenue,
    home_airport,
    first_flight_day,
    last_flight_day
FROM presentation_staging.frequent_flyers
WHERE load_id = %(load_id)s;

DELETE FROM presentation_staging.frequent_flyers
WHERE load_id = %(load_id)s;

DELETE FROM presentation_staging.control_totals
WHERE load_id = %(load_id)s;
