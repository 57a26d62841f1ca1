-- What the booking service keeps beside the airline's eight tables: schema service.
-- Invariants:
--   * a seat of a flight is sold to one segment at most (seat_assignments_pkey), and a segment has one seat at most;
--   * a change that carries an idempotency key is stored once, with its answer, in the transaction that makes it;
--   * no table holds a password or a session's token, only their hashes, and credentials stand apart from accounts.
-- No table refers to one in public by a foreign key: the airline may truncate, move and refund what it owns, also what
-- the service has sold. The service looks past rows whose segment or booking is gone.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE SCHEMA IF NOT EXISTS service;

CREATE TABLE IF NOT EXISTS service.accounts (
    account_id bigint      GENERATED ALWAYS AS IDENTITY,
    email      text        NOT NULL,
    full_name  text        NOT NULL,
    phone      text,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT accounts_pkey PRIMARY KEY (account_id),
    CONSTRAINT accounts_email_key UNIQUE (email),
    CONSTRAINT accounts_email_check CHECK (email = lower(email) AND length(email) <= 254),
    CONSTRAINT accounts_full_name_check CHECK (length(full_name) BETWEEN 1 AND 100)
);

CREATE TABLE IF NOT EXISTS service.credentials (
    account_id    bigint      NOT NULL,
    password_hash text        NOT NULL,
    changed_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT credentials_pkey PRIMARY KEY (account_id),
    CONSTRAINT credentials_account_id_fkey FOREIGN KEY (account_id)
        REFERENCES service.accounts (account_id) ON DELETE CASCADE,
    CONSTRAINT credentials_password_hash_check CHECK (password_hash LIKE '$argon2id$%')
);

CREATE TABLE IF NOT EXISTS service.sessions (
    token_hash bytea       NOT NULL,
    session_id text        NOT NULL,
    account_id bigint      NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    CONSTRAINT sessions_pkey PRIMARY KEY (token_hash),
    CONSTRAINT sessions_session_id_key UNIQUE (session_id),
    CONSTRAINT sessions_account_id_fkey FOREIGN KEY (account_id)
        REFERENCES service.accounts (account_id) ON DELETE CASCADE,
    CONSTRAINT sessions_token_hash_check CHECK (length(token_hash) = 32)
);

-- The date is part of the key, because a booking reference may be given again after its booking is gone.
CREATE TABLE IF NOT EXISTS service.orders (
    book_ref     char(6)     NOT NULL,
    book_date    timestamptz NOT NULL,
    account_id   bigint      NOT NULL,
    cancelled_at timestamptz,
    CONSTRAINT orders_pkey PRIMARY KEY (book_ref, book_date),
    CONSTRAINT orders_account_id_fkey FOREIGN KEY (account_id)
        REFERENCES service.accounts (account_id)
);

CREATE TABLE IF NOT EXISTS service.seat_assignments (
    flight_id   integer     NOT NULL,
    seat_no     varchar(4)  NOT NULL,
    ticket_no   char(13)    NOT NULL,
    assigned_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT seat_assignments_pkey PRIMARY KEY (flight_id, seat_no),
    CONSTRAINT seat_assignments_ticket_no_flight_id_key UNIQUE (ticket_no, flight_id)
);

CREATE TABLE IF NOT EXISTS service.idempotency_keys (
    account_id bigint      NOT NULL,
    key        text        NOT NULL,
    digest     bytea       NOT NULL,
    status     smallint,
    etag       text,
    location   text,
    body       text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (account_id, key),
    CONSTRAINT idempotency_keys_account_id_fkey FOREIGN KEY (account_id)
        REFERENCES service.accounts (account_id) ON DELETE CASCADE,
    CONSTRAINT idempotency_keys_digest_check CHECK (length(digest) = 32)
);

CREATE TABLE IF NOT EXISTS service.messages (
    message_id bigint      GENERATED ALWAYS AS IDENTITY,
    flight_id  integer     NOT NULL,
    account_id bigint      NOT NULL,
    body       text        NOT NULL,
    sent_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT messages_pkey PRIMARY KEY (message_id),
    CONSTRAINT messages_account_id_fkey FOREIGN KEY (account_id)
        REFERENCES service.accounts (account_id),
    CONSTRAINT messages_body_check CHECK (length(body) BETWEEN 1 AND 2000)
);

CREATE TABLE IF NOT EXISTS service.uploads (
    upload_id     uuid        NOT NULL DEFAULT gen_random_uuid(),
    account_id    bigint      NOT NULL,
    original_name text        NOT NULL,
    media_type    text        NOT NULL,
    byte_count    bigint      NOT NULL,
    sha256        bytea       NOT NULL,
    object_key    text        NOT NULL,
    uploaded_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uploads_pkey PRIMARY KEY (upload_id),
    CONSTRAINT uploads_object_key_key UNIQUE (object_key),
    CONSTRAINT uploads_account_id_fkey FOREIGN KEY (account_id)
        REFERENCES service.accounts (account_id),
    CONSTRAINT uploads_original_name_check CHECK (length(original_name) BETWEEN 1 AND 255),
    CONSTRAINT uploads_byte_count_check CHECK (byte_count > 0),
    CONSTRAINT uploads_sha256_check CHECK (length(sha256) = 32)
);

-- An account's bookings, newest first; what is too old to keep; a flight's chat; the other side of foreign keys.
CREATE INDEX IF NOT EXISTS orders_account_id_book_date_idx
    ON service.orders (account_id, book_date DESC, book_ref DESC);
CREATE INDEX IF NOT EXISTS idempotency_keys_created_at_idx
    ON service.idempotency_keys (created_at);
CREATE INDEX IF NOT EXISTS sessions_expires_at_idx
    ON service.sessions (expires_at);
