//! A replica identity that does not contain the primary key: the events are Debezium's, and the start names the table.

use devstack::{PostgresAddress, shared};

use crate::support::parity::{side_by_side, wait_until_same};
use crate::support::{Connector, Launch, Source, unique};

const BEFORE: &str = "
CREATE TABLE by_number (id integer PRIMARY KEY, number integer NOT NULL UNIQUE, note text);
ALTER TABLE by_number REPLICA IDENTITY USING INDEX by_number_number_key;
CREATE TABLE by_name (
    code text DEFAULT 'no \"code\"', day date, amount numeric(5, 2) NOT NULL DEFAULT 1.5, price numeric(4, 1), free numeric, tag uuid,
    at timestamptz, big bigint NOT NULL DEFAULT 7, name text NOT NULL UNIQUE, note text DEFAULT 'n',
    PRIMARY KEY (code, day, amount, price, free, tag, at, big)
);
ALTER TABLE by_name REPLICA IDENTITY USING INDEX by_name_name_key;
CREATE TABLE by_part (a integer, b integer, c integer NOT NULL, PRIMARY KEY (a, b), UNIQUE (b, c));
ALTER TABLE by_part REPLICA IDENTITY USING INDEX by_part_b_c_key;
CREATE TABLE zz_last (id integer PRIMARY KEY);
CREATE PUBLICATION captured FOR ALL TABLES;
INSERT INTO by_number VALUES (1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c'), (4, 40, 'd');
INSERT INTO by_name VALUES
    ('x', '2026-01-02', 1, 1, 1, '11111111-2222-3333-4444-555555555555', '2026-01-02 03:04:05Z', 1, 'one'),
    ('y', '2026-01-02', 2, 2, 2, '11111111-2222-3333-4444-555555555555', '2026-01-02 03:04:05Z', 2, 'two');
INSERT INTO by_part VALUES (1, 1, 1), (2, 2, 2);
";

const AFTER: &str = "
UPDATE by_number SET note = 'same' WHERE id = 1;
UPDATE by_number SET id = 100 WHERE id = 1;
UPDATE by_number SET number = 21 WHERE id = 2;
UPDATE by_number SET number = 31, id = 33 WHERE id = 3;
DELETE FROM by_number WHERE id = 4;
INSERT INTO by_number VALUES (5, 50, NULL);
UPDATE by_name SET name = 'uno' WHERE code = 'x';
UPDATE by_name SET code = 'z' WHERE code = 'y';
DELETE FROM by_name;
UPDATE by_part SET a = 5 WHERE a = 1;
UPDATE by_part SET c = 7 WHERE a = 5;
UPDATE by_part SET b = 9 WHERE a = 2;
DELETE FROM by_part;
INSERT INTO zz_last VALUES (1);
";

#[test]
fn events_under_an_index_without_the_primary_key_are_debeziums_on_postgresql_15() {
    compare(&shared::stack().postgres15);
}

#[test]
fn events_under_an_index_without_the_primary_key_are_debeziums_on_postgresql_18() {
    compare(&shared::stack().postgres18);
}

fn compare(server: &PostgresAddress) {
    let stack = shared::stack();
    let debezium = stack.connect();
    let id = unique(&format!("identity{}", server.version));
    let source = Source::create(server, &id);
    source.run(BEFORE);
    for default in [false, true] {
        let (theirs, ours) = (format!("d{default}_{id}"), format!("o{default}_{id}"));
        let connector = |name: &str| {
            let connector = Connector::new(&source, name);
            if default {
                connector.without("value.converter.replace.null.with.default")
            } else {
                connector
            }
        };
        debezium.create(&connector(&theirs).json()).unwrap();
        source.wait_until_active(&theirs);
        let reader = Launch::new(&connector(&ours), &stack.kafka_bootstrap).start();
        reader.wait_for_line("streaming");
        source.run(AFTER);
        let all = |line: &str| Some(line.to_owned());
        wait_until_same(&theirs, &ours, "public.zz_last", all);
        let [expected, actual] = side_by_side(&theirs, &ours, all);
        assert_eq!(expected, actual);
        let lines: Vec<&String> = expected.values().flatten().collect();
        assert!(lines.iter().any(|line| line.contains(r#"{\"id\":0}"#)), "{lines:#?}");
        for table in ["by_number", "by_name", "by_part"] {
            let named = format!("public.{table}");
            let warned = reader.log().lines().any(|line| {
                line.contains(&named) && line.contains("does not contain the primary key")
            });
            assert!(warned, "{}", reader.log());
        }
        debezium.delete(&theirs).unwrap();
        reader.stop();
        source.wait_until_free(&ours);
        source.run("TRUNCATE by_number, by_name, by_part; DELETE FROM zz_last;");
        source.run(BEFORE.split("PUBLICATION captured FOR ALL TABLES;").nth(1).unwrap());
    }
}
