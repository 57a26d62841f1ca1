//! A table that appears later and is not set up does not stop the others: it is named in the log and counted, and a
//! first start still refuses it.

use devstack::{shared, wait_for};

use crate::support::{Connector, Launch, PATIENCE, Source, record_count, unique};

const PROBLEMS: &str = "cdc_reader_table_problems";

/// A database with a table, and a role that may read it and no other.
fn source_with_role(id: &str) -> Source {
    let source = Source::create(&shared::stack().postgres18, id);
    source.run(&format!(
        "CREATE ROLE {id} LOGIN REPLICATION PASSWORD '{id}';
         CREATE TABLE first (id integer PRIMARY KEY);
         GRANT SELECT ON first TO {id};"
    ));
    source
}

fn connector(source: &Source, id: &str) -> Connector {
    Connector::new(source, id).set("database.user", id).set("database.password", id)
}

/// The server ends every connection of the reader, which makes new ones.
fn end_connections(source: &Source, id: &str) {
    source.run(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{id}' AND datname = '{id}'"
    ));
}

#[track_caller]
fn drop_role(source: Source, id: &str) {
    source.run(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{id}'; DROP OWNED BY {id}; DROP ROLE {id};"
    ));
    drop(source);
}

#[test]
fn a_new_table_without_a_grant_or_outside_the_publication_does_not_stop_the_others() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    for (publication, published) in [("FOR ALL TABLES", true), ("FOR TABLE first", false)] {
        let id = unique("appears");
        let source = source_with_role(&id);
        source.run(&format!("CREATE PUBLICATION captured {publication}"));
        let reader = Launch::new(&connector(&source, &id), bootstrap).start();
        reader.wait_for_line("streaming");
        assert!(reader.metric(PROBLEMS).abs() < f64::EPSILON);
        source.run("CREATE TABLE second (id integer PRIMARY KEY); INSERT INTO second VALUES (1);");
        if !published {
            source.run(&format!("GRANT SELECT ON second TO {id}"));
        }
        end_connections(&source, &id);
        let said = reader.wait_for_line("a captured table is not set up; the other tables go on");
        let problem = said["problem"].as_str().unwrap();
        let words = if published {
            r#"GRANT SELECT ON "public"."second""#
        } else {
            r#"ADD TABLE "public"."second""#
        };
        assert!(problem.contains(words), "{problem}");
        assert!((reader.metric(PROBLEMS) - 1.0).abs() < f64::EPSILON);
        source.run("INSERT INTO first VALUES (1); INSERT INTO second VALUES (2);");
        let count = |table: &str| record_count(bootstrap, &format!("{id}.public.{table}"));
        wait_for(PATIENCE, "the other table to go on", || count("first") == 1);
        if published {
            wait_for(PATIENCE, "the stream, which needs no GRANT", || count("second") == 2);
        }
        // Once it is set up, the next session counts it no longer.
        source.run(&format!("GRANT SELECT ON second TO {id}"));
        if !published {
            source.run("ALTER PUBLICATION captured ADD TABLE second");
        }
        source.wait_until_active(&id);
        end_connections(&source, &id);
        wait_for(PATIENCE, "the problem to be gone", || {
            reader.metric(PROBLEMS).abs() < f64::EPSILON
        });
        reader.stop();
        source.wait_until_free(&id);
        drop_role(source, &id);
    }
}

#[test]
fn a_first_start_refuses_what_a_resume_only_warns_of() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let id = unique("refuses");
    let source = source_with_role(&id);
    source.run(
        "CREATE PUBLICATION captured FOR TABLE first; CREATE TABLE second (id integer PRIMARY KEY);",
    );
    let launch = Launch::new(&connector(&source, &id), bootstrap);
    let (code, log) = launch.start().wait_for_end(PATIENCE);
    assert_eq!(code, 2, "{log}");
    for word in [r#"GRANT SELECT ON \"public\".\"second\""#, r#"ADD TABLE \"public\".\"second\""#] {
        assert!(log.contains(word), "{word} in {log}");
    }
    source.run("ALTER PUBLICATION captured ADD TABLE second");
    let (code, log) = launch.start().wait_for_end(PATIENCE);
    assert_eq!(code, 2, "{log}");
    assert!(log.contains(r#"GRANT SELECT ON \"public\".\"second\""#), "{log}");
    let slots = source
        .value(&format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{id}'"));
    assert_eq!(slots, "0");
    drop_role(source, &id);
}

/// What concerns all tables stays final.
#[test]
fn a_publication_that_is_gone_or_lacks_an_operation_ends_a_resume() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let id = unique("gone");
    let source = Source::create(&shared::stack().postgres15, &id);
    source.run(
        "CREATE TABLE first (id integer PRIMARY KEY); CREATE PUBLICATION captured FOR ALL TABLES;",
    );
    let launch = Launch::new(&Connector::new(&source, &id), bootstrap);
    let reader = launch.start();
    reader.wait_for_line("streaming");
    reader.stop();
    source.wait_until_free(&id);
    for (change, words) in [
        (
            "ALTER PUBLICATION captured SET (publish = 'insert, update, truncate')",
            "does not publish delete",
        ),
        ("DROP PUBLICATION captured", "publication captured does not exist"),
    ] {
        source.run(change);
        let (code, log) = launch.start().wait_for_end(PATIENCE);
        assert_eq!(code, 2, "{log}");
        assert!(log.contains(words), "{log}");
    }
}

/// The stream announces a table that the catalog no longer has.
#[test]
fn a_table_that_came_and_went_while_nobody_read_does_not_stop_the_others() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let id = unique("went");
    let source = source_with_role(&id);
    source.run("CREATE PUBLICATION captured FOR ALL TABLES");
    let launch = Launch::new(&connector(&source, &id), bootstrap);
    let reader = launch.start();
    reader.wait_for_line("streaming");
    reader.stop();
    source.wait_until_free(&id);
    source.run(
        "CREATE TABLE second (id integer PRIMARY KEY, note text DEFAULT 'n'); INSERT INTO second VALUES (1); DROP TABLE second;
         CREATE TABLE third (id integer PRIMARY KEY); INSERT INTO third VALUES (1); INSERT INTO first VALUES (1);",
    );
    let reader = launch.start();
    for table in ["first", "second", "third"] {
        let topic = format!("{id}.public.{table}");
        wait_for(PATIENCE, &topic, || record_count(bootstrap, &topic) == 1);
    }
    reader.stop();
    source.wait_until_free(&id);
    drop_role(source, &id);
}
