-- Whether a server shows a booking.
SELECT passenger_name
FROM public.tickets
WHERE book_ref = $1
ORDER BY ticket_no
LIMIT 1
