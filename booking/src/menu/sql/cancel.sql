-- Cancels a booking of which no flight has left: the booking goes with all that belongs to it.
WITH cancelled AS (
    SELECT b.book_ref
    FROM public.bookings AS b
    WHERE b.book_ref = $1
      AND NOT EXISTS (
          SELECT
          FROM public.tickets AS t
          JOIN public.ticket_flights AS tf ON tf.ticket_no = t.ticket_no
          JOIN public.flights AS f ON f.flight_id = tf.flight_id
          WHERE t.book_ref = b.book_ref
            AND f.actual_departure IS NOT NULL
      )
), its_tickets AS (
    SELECT t.ticket_no
    FROM public.tickets AS t
    JOIN cancelled AS c ON c.book_ref = t.book_ref
), passes AS (
    DELETE FROM public.boarding_passes
    WHERE ticket_no IN (SELECT ticket_no FROM its_tickets)
), segments AS (
    DELETE FROM public.ticket_flights
    WHERE ticket_no IN (SELECT ticket_no FROM its_tickets)
), tickets AS (
    DELETE FROM public.tickets
    WHERE ticket_no IN (SELECT ticket_no FROM its_tickets)
)
DELETE FROM public.bookings
WHERE book_ref IN (SELECT book_ref FROM cancelled)
