-- A library, with everything that schemas have and the airline has not: several schemas, names in mixed case, the name
-- of a technical column, enumeration, domain, array, range, generated column, a key that is a reference, a composite
-- foreign key, a tree, an m:n table, a partitioned table, a table without a key.
CREATE SCHEMA hr;
CREATE TYPE genre AS ENUM ('novel', 'essay', 'poem');
CREATE DOMAIN mail AS varchar(80) CHECK (VALUE LIKE '%@%');

CREATE TABLE hr.people (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    mail mail,
    more_mail mail[],
    born date,
    tags text[],
    "Load_Date" timestamptz,
    full_name text GENERATED ALWAYS AS (upper(name)) STORED
);
CREATE TABLE hr.staff (
    person_id bigint PRIMARY KEY REFERENCES hr.people,
    boss_id integer,
    salary numeric(10, 2)
);
CREATE TABLE "Authors" (
    "Id" integer PRIMARY KEY,
    "FullName" text,
    alive boolean
);
CREATE TABLE books (
    isbn varchar(13) PRIMARY KEY,
    title text,
    kind genre,
    pages int4range,
    extra jsonb
);
CREATE TABLE book_authors (
    isbn varchar(13) REFERENCES books,
    author integer REFERENCES "Authors",
    share real,
    PRIMARY KEY (isbn, author)
);
CREATE TABLE copies (
    isbn varchar(13) REFERENCES books,
    copy_no smallint,
    shelf text,
    PRIMARY KEY (isbn, copy_no)
);
CREATE TABLE loans (
    id uuid PRIMARY KEY,
    copy_no smallint,
    isbn varchar(13),
    reader bigint REFERENCES hr.people,
    lent_by bigint REFERENCES hr.staff,
    lent_at timestamptz,
    back date,
    FOREIGN KEY (isbn, copy_no) REFERENCES copies
);
CREATE TABLE categories (
    code text PRIMARY KEY,
    parent_code text REFERENCES categories,
    title text
);
CREATE TABLE visits (
    day date,
    number integer,
    who bigint REFERENCES hr.people,
    PRIMARY KEY (day, number)
) PARTITION BY RANGE (day);
CREATE TABLE visits_before PARTITION OF visits FOR VALUES FROM (MINVALUE) TO ('2026-01-06');
CREATE TABLE visits_after PARTITION OF visits FOR VALUES FROM ('2026-01-06') TO (MAXVALUE);
CREATE TABLE diary (
    line text
);
-- An index that does not tell every row, and a table that is in no WAL.
CREATE TABLE shifts (
    who integer,
    day date
);
CREATE UNIQUE INDEX ON shifts (who) WHERE day IS NULL;
CREATE UNLOGGED TABLE scratch (
    id integer PRIMARY KEY
);
-- A foreign key whose type is narrower than that of the key.
ALTER TABLE hr.staff ADD FOREIGN KEY (boss_id) REFERENCES hr.people;

-- A row of a table of ten, or NULL now and then.
CREATE FUNCTION pick(n integer) RETURNS integer LANGUAGE sql AS 'SELECT (random() * n)::integer';

CREATE FUNCTION library_statement() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    book text := 'isbn-' || pick(8);
    person bigint := pick(12);
BEGIN
    CASE pick(20)
        WHEN 0, 1 THEN
            INSERT INTO hr.people (id, name, mail, more_mail, born, tags, "Load_Date")
            VALUES (person, 'n' || pick(99), NULLIF('a' || pick(5) || '@x', 'a0@x'), ARRAY['b@x', NULL]::mail[], date '1970-01-01' + pick(9999),
                    ARRAY['t' || pick(3), NULL, 'ü'], timestamptz '2026-01-01' + pick(9999) * interval '1 second')
            ON CONFLICT (id) DO UPDATE
            SET name = excluded.name, mail = excluded.mail, tags = excluded.tags, "Load_Date" = excluded."Load_Date";
        WHEN 2 THEN
            INSERT INTO hr.staff
            VALUES (person, NULLIF(pick(6), 0), pick(100000) / 7.0)
            ON CONFLICT (person_id) DO UPDATE SET boss_id = excluded.boss_id, salary = excluded.salary;
        WHEN 3 THEN
            INSERT INTO "Authors"
            VALUES (pick(9), 'Author ' || pick(99), random() < 0.5)
            ON CONFLICT ("Id") DO UPDATE SET "FullName" = excluded."FullName", alive = NULL;
        WHEN 4, 5 THEN
            INSERT INTO books
            VALUES (book, repeat('title ', pick(3)), (enum_range(NULL::genre))[1 + pick(2)], int4range(1, 2 + pick(300)),
                    jsonb_build_object('a', pick(9), 'b', jsonb_build_array(NULL, 'x')))
            ON CONFLICT (isbn) DO UPDATE SET kind = excluded.kind, pages = NULL, extra = excluded.extra;
        WHEN 6 THEN
            INSERT INTO book_authors VALUES (book, pick(9), random())
            ON CONFLICT (isbn, author) DO UPDATE SET share = excluded.share;
        WHEN 7, 8 THEN
            INSERT INTO copies VALUES (book, pick(3), 's' || pick(9))
            ON CONFLICT (isbn, copy_no) DO UPDATE SET shelf = excluded.shelf;
        WHEN 9, 10 THEN
            INSERT INTO loans
            SELECT md5(pick(30)::text)::uuid, c.copy_no, c.isbn, NULLIF(person, 0), NULL, timestamptz '2026-01-01' + pick(9999) * interval '1 second',
                   NULL
            FROM copies AS c ORDER BY random() LIMIT 1
            ON CONFLICT (id) DO UPDATE
            SET copy_no = excluded.copy_no, isbn = excluded.isbn, reader = excluded.reader, back = date '2026-02-01' + pick(9);
        WHEN 11 THEN UPDATE loans SET lent_by = (SELECT person_id FROM hr.staff ORDER BY random() LIMIT 1) WHERE random() < 0.2;
        WHEN 12 THEN UPDATE loans SET copy_no = NULL, isbn = NULL WHERE random() < 0.1;
        WHEN 13 THEN
            INSERT INTO categories VALUES ('c' || pick(9), (SELECT code FROM categories ORDER BY random() LIMIT 1), 'x' || pick(99))
            ON CONFLICT (code) DO UPDATE SET parent_code = excluded.parent_code, title = excluded.title;
        WHEN 14, 15 THEN
            INSERT INTO visits VALUES (date '2026-01-01' + pick(9), pick(4), NULLIF(person, 0))
            ON CONFLICT (day, number) DO UPDATE SET who = excluded.who;
        -- A row moves to another partition.
        WHEN 16 THEN UPDATE visits SET day = date '2026-01-01' + pick(9) WHERE number = pick(4) AND random() < 0.2;
        -- Keys change and rows go.
        WHEN 17 THEN UPDATE categories SET code = 'k' || pick(20) WHERE random() < 0.1;
        WHEN 18 THEN DELETE FROM loans WHERE random() < 0.03;
        WHEN 19 THEN DELETE FROM visits WHERE random() < 0.05;
        ELSE DELETE FROM book_authors WHERE random() < 0.1;
    END CASE;
EXCEPTION
    -- A reference to a row that is not there, or a key that is taken: the statement is taken back.
    WHEN foreign_key_violation OR unique_violation THEN NULL;
END
$$;

-- Random work: the same seed does the same on the same rows.
CREATE FUNCTION library_work(seed integer, statements integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM setseed((seed * 7919 % 1000) / 1000.0);
    FOR i IN 1 .. statements LOOP
        PERFORM library_statement();
    END LOOP;
END
$$;
