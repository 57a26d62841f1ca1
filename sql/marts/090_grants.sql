-- Takes back who may read the marts; run by the owner of the marts. 210_reader_grants.sql gives the rights anew, when all views
-- and tables are there.
-- Invariant: no default privilege gives a reader what is made later, because it may hold personal data.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

REVOKE ALL ON SCHEMA dwh_marts FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA dwh_marts
    REVOKE SELECT ON TABLES FROM mart_reader;

COMMIT;
