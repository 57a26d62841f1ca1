-- The views that migrate has made, each with the digest of its statements. A view with the same digest is left alone.
CREATE TABLE dwh_control.made_views (
    schema_name text  NOT NULL,
    view_name   text  NOT NULL,
    digest      bytea NOT NULL,
    CONSTRAINT made_views_pkey PRIMARY KEY (schema_name, view_name)
);
COMMENT ON TABLE dwh_control.made_views IS 'views that migrate has made';
COMMENT ON COLUMN dwh_control.made_views.schema_name IS 'schema of the view';
COMMENT ON COLUMN dwh_control.made_views.view_name IS 'name of the view';
COMMENT ON COLUMN dwh_control.made_views.digest IS 'SHA-256 of the statements that make it';
