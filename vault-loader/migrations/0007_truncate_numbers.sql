-- Truncates have numbers, so that a batch sees by one look at an index whether a table was truncated since its last batch.
-- Invariant: a truncate gets its number while its topic is locked, so the numbers of a topic grow in the order of the commits.

ALTER TABLE dwh_control.truncations ADD COLUMN number bigint NOT NULL GENERATED ALWAYS AS IDENTITY;
CREATE UNIQUE INDEX truncations_topic_number_key ON dwh_control.truncations (topic, number);
CREATE INDEX truncations_topic_source_lsn_idx ON dwh_control.truncations (topic, source_lsn);
COMMENT ON COLUMN dwh_control.truncations.number IS 'order of loading: the greatest of a topic is that of the truncate that was loaded last';
