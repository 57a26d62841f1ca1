-- The source's tables as they stand now, and the passengers, read from the vault.
-- Invariant: when nothing is in flight, each view but current_passengers equals the source table of that name row for
-- row, columns in the source's order, has_waiting_events behind them; char(n) and varchar(n) columns are text here. A row
-- shows when the latest status of its key is not "deleted"; its values are those of the latest version of each
-- satellite. Zero and ghost rows (record source SYSTEM) never show. A satellite is joined LEFT: a key without a version
-- shows NULLs rather than being hidden.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW dwh_marts.current_airports AS
WITH live_airports AS (
    SELECT
        status.hash_key,
        EXISTS (
            SELECT
            FROM dwh_control.quarantine AS waiting
            WHERE waiting.record_source = status.record_source
                AND waiting.parent_hash_key = status.hash_key
        ) AS has_waiting_events
    FROM dwh_detailed.sat_airports_status AS status
    WHERE NOT status.is_deleted
        AND status.record_source <> 'SYSTEM'
        AND NOT EXISTS (
            SELECT
            FROM dwh_detailed.sat_airports_status AS newer
            WHERE newer.hash_key = status.hash_key
                AND newer.load_date > status.load_date
        )
),
latest_details AS (
    SELECT
        version.hash_key,
        version.airport_name,
        version.city,
        version.longitude,
        version.latitude,
        version.timezone
    FROM dwh_detailed.sat_airports AS version
    WHERE NOT EXISTS (
        SELECT
        FROM dwh_detailed.sat_airports AS newer
        WHERE newer.hash_key = version.hash_key
            AND newer.load_date > version.load_date
    )
)
SELECT
    airport.airport_code,
    details.airport_name,
    details.city,
    details.longitude,
    details.latitude,
    details.timezone,
    live.has_waiting_events
FROM live_airports AS live
JOIN dwh_detailed.hub_airports AS airport ON airport.hash_key = live.hash_key
LEFT JOIN latest_details AS details ON details.hash_key = live.hash_key;

COMMENT ON VIEW dwh_marts.current_airports IS 'airports the airline knows now, served or not';
COMMENT ON COLUMN dwh_marts.current_airports.airport_code IS 'IATA code';
COMMENT ON COLUMN dwh_marts.current_airports.airport_name IS 'name of the airport';
COMMENT ON COLUMN dwh_marts.current_airports.city IS 'city it serves';
COMMENT ON COLUMN dwh_marts.current_airports.longitude IS 'degrees east';
COMMENT ON COLUMN dwh_marts.current_airports.latitude IS 'degrees north';
COMMENT ON COLUMN dwh_marts.current_airports.timezone IS 'IANA time zone';
COMMENT ON COLUMN dwh_marts.current_airports.has_waiting_events IS
    'whether events of this row wait in the quarantine, so that the row may not be up to date';

CREATE OR REPLACE VIEW dwh_marts.current_aircrafts AS
WITH live_aircrafts AS (
    SELECT
        status.hash_key,
        EXISTS (
            SELECT
            FROM dwh_control.quarantine AS waiting
            WHERE waiting.record_source = status.record_source
                AND waiting.parent_hash_key = status.hash_key
        ) AS has_waiting_events
    FROM dwh_detailed.sat_aircrafts_status AS status
    WHERE NOT status.is_deleted
        AND status.record_source <> 'SYSTEM'
        AND NOT EXISTS (
            SELECT
            FROM dwh_detailed.sat_aircrafts_status AS newer
            WHERE newer.hash_key = status.hash_key
                AND newer.load_date > status.load_date
        )
),
latest_details AS (
    SELECT
        version.hash_key,
        version.model,
        version.range
    FROM dwh_detailed.sat_aircrafts AS version
    WHERE NOT EXISTS (
        SELECT
        FROM dwh_detailed.sat_aircrafts AS newer
        WHERE newer.hash_key = version.hash_key
            AND newer.load_date > version.load_date
    )
)
SELECT
    aircraft.aircraft_code,
    details.model,
    details.range,
    live.has_waiting_events
FROM live_aircrafts AS live
JOIN dwh_detailed.hub_aircrafts AS aircraft ON aircraft.hash_key = live.hash_key
LEFT JOIN latest_details AS details ON details.hash_key = live.hash_key;

COMMENT ON VIEW dwh_marts.current_aircrafts IS 'aircraft models of the fleet now';
COMMENT ON COLUMN dwh_marts.current_aircrafts.aircraft_code IS 'IATA aircraft type code';
COMMENT ON COLUMN dwh_marts.current_aircrafts.model IS 'manufacturer and model';
COMMENT ON COLUMN dwh_marts.current_aircrafts.range IS 'maximal flight distance, km';
COMMENT ON COLUMN dwh_marts.current_aircrafts.has_waiting_events IS
    'whether events of this row wait in the quarantine, so that the row may not be up to date';

