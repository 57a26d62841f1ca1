-- A rule of the warehouse beside those that `vault-loader migrate` makes from the model: the star schema holds what its views say
-- about the vault, but for what the next refresh will bring.
-- Invariant: before the first refresh there is nothing to compare, and while a full refresh is due nothing can be told from the
-- rest; then no row shows.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW dwh_checks.star_equals_vault AS
SELECT
    'star equals vault'::text AS rule,
    table_name,
    detail
FROM dwh_star.differences();

COMMENT ON VIEW dwh_checks.star_equals_vault IS
    'rule: the star schema holds what its views say about the vault, but for what the next refresh will bring';
COMMENT ON COLUMN dwh_checks.star_equals_vault.rule IS 'the rule that is broken';
COMMENT ON COLUMN dwh_checks.star_equals_vault.table_name IS 'the table of the star schema';
COMMENT ON COLUMN dwh_checks.star_equals_vault.detail IS 'the row as the star has it, and as the vault has it';

COMMIT;
