-- Who reads from read replicas and who steers them; needs the psql variables read_replica_password and operator_password.
-- Applied on the primary after sql/source, and replicated from there like all else.
-- Invariant: each role can do its work and nothing else. Neither may replicate: that is the role replicator, which may do
-- nothing else and is made with the replicas.
--   read_replica      selects from the eight tables and the view; its transactions are read-only from the start;
--   replica_operator  sees all of pg_stat_replication, pauses and resumes a replica's replay, and sets (from PostgreSQL
--                     15 on) synchronous_standby_names; it reads no table.
-- Roles belong to the whole server: applying this file to a second database of it sets the passwords again.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

SELECT format('CREATE ROLE %I', wanted.role_name)
FROM unnest(ARRAY['read_replica', 'replica_operator']) AS wanted (role_name)
WHERE NOT EXISTS (
    SELECT
    FROM pg_catalog.pg_roles
    WHERE rolname = wanted.role_name
)
\gexec

-- A password in a statement would be logged by log_statement.
SET LOCAL log_statement = 'none';
ALTER ROLE read_replica
    LOGIN NOREPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS
    PASSWORD :'read_replica_password';
-- It inherits, because pg_read_all_stats is a role of which it is a member.
ALTER ROLE replica_operator
    LOGIN NOREPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT NOBYPASSRLS
    PASSWORD :'operator_password';
ALTER ROLE read_replica SET default_transaction_read_only = on;

SELECT format('GRANT CONNECT ON DATABASE %I TO read_replica, replica_operator', current_database())
\gexec

-- Rights are taken back before they are given, so that a right given by hand does not outlive this file.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM read_replica, replica_operator;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM read_replica, replica_operator;
REVOKE ALL ON SCHEMA public FROM read_replica, replica_operator;

GRANT USAGE ON SCHEMA public TO read_replica;
GRANT SELECT ON
    public.airports,
    public.aircrafts,
    public.seats,
    public.flights,
    public.bookings,
    public.tickets,
    public.ticket_flights,
    public.boarding_passes,
    public.airport_traffic
TO read_replica;

GRANT pg_read_all_stats TO replica_operator;
GRANT EXECUTE ON FUNCTION
    pg_catalog.pg_wal_replay_pause(),
    pg_catalog.pg_wal_replay_resume(),
    pg_catalog.pg_reload_conf()
TO replica_operator;

SELECT 'GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names TO replica_operator'
WHERE current_setting('server_version_num')::integer >= 150000
\gexec

COMMIT;