CREATE OR REPLACE VIEW dwh_marts.current_seats AS
WITH latest_cabins AS (
    SELECT
        version.hash_key,
        version.fare_conditions
    FROM dwh_detailed.sat_seats AS version
    WHERE NOT EXISTS (
        SELECT
        FROM dwh_detailed.sat_seats AS newer
        WHERE newer.hash_key = version.hash_key
            AND newer.load_date > version.load_date
    )
)
SELECT
    seat.aircraft_code,
    seat.seat_no,
    cabin.fare_conditions,
    seat.has_waiting_events
FROM dwh_marts.current_link_aircraft_seats AS seat
LEFT JOIN latest_cabins AS cabin ON cabin.hash_key = seat.hash_key;

COMMENT ON VIEW dwh_marts.current_seats IS 'cabin of each aircraft model now';
COMMENT ON COLUMN dwh_marts.current_seats.aircraft_code IS 'aircraft model';
COMMENT ON COLUMN dwh_marts.current_seats.seat_no IS 'row and letter';
COMMENT ON COLUMN dwh_marts.current_seats.fare_conditions IS 'travel class of the seat';
COMMENT ON COLUMN dwh_marts.current_seats.has_waiting_events IS
    'whether events of this row wait in the quarantine, so that the row may not be up to date';

CREATE OR REPLACE VIEW dwh_marts.current_flights AS
WITH live_flights AS (
    SELECT
        status.hash_key,
        EXISTS (
            SELECT
            FROM dwh_control.quarantine AS waiting
            WHERE waiting.record_source = status.record_source
                AND waiting.parent_hash_key = status.hash_key
        ) AS has_waiting_events
    FROM dwh_detailed.sat_flights_status AS status
    WHERE NOT status.is_deleted
        AND status.record_source <> 'SYSTEM'
        AND NOT EXISTS (
            SELECT
            FROM dwh_detailed.sat_flights_status AS newer
            WHERE newer.hash_key = status.hash_key
                AND newer.load_date > status.load_date
        )
),
latest_schedules AS (
    SELECT
        version.hash_key,
        version.flight_no,
        version.scheduled_departure,
        version.scheduled_arrival
    FROM dwh_detailed.sat_flight_schedules AS version
    WHERE NOT EXISTS (
        SELECT
        FROM dwh_detailed.sat_flight_schedules AS newer
        WHERE newer.hash_key = version.hash_key
            AND newer.load_date > version.load_date
    )
),
latest_operations AS (
    SELECT
        version.hash_key,
        version.status,
        version.actual_departure,
        version.actual_arrival
    FROM dwh_detailed.sat_flight_operations AS version
    WHERE NOT EXISTS (
        SELECT
        FROM dwh_detailed.sat_flight_operations AS newer
        WHERE newer.hash_key = version.hash_key
            AND newer.load_date > version.load_date
    )
)
SELECT
    flight.flight_id,
    schedule.flight_no,
    schedule.scheduled_departure,
    schedule.scheduled_arrival,
    route.departure_airport,
    route.arrival_airport,
    operation.status,
    route.aircraft_code,
    operation.actual_departure,
    operation.actual_arrival,
    live.has_waiting_events
FROM live_flights AS live
JOIN dwh_detailed.hub_flights AS flight ON flight.hash_key = live.hash_key
LEFT JOIN latest_schedules AS schedule ON schedule.hash_key = live.hash_key
LEFT JOIN latest_operations AS operation ON operation.hash_key = live.hash_key
LEFT JOIN dwh_marts.current_link_flight_routes AS route ON route.flight_hash_key = live.hash_key;

COMMENT ON VIEW dwh_marts.current_flights IS 'flights as they stand now, past and future';
COMMENT ON COLUMN dwh_marts.current_flights.flight_id IS 'surrogate key of the source';
COMMENT ON COLUMN dwh_marts.current_flights.flight_no IS 'flight number; all its flights share the route';
COMMENT ON COLUMN dwh_marts.current_flights.scheduled_departure IS 'planned departure';
COMMENT ON COLUMN dwh_marts.current_flights.scheduled_arrival IS 'planned arrival';
COMMENT ON COLUMN dwh_marts.current_flights.departure_airport IS 'airport of departure';
COMMENT ON COLUMN dwh_marts.current_flights.arrival_airport IS 'airport of arrival';
COMMENT ON COLUMN dwh_marts.current_flights.status IS 'Scheduled, On Time, Delayed, Departed, Arrived or Cancelled';
COMMENT ON COLUMN dwh_marts.current_flights.aircraft_code IS 'aircraft model that flies';
COMMENT ON COLUMN dwh_marts.current_flights.actual_departure IS 'when it left; NULL before';
COMMENT ON COLUMN dwh_marts.current_flights.actual_arrival IS 'when it landed; NULL before';
COMMENT ON COLUMN dwh_marts.current_flights.has_waiting_events IS
    'whether events of this row wait in the quarantine, so that the row may not be up to date';

