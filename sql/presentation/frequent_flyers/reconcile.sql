-- Holds the staged rows against the vault by another way than the one they were made by: flights are counted for each ticket,
-- tickets are added up for each passenger. One row of booleans; each must be true.
-- It asks with the same bounds as load.sql. A change that the vault loads between the two and that lies in the past makes this
-- fail; the whole run is then to be repeated, which is right: half of the day's rows would be older than the other half.
-- Parameters: load_id; day.

WITH ticket_totals AS (
    SELECT
        segment.ticket_no,
        count(*)            AS flights_num,
        sum(segment.amount) AS revenue
    FROM dwh_marts.current_ticket_flights AS segment
    WHERE EXISTS (
        SELECT
        FROM dwh_marts.current_flights AS flight
        WHERE flight.flight_id = segment.flight_id
            AND flight.status <> 'Cancelled'
            AND (flight.scheduled_departure AT TIME ZONE 'UTC')::date <= %(day)s::date
    )
    GROUP BY segment.ticket_no
),
passenger_totals AS (
    SELECT
        ticket.passenger_id,
        sum(totals.flights_num) AS flights_num,
        sum(totals.revenue)     AS revenue
    FROM dwh_marts.current_tickets AS ticket
    JOIN ticket_totals AS totals ON totals.ticket_no = ticket.ticket_no
    GROUP BY ticket.passenger_id
),
vault AS (
    SELECT
        count(*)                      AS passengers,
        coalesce(sum(flights_num), 0) AS flights_num,
        coalesce(sum(revenue), 0)     AS revenue
    FROM passenger_totals
    WHERE flights_num >= 5
),
staged AS (
    SELECT
        count(*)                      AS passengers,
        coalesce(sum(flights_num), 0) AS flights_num,
        coalesce(sum(revenue), 0)     AS revenue
    FROM presentation_staging.frequent_flyers
    WHERE load_id = %(load_id)s
)
SELECT
    staged.passengers = vault.passengers   AS all_passengers_are_here,
    staged.flights_num = vault.flights_num AS all_flights_are_here,
    staged.revenue = vault.revenue         AS all_revenue_is_here
FROM staged
CROSS JOIN vault;
