-- Who may read which marts; run by the owner of the marts, after all of them are made.
-- Invariant: mart_reader reads the views and tables that stand here and has no right on anything behind them: a view reads the
-- vault with the rights of its owner. None of them shows a name, a contact or a document of a passenger. Members of
-- mart_reader_personal read the others too. A new view or table is seen by nobody until it stands here.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

-- Rights are taken back before they are given, so that a right given by hand does not outlive this file.
REVOKE ALL ON SCHEMA dwh_marts FROM mart_reader, mart_reader_personal;
REVOKE ALL ON ALL TABLES IN SCHEMA dwh_marts FROM PUBLIC, mart_reader, mart_reader_personal;

GRANT USAGE ON SCHEMA dwh_marts TO mart_reader;

GRANT SELECT ON
    dwh_marts.current_aircrafts,
    dwh_marts.current_airports,
    dwh_marts.current_boarding_passes,
    dwh_marts.current_bookings,
    dwh_marts.current_flights,
    dwh_marts.current_link_aircraft_seats,
    dwh_marts.current_link_booking_tickets,
    dwh_marts.current_link_flight_routes,
    dwh_marts.current_link_ticket_flights,
    dwh_marts.current_seats,
    dwh_marts.current_ticket_flights,
    dwh_marts.dim_aircraft,
    dwh_marts.dim_airport,
    dwh_marts.dim_customer,
    dwh_marts.dim_date,
    dwh_marts.dim_flight,
    dwh_marts.dim_route,
    dwh_marts.dim_seat,
    dwh_marts.fact_bookings,
    dwh_marts.fact_flight_operations,
    dwh_marts.fact_seat_inventory,
    dwh_marts.freshness,
    dwh_marts.load_progress,
    dwh_marts.mart_refreshes,
    dwh_marts.v_active_airports_30d,
    dwh_marts.v_airport_traffic,
    dwh_marts.v_airport_traffic_share,
    dwh_marts.v_booking_totals,
    dwh_marts.v_booking_totals_as_of_watermark,
    dwh_marts.v_dashboard_airport_movements,
    dwh_marts.v_dashboard_airport_passengers,
    dwh_marts.v_dashboard_bookings,
    dwh_marts.v_dashboard_completeness,
    dwh_marts.v_dashboard_events_by_minute,
    dwh_marts.v_dashboard_mart_refresh,
    dwh_marts.v_dashboard_retention,
    dwh_marts.v_dashboard_table_freshness,
    dwh_marts.v_passenger_groups_revenue,
    dwh_marts.v_passenger_metrics_30d
TO mart_reader;

-- A ticket without its passenger.
GRANT SELECT (ticket_no, book_ref, has_waiting_events) ON dwh_marts.current_tickets TO mart_reader;

GRANT SELECT ON
    dwh_marts.current_link_ticket_passengers,
    dwh_marts.current_passengers,
    dwh_marts.current_tickets
TO mart_reader_personal;

COMMIT;
