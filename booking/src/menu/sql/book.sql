-- A booking of one passenger on the locked flight, unless its last seat was sold while the lock was awaited.
-- $1 booking reference, $2 ticket number, $3 document, $4 name, $5 flight, $6 price in kopecks
WITH free AS (
    SELECT f.flight_id
    FROM public.flights AS f
    WHERE f.flight_id = $5
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
), booking AS (
    INSERT INTO public.bookings (book_ref, book_date, total_amount)
    SELECT $1::text, now(), $6::bigint / 100.0
    FROM free
    RETURNING book_ref
), ticket AS (
    INSERT INTO public.tickets (ticket_no, book_ref, passenger_id, passenger_name)
    SELECT $2::text, booking.book_ref, $3::text, $4::text
    FROM booking
    RETURNING ticket_no
)
INSERT INTO public.ticket_flights (ticket_no, flight_id, fare_conditions, amount)
SELECT ticket.ticket_no, free.flight_id, 'Economy', $6::bigint / 100.0
FROM ticket
CROSS JOIN free
