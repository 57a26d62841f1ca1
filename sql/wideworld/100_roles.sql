-- Who may do what; needs the psql variables generator_password, capture_password and engineer_password.
-- Invariant: each role can do its work and nothing else. No role but the owner can create, alter, drop or truncate.
--   wideworld_owner      owns everything and cannot log in;
--   wideworld_generator  the application: reads and writes rows of the 31 tables, and puts history into the archives;
--   wideworld_capture    reads the published tables and their changes (REPLICATION), nothing more;
--   data_engineer        selects from all tables, archives and views;
--   website_access, reports_access, powerbi_access  cannot log in; their members see the views of one schema and no
--                        table.
-- Roles belong to the whole server: applying this file to a second database of it sets the passwords again.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

SELECT format('CREATE ROLE %I', wanted.role_name)
FROM unnest(ARRAY[
    'wideworld_owner', 'wideworld_generator', 'wideworld_capture', 'data_engineer', 'website_access', 'reports_access',
    'powerbi_access'
]) AS wanted (role_name)
WHERE NOT EXISTS (
    SELECT
    FROM pg_catalog.pg_roles
    WHERE rolname = wanted.role_name
)
\gexec

-- A password in a statement would be logged by log_statement.
SET LOCAL log_statement = 'none';
ALTER ROLE wideworld_owner
    NOLOGIN NOREPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS;
ALTER ROLE wideworld_generator
    LOGIN NOREPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS
    PASSWORD :'generator_password';
ALTER ROLE wideworld_capture
    LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS
    PASSWORD :'capture_password';
ALTER ROLE data_engineer
    LOGIN NOREPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS
    PASSWORD :'engineer_password';
ALTER ROLE website_access
    NOLOGIN NOREPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT NOBYPASSRLS;
ALTER ROLE reports_access
    NOLOGIN NOREPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT NOBYPASSRLS;
ALTER ROLE powerbi_access
    NOLOGIN NOREPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT NOBYPASSRLS;

-- Everything belongs to one role that nobody is.
SELECT format('ALTER SCHEMA %I OWNER TO wideworld_owner', wanted.schema_name)
FROM unnest(ARRAY[
    'application', 'purchasing', 'sales', 'warehouse', 'sequences', 'website', 'reports', 'powerbi'
]) AS wanted (schema_name)
\gexec
-- An identity's sequence goes with its table.
SELECT format(
    'ALTER %s %I.%I OWNER TO wideworld_owner',
    CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'v' THEN 'VIEW' ELSE 'SEQUENCE' END,
    n.nspname,
    c.relname
)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname IN (
    'application', 'purchasing', 'sales', 'warehouse', 'sequences', 'website', 'reports', 'powerbi'
)
  AND (c.relkind IN ('r', 'v') OR (c.relkind = 'S' AND n.nspname = 'sequences'))
ORDER BY c.oid
\gexec
ALTER FUNCTION application.keep_version() OWNER TO wideworld_owner;
REVOKE ALL ON FUNCTION application.keep_version() FROM PUBLIC;

-- PUBLIC starts with CONNECT and TEMPORARY on the database and, up to PostgreSQL 14, CREATE on schema public.
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database())
\gexec
SELECT format(
    'GRANT CONNECT ON DATABASE %I TO wideworld_generator, wideworld_capture, data_engineer, website_access,
         reports_access, powerbi_access',
    current_database()
)
\gexec
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

-- Rights are taken back before they are given, so that a right given by hand does not outlive this file.
REVOKE ALL ON ALL TABLES IN SCHEMA application, purchasing, sales, warehouse, website, reports, powerbi
    FROM wideworld_generator, wideworld_capture, data_engineer, website_access, reports_access, powerbi_access;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA sequences, warehouse
    FROM wideworld_generator, wideworld_capture, data_engineer, website_access, reports_access, powerbi_access;
REVOKE ALL ON SCHEMA application, purchasing, sales, warehouse, sequences, website, reports, powerbi
    FROM wideworld_generator, wideworld_capture, data_engineer, website_access, reports_access, powerbi_access;

GRANT USAGE ON SCHEMA application, purchasing, sales, warehouse TO wideworld_capture;
SELECT format('GRANT SELECT ON %I.%I TO wideworld_capture', schemaname, tablename)
FROM pg_catalog.pg_publication_tables
WHERE pubname = 'wideworld_publication'
ORDER BY schemaname, tablename
\gexec

GRANT USAGE ON SCHEMA application, purchasing, sales, warehouse, sequences TO wideworld_generator;
SELECT format(
    'GRANT %s ON %I.%I TO wideworld_generator',
    CASE WHEN c.relname LIKE '%\_archive' THEN 'SELECT, INSERT' ELSE 'SELECT, INSERT, UPDATE, DELETE' END,
    n.nspname,
    c.relname
)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname IN ('application', 'purchasing', 'sales', 'warehouse')
  AND c.relkind = 'r'
ORDER BY n.nspname, c.relname
\gexec
-- UPDATE is for setval() after rows were loaded with their numbers.
GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA sequences, warehouse TO wideworld_generator;

GRANT USAGE ON SCHEMA application, purchasing, sales, warehouse, website, reports, powerbi TO data_engineer;
GRANT SELECT ON ALL TABLES IN SCHEMA application, purchasing, sales, warehouse, website, reports, powerbi
    TO data_engineer;

GRANT USAGE ON SCHEMA website TO website_access;
GRANT SELECT ON ALL TABLES IN SCHEMA website TO website_access;
GRANT USAGE ON SCHEMA reports TO reports_access;
GRANT SELECT ON ALL TABLES IN SCHEMA reports TO reports_access;
GRANT USAGE ON SCHEMA powerbi TO powerbi_access;
GRANT SELECT ON ALL TABLES IN SCHEMA powerbi TO powerbi_access;

COMMIT;
