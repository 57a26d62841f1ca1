-- Question: how well is each cabin sold and used?
-- Grain: one cabin, over all flights that have left.
-- Columns: fare_conditions: cabin; flights: flights that have left with that cabin or with somebody booked in it;
-- seats_offered: its seats on them; seats_sold; seats_used: seats sold with a boarding pass; sold_pct, used_pct: percent
-- of the seats offered, NULL when there were none; revenue: roubles.
WITH departed_flights AS (
    SELECT
        flight_key,
        aircraft_code
    FROM dwh_marts.dim_flight
    WHERE status IN ('Departed', 'Arrived')
),
cabins AS (
    SELECT
        aircraft_code,
        fare_conditions,
        count(*) AS seats
    FROM dwh_marts.dim_seat
    GROUP BY
        aircraft_code,
        fare_conditions
),
sales AS (
    SELECT
        flight_key,
        fare_conditions,
        count(*)                              AS sold,
        count(*) FILTER (WHERE is_checked_in) AS used,
        sum(amount)                           AS revenue
    FROM dwh_marts.fact_bookings
    GROUP BY
        flight_key,
        fare_conditions
),
offers AS (
    SELECT
        flight.flight_key,
        cabin.fare_conditions,
        cabin.seats
    FROM departed_flights AS flight
    JOIN cabins AS cabin ON cabin.aircraft_code = flight.aircraft_code
),
departed_sales AS (
    SELECT sale.*
    FROM sales AS sale
    JOIN departed_flights AS flight ON flight.flight_key = sale.flight_key
)
SELECT
    fare_conditions,
    count(*)                                                                       AS flights,
    coalesce(sum(offer.seats), 0)                                                  AS seats_offered,
    coalesce(sum(sale.sold), 0)                                                    AS seats_sold,
    coalesce(sum(sale.used), 0)                                                    AS seats_used,
    round(100 * coalesce(sum(sale.sold), 0) / nullif(sum(offer.seats), 0), 2) AS sold_pct,
    round(100 * coalesce(sum(sale.used), 0) / nullif(sum(offer.seats), 0), 2) AS used_pct,
    coalesce(sum(sale.revenue), 0.00)                                              AS revenue
FROM offers AS offer
FULL JOIN departed_sales AS sale USING (flight_key, fare_conditions)
GROUP BY fare_conditions
ORDER BY fare_conditions COLLATE "C";
