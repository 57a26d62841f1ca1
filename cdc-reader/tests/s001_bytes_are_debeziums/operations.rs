//! What happens to the airline's tables, and to tables that are out of the ordinary.

/// Before anybody captures: most tables have rows; the first and the last of either order have none.
pub(super) const BEFORE: &str = r#"
CREATE TABLE defaults (
    id          serial PRIMARY KEY,
    made_at     timestamptz NOT NULL DEFAULT now(),
    made_on     date DEFAULT CURRENT_DATE,
    at_noon     timestamp NOT NULL DEFAULT localtimestamp,
    token       uuid DEFAULT gen_random_uuid(),
    label       varchar(20) NOT NULL DEFAULT 'a' || 'b',
    sum         integer DEFAULT 1 + 1,
    small       smallint DEFAULT (-3),
    big         bigint DEFAULT 5,
    price       numeric(6, 2) NOT NULL DEFAULT 10,
    nothing     text DEFAULT NULL,
    empty_text  text NOT NULL DEFAULT '',
    flag        boolean NOT NULL DEFAULT false,
    ratio       double precision NOT NULL DEFAULT '-1.5',
    raw         bytea NOT NULL DEFAULT '\x0102',
    doc         jsonb NOT NULL DEFAULT '{}',
    who         text NOT NULL DEFAULT CURRENT_USER,
    no_code     varchar(5) DEFAULT NULL,
    noon        time NOT NULL DEFAULT '12:00',
    stamped     timestamptz DEFAULT CURRENT_TIMESTAMP,
    local_stamp timestamp DEFAULT localtimestamp(3),
    clock       time DEFAULT localtime,
    today       text DEFAULT CURRENT_DATE,
    tomorrow    timestamptz NOT NULL DEFAULT now() + interval '1 day',
    built       jsonb DEFAULT jsonb_build_object('a', 1),
    upper       text NOT NULL DEFAULT upper('a'),
    pi          real DEFAULT 3.14,
    yes         boolean DEFAULT 'yes',
    code        char(3) DEFAULT 'x',
    exact       numeric(8, 3) DEFAULT -0.5,
    coalesced   integer DEFAULT COALESCE(NULL, 5),
    cast_text   text DEFAULT 5::text,
    escaped     text DEFAULT E'x\ny',
    slashed     text DEFAULT 'x\y',
    to_seconds  timestamptz(0) NOT NULL DEFAULT now()
);
INSERT INTO defaults (sum) VALUES (1), (NULL);
CREATE TABLE full_identity (id integer PRIMARY KEY, a text, b integer DEFAULT 5, c text NOT NULL);
ALTER TABLE full_identity REPLICA IDENTITY FULL;
INSERT INTO full_identity VALUES (1, 'one', NULL, 'c'), (2, NULL, 2, 'c');
CREATE TABLE keyless (a integer, b text);
ALTER TABLE keyless REPLICA IDENTITY FULL;
INSERT INTO keyless VALUES (1, 'x'), (1, 'x'), (NULL, NULL);
CREATE TABLE toasted (id integer PRIMARY KEY, small text, big text, raw bytea, doc jsonb, plain json, code varchar, must text NOT NULL);
ALTER TABLE toasted
    ALTER big SET STORAGE EXTERNAL, ALTER raw SET STORAGE EXTERNAL, ALTER doc SET STORAGE EXTERNAL,
    ALTER plain SET STORAGE EXTERNAL, ALTER code SET STORAGE EXTERNAL, ALTER must SET STORAGE EXTERNAL;
INSERT INTO toasted
SELECT n, 's', repeat('b', 9000), decode(repeat('ab', 9000), 'hex'), to_jsonb(repeat('d', 9000)), to_json(repeat('p', 9000)),
       repeat('c', 9000), repeat('m', 9000)
FROM generate_series(1, 3) AS n;
CREATE UNLOGGED TABLE unlogged (id integer PRIMARY KEY, note text);
INSERT INTO unlogged VALUES (1, 'x'), (2, NULL);
-- The types whose unchanged value Debezium does not show as NULL; long enough to be stored out of line, and less than a
-- megabyte in an event.
CREATE TABLE toasted_types (
    id integer PRIMARY KEY, small text, texts text[], varchars varchar(40)[], chars char(40)[], jsons json[], jsonbs jsonb[],
    raws bytea[], integers integer[], bigints bigint[], dates date[], uuids uuid[], pairs hstore, words tsvector, doc xml,
    code citext, path ltree, numbers numrange
);
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT attname FROM pg_attribute WHERE attrelid = 'toasted_types'::regclass AND attnum > 2 LOOP
        EXECUTE format('ALTER TABLE toasted_types ALTER %I SET STORAGE EXTERNAL', name);
    END LOOP;
