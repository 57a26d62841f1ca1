-- Who may refresh the star schema, and who may compare it with the vault; run by the owner of the marts.
-- Invariant: mart_refresher calls dwh_marts.refresh_star and reads how the last refresh went, nothing else. Of dwh_star,
-- vault_checker may ask for the differences; nobody but the owner has any other right there. mart_reader reads the tables
-- and views of the star as 210_reader_grants.sql says, and runs no function.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

REVOKE ALL ON SCHEMA dwh_star FROM PUBLIC, mart_reader, mart_refresher, vault_checker;
REVOKE ALL ON ALL TABLES IN SCHEMA dwh_star FROM PUBLIC, mart_reader, mart_refresher, vault_checker;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA dwh_star FROM PUBLIC, mart_reader, mart_refresher, vault_checker;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA dwh_marts FROM PUBLIC, mart_reader, mart_refresher, vault_checker;
REVOKE ALL ON SCHEMA dwh_marts FROM mart_refresher;
REVOKE ALL ON ALL TABLES IN SCHEMA dwh_marts FROM mart_refresher;

GRANT USAGE ON SCHEMA dwh_marts TO mart_refresher;
GRANT SELECT ON dwh_marts.mart_refreshes TO mart_refresher;
GRANT EXECUTE ON FUNCTION dwh_marts.refresh_star() TO mart_refresher;

-- vault_checker reads the view dwh_checks.star_equals_vault; the function in it reads the star with the rights of its owner.
GRANT USAGE ON SCHEMA dwh_star TO vault_checker;
GRANT EXECUTE ON FUNCTION dwh_star.differences() TO vault_checker;

COMMIT;
