-- Passengers by how often they fly, and what each group brings in.
-- Invariant: six rows, a group without passengers included; each passenger who holds a ticket now is in exactly one
-- group; each column of shares sums to exactly 100.00, or is NULL throughout when there is nothing to share out.
--   * flights of a passenger: segments of all the passenger's tickets, past and future, on flights that are not
--     cancelled;
--   * revenue: what all those segments cost, in roubles, cancelled flights included: it was paid;
--   * shares are percent, cut off after two decimals; what is left over goes, a hundredth each, to those who lost
--     most by it (ties: the smaller group number).
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW dwh_marts.v_passenger_groups_revenue AS
WITH groups (group_no, passenger_group, flights_min, flights_max) AS (
    VALUES
        (1, 'no flights', 0, 0),
        (2, '1 flight', 1, 1),
        (3, '2 flights', 2, 2),
        (4, '3-4 flights', 3, 4),
        (5, '5-9 flights', 5, 9),
        (6, '10 flights and more', 10, NULL)
),
latest_sales AS (
    SELECT
        version.hash_key,
        version.amount
    FROM dwh_detailed.sat_ticket_flights AS version
    WHERE NOT EXISTS (
        SELECT
        FROM dwh_detailed.sat_ticket_flights AS newer
        WHERE newer.hash_key = version.hash_key
            AND newer.load_date > version.load_date
    )
),
cancelled_flights AS (
    SELECT version.hash_key
    FROM dwh_detailed.sat_flight_operations AS version
    WHERE version.status = 'Cancelled'
        AND NOT EXISTS (
            SELECT
            FROM dwh_detailed.sat_flight_operations AS newer
            WHERE newer.hash_key = version.hash_key
                AND newer.load_date > version.load_date
        )
),
sold_segments AS (
    SELECT
        segment.ticket_hash_key,
        count(*) FILTER (WHERE cancelled.hash_key IS NULL) AS flights,
        sum(sale.amount)                                   AS revenue
    FROM dwh_marts.current_link_ticket_flights AS segment
    LEFT JOIN latest_sales AS sale ON sale.hash_key = segment.hash_key
    LEFT JOIN cancelled_flights AS cancelled ON cancelled.hash_key = segment.flight_hash_key
    GROUP BY segment.ticket_hash_key
),
travellers AS (
    SELECT
        of_passenger.passenger_hash_key,
        coalesce(sum(sold.flights), 0)::bigint AS flights,
        coalesce(sum(sold.revenue), 0)         AS revenue
    FROM dwh_marts.current_link_ticket_passengers AS of_passenger
    LEFT JOIN sold_segments AS sold ON sold.ticket_hash_key = of_passenger.ticket_hash_key
    GROUP BY of_passenger.passenger_hash_key
),
group_totals AS (
    SELECT
        groups.group_no,
        groups.passenger_group,
        count(people.passenger_hash_key)          AS passengers,
        coalesce(sum(people.flights), 0)::bigint AS flights,
        coalesce(sum(people.revenue), 0.00)      AS revenue
    FROM groups
    LEFT JOIN travellers AS people
        ON people.flights >= groups.flights_min
        AND (people.flights <= groups.flights_max OR groups.flights_max IS NULL)
    GROUP BY
        groups.group_no,
        groups.passenger_group
),
in_hundredths AS (
    SELECT
        *,
        div(10000 * passengers, nullif(sum(passengers) OVER (), 0)) AS passengers_hundredths,
        mod(10000 * passengers, nullif(sum(passengers) OVER (), 0)) AS passengers_lost,
        div(10000 * revenue, nullif(sum(revenue) OVER (), 0))       AS revenue_hundredths,
        mod(10000 * revenue, nullif(sum(revenue) OVER (), 0))       AS revenue_lost
    FROM group_totals
),
ranked AS (
    SELECT
        *,
        row_number() OVER (ORDER BY passengers_lost DESC, group_no) AS passengers_rank,
        row_number() OVER (ORDER BY revenue_lost DESC, group_no)    AS revenue_rank,
        10000 - sum(passengers_hundredths) OVER ()                  AS passengers_left_over,
        10000 - sum(revenue_hundredths) OVER ()                     AS revenue_left_over
    FROM in_hundredths
)
SELECT
    group_no,
    passenger_group,
    passengers,
    round((passengers_hundredths + (passengers_rank <= passengers_left_over)::integer) / 100, 2)
        AS passengers_share_pct,
    flights,
    revenue,
    round((revenue_hundredths + (revenue_rank <= revenue_left_over)::integer) / 100, 2) AS revenue_share_pct
FROM ranked
ORDER BY group_no;

COMMENT ON VIEW dwh_marts.v_passenger_groups_revenue IS
    'passengers grouped by the number of their flights, with what each group paid';
COMMENT ON COLUMN dwh_marts.v_passenger_groups_revenue.group_no IS 'order of the groups, the rarest flyers first';
COMMENT ON COLUMN dwh_marts.v_passenger_groups_revenue.passenger_group IS
    'number of flights: segments of all tickets of a passenger, cancelled flights left out';
COMMENT ON COLUMN dwh_marts.v_passenger_groups_revenue.passengers IS 'passengers in the group';
COMMENT ON COLUMN dwh_marts.v_passenger_groups_revenue.passengers_share_pct IS
    'percent of all passengers; sums to 100.00; NULL when there are none';
COMMENT ON COLUMN dwh_marts.v_passenger_groups_revenue.flights IS 'flights of those passengers together';
COMMENT ON COLUMN dwh_marts.v_passenger_groups_revenue.revenue IS
    'price of all their segments, cancelled flights included, roubles';
COMMENT ON COLUMN dwh_marts.v_passenger_groups_revenue.revenue_share_pct IS
    'percent of the revenue of all groups; sums to 100.00; NULL when there is none';

COMMIT;
