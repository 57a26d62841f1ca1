-- What the dashboards say about completeness: up to when everything is in the vault, for each source.
-- Invariant: like the views of 200_dashboard_views.sql, read by dashboards only. Times are UTC without a time zone. The view owns no
-- facts: it shows dwh_marts.freshness.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW dwh_marts.v_dashboard_completeness AS
SELECT
    source,
    published AT TIME ZONE 'UTC'                               AS complete_up_to,
    round(greatest(extract(epoch FROM age), 0), 1)             AS seconds_since_complete,
    source_committed AT TIME ZONE 'UTC'                        AS source_committed,
    is_position_known,
    paused_tables,
    waiting_events
FROM dwh_marts.freshness;

COMMENT ON VIEW dwh_marts.v_dashboard_completeness IS 'up to when everything is in the vault; grain: a source';
COMMENT ON COLUMN dwh_marts.v_dashboard_completeness.source IS 'name of the source';
COMMENT ON COLUMN dwh_marts.v_dashboard_completeness.complete_up_to IS 'everything that was published by then is loaded, UTC; NULL while there is no watermark';
COMMENT ON COLUMN dwh_marts.v_dashboard_completeness.seconds_since_complete IS 'seconds since then';
COMMENT ON COLUMN dwh_marts.v_dashboard_completeness.source_committed IS 'commit of the last known transaction that is loaded with all before it, UTC; NULL when the heartbeats name no position';
COMMENT ON COLUMN dwh_marts.v_dashboard_completeness.is_position_known IS 'whether the heartbeats name a position; without one complete_up_to is approximate';
COMMENT ON COLUMN dwh_marts.v_dashboard_completeness.paused_tables IS 'tables that stand still and hold the watermark up; NULL while nothing of the source was ever loaded';
COMMENT ON COLUMN dwh_marts.v_dashboard_completeness.waiting_events IS 'events in quarantine, which are not in the vault; NULL while nothing of the source was ever loaded';

COMMIT;
