-- Flights of one route with many free seats in Economy, as a list with commas; the first is open for check-in.
WITH open_flights AS (
    SELECT
        f.flight_id,
        f.departure_airport,
        f.arrival_airport,
        f.scheduled_departure,
        (SELECT count(*)
         FROM public.seats AS s
         WHERE s.aircraft_code = f.aircraft_code
           AND s.fare_conditions = 'Economy')
        -
        (SELECT count(*)
         FROM public.ticket_flights AS tf
         WHERE tf.flight_id = f.flight_id
           AND tf.fare_conditions = 'Economy') AS free_seat_count
    FROM public.flights AS f
    WHERE f.status IN ('Scheduled', 'On Time', 'Delayed')
      AND f.scheduled_departure > now() + interval '1 hour'
),
roomy AS (
    SELECT *
    FROM open_flights
    WHERE free_seat_count >= 20
),
route AS (
    SELECT
        departure_airport,
        arrival_airport
    FROM roomy
    GROUP BY departure_airport, arrival_airport
    HAVING count(*) >= 4
       AND min(scheduled_departure) < now() + interval '23 hours'
    ORDER BY sum(free_seat_count) DESC
    LIMIT 1
)
SELECT string_agg(r.flight_id::text, ',' ORDER BY r.scheduled_departure)
FROM roomy AS r
JOIN route AS w
    ON w.departure_airport = r.departure_airport
    AND w.arrival_airport = r.arrival_airport;
