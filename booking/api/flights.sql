-- Adds flights of one route with many free seats, ten hours from now and on each of the next three days, and shows their ids
-- as a list with commas. Check-in of the first is open.
WITH route AS (
    SELECT
        departure_airport,
        arrival_airport,
        scheduled_arrival - scheduled_departure AS flying_time
    FROM public.flights
    ORDER BY flight_id
    LIMIT 1
),
largest AS (
    SELECT aircraft_code
    FROM public.seats
    GROUP BY aircraft_code
    ORDER BY count(*) DESC
    LIMIT 1
),
added AS (
    INSERT INTO public.flights (
        flight_no, scheduled_departure, scheduled_arrival, departure_airport, arrival_airport, status, aircraft_code
    )
    SELECT
        'ZZ0001',
        departs.at,
        departs.at + r.flying_time,
        r.departure_airport,
        r.arrival_airport,
        'Scheduled',
        l.aircraft_code
    FROM route AS r
    CROSS JOIN largest AS l
    CROSS JOIN generate_series(0, 3) AS day
    CROSS JOIN LATERAL (
        SELECT date_trunc('minute', now()) + make_interval(hours => 10, days => day)
    ) AS departs (at)
    RETURNING flight_id, scheduled_departure
)
SELECT string_agg(flight_id::text, ',' ORDER BY scheduled_departure)
FROM added;
