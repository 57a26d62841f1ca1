-- What uploads say about themselves beside what 050 keeps of them: kind, title, description, and the booking that they
-- belong to.
-- Invariant: an upload belongs to an account, and to a booking of the service or to none.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

ALTER TABLE service.uploads
    ADD COLUMN IF NOT EXISTS kind text NOT NULL
        CONSTRAINT uploads_kind_check CHECK (kind IN ('passport', 'visa', 'certificate', 'photo', 'other')),
    ADD COLUMN IF NOT EXISTS title text NOT NULL
        CONSTRAINT uploads_title_check CHECK (length(title) BETWEEN 1 AND 100),
    ADD COLUMN IF NOT EXISTS description text
        CONSTRAINT uploads_description_check CHECK (length(description) BETWEEN 1 AND 1000),
    ADD COLUMN IF NOT EXISTS book_ref char(6),
    ADD COLUMN IF NOT EXISTS book_date timestamptz;

-- An order is never removed, so an upload outlives its booking as the order does.
ALTER TABLE service.uploads
    DROP CONSTRAINT IF EXISTS uploads_book_ref_book_date_fkey;
ALTER TABLE service.uploads
    ADD CONSTRAINT uploads_book_ref_book_date_fkey FOREIGN KEY (book_ref, book_date)
        REFERENCES service.orders (book_ref, book_date) MATCH FULL;

-- An account's uploads, newest first, and those of a booking.
CREATE INDEX IF NOT EXISTS uploads_account_id_uploaded_at_idx
    ON service.uploads (account_id, uploaded_at DESC, upload_id DESC);
CREATE INDEX IF NOT EXISTS uploads_book_ref_book_date_idx
    ON service.uploads (book_ref, book_date);

COMMENT ON TABLE service.uploads IS 'files that customers uploaded; the bytes are in an object store';
COMMENT ON COLUMN service.uploads.kind IS 'passport, visa, certificate, photo or other';
COMMENT ON COLUMN service.uploads.title IS 'title that the customer gave it';
COMMENT ON COLUMN service.uploads.description IS 'what the customer says of it; NULL when nothing';
COMMENT ON COLUMN service.uploads.book_ref IS 'booking that it belongs to; NULL when it belongs to the customer';
COMMENT ON COLUMN service.uploads.book_date IS 'when that booking was made; NULL with book_ref';

COMMIT;
