-- Removes what earlier attempts of this run left in the staging tables, and what other runs left there a week ago or more.
-- Invariant: published rows are not touched; the period's old rows stay visible until publish.sql replaces them.
-- Parameters: load_id.

DELETE FROM presentation_staging.frequent_flyers
WHERE load_id = %(load_id)s
    OR staged_at < now() - interval '7 days';

DELETE FROM presentation_staging.control_totals
WHERE load_id = %(load_id)s
    OR staged_at < now() - interval '7 days';
