-- As of when the vault is complete, for each source.
-- Invariant: one row for each source that the warehouse was migrated to. What is not known is NULL, and never guessed. The
-- watermark is about offsets: events that wait in the quarantine have been passed by it, so their number stands beside it. The view
-- owns no facts.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

-- A vault that was made from the printed DDL alone has no loader, and so no watermark.
SELECT to_regclass('dwh_control.watermark') IS NOT NULL AS has_watermark
\gset
\if :has_watermark

BEGIN;

CREATE OR REPLACE VIEW dwh_marts.freshness AS
WITH paused AS (
    SELECT source_topics.source, count(DISTINCT paused_tables.topic) AS table_count
    FROM dwh_control.paused_tables AS paused_tables
    JOIN dwh_marts.source_topics AS source_topics USING (topic)
    GROUP BY source_topics.source
),
waiting AS (
    SELECT source_topics.source, count(*) AS event_count
    FROM dwh_control.quarantine AS quarantine
    JOIN dwh_marts.source_topics AS source_topics USING (topic)
    GROUP BY source_topics.source
)
SELECT
    sources.source,
    sources.source_system_id,
    watermark.source_lsn IS NOT NULL AS is_position_known,
    watermark.source_lsn,
    watermark.source_committed,
    watermark.published,
    clock_timestamp() - watermark.published AS age,
    watermark.updated_at,
    CASE WHEN has_topics.is_true THEN COALESCE(paused.table_count, 0) END AS paused_tables,
    CASE WHEN has_topics.is_true THEN COALESCE(waiting.event_count, 0) END AS waiting_events,
    watermark.source_timeline
FROM dwh_control.sources AS sources
LEFT JOIN dwh_control.watermark AS watermark USING (source_system_id)
LEFT JOIN paused USING (source)
LEFT JOIN waiting USING (source)
CROSS JOIN LATERAL (
    -- Which topics belong to a source is known once something was loaded from one of them.
    SELECT EXISTS (SELECT FROM dwh_marts.source_topics AS known WHERE known.source = sources.source) AS is_true
) AS has_topics;

COMMENT ON VIEW dwh_marts.freshness IS 'up to where all tables of each source are loaded together, and what is not loaded';
COMMENT ON COLUMN dwh_marts.freshness.source IS 'name of the source';
COMMENT ON COLUMN dwh_marts.freshness.source_system_id IS 'number of the source';
COMMENT ON COLUMN dwh_marts.freshness.is_position_known IS 'whether the position in the source''s log is known; heartbeats of Debezium name none';
COMMENT ON COLUMN dwh_marts.freshness.source_lsn IS 'every change whose commit ends at or before this position of the source''s log is loaded';
COMMENT ON COLUMN dwh_marts.freshness.source_timeline IS 'timeline of the source''s log to which that position belongs';
COMMENT ON COLUMN dwh_marts.freshness.source_committed IS 'when the last known transaction before that position committed';
COMMENT ON COLUMN dwh_marts.freshness.published IS 'every event that was published at or before this time is loaded; NULL while there is no watermark';
COMMENT ON COLUMN dwh_marts.freshness.age IS 'how long ago that was, by the warehouse''s clock';
COMMENT ON COLUMN dwh_marts.freshness.updated_at IS 'when the watermark was written, by the warehouse''s clock';
COMMENT ON COLUMN dwh_marts.freshness.paused_tables IS 'tables that stand still; each of them holds the watermark up; NULL while nothing of the source was ever loaded';
COMMENT ON COLUMN dwh_marts.freshness.waiting_events IS 'events in quarantine: the watermark has passed them, and they are not in the vault; NULL while nothing of the source was ever loaded';

COMMIT;

\endif