CREATE OR REPLACE VIEW dwh_marts.current_bookings AS
WITH live_bookings AS (
    SELECT
        status.hash_key,
        EXISTS (
            SELECT
            FROM dwh_control.quarantine AS waiting
            WHERE waiting.record_source = status.record_source
                AND waiting.parent_hash_key = status.hash_key
        ) AS has_waiting_events
    FROM dwh_detailed.sat_bookings_status AS status
    WHERE NOT status.is_deleted
        AND status.record_source <> 'SYSTEM'
        AND NOT EXISTS (
            SELECT
            FROM dwh_detailed.sat_bookings_status AS newer
            WHERE newer.hash_key = status.hash_key
                AND newer.load_date > status.load_date
        )
),
latest_details AS (
    SELECT
        version.hash_key,
        version.book_date,
        version.total_amount
    FROM dwh_detailed.sat_bookings AS version
    WHERE NOT EXISTS (
        SELECT
        FROM dwh_detailed.sat_bookings AS newer
        WHERE newer.hash_key = version.hash_key
            AND newer.load_date > version.load_date
    )
)
SELECT
    booking.book_ref,
    details.book_date,
    details.total_amount,
    live.has_waiting_events
FROM live_bookings AS live
JOIN dwh_detailed.hub_bookings AS booking ON booking.hash_key = live.hash_key
LEFT JOIN latest_details AS details ON details.hash_key = live.hash_key;

COMMENT ON VIEW dwh_marts.current_bookings IS 'bookings as they stand now';
COMMENT ON COLUMN dwh_marts.current_bookings.book_ref IS 'booking reference';
COMMENT ON COLUMN dwh_marts.current_bookings.book_date IS 'when it was made';
COMMENT ON COLUMN dwh_marts.current_bookings.total_amount IS 'price of all its segments, roubles';
COMMENT ON COLUMN dwh_marts.current_bookings.has_waiting_events IS
    'whether events of this row wait in the quarantine, so that the row may not be up to date';

CREATE OR REPLACE VIEW dwh_marts.current_tickets AS
WITH live_tickets AS (
    SELECT
        status.hash_key,
        EXISTS (
            SELECT
            FROM dwh_control.quarantine AS waiting
            WHERE waiting.record_source = status.record_source
                AND waiting.parent_hash_key = status.hash_key
        ) AS has_waiting_events
    FROM dwh_detailed.sat_tickets_status AS status
    WHERE NOT status.is_deleted
        AND status.record_source <> 'SYSTEM'
        AND NOT EXISTS (
            SELECT
            FROM dwh_detailed.sat_tickets_status AS newer
            WHERE newer.hash_key = status.hash_key
                AND newer.load_date > status.load_date
        )
),
latest_details AS (
    SELECT
        version.hash_key,
        version.passenger_name,
        version.contact_data
    FROM dwh_detailed.sat_ticket_passengers AS version
    WHERE NOT EXISTS (
        SELECT
        FROM dwh_detailed.sat_ticket_passengers AS newer
        WHERE newer.hash_key = version.hash_key
            AND newer.load_date > version.load_date
    )
)
SELECT
    ticket.ticket_no,
    in_booking.book_ref,
    of_passenger.passenger_id,
    details.passenger_name,
    details.contact_data,
    live.has_waiting_events
FROM live_tickets AS live
JOIN dwh_detailed.hub_tickets AS ticket ON ticket.hash_key = live.hash_key
LEFT JOIN dwh_marts.current_link_booking_tickets AS in_booking ON in_booking.ticket_hash_key = live.hash_key
LEFT JOIN dwh_marts.current_link_ticket_passengers AS of_passenger ON of_passenger.ticket_hash_key = live.hash_key
LEFT JOIN latest_details AS details ON details.hash_key = live.hash_key;