END
$$;
INSERT INTO toasted_types
SELECT id, 's', array_agg(md5(n::text)), array_agg(md5(n::text)), array_agg(md5(n::text)), array_agg(to_json(md5(n::text))),
       array_agg(to_jsonb(md5(n::text))), array_agg(decode(md5(n::text), 'hex')), array_agg(n), array_agg(n::bigint),
       array_agg(date '2026-01-01' + n), array_agg(md5(n::text)::uuid), hstore(array_agg(n::text), array_agg(md5(n::text))),
       string_agg(md5(n::text), ' ')::tsvector, ('<a>' || string_agg(md5(n::text), '') || '</a>')::xml,
       string_agg(md5(n::text), ''), string_agg(md5(n::text), '.')::ltree, numrange(0, repeat('123456789', 3000)::numeric)
FROM generate_series(1, 3) AS id, generate_series(1, 600) AS n
GROUP BY id;
CREATE TABLE special_values (id serial PRIMARY KEY, day date, stamp timestamp, stamptz timestamptz, number numeric, amount numeric(12, 4));
INSERT INTO special_values (stamptz, number, amount) VALUES
    ('294276-12-31 23:59:59.999999+00', 'NaN', 'NaN'), ('0044-03-15 12:00:00+00 BC', 'Infinity', NULL), ('4713-01-01 00:00:00+00 BC', '-Infinity', 0);
-- Keys that are stored out of line: 2500 bytes, which an index still takes, and which do not compress.
CREATE TABLE toasted_keys (k text, part integer, n integer, note text, PRIMARY KEY (k, part));
ALTER TABLE toasted_keys ALTER k SET STORAGE EXTERNAL;
INSERT INTO toasted_keys
SELECT left(string_agg(md5(n || '-' || m), ''), 2500), n, 1, 'x' FROM generate_series(1, 3) AS n, generate_series(1, 80) AS m GROUP BY n;
CREATE TABLE toasted_key (k text PRIMARY KEY, n integer);
ALTER TABLE toasted_key ALTER k SET STORAGE EXTERNAL;
INSERT INTO toasted_key SELECT k, n FROM toasted_keys WHERE part = 1;
CREATE TABLE included_key (id integer, note text, other integer, PRIMARY KEY (id) INCLUDE (note));
INSERT INTO included_key VALUES (1, 'x', 1), (2, NULL, 2);
CREATE TABLE by_index (b text, a integer NOT NULL, c integer NOT NULL);
CREATE UNIQUE INDEX zz_first ON by_index (a);
CREATE UNIQUE INDEX aa_expression ON by_index (lower(b), a);
CREATE UNIQUE INDEX mm_identity ON by_index (c, a);
ALTER TABLE by_index REPLICA IDENTITY USING INDEX mm_identity;
INSERT INTO by_index VALUES ('B', 1, 10), (NULL, 2, 20);
CREATE TABLE by_unique (b text, a integer, c integer, UNIQUE (a, b));
ALTER TABLE by_unique REPLICA IDENTITY FULL;
INSERT INTO by_unique VALUES ('b', 1, 1), ('c', 2, NULL), ('d', 3, 3);
CREATE TABLE made (id integer PRIMARY KEY, a integer, twice integer GENERATED ALWAYS AS (a * 2) STORED, b text);
INSERT INTO made VALUES (1, 1, DEFAULT, 'b'), (2, NULL, DEFAULT, NULL);
CREATE TABLE "Odd Table" ("Key One" text, "k""2" integer, "Wert ä" text, PRIMARY KEY ("k""2", "Key One"));
INSERT INTO "Odd Table" VALUES ('a b', 1, 'x'), ('ü', 2, NULL);
CREATE TABLE keys (
    t text, d date, n numeric(5, 2), u uuid, z timestamptz, b bytea, f boolean, r double precision, v numeric, i bigint,
    note text,
    PRIMARY KEY (n, t, d, u, z, b, f, r, v, i)
);
INSERT INTO keys
SELECT word, '2026-01-02', 1.5, '11111111-2222-3333-4444-555555555555', '2026-01-02 03:04:05.6+00', '\x00ff', true, 1e-7, 2.50, 7
FROM unnest(ARRAY['plain', E'a "quoted" \\ / \n text', '🛫 é', '']) AS word;
CREATE TABLE zz_last (id integer PRIMARY KEY);

