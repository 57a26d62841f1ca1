-- The passengers as they stand now, read from the vault. The source has no table of passengers: a person is a document that
-- tickets were bought with.
-- Invariant: a passenger shows while a ticket that exists names the passenger. The name and the contact are those of the ticket
-- whose data changed last.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW dwh_marts.current_passengers AS
WITH latest_details AS (
    SELECT
        version.hash_key,
        version.applied_date,
        version.passenger_name,
        version.contact_data
    FROM dwh_detailed.sat_ticket_passengers AS version
    WHERE NOT EXISTS (
        SELECT
        FROM dwh_detailed.sat_ticket_passengers AS newer
        WHERE newer.hash_key = version.hash_key
            AND newer.load_date > version.load_date
    )
),
tickets AS (
    SELECT
        ticket.passenger_id,
        ticket.ticket_no,
        details.applied_date,
        details.passenger_name,
        details.contact_data,
        count(*) OVER (PARTITION BY ticket.passenger_id) AS tickets_num,
        bool_or(ticket.has_waiting_events) OVER (PARTITION BY ticket.passenger_id) AS has_waiting_events
    FROM dwh_marts.current_link_ticket_passengers AS ticket
    LEFT JOIN latest_details AS details ON details.hash_key = ticket.ticket_hash_key
)
SELECT DISTINCT ON (passenger_id)
    passenger_id,
    passenger_name,
    contact_data,
    tickets_num,
    has_waiting_events
FROM tickets
ORDER BY
    passenger_id,
    applied_date DESC NULLS LAST,
    ticket_no DESC;

COMMENT ON VIEW dwh_marts.current_passengers IS
    'passengers who hold a ticket now, named as on the ticket whose data changed last (ties: highest number)';
COMMENT ON COLUMN dwh_marts.current_passengers.passenger_id IS 'identity document';
COMMENT ON COLUMN dwh_marts.current_passengers.passenger_name IS 'name as given last';
COMMENT ON COLUMN dwh_marts.current_passengers.contact_data IS 'phone and e-mail address as given last; NULL when unknown';
COMMENT ON COLUMN dwh_marts.current_passengers.tickets_num IS 'tickets the passenger holds now';
COMMENT ON COLUMN dwh_marts.current_passengers.has_waiting_events IS
    'whether events of one of the passenger''s tickets wait in the quarantine';

COMMIT;
