-- The newest bookings, with a passenger and a flight of each.
SELECT b.book_ref,
       to_char(b.book_date AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS booked_at,
       t.passenger_name,
       concat_ws(' ', f.flight_no, f.departure_airport || '-' || f.arrival_airport) AS flight,
       b.total_amount::text AS total
FROM (
    SELECT book_ref, book_date, total_amount
    FROM public.bookings
    ORDER BY book_date DESC, book_ref
    LIMIT 5
) AS b
LEFT JOIN LATERAL (
    SELECT ticket_no, passenger_name
    FROM public.tickets
    WHERE book_ref = b.book_ref
    ORDER BY ticket_no
    LIMIT 1
) AS t ON true
LEFT JOIN LATERAL (
    SELECT flights.flight_no, flights.departure_airport, flights.arrival_airport
    FROM public.ticket_flights AS tf
    JOIN public.flights ON flights.flight_id = tf.flight_id
    WHERE tf.ticket_no = t.ticket_no
    ORDER BY flights.scheduled_departure
    LIMIT 1
) AS f ON true
ORDER BY b.book_date DESC, b.book_ref