INSERT INTO airports VALUES
    ('SVO', 'Sheremetyevo', 'Moscow', 37.4146, 55.972599, 'Europe/Moscow'),
    ('LED', 'Pulkovo', 'Saint Petersburg', 30.262501, 59.800301, 'Europe/Moscow'),
    ('AER', 'Sochi', 'Sochi', 39.9566, 43.449902, 'Europe/Moscow');
INSERT INTO aircrafts VALUES ('773', 'Boeing 777-300', 11100), ('SU9', 'Sukhoi Superjet-100', 3000);
INSERT INTO seats VALUES ('773', '1A', 'Business'), ('773', '20C', 'Economy'), ('SU9', '7F', 'Comfort');
INSERT INTO flights (flight_no, scheduled_departure, scheduled_arrival, departure_airport, arrival_airport, status, aircraft_code)
VALUES ('PG0001', '2026-06-15 10:00+03', '2026-06-15 12:00+03', 'SVO', 'LED', 'Scheduled', '773'),
       ('PG0002', '2026-06-16 10:00+03', '2026-06-16 12:30+03', 'LED', 'AER', 'On Time', 'SU9');
INSERT INTO bookings VALUES ('00000F', '2026-06-01 12:00:00.5+00', 265700.00);
CREATE PUBLICATION captured FOR ALL TABLES;
"#;

/// While both capture.
pub(super) const AFTER: &str = r#"
INSERT INTO tickets VALUES ('0005432000987', '00000F', '8149 604011', 'VALERIY "V" TIKHONOV', '{"phone": "+70127117011"}'),
                           ('0005432000988', '00000F', '8499 420203', 'EVGENIYA ALEKSEEVA', NULL);
INSERT INTO ticket_flights VALUES ('0005432000987', 1, 'Business', 42100.00), ('0005432000988', 1, 'Economy', 14000.50);
INSERT INTO boarding_passes VALUES ('0005432000987', 1, 1, '1A');
BEGIN;
UPDATE flights SET status = 'Departed', actual_departure = '2026-06-15 10:07:12.000001+03' WHERE flight_id = 1;
UPDATE bookings SET total_amount = total_amount + 0.01;
INSERT INTO boarding_passes VALUES ('0005432000988', 1, 2, '20C');
SAVEPOINT rolled_back;
DELETE FROM boarding_passes;
ROLLBACK TO rolled_back;
UPDATE airports SET city = 'Sirius' WHERE airport_code = 'AER';
DELETE FROM seats WHERE seat_no = '7F';
COMMIT;
BEGIN;
INSERT INTO bookings VALUES ('FFFFFF', now(), 0);
ROLLBACK;
UPDATE seats SET seat_no = '21C' WHERE seat_no = '20C';
DELETE FROM boarding_passes;
UPDATE airports SET airport_name = airport_name;

INSERT INTO defaults DEFAULT VALUES;
INSERT INTO defaults (made_on, token, sum, small, big) VALUES (NULL, NULL, NULL, NULL, NULL);
UPDATE defaults SET sum = 3 WHERE id = 1;
UPDATE defaults SET id = 100 WHERE id = 2;
DELETE FROM defaults WHERE id = 1;

UPDATE full_identity SET a = NULL, b = 7 WHERE id = 1;
UPDATE full_identity SET id = 20 WHERE id = 2;
INSERT INTO full_identity VALUES (3, 'x', 3, 'y');
DELETE FROM full_identity WHERE id = 20;

INSERT INTO keyless VALUES (2, 'y');
UPDATE keyless SET b = 'z' WHERE a = 2;
DELETE FROM keyless WHERE a = 1;

UPDATE toasted SET small = 't' WHERE id = 1;
UPDATE toasted SET small = 'u', big = 'short' WHERE id = 2;
UPDATE toasted SET id = 30 WHERE id = 3;
ALTER TABLE toasted REPLICA IDENTITY FULL;
UPDATE toasted SET small = 'v' WHERE id = 1;
DELETE FROM toasted WHERE id = 1;

