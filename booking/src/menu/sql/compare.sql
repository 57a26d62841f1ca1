-- What a server holds, and up to which place of the WAL.
SELECT (SELECT count(*) FROM public.bookings) AS bookings,
       (SELECT count(*) FROM public.tickets) AS tickets,
       (SELECT count(*) FROM public.ticket_flights) AS segments,
       (SELECT book_ref FROM public.bookings ORDER BY book_date DESC, book_ref LIMIT 1) AS newest,
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text AS lsn
