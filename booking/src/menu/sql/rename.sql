-- Corrects the name of the passengers of a booking.
UPDATE public.tickets
SET passenger_name = $2
WHERE book_ref = $1
