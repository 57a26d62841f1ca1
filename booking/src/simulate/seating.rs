//! Which seats the booking service has sold, for check-in and for swaps of aircraft.
//!
//! In: whether the database has the service's table. Out: statements. Without the table nobody has chosen a seat. A
//! seat that the service has sold counts while its segment exists, the aircraft has it in the class that was bought,
//! and nobody else's boarding pass names it.

/// Asks whether the table is there and may be read.
pub(super) const HAS_SERVICE: &str = "
    SELECT EXISTS (
        SELECT
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = 'service'
          AND c.relname = 'seat_assignments'
          AND has_schema_privilege(n.oid, 'USAGE')
          AND has_table_privilege(c.oid, 'SELECT')
    )";

/// The statement that gives boarding passes to passengers of flight `$1`, to `$2` of them at most. Whoever has a seat
/// keeps it, and the others get free seats in the cabin of their fare. `$reserved` are the tickets with a seat.
macro_rules! board {
    ($reserved:literal) => {
        concat!(
            "WITH reserved AS (",
            $reserved,
            "),
             waiting AS (
                 SELECT
                     tf.ticket_no,
                     tf.fare_conditions,
                     row_number() OVER (
                         PARTITION BY tf.fare_conditions
                         ORDER BY tf.ticket_no
                     ) AS place
                 FROM public.ticket_flights AS tf
                 WHERE tf.flight_id = $1
                   AND NOT EXISTS (
                       SELECT
                       FROM public.boarding_passes AS bp
                       WHERE bp.flight_id = tf.flight_id
                         AND bp.ticket_no = tf.ticket_no
                   )
                   AND NOT EXISTS (
                       SELECT
                       FROM reserved AS r
                       WHERE r.ticket_no = tf.ticket_no
                   )
             ),
             free_seats AS (
                 SELECT
                     s.seat_no,
                     s.fare_conditions,
                     row_number() OVER (
                         PARTITION BY s.fare_conditions
                         ORDER BY md5(s.seat_no || $1::integer)
                     ) AS place
                 FROM public.flights AS f
                 JOIN public.seats AS s ON s.aircraft_code = f.aircraft_code
                 WHERE f.flight_id = $1
                   AND NOT EXISTS (
                       SELECT
                       FROM public.boarding_passes AS bp
                       WHERE bp.flight_id = f.flight_id
                         AND bp.seat_no = s.seat_no
                   )
                   AND NOT EXISTS (
                       SELECT
                       FROM reserved AS r
                       WHERE r.seat_no = s.seat_no
                   )
             ),
             placed AS (
                 SELECT w.ticket_no, s.seat_no
                 FROM waiting AS w
                 JOIN free_seats AS s
                     ON s.fare_conditions = w.fare_conditions
                     AND s.place = w.place
                 UNION ALL
                 SELECT r.ticket_no, r.seat_no
                 FROM reserved AS r
                 WHERE NOT EXISTS (
                     SELECT
                     FROM public.boarding_passes AS bp
                     WHERE bp.flight_id = $1
                       AND bp.ticket_no = r.ticket_no
                 )
             ),
             last_issued AS (
                 SELECT coalesce(max(boarding_no), 0) AS boarding_no
                 FROM public.boarding_passes
                 WHERE flight_id = $1
             )
             INSERT INTO public.boarding_passes (ticket_no, flight_id, boarding_no, seat_no)
             SELECT
                 p.ticket_no,
                 $1::integer,
                 l.boarding_no + row_number() OVER (ORDER BY p.ticket_no),
                 p.seat_no
             FROM placed AS p
             CROSS JOIN last_issued AS l
             ORDER BY p.ticket_no
             LIMIT $2"
        )
    };
}

/// Gives boarding passes where the service has sold seats.
pub(super) const BOARD_WITH_SERVICE: &str = board!(
    "SELECT sa.ticket_no, sa.seat_no
     FROM service.seat_assignments AS sa
     JOIN public.ticket_flights AS tf
         ON tf.ticket_no = sa.ticket_no
         AND tf.flight_id = sa.flight_id
     JOIN public.flights AS f ON f.flight_id = sa.flight_id
     JOIN public.seats AS s
         ON s.aircraft_code = f.aircraft_code
         AND s.seat_no = sa.seat_no
         AND s.fare_conditions = tf.fare_conditions
     WHERE sa.flight_id = $1
       AND NOT EXISTS (
           SELECT
           FROM public.boarding_passes AS bp
           WHERE bp.flight_id = sa.flight_id
             AND bp.seat_no = sa.seat_no
             AND bp.ticket_no <> sa.ticket_no
       )"
);

/// Gives boarding passes where nobody has chosen a seat.
pub(super) const BOARD: &str =
    board!("SELECT NULL::char(13) AS ticket_no, NULL::varchar(4) AS seat_no WHERE false");

/// Asks whether the service has sold a seat of flight `$1`.
pub(super) const HAS_SOLD_SEATS: &str = "
    SELECT
    FROM service.seat_assignments AS sa
    JOIN public.ticket_flights AS tf
        ON tf.ticket_no = sa.ticket_no
        AND tf.flight_id = sa.flight_id
    WHERE sa.flight_id = $1
    LIMIT 1";
