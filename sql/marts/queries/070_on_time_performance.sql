-- Question: how punctual are departures from each airport?
-- Grain: one airport with departures.
-- Columns: airport_code, city; departures: flights that have left; on_time: those at most fifteen minutes late;
-- on_time_pct; average_delay_min: mean of all, early ones negative; delay_p90_min: nine in ten left with at most this delay.
SELECT
    operation.departure_airport                                                                  AS airport_code,
    airport.city,
    count(*)                                                                                     AS departures,
    count(*) FILTER (WHERE operation.departure_delay_min <= 15)                                  AS on_time,
    round(100.0 * count(*) FILTER (WHERE operation.departure_delay_min <= 15) / count(*), 2) AS on_time_pct,
    round(avg(operation.departure_delay_min), 1)                                                 AS average_delay_min,
    percentile_disc(0.9) WITHIN GROUP (ORDER BY operation.departure_delay_min)                   AS delay_p90_min
FROM dwh_marts.fact_flight_operations AS operation
LEFT JOIN dwh_marts.dim_airport AS airport
    ON airport.airport_code = operation.departure_airport
    AND airport.is_current
WHERE operation.departure_delay_min IS NOT NULL
GROUP BY
    operation.departure_airport,
    airport.city
ORDER BY
    on_time_pct DESC,
    airport_code;
