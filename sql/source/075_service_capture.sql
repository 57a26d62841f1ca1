-- What the service does with uploads, and what change data capture may read of schema service. It stands on 040, 050,
-- 060 and 070.
-- Invariant: booking_publication holds exactly the five tables below. credentials, sessions, idempotency_keys and staff
-- are in no publication, and cdc_reader has no right on them.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

GRANT SELECT, INSERT, DELETE ON service.uploads TO booking_service;

-- Rights are taken back before they are given, so that a right given by hand does not outlive this file.
REVOKE ALL ON ALL TABLES IN SCHEMA service FROM cdc_reader;
GRANT USAGE ON SCHEMA service TO cdc_reader;
GRANT SELECT ON
    service.accounts,
    service.orders,
    service.seat_assignments,
    service.messages,
    service.uploads
TO cdc_reader;

SELECT 'CREATE PUBLICATION booking_publication'
WHERE NOT EXISTS (
    SELECT
    FROM pg_catalog.pg_publication
    WHERE pubname = 'booking_publication'
)
\gexec

ALTER PUBLICATION booking_publication SET TABLE
    service.accounts,
    service.orders,
    service.seat_assignments,
    service.messages,
    service.uploads;

ALTER PUBLICATION booking_publication SET (
    publish = 'insert, update, delete, truncate'
);

COMMIT;
