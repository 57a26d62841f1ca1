-- Question: at which airports do passengers change, between which other airports?
-- Grain: one airport of connection with the airport before and the one after.
-- Columns: via_airport, from_airport, to_airport; passengers: tickets that connect so; average_wait_min: minutes from
-- planned arrival to planned departure.
-- A connection: two segments of one ticket, the second from where the first ends, leaving within 24 hours after it is
-- planned to land, neither cancelled.
SELECT
    inbound_flight.arrival_airport     AS via_airport,
    inbound_flight.departure_airport   AS from_airport,
    outbound_flight.arrival_airport    AS to_airport,
    count(*)                           AS passengers,
    round(extract(epoch FROM avg(outbound_flight.scheduled_departure - inbound_flight.scheduled_arrival)) / 60, 1)
        AS average_wait_min
FROM dwh_marts.fact_bookings AS inbound
JOIN dwh_marts.dim_flight AS inbound_flight ON inbound_flight.flight_key = inbound.flight_key
JOIN dwh_marts.fact_bookings AS outbound ON outbound.ticket_key = inbound.ticket_key
JOIN dwh_marts.dim_flight AS outbound_flight
    ON outbound_flight.flight_key = outbound.flight_key
    AND outbound_flight.departure_airport = inbound_flight.arrival_airport
    AND outbound_flight.scheduled_departure > inbound_flight.scheduled_arrival
    AND outbound_flight.scheduled_departure <= inbound_flight.scheduled_arrival + interval '24 hours'
WHERE NOT inbound_flight.is_cancelled
    AND NOT outbound_flight.is_cancelled
GROUP BY
    inbound_flight.arrival_airport,
    inbound_flight.departure_airport,
    outbound_flight.arrival_airport
ORDER BY
    passengers DESC,
    via_airport,
    from_airport,
    to_airport;
