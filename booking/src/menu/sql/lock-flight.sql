-- The next flight that can still be booked and has a seat left in economy, locked until the end of the transaction.
SELECT f.flight_id,
       f.flight_no,
       f.departure_airport,
       f.arrival_airport,
       extract(epoch FROM f.scheduled_arrival - f.scheduled_departure)::bigint / 60 AS minutes
FROM public.flights AS f
WHERE f.status IN ('Scheduled', 'On Time', 'Delayed')
  AND f.scheduled_departure > now() + interval '5 minutes'
  AND (
      SELECT count(*)
      FROM public.ticket_flights AS tf
      WHERE tf.flight_id = f.flight_id
        AND tf.fare_conditions = 'Economy'
  ) < (
      SELECT count(*)
      FROM public.seats AS s
      WHERE s.aircraft_code = f.aircraft_code
        AND s.fare_conditions = 'Economy'
  )
ORDER BY f.scheduled_departure, f.flight_id
LIMIT 1
FOR UPDATE
