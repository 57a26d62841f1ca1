-- Question: which routes bring in the most money?
-- Grain: one route that has flights which are not cancelled.
-- Columns: route_key, departure_city, arrival_city, distance_km; flights; segments: seats sold; revenue: roubles;
-- revenue_per_segment: average fare; fare_per_km: roubles for each kilometre of an average segment.
WITH sales_by_flight AS (
    SELECT
        flight_key,
        count(*)    AS segments,
        sum(amount) AS revenue
    FROM dwh_marts.fact_bookings
    GROUP BY flight_key
),
sales_by_route AS (
    SELECT
        flight.route_key,
        count(*)                          AS flights,
        coalesce(sum(sale.segments), 0)   AS segments,
        coalesce(sum(sale.revenue), 0.00) AS revenue
    FROM dwh_marts.dim_flight AS flight
    LEFT JOIN sales_by_flight AS sale ON sale.flight_key = flight.flight_key
    WHERE NOT flight.is_cancelled
    GROUP BY flight.route_key
)
SELECT
    route.route_key,
    route.departure_city,
    route.arrival_city,
    route.distance_km,
    sale.flights,
    sale.segments,
    sale.revenue,
    round(sale.revenue / nullif(sale.segments, 0), 2)                                   AS revenue_per_segment,
    round(sale.revenue / nullif(sale.segments, 0) / nullif(route.distance_km, 0), 2) AS fare_per_km
FROM sales_by_route AS sale
JOIN dwh_marts.dim_route AS route ON route.route_key = sale.route_key
ORDER BY
    sale.revenue DESC,
    route.route_key;