CREATE INDEX IF NOT EXISTS sessions_account_id_idx
    ON service.sessions (account_id);
CREATE INDEX IF NOT EXISTS messages_flight_id_idx
    ON service.messages (flight_id, message_id);
CREATE INDEX IF NOT EXISTS messages_account_id_idx
    ON service.messages (account_id);
CREATE INDEX IF NOT EXISTS uploads_account_id_idx
    ON service.uploads (account_id);

-- Locks flights in the order of their ids, as everybody who sells does, for a role that may not change a flight. It
-- returns nothing, so that it depends on no type of the airline's.
CREATE OR REPLACE FUNCTION service.lock_flights(wanted integer[])
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = ''
AS $$
BEGIN
    PERFORM
    FROM public.flights
    WHERE flight_id = ANY (wanted)
    ORDER BY flight_id
    FOR NO KEY UPDATE;
END
$$;

COMMENT ON SCHEMA service IS 'what the booking service keeps beside the airline''s tables';
COMMENT ON FUNCTION service.lock_flights(integer[]) IS 'locks flights until the end of the transaction';

COMMENT ON TABLE service.accounts IS 'customers who can sign in';
COMMENT ON COLUMN service.accounts.account_id IS 'surrogate key; the natural key is email';
COMMENT ON COLUMN service.accounts.email IS 'e-mail address in lower case, with which the customer signs in';
COMMENT ON COLUMN service.accounts.full_name IS 'name of the customer';
COMMENT ON COLUMN service.accounts.phone IS 'telephone number; NULL when unknown';
COMMENT ON COLUMN service.accounts.created_at IS 'when the account was made';
COMMENT ON COLUMN service.accounts.changed_at IS 'when the account was last changed';

COMMENT ON TABLE service.credentials IS 'how a customer proves who they are; never captured';
COMMENT ON COLUMN service.credentials.account_id IS 'account';
COMMENT ON COLUMN service.credentials.password_hash IS 'argon2id hash of the password, with salt and parameters';
COMMENT ON COLUMN service.credentials.changed_at IS 'when the password was set';

COMMENT ON TABLE service.sessions IS 'customers who are signed in; never captured';
COMMENT ON COLUMN service.sessions.token_hash IS 'SHA-256 of the token that the client holds';
COMMENT ON COLUMN service.sessions.session_id IS 'name of the session, which is no secret';
COMMENT ON COLUMN service.sessions.account_id IS 'who is signed in';
COMMENT ON COLUMN service.sessions.created_at IS 'when the customer signed in';
COMMENT ON COLUMN service.sessions.expires_at IS 'when the session ends by itself';

COMMENT ON TABLE service.orders IS 'which account made a booking; the row outlives the booking';
COMMENT ON COLUMN service.orders.book_ref IS 'booking';
COMMENT ON COLUMN service.orders.book_date IS 'when the booking was made';
COMMENT ON COLUMN service.orders.account_id IS 'who made it';
COMMENT ON COLUMN service.orders.cancelled_at IS 'when the customer cancelled it; NULL before';

COMMENT ON TABLE service.seat_assignments IS 'the seat of a segment that the service has sold';
COMMENT ON COLUMN service.seat_assignments.flight_id IS 'flight';
COMMENT ON COLUMN service.seat_assignments.seat_no IS 'seat of the aircraft, in the class that was bought';
COMMENT ON COLUMN service.seat_assignments.ticket_no IS 'ticket whose passenger has the seat';
COMMENT ON COLUMN service.seat_assignments.assigned_at IS 'when the seat was chosen or given';

COMMENT ON TABLE service.idempotency_keys IS 'changes that were made under a key, with their answers; never captured';
COMMENT ON COLUMN service.idempotency_keys.account_id IS 'who sent the request';
COMMENT ON COLUMN service.idempotency_keys.key IS 'key that the client chose';
COMMENT ON COLUMN service.idempotency_keys.digest IS 'SHA-256 of the request: method, path, If-Match and body';
COMMENT ON COLUMN service.idempotency_keys.status IS 'HTTP status of the answer';
COMMENT ON COLUMN service.idempotency_keys.etag IS 'ETag of the answer';
COMMENT ON COLUMN service.idempotency_keys.location IS 'Location of the answer';
COMMENT ON COLUMN service.idempotency_keys.body IS 'body of the answer';
COMMENT ON COLUMN service.idempotency_keys.created_at IS 'when the change was made';

COMMENT ON TABLE service.messages IS 'what customers wrote in the chat of a flight';
COMMENT ON COLUMN service.messages.message_id IS 'surrogate key, growing with time';
COMMENT ON COLUMN service.messages.flight_id IS 'flight whose chat it is';
COMMENT ON COLUMN service.messages.account_id IS 'who wrote it';
COMMENT ON COLUMN service.messages.body IS 'text';
COMMENT ON COLUMN service.messages.sent_at IS 'when it was written';

COMMENT ON TABLE service.uploads IS 'files that customers uploaded; the bytes are in an object store';
COMMENT ON COLUMN service.uploads.upload_id IS 'surrogate key';
COMMENT ON COLUMN service.uploads.account_id IS 'who uploaded it';
COMMENT ON COLUMN service.uploads.original_name IS 'name that the file had';
COMMENT ON COLUMN service.uploads.media_type IS 'media type that was found in the bytes';
COMMENT ON COLUMN service.uploads.byte_count IS 'size, bytes';
COMMENT ON COLUMN service.uploads.sha256 IS 'SHA-256 of the bytes';
COMMENT ON COLUMN service.uploads.object_key IS 'place in the object store';
COMMENT ON COLUMN service.uploads.uploaded_at IS 'when it was uploaded';

COMMIT;
