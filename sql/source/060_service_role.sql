-- The role of the booking service; needs the psql variable service_password. It stands on 010, 040 and 050.
-- Invariant: booking_service can do what the service does and nothing else: it sells, changes and cancels bookings and
-- checks in; it reads airports, aircraft, seats and flights and changes none of them, but for what staff edits (072).
-- booking_app, the role of the simulator, also sees which seats the service has given away.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

SELECT 'CREATE ROLE booking_service'
WHERE NOT EXISTS (
    SELECT
    FROM pg_catalog.pg_roles
    WHERE rolname = 'booking_service'
)
\gexec

-- A password in a statement would be logged by log_statement.
SET LOCAL log_statement = 'none';
ALTER ROLE booking_service
    LOGIN NOREPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS
    PASSWORD :'service_password';

SELECT format('GRANT CONNECT ON DATABASE %I TO booking_service', current_database())
\gexec

REVOKE ALL ON SCHEMA service FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA service FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO booking_service;
GRANT USAGE ON SCHEMA service TO booking_service, booking_app;

-- Rights are taken back before they are given, so that a right given by hand does not outlive this file.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM booking_service;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM booking_service;
REVOKE CREATE ON SCHEMA public FROM booking_service;
REVOKE ALL ON ALL TABLES IN SCHEMA service FROM booking_service, booking_app;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA service FROM booking_service, booking_app;
REVOKE CREATE ON SCHEMA service FROM booking_service, booking_app;

GRANT SELECT ON
    public.airports,
    public.aircrafts,
    public.seats,
    public.flights
TO booking_service;

GRANT SELECT, INSERT, DELETE ON
    public.bookings,
    public.tickets,
    public.ticket_flights,
    public.boarding_passes
TO booking_service;

GRANT UPDATE (total_amount) ON public.bookings TO booking_service;
GRANT UPDATE (passenger_name, contact_data) ON public.tickets TO booking_service;

GRANT SELECT, INSERT, UPDATE (full_name, email, phone, changed_at) ON service.accounts TO booking_service;
GRANT SELECT, INSERT ON service.credentials TO booking_service;
GRANT SELECT, INSERT, DELETE ON service.sessions TO booking_service;
GRANT SELECT, INSERT, UPDATE (cancelled_at) ON service.orders TO booking_service;
GRANT SELECT, INSERT, DELETE ON service.seat_assignments TO booking_service;
GRANT SELECT, INSERT, DELETE, UPDATE (status, etag, location, body)
    ON service.idempotency_keys TO booking_service;
GRANT SELECT, INSERT ON service.messages TO booking_service;
GRANT EXECUTE ON FUNCTION service.lock_flights(integer[]) TO booking_service;

GRANT SELECT ON service.seat_assignments TO booking_app;

COMMIT;
