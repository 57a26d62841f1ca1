-- The roles of the scheduled jobs, each with the least it needs; applied by a superuser in the warehouse's database, after 010.
-- Invariant: presentation_writer owns the schemas presentation and presentation_staging, reads dwh_marts and nothing else;
-- vault_checker reads the rules in dwh_checks and writes nothing; mart_reader sees what is published in presentation but for passengers'
-- documents, which mart_reader_personal sees, and never what is still being made in presentation_staging. Applying this file again
-- changes nothing but the passwords.
-- Variables: presentation_password, checker_password.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

SELECT format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION', wanted.name)
FROM (VALUES ('presentation_writer'), ('vault_checker')) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name)
\gexec

-- A password in a statement would be logged by log_statement.
SET log_statement = 'none';
ALTER ROLE presentation_writer PASSWORD :'presentation_password';
ALTER ROLE vault_checker PASSWORD :'checker_password';
RESET log_statement;

-- A job that is killed leaves a session behind. The server looks for the other end every few seconds, also while the session
-- waits for a lock, so that what was not committed is rolled back soon and holds nothing up.
ALTER ROLE presentation_writer SET client_connection_check_interval = '5s';
ALTER ROLE presentation_writer SET idle_in_transaction_session_timeout = '10min';
ALTER ROLE presentation_writer SET lock_timeout = '10min';
ALTER ROLE vault_checker SET client_connection_check_interval = '5s';
ALTER ROLE vault_checker SET default_transaction_read_only = on;

COMMENT ON ROLE presentation_writer IS 'builds and publishes the tables of schema presentation';
COMMENT ON ROLE vault_checker IS 'reads the rules of the vault, whose views must show no rows';

BEGIN;

SELECT format('GRANT CONNECT ON DATABASE %I TO presentation_writer, vault_checker', current_database())
\gexec

CREATE SCHEMA IF NOT EXISTS presentation AUTHORIZATION presentation_writer;
CREATE SCHEMA IF NOT EXISTS presentation_staging AUTHORIZATION presentation_writer;
REVOKE ALL ON SCHEMA presentation, presentation_staging FROM PUBLIC;
COMMENT ON SCHEMA presentation IS 'tables published day by day by scheduled jobs';
COMMENT ON SCHEMA presentation_staging IS 'where those tables are made and checked before anybody sees them';

-- The vault's owner makes its tables and views later than this file is applied: default privileges reach those too.
GRANT USAGE ON SCHEMA dwh_marts TO presentation_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA dwh_marts TO presentation_writer;
ALTER DEFAULT PRIVILEGES FOR ROLE vault_owner IN SCHEMA dwh_marts
    GRANT SELECT ON TABLES TO presentation_writer;

-- The views read the vault with the rights of its owner. They show hash keys, and star_equals_vault shows rows of the star.
GRANT USAGE ON SCHEMA dwh_checks TO vault_checker;
GRANT SELECT ON ALL TABLES IN SCHEMA dwh_checks TO vault_checker;
ALTER DEFAULT PRIVILEGES FOR ROLE vault_owner IN SCHEMA dwh_checks
    GRANT SELECT ON TABLES TO vault_checker;
REVOKE ALL ON SCHEMA dwh_detailed FROM vault_checker;
REVOKE ALL ON ALL TABLES IN SCHEMA dwh_detailed FROM vault_checker;
ALTER DEFAULT PRIVILEGES FOR ROLE vault_owner IN SCHEMA dwh_detailed
    REVOKE SELECT ON TABLES FROM vault_checker;

-- Each table's own file says who may read which of its columns (sql/presentation/*/create_schema.sql): no default privilege,
-- which a new column of a new table would fall under.
GRANT USAGE ON SCHEMA presentation TO mart_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE presentation_writer IN SCHEMA presentation
    REVOKE SELECT ON TABLES FROM mart_reader;

COMMIT;
