-- Journeys that the customers of the plans want, one a line: from, to, day of departure, class, what comes after the
-- booking. They are flights that leave within the next months, drawn with the same result for the same seed and the same
-- flights.
--
--   psql --no-align --tuples-only --set seed=1 --set count=5000 --file load-tests/trips.sql --dbname … \
--       >bench-results/trips.csv
WITH flights AS (
    SELECT
        row_number() OVER (ORDER BY f.flight_id) - 1 AS no,
        count(*) OVER () AS flight_count,
        f.departure_airport,
        f.arrival_airport,
        (f.scheduled_departure AT TIME ZONE a.timezone)::date AS day
    FROM public.flights AS f
    JOIN public.airports AS a ON a.airport_code = f.departure_airport
    WHERE
        f.status = 'Scheduled'
        AND f.scheduled_departure > now() + interval '1 day'
        -- An airport whose time zone nobody knows cannot be searched.
        AND a.timezone IN (SELECT name FROM pg_timezone_names)
),

drawn AS (
    SELECT
        trip,
        ('x' || substr(hash, 1, 7))::bit(28)::integer AS flight,
        ('x' || substr(hash, 8, 4))::bit(16)::integer % 10 AS fare,
        ('x' || substr(hash, 12, 4))::bit(16)::integer % 10 AS next
    FROM generate_series(1, :count) AS trip
    CROSS JOIN LATERAL md5(:'seed' || '/' || trip) AS hash
)

SELECT
    concat_ws(
        ',',
        f.departure_airport,
        f.arrival_airport,
        f.day,
        CASE WHEN d.fare = 0 THEN 'Business' ELSE 'Economy' END,
        (ARRAY['keep', 'keep', 'keep', 'keep', 'keep', 'repeat', 'seat', 'seat', 'give-back', 'cancel'])[d.next + 1]
    )
FROM drawn AS d
JOIN flights AS f ON f.no = d.flight % f.flight_count
ORDER BY d.trip;
