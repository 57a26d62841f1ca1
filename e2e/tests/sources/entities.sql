-- A small shop whose tables make every kind of hub, link and satellite, random work on them, and a log of what the work
-- did. The log is in no publication: tests ask it what the vault has to hold.

-- Its attributes change at different rates, some are personal, and some never change.
CREATE TABLE customers (
    id integer PRIMARY KEY,
    tier text NOT NULL,
    newsletter boolean NOT NULL,
    name text NOT NULL,
    mail text,
    signed_up date NOT NULL,
    channel text NOT NULL
);
-- Customers who are the same person.
CREATE TABLE customer_duplicates (
    customer_id integer,
    same_as_id integer,
    found_by text,
    PRIMARY KEY (customer_id, same_as_id)
);
-- An employee has a manager, who is an employee.
CREATE TABLE employees (
    id integer PRIMARY KEY,
    name text,
    manager_id integer
);
-- A product is known by its maker and the maker's code, in all three tables that name it.
CREATE TABLE products (
    maker text,
    code integer,
    title text,
    PRIMARY KEY (maker, code)
);
CREATE TABLE prices (
    maker text,
    code integer,
    price numeric(10, 2),
    PRIMARY KEY (maker, code)
);
-- An order has a customer and a clerk, and both may change.
CREATE TABLE orders (
    id bigint PRIMARY KEY,
    customer_id integer,
    clerk_id integer,
    state text,
    placed_at timestamptz
);
-- A line has a number within its order, and a product, which may change.
CREATE TABLE order_lines (
    order_id bigint,
    line_no smallint,
    maker text,
    code integer,
    quantity integer,
    PRIMARY KEY (order_id, line_no)
);

-- What happened to each row, in order, as events tell it: a row with another key is a delete and an insert.
CREATE TABLE shop_log (
    number bigserial PRIMARY KEY,
    relation text NOT NULL,
    op text NOT NULL,
    key text NOT NULL,
    before jsonb,
    after jsonb
);

-- The values of key columns, which are the arguments of the trigger.
CREATE FUNCTION shop_key(columns text[], content jsonb) RETURNS text LANGUAGE sql AS
'SELECT string_agg(content ->> name, '' '' ORDER BY place) FROM unnest(columns) WITH ORDINALITY AS k (name, place)';

CREATE FUNCTION shop_note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    is_now jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
    old_key text := shop_key(TG_ARGV, was);
    new_key text := shop_key(TG_ARGV, is_now);
BEGIN
    IF old_key = new_key THEN
        INSERT INTO shop_log (relation, op, key, before, after) VALUES (TG_TABLE_NAME, 'u', new_key, was, is_now);
    ELSE
        INSERT INTO shop_log (relation, op, key, before, after)
        SELECT TG_TABLE_NAME, op, key, gone, come
        FROM (VALUES (1, 'd', old_key, was, NULL::jsonb), (2, 'c', new_key, NULL::jsonb, is_now)) AS v (place, op, key, gone, come)
        WHERE key IS NOT NULL
        ORDER BY place;
    END IF;
    RETURN NULL;
END
$$;

DO $$
DECLARE
    noted record;
BEGIN
    FOR noted IN
        SELECT c.relname, string_agg(quote_literal(a.attname), ', ' ORDER BY k.place) AS key
        FROM pg_index AS i
        JOIN pg_class AS c ON c.oid = i.indrelid AND c.relnamespace = 'public'::regnamespace
        CROSS JOIN unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (number, place)
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.number
        WHERE i.indisprimary AND c.relname <> 'shop_log'
        GROUP BY c.relname
    LOOP
        EXECUTE format(
            'CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION shop_note(%s)', noted.relname, noted.key
        );
    END LOOP;
END
$$;

-- Customers never get the number of one who left: what never changes about a customer would change.
CREATE SEQUENCE customer_numbers;

