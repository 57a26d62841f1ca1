-- Question: how full are the flights of each route?
-- Grain: one route with flights that have left.
-- Columns: route_key; flights: flights that have left; seats: seats on them; booked, boarded: passengers;
-- load_factor_pct: boarded in percent of the seats, NULL without seats; emptiest_pct, fullest_pct: the same of single
-- flights.
SELECT
    route_key,
    count(*)                                                                       AS flights,
    sum(seats_total)                                                               AS seats,
    sum(passengers_booked)                                                         AS booked,
    sum(passengers_boarded)                                                        AS boarded,
    round(100 * sum(passengers_boarded) / nullif(sum(seats_total), 0), 2)       AS load_factor_pct,
    round(min(100.0 * passengers_boarded / nullif(seats_total, 0)), 2)          AS emptiest_pct,
    round(max(100.0 * passengers_boarded / nullif(seats_total, 0)), 2)          AS fullest_pct
FROM dwh_marts.fact_flight_operations
WHERE status IN ('Departed', 'Arrived')
GROUP BY route_key
ORDER BY
    load_factor_pct DESC NULLS LAST,
    route_key;