COMMENT ON VIEW dwh_marts.current_tickets IS 'tickets as they stand now';
COMMENT ON COLUMN dwh_marts.current_tickets.ticket_no IS 'ticket number';
COMMENT ON COLUMN dwh_marts.current_tickets.book_ref IS 'booking it belongs to';
COMMENT ON COLUMN dwh_marts.current_tickets.passenger_id IS 'identity document of the passenger';
COMMENT ON COLUMN dwh_marts.current_tickets.passenger_name IS 'name of the passenger as given for this ticket';
COMMENT ON COLUMN dwh_marts.current_tickets.contact_data IS 'phone and e-mail address; NULL when unknown';
COMMENT ON COLUMN dwh_marts.current_tickets.has_waiting_events IS
    'whether events of this row wait in the quarantine, so that the row may not be up to date';

CREATE OR REPLACE VIEW dwh_marts.current_ticket_flights AS
WITH latest_sales AS (
    SELECT
        version.hash_key,
        version.fare_conditions,
        version.amount
    FROM dwh_detailed.sat_ticket_flights AS version
    WHERE NOT EXISTS (
        SELECT
        FROM dwh_detailed.sat_ticket_flights AS newer
        WHERE newer.hash_key = version.hash_key
            AND newer.load_date > version.load_date
    )
)
SELECT
    segment.ticket_no,
    segment.flight_id,
    sale.fare_conditions,
    sale.amount,
    segment.has_waiting_events
FROM dwh_marts.current_link_ticket_flights AS segment
LEFT JOIN latest_sales AS sale ON sale.hash_key = segment.hash_key;

COMMENT ON VIEW dwh_marts.current_ticket_flights IS 'segments sold, as they stand now';
COMMENT ON COLUMN dwh_marts.current_ticket_flights.ticket_no IS 'ticket';
COMMENT ON COLUMN dwh_marts.current_ticket_flights.flight_id IS 'flight';
COMMENT ON COLUMN dwh_marts.current_ticket_flights.fare_conditions IS 'travel class bought';
COMMENT ON COLUMN dwh_marts.current_ticket_flights.amount IS 'price of the segment, roubles';
COMMENT ON COLUMN dwh_marts.current_ticket_flights.has_waiting_events IS
    'whether events of this row wait in the quarantine, so that the row may not be up to date';

CREATE OR REPLACE VIEW dwh_marts.current_boarding_passes AS
WITH live_passes AS (
    SELECT
        status.hash_key,
        EXISTS (
            SELECT
            FROM dwh_control.quarantine AS waiting
            WHERE waiting.record_source = status.record_source
                AND waiting.parent_hash_key = status.hash_key
        ) AS has_waiting_events
    FROM dwh_detailed.sat_boarding_passes_status AS status
    WHERE NOT status.is_deleted
        AND status.record_source <> 'SYSTEM'
        AND NOT EXISTS (
            SELECT
            FROM dwh_detailed.sat_boarding_passes_status AS newer
            WHERE newer.hash_key = status.hash_key
                AND newer.load_date > status.load_date
        )
),
latest_details AS (
    SELECT
        version.hash_key,
        version.boarding_no,
        version.seat_no
    FROM dwh_detailed.sat_boarding_passes AS version
    WHERE NOT EXISTS (
        SELECT
        FROM dwh_detailed.sat_boarding_passes AS newer
        WHERE newer.hash_key = version.hash_key
            AND newer.load_date > version.load_date
    )
)
SELECT
    ticket.ticket_no,
    flight.flight_id,
    details.boarding_no,
    details.seat_no,
    live.has_waiting_events
FROM live_passes AS live
JOIN dwh_detailed.link_ticket_flights AS segment ON segment.hash_key = live.hash_key
LEFT JOIN dwh_detailed.hub_tickets AS ticket ON ticket.hash_key = segment.ticket_hash_key
LEFT JOIN dwh_detailed.hub_flights AS flight ON flight.hash_key = segment.flight_hash_key
LEFT JOIN latest_details AS details ON details.hash_key = live.hash_key;

COMMENT ON VIEW dwh_marts.current_boarding_passes IS 'boarding passes as they stand now';
COMMENT ON COLUMN dwh_marts.current_boarding_passes.ticket_no IS 'ticket';
COMMENT ON COLUMN dwh_marts.current_boarding_passes.flight_id IS 'flight';
COMMENT ON COLUMN dwh_marts.current_boarding_passes.boarding_no IS 'order of check-in on the flight';
COMMENT ON COLUMN dwh_marts.current_boarding_passes.seat_no IS 'seat given';
COMMENT ON COLUMN dwh_marts.current_boarding_passes.has_waiting_events IS
    'whether events of this row wait in the quarantine, so that the row may not be up to date';

-- The source has no table of passengers: a person is a document that tickets were bought with.
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