CREATE FUNCTION below(n integer) RETURNS integer LANGUAGE sql AS 'SELECT floor(random() * n)::integer';

-- A customer at random, if there is one.
CREATE FUNCTION some_customer() RETURNS integer LANGUAGE sql AS 'SELECT id FROM customers ORDER BY random() LIMIT 1';

CREATE FUNCTION shop_statement() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    the_order bigint := below(12);
    the_maker text := 'maker ' || below(3);
    the_code integer := below(5);
BEGIN
    CASE below(24)
        WHEN 0, 1, 2 THEN
            INSERT INTO customers
            VALUES (nextval('customer_numbers'), 'tier ' || below(3), true, 'name ' || below(99), NULLIF('mail ' || below(9), 'mail 0'),
                    date '2026-01-01' + below(99), 'channel ' || below(4));
        WHEN 3, 4 THEN UPDATE customers SET tier = 'tier ' || below(3) WHERE id = some_customer();
        WHEN 5 THEN UPDATE customers SET name = 'name ' || below(99), mail = NULL WHERE id = some_customer();
        -- An update that changes nothing.
        WHEN 6 THEN UPDATE customers SET newsletter = newsletter WHERE id = some_customer();
        WHEN 7 THEN DELETE FROM customers WHERE id = some_customer() AND random() < 0.5;
        WHEN 8, 9 THEN
            INSERT INTO customer_duplicates VALUES (below(20), below(20), 'rule ' || below(3))
            ON CONFLICT (customer_id, same_as_id) DO UPDATE SET found_by = excluded.found_by;
        WHEN 10 THEN DELETE FROM customer_duplicates WHERE random() < 0.1;
        WHEN 11, 12 THEN
            -- A manager has a smaller number, so nobody is above himself.
            INSERT INTO employees SELECT n, 'name ' || below(99), NULLIF(below(n), 0) FROM (SELECT 1 + below(15) AS n) AS numbered
            ON CONFLICT (id) DO UPDATE SET manager_id = excluded.manager_id;
        WHEN 13 THEN DELETE FROM employees WHERE random() < 0.05;
        WHEN 14 THEN
            INSERT INTO products VALUES (the_maker, the_code, 'title ' || below(99))
            ON CONFLICT (maker, code) DO UPDATE SET title = excluded.title;
        WHEN 15 THEN
            INSERT INTO prices VALUES (the_maker, the_code, below(10000) / 100.0)
            ON CONFLICT (maker, code) DO UPDATE SET price = excluded.price;
        WHEN 16, 17 THEN
            INSERT INTO orders VALUES (the_order, CASE WHEN random() < 0.8 THEN some_customer() END, 1 + below(15), 'new', timestamptz '2026-01-01' + below(9999) * interval '1 minute')
            ON CONFLICT (id) DO UPDATE SET customer_id = excluded.customer_id, clerk_id = excluded.clerk_id;
        WHEN 18 THEN UPDATE orders SET state = 'state ' || below(3) WHERE id = the_order;
        -- An order gets another number.
        WHEN 19 THEN UPDATE orders SET id = the_order WHERE id = 11 - the_order AND NOT EXISTS (SELECT FROM orders WHERE id = the_order);
        WHEN 20 THEN DELETE FROM orders WHERE id = the_order;
        WHEN 21, 22 THEN
            INSERT INTO order_lines VALUES (the_order, below(4), the_maker, the_code, below(9))
            ON CONFLICT (order_id, line_no) DO UPDATE SET maker = excluded.maker, code = excluded.code;
        ELSE DELETE FROM order_lines WHERE random() < 0.05;
    END CASE;
END
$$;

-- Random work: the same seed does the same on the same rows.
CREATE FUNCTION shop_work(seed integer, statements integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM setseed((seed::bigint * 7919 % 1000) / 1000.0);
    FOR i IN 1 .. statements LOOP
        PERFORM shop_statement();
    END LOOP;
END
$$;
