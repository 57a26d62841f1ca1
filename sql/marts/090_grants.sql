-- Who may read the marts; run by the owner of the marts.
-- Invariant: mart_reader selects from the views and tables of dwh_marts and has no right on anything behind them: a view
-- reads the vault with the rights of its owner. The default privileges give it the owner's later views and tables too,
-- those of the star schema among them.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

-- Rights are taken back before they are given, so that a right given by hand does not outlive this file.
REVOKE ALL ON SCHEMA dwh_marts FROM PUBLIC, mart_reader;
REVOKE ALL ON ALL TABLES IN SCHEMA dwh_marts FROM PUBLIC, mart_reader;

GRANT USAGE ON SCHEMA dwh_marts TO mart_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA dwh_marts TO mart_reader;

ALTER DEFAULT PRIVILEGES IN SCHEMA dwh_marts
    GRANT SELECT ON TABLES TO mart_reader;

COMMIT;
