-- The warehouse's roles, each with the least it needs; applied by a superuser in the warehouse's database.
-- Invariant: vault_owner owns the schemas, vault_loader gets its rights from `vault-loader migrate`, mart_reader sees marts without
-- personal data and nothing else, whoever is a member of mart_reader_personal sees personal data too, mart_refresher refreshes the
-- marts. Applying this file again changes nothing but the passwords.
-- Variables: owner_password, loader_password, mart_password, refresher_password.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

SELECT format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION', wanted.name)
FROM (VALUES ('vault_owner'), ('vault_loader'), ('mart_reader'), ('mart_refresher')) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name)
\gexec

-- Nobody logs in as this role. A person gets it for a login of his own (GRANT mart_reader_personal TO ...), so the server's
-- log tells who has read personal data.
SELECT 'CREATE ROLE mart_reader_personal NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mart_reader_personal')
\gexec
GRANT mart_reader TO mart_reader_personal;

-- A password in a statement would be logged by log_statement.
SET log_statement = 'none';
ALTER ROLE vault_owner PASSWORD :'owner_password';
ALTER ROLE vault_loader PASSWORD :'loader_password';
ALTER ROLE mart_reader PASSWORD :'mart_password';
ALTER ROLE mart_refresher PASSWORD :'refresher_password';
RESET log_statement;

ALTER ROLE mart_reader SET default_transaction_read_only = on;
-- Analysts' queries group and join hundreds of thousands of rows: with the default they sort on disk instead of hashing
-- in memory, and compiling takes longer than running.
ALTER ROLE mart_reader SET work_mem = '64MB';
ALTER ROLE mart_reader SET jit = off;
COMMENT ON ROLE vault_owner IS 'owns the warehouse''s schemas; migrates, creates marts';
COMMENT ON ROLE vault_loader IS 'loads the vault';
COMMENT ON ROLE mart_reader IS 'reads marts, without personal data';
COMMENT ON ROLE mart_reader_personal IS 'reads marts with personal data; granted to logins of people';
COMMENT ON ROLE mart_refresher IS 'calls the refresh of the marts';

BEGIN;

SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database())
\gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO vault_owner, mart_reader, mart_refresher', current_database())
\gexec
-- The loader stages hubs and links in temporary tables, and so does the owner, who retries what is in the quarantine.
SELECT format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO vault_loader, vault_owner', current_database())
\gexec

CREATE SCHEMA IF NOT EXISTS dwh_control AUTHORIZATION vault_owner;
CREATE SCHEMA IF NOT EXISTS dwh_detailed AUTHORIZATION vault_owner;
CREATE SCHEMA IF NOT EXISTS dwh_marts AUTHORIZATION vault_owner;
CREATE SCHEMA IF NOT EXISTS dwh_star AUTHORIZATION vault_owner;
CREATE SCHEMA IF NOT EXISTS dwh_checks AUTHORIZATION vault_owner;
CREATE SCHEMA IF NOT EXISTS dwh_business AUTHORIZATION vault_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON SCHEMA dwh_control, dwh_detailed, dwh_marts, dwh_star, dwh_checks, dwh_business FROM PUBLIC;
COMMENT ON SCHEMA dwh_control IS 'where the loader stands, and what it could not load';
COMMENT ON SCHEMA dwh_detailed IS 'the Data Vault: hubs, links, satellites; insert-only';
COMMENT ON SCHEMA dwh_marts IS 'what people look at: views over the vault, and the star schema';
COMMENT ON SCHEMA dwh_checks IS 'rules of the vault: each view shows the rows that break its rule';
COMMENT ON SCHEMA dwh_business IS 'the business vault: which versions and which chains of keys held at each snapshot';
COMMENT ON SCHEMA dwh_star IS 'how the star schema is made and refreshed; for its owner only';

COMMIT;
