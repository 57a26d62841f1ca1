//! The connections of a session lead to one server, or nothing is published.

use devstack::{shared, wait_for};

use crate::support::{Connector, Launch, PATIENCE, Source, Switch, record_count, records, unique};

/// Two servers have a table of the same name, with other columns and other rows.
#[test]
fn a_load_balancer_between_the_connections_of_a_session_is_named_and_nothing_of_the_wrong_server_is_published()
 {
    let stack = shared::stack();
    let bootstrap = &stack.kafka_bootstrap;
    let id = unique("balanced");
    let right = Source::create(&stack.postgres15, &id);
    right.run(
        "CREATE TABLE t (id integer PRIMARY KEY, right_one text);
         INSERT INTO t VALUES (1, 'x');
         CREATE PUBLICATION captured FOR ALL TABLES;",
    );
    let wrong = Source::create(&stack.postgres18, &id);
    wrong.run(
        "CREATE TABLE t (id integer PRIMARY KEY, wrong_one text);
         INSERT INTO t VALUES (2, 'y');
         CREATE PUBLICATION captured FOR ALL TABLES;",
    );
    let switch = Switch::to(&right.server);
    switch.lead_others_to(&wrong.server);
    let connector = switch.in_front_of(Connector::new(&right, &id));
    let reader = Launch::new(&connector, bootstrap).start();
    let line = reader.wait_for_line("session ended, trying again");
    let error = line["error"].as_str().unwrap();
    assert!(error.contains("reached different servers"), "{error}");
    assert!(error.contains("load balancer") && error.contains("database.hostname"), "{error}");
    let topic = format!("{id}.public.t");
    assert_eq!(record_count(bootstrap, &topic), 0);

    switch.lead_others_to(&right.server);
    reader.wait_for_line("streaming");
    // The stream goes on when the idle connection is lost, and does not ask the wrong server about a changed table.
    switch.lead_others_to(&wrong.server);
    right.run(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = '{id}' AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    ));
    right.run("ALTER TABLE t ADD more integer; INSERT INTO t VALUES (3, 'z', 5);");
    wait_for(PATIENCE, "the reader to notice the other server", || {
        let said = reader.said("session ended, trying again");
        said.iter().filter(|line| line["error"].as_str().unwrap().contains("different")).count() > 1
    });
    switch.lead_others_to(&right.server);
    wait_for(PATIENCE, "the row of the changed table", || record_count(bootstrap, &topic) == 2);
    let rows: Vec<_> = records(bootstrap, &topic)
        .iter()
        .map(|record| record.json()["after"].to_string())
        .collect();
    let expected = [r#"{"id":1,"right_one":"x"}"#, r#"{"id":3,"right_one":"z","more":5}"#];
    assert_eq!(rows, expected);
    reader.stop();
}
