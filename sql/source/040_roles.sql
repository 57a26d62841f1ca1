-- Who may do what; needs the psql variables reader_password, app_password and readonly_password.
-- Invariant: each role can do its work and nothing else. No role but the owner can create, alter, drop or truncate.
--   cdc_reader        reads the eight tables and their changes (REPLICATION), nothing more: not even the view;
--   booking_app       selects, inserts, updates and deletes rows of the eight tables;
--   airline_readonly  selects from the eight tables and the view.
-- Roles belong to the whole server: applying this file to a second database of it sets the passwords again.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

SELECT format('CREATE ROLE %I', wanted.role_name)
FROM unnest(ARRAY['cdc_reader', 'booking_app', 'airline_readonly']) AS wanted (role_name)
WHERE NOT EXISTS (
    SELECT
    FROM pg_catalog.pg_roles
    WHERE rolname = wanted.role_name
)
\gexec

-- A password in a statement would be logged by log_statement.
SET LOCAL log_statement = 'none';
ALTER ROLE cdc_reader
    LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS
    PASSWORD :'reader_password';
ALTER ROLE booking_app
    LOGIN NOREPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS
    PASSWORD :'app_password';
ALTER ROLE airline_readonly
    LOGIN NOREPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS
    PASSWORD :'readonly_password';

-- PUBLIC starts with CONNECT and TEMPORARY on the database and, up to PostgreSQL 14, CREATE on the schema.
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database())
\gexec
SELECT format(
    'GRANT CONNECT ON DATABASE %I TO cdc_reader, booking_app, airline_readonly',
    current_database()
)
\gexec

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO cdc_reader, booking_app, airline_readonly;

-- Rights are taken back before they are given, so that a right given by hand does not outlive this file.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM cdc_reader, booking_app, airline_readonly;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM cdc_reader, booking_app, airline_readonly;
REVOKE CREATE ON SCHEMA public FROM cdc_reader, booking_app, airline_readonly;

GRANT SELECT ON
    public.airports,
    public.aircrafts,
    public.seats,
    public.flights,
    public.bookings,
    public.tickets,
    public.ticket_flights,
    public.boarding_passes
TO cdc_reader, airline_readonly;

GRANT SELECT ON public.airport_traffic TO airline_readonly;

GRANT SELECT, INSERT, UPDATE, DELETE ON
    public.airports,
    public.aircrafts,
    public.seats,
    public.flights,
    public.bookings,
    public.tickets,
    public.ticket_flights,
    public.boarding_passes
TO booking_app;

-- UPDATE is for setval() after flights were loaded with their numbers.
GRANT USAGE, SELECT, UPDATE ON SEQUENCE public.flights_flight_id_seq TO booking_app;

COMMIT;
