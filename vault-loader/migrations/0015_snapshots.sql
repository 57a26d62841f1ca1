-- Which snapshots the tables of dwh_business hold, and what was loaded behind their backs.
-- Invariants: a row of snapshots is written in the transaction that writes the table's rows of that snapshot, and removed in the
-- transaction that removes them. A row of late_loads is written in the transaction that loads events which were published long ago, and
-- removed in the transaction that marks the snapshots concerned as stale.

CREATE TABLE dwh_control.snapshot_tables (
    table_name text  NOT NULL,
    source     text  NOT NULL,
    digest     bytea NOT NULL,
    CONSTRAINT snapshot_tables_pkey PRIMARY KEY (table_name)
);
COMMENT ON TABLE dwh_control.snapshot_tables IS 'point-in-time tables and bridges that migrate has made';
COMMENT ON COLUMN dwh_control.snapshot_tables.table_name IS 'name of the table in dwh_business';
COMMENT ON COLUMN dwh_control.snapshot_tables.source IS 'name of the source whose model describes it';
COMMENT ON COLUMN dwh_control.snapshot_tables.digest IS 'SHA-256 of the statement that makes it';

CREATE TABLE dwh_control.snapshots (
    table_name     text        NOT NULL,
    snapshot_date  timestamptz NOT NULL,
    calendar_time  timestamp   NOT NULL,
    derived_from   timestamptz,
    sources        text[]      NOT NULL,
    digest         bytea       NOT NULL,
    versions_read  bigint,
    rows_written   bigint      NOT NULL,
    waiting_events bigint      NOT NULL,
    is_stale       boolean     NOT NULL DEFAULT false,
    built_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT snapshots_pkey PRIMARY KEY (table_name, snapshot_date)
);
COMMENT ON TABLE dwh_control.snapshots IS 'every snapshot that a table of dwh_business holds';
COMMENT ON COLUMN dwh_control.snapshots.table_name IS 'the table';
COMMENT ON COLUMN dwh_control.snapshots.snapshot_date IS 'the time of which the snapshot is: versions with this load date or an earlier one count';
COMMENT ON COLUMN dwh_control.snapshots.calendar_time IS 'the same in the calendar of the model, by the clock of its time zone';
COMMENT ON COLUMN dwh_control.snapshots.derived_from IS 'the snapshot that it was derived from; NULL when it was made from the vault alone';
COMMENT ON COLUMN dwh_control.snapshots.sources IS 'names of the sources whose events can change it';
COMMENT ON COLUMN dwh_control.snapshots.digest IS 'SHA-256 of the statement that filled it and of its sources; when the models give another one, the next build makes the snapshot anew';
COMMENT ON COLUMN dwh_control.snapshots.versions_read IS 'versions behind derived_from that were read for it; NULL for a bridge, which reads the whole link';
COMMENT ON COLUMN dwh_control.snapshots.rows_written IS 'its rows in the table';
COMMENT ON COLUMN dwh_control.snapshots.waiting_events IS 'events of its sources that waited in the quarantine when it was built';
COMMENT ON COLUMN dwh_control.snapshots.is_stale IS 'whether events of before snapshot_date were loaded after it was built; the next build makes it anew';
COMMENT ON COLUMN dwh_control.snapshots.built_at IS 'when it was built, by the warehouse''s clock';

CREATE TABLE dwh_control.late_loads (
    id        bigint      GENERATED ALWAYS AS IDENTITY,
    source    text        NOT NULL,
    load_date timestamptz NOT NULL,
    noted_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT late_loads_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE dwh_control.late_loads IS 'loads that wrote versions with old load dates, and that no build of snapshots has looked at yet';
COMMENT ON COLUMN dwh_control.late_loads.id IS 'order of arrival here';
COMMENT ON COLUMN dwh_control.late_loads.source IS 'name of the source';
COMMENT ON COLUMN dwh_control.late_loads.load_date IS 'the earliest load date that was written';
COMMENT ON COLUMN dwh_control.late_loads.noted_at IS 'when, by the warehouse''s clock';
