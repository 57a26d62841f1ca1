-- Computes one day's frequent flyers into the staging table; create_schema.sql says what the columns mean.
-- Beside the rows it keeps what they have to add up to, computed in another way; reconcile.sql compares.
-- Invariant: reads dwh_marts.current_* only, which are exact at any time; all of it sees the vault at one moment, so that what the
-- loader writes meanwhile cannot make rows and totals disagree.
-- Parameters: load_id; day, the calendar day in UTC.

SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;

INSERT INTO presentation_staging.frequent_flyers (
    load_id,
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
WITH flown_flights AS (
    SELECT
        flight_id,
        departure_airport,
        (scheduled_departure AT TIME ZONE 'UTC')::date AS flight_day
    FROM dwh_marts.current_flights
    WHERE status <> 'Cancelled'
        AND scheduled_departure < (%(day)s::date + 1)::timestamp AT TIME ZONE 'UTC'
),
flown_segments AS (
    SELECT
        of_passenger.passenger_id,
        flight.departure_airport,
        flight.flight_day,
        segment.amount
    FROM flown_flights AS flight
    JOIN dwh_marts.current_ticket_flights AS segment ON segment.flight_id = flight.flight_id
    JOIN dwh_marts.current_link_ticket_passengers AS of_passenger ON of_passenger.ticket_no = segment.ticket_no
),
passengers_by_airport AS (
    SELECT
        passenger_id,
        departure_airport,
        count(*)        AS flights_num,
        sum(amount)     AS revenue,
        min(flight_day) AS first_flight_day,
        max(flight_day) AS last_flight_day
    FROM flown_segments
    GROUP BY
        passenger_id,
        departure_airport
),
passengers AS (
    SELECT
        passenger_id,
        sum(flights_num)::bigint AS flights_num,
        sum(revenue)             AS revenue,
        (array_agg(departure_airport ORDER BY flights_num DESC, departure_airport COLLATE "C"))[1] AS home_airport,
        min(first_flight_day)    AS first_flight_day,
        max(last_flight_day)     AS last_flight_day
    FROM passengers_by_airport
    GROUP BY passenger_id
    HAVING sum(flights_num) >= 5
)
SELECT
    %(load_id)s,
    %(day)s::date,
    passenger_id,
    row_number() OVER (ORDER BY flights_num DESC, revenue DESC, passenger_id COLLATE "C"),
    CASE WHEN flights_num >= 10 THEN '10 flights and more' ELSE '5-9 flights' END,
    flights_num,
    revenue,
    home_airport,
    first_flight_day,
    last_flight_day
FROM passengers;

-- Flights are counted for each ticket, tickets are added up for each passenger.
INSERT INTO presentation_staging.control_totals (
    load_id,
    name,
    total
)
WITH ticket_totals AS (
    SELECT
        segment.ticket_no,
        count(*)            AS flights_num,
        sum(segment.amount) AS revenue
    FROM dwh_marts.current_ticket_flights AS segment
    WHERE segment.flight_id IN (
        SELECT flight.flight_id
        FROM dwh_marts.current_flights AS flight
        WHERE flight.status <> 'Cancelled'
            AND (flight.scheduled_departure AT TIME ZONE 'UTC')::date <= %(day)s::date
    )
    GROUP BY segment.ticket_no
),
passenger_totals AS (
    SELECT
        ticket.passenger_id,
        sum(totals.flights_num) AS flights_num,
        sum(totals.revenue)     AS revenue
    FROM ticket_totals AS totals
    JOIN dwh_marts.current_link_ticket_passengers AS ticket ON ticket.ticket_no = totals.ticket_no
    GROUP BY ticket.passenger_id
    HAVING sum(totals.flights_num) >= 5
),
sums AS (
    SELECT
        count(*)                      AS passengers,
        coalesce(sum(flights_num), 0) AS flights,
        coalesce(sum(revenue), 0)     AS revenue
    FROM passenger_totals
)
SELECT
    %(load_id)s,
    control.name,
    control.total
FROM sums
CROSS JOIN LATERAL (
    VALUES
        ('passengers', sums.passengers),
        ('flights', sums.flights),
        ('revenue', sums.revenue)
) AS control (name, total);
