-- Question: how do flights fill up as the day of departure comes nearer?
-- Grain: one cabin and one number of days before departure, over flights that are not cancelled.
-- Columns: fare_conditions: cabin; days_before: 30, 21, 14, 7, 3, 1 or 0; flights: flights that were on sale then with that
-- cabin; seats: its seats on them; sold: seats sold by the end of that day; sold_pct: percent of the seats.
SELECT
    inventory.fare_conditions,
    days_before,
    count(*)                                                                  AS flights,
    sum(inventory.seats_total)                                                AS seats,
    sum(inventory.seats_sold)                                                 AS sold,
    round(100 * sum(inventory.seats_sold) / sum(inventory.seats_total), 2) AS sold_pct
FROM unnest(ARRAY[30, 21, 14, 7, 3, 1, 0]) AS days_before
CROSS JOIN dwh_marts.dim_flight AS flight
JOIN dwh_marts.fact_seat_inventory AS inventory
    ON inventory.flight_key = flight.flight_key
    AND inventory.snapshot_date = flight.departure_day - days_before
WHERE NOT flight.is_cancelled
    AND inventory.seats_total > 0
GROUP BY
    inventory.fare_conditions,
    days_before
ORDER BY
    inventory.fare_conditions COLLATE "C",
    days_before DESC;
