-- Who may edit reference data: airports and aircraft models. It stands on 010, 050 and, if the role is there, on 060.
-- Invariant: the service reads who is staff and can make nobody staff; the owner does that, with booking staff --grant.
-- The service may change the columns that its page edits, and no code, no seat and no flight.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE TABLE IF NOT EXISTS service.staff (
    account_id bigint      NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT staff_pkey PRIMARY KEY (account_id),
    CONSTRAINT staff_account_id_fkey FOREIGN KEY (account_id)
        REFERENCES service.accounts (account_id) ON DELETE CASCADE
);

COMMENT ON TABLE service.staff IS 'accounts that may see the reports, and edit airports and aircraft models';
COMMENT ON COLUMN service.staff.account_id IS 'account';
COMMENT ON COLUMN service.staff.granted_at IS 'since when it may';

-- The role belongs to 060, which a database of a test may do without.
SELECT granting.statement
FROM (
    VALUES
        ('GRANT SELECT ON service.staff TO booking_service'),
        ('GRANT UPDATE (airport_name, city, longitude, latitude, timezone) ON public.airports TO booking_service'),
        ('GRANT UPDATE (model, range) ON public.aircrafts TO booking_service')
) AS granting (statement)
WHERE EXISTS (
    SELECT
    FROM pg_catalog.pg_roles
    WHERE rolname = 'booking_service'
)
\gexec

COMMIT;