INSERT INTO unlogged VALUES (3, 'not published');
-- Names of origins are the whole server's.
SELECT pg_replication_origin_create(current_database());
SELECT pg_replication_origin_session_setup(current_database());
BEGIN;
SELECT pg_replication_origin_xact_setup('AB/CDEF0123', now());
UPDATE airports SET city = 'Elsewhere' WHERE airport_code = 'AER';
COMMIT;
SELECT pg_replication_origin_session_reset();
UPDATE airports SET city = 'Here' WHERE airport_code = 'AER';
SELECT pg_replication_origin_drop(current_database());

UPDATE toasted_types SET small = 't' WHERE id = 1;
UPDATE toasted_types SET id = 20 WHERE id = 2;
ALTER TABLE toasted_types REPLICA IDENTITY FULL;
UPDATE toasted_types SET small = 'v' WHERE id = 3;
DELETE FROM toasted_types WHERE id = 3;
INSERT INTO special_values (day, stamp) VALUES
    ('infinity', '4713-01-01 00:00:00 BC'), ('-infinity', '0044-03-15 12:00:00 BC'), ('5874897-12-31', '12026-01-02 03:04:05.678901'),
    ('4713-01-01 BC', '294246-12-31 23:59:59.999999'), ('0044-03-15 BC', 'infinity');
UPDATE special_values SET number = 'NaN', amount = 'NaN';

UPDATE toasted_key SET n = 2;
UPDATE toasted_key SET n = 3, k = k;
UPDATE toasted_key SET k = 'short' || n;
UPDATE toasted_keys SET n = 2 WHERE part = 1;
UPDATE toasted_keys SET part = 20 WHERE part = 2;
ALTER TABLE toasted_keys REPLICA IDENTITY FULL;
UPDATE toasted_keys SET n = 3;
UPDATE toasted_keys SET part = part + 100;
DELETE FROM toasted_keys;

UPDATE included_key SET note = 'y' || id, other = other + 1;
UPDATE included_key SET id = id + 10;
DELETE FROM included_key WHERE id = 12;
UPDATE by_index SET b = 'C';
UPDATE by_index SET a = a + 100;
DELETE FROM by_index WHERE c = 20;
INSERT INTO by_unique VALUES ('e', 4, 4);
UPDATE by_unique SET c = c + 1;
UPDATE by_unique SET a = 7 WHERE a = 3;
DELETE FROM by_unique;
UPDATE made SET a = 5;
INSERT INTO made VALUES (3, 3, DEFAULT, 'x');
DELETE FROM made WHERE id = 1;

UPDATE "Odd Table" SET "Wert ä" = 'y' WHERE "k""2" = 2;
UPDATE "Odd Table" SET "Key One" = 'c' WHERE "k""2" = 1;
DELETE FROM "Odd Table" WHERE "k""2" = 2;

UPDATE keys SET f = false, n = -n, note = 'moved';
UPDATE keys SET t = t || '"', d = d + 1, b = '', r = 1e10, v = 100, i = -1;
DELETE FROM keys;

TRUNCATE keyless;
TRUNCATE boarding_passes, ticket_flights;
TRUNCATE full_identity RESTART IDENTITY CASCADE;
BEGIN;
INSERT INTO full_identity VALUES (4, 'x', 3, 'y');
TRUNCATE full_identity;
INSERT INTO full_identity VALUES (4, 'again', 3, 'y');
COMMIT;
ALTER TABLE full_identity ADD COLUMN d text NOT NULL DEFAULT 'new', DROP COLUMN a;
INSERT INTO full_identity (id, c) VALUES (5, 'after the change');
UPDATE full_identity SET d = 'e';
INSERT INTO tickets
SELECT 'T' || lpad(n::text, 12, '0'), '00000F', n::text, 'P', jsonb_build_object('n', n)
FROM generate_series(1, 50) AS n;
"#;

/// Of a table that nobody has written to before: who has sent this has sent everything.
/// While neither captures, and after both have been started again.
pub(super) const AWAY: &str = "UPDATE airports SET city = 'Away';";
pub(super) const BACK: &str = "UPDATE airports SET city = 'Back';";

pub(super) const LAST: &str = "INSERT INTO zz_last VALUES (1); DELETE FROM zz_last;";
