//! The menu over real servers: in step, paused, stopped, frozen, synchronous; in a pipe and in a terminal.

mod roles;
mod servers;
mod terminal;

use devstack::wait_for;

use servers::{PASSWORD, PATIENCE, Servers, answer, feed, row};

/// Books for a passenger whose booking every replica must show before the commit returns.
const IN_STEP: [&str; 6] = ["9", "3", "10", "remote_apply", "1", "ADA EXAMPLE"];

async fn in_step(version: u16) {
    let servers = Servers::start(version).await;
    let said = servers.choose(&[&IN_STEP[..], &["5", "4", "replica_one", "4", "2"]].concat());
    let chosen = answer(&said, "9");
    assert!(chosen.contains("replica_one is quorum\nreplica_two is quorum"), "{said}");
    assert!(answer(&said, "1").contains("synchronous_commit = remote_apply"), "{said}");
    assert!(answer(&said, "5").contains("All servers hold the same."), "{said}");
    assert!(said.matches("ADA EXAMPLE  ").count() >= 2, "{said}");
    let booked = "SELECT count(*) FROM tickets WHERE passenger_name = 'ADA EXAMPLE'";
    for server in [&servers.primary, &servers.one, servers.two()] {
        assert_eq!(servers.text(server, booked), "1");
    }
    // Its operator may set whom commits wait for, by PostgreSQL's own word.
    assert_eq!(
        servers.text(&servers.primary, "SHOW synchronous_standby_names"),
        "ANY 2 (\"replica_one\", \"replica_two\")"
    );
    assert_eq!(
        servers.text(&servers.primary, "SHOW server_version_num")[..2],
        servers.version().to_string()
    );
}

#[tokio::test]
async fn what_is_written_on_the_primary_is_read_on_both_replicas_of_15() {
    in_step(15).await;
}

#[tokio::test]
async fn what_is_written_on_the_primary_is_read_on_both_replicas_of_18() {
    in_step(18).await;
}

/// A number of bytes as the menu prints it.
fn bytes(text: &str) -> f64 {
    let (number, unit) = text.split_once(' ').unwrap();
    let factor = match unit {
        "B" => 1.0,
        "kB" => 1024.0,
        "MB" => 1024.0 * 1024.0,
        _ => panic!("{text}"),
    };
    number.parse::<f64>().unwrap() * factor
}

#[tokio::test]
async fn a_paused_replica_falls_behind_by_the_servers_own_figure_and_catches_up() {
    let servers = Servers::start(15).await;
    servers.replay_a_commit();
    let said = servers.choose(&[
        "7",
        "replica_two",
        "1",
        "BEN EXAMPLE",
        "5",
        "4",
        "replica_two",
        "4",
        "primary",
    ]);
    assert!(answer(&said, "7").contains("replica_two is paused"), "{said}");
    assert!(answer(&said, "5").contains("Not all servers hold the same."), "{said}");
    let of_two = said.find("The newest bookings on replica_two").unwrap();
    let of_primary = said.find("The newest bookings on primary").unwrap();
    assert!(
        !said[of_two..of_primary].contains("BEN EXAMPLE"),
        "it shows what it has not replayed: {said}"
    );
    assert!(said[of_primary..].contains("BEN EXAMPLE"), "{said}");

    let own = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)
               FROM pg_stat_replication WHERE application_name = 'replica_two'";
    let before: f64 = servers.text(&servers.primary, own).parse().unwrap();
    let said = servers.choose(&["6"]);
    let after: f64 = servers.text(&servers.primary, own).parse().unwrap();
    let by_primary = bytes(row(&said, "By the primary", "replica_two")[6]);
    let by_itself = bytes(row(&said, "By the replicas", "replica_two")[2]);
    assert!(before > 0.0, "a paused replica has replayed a booking");
    // The menu rounds to a tenth of a unit, so to within a tenth for what is more than a unit.
    for shown in [by_primary, by_itself] {
        assert!((before * 0.9..=after * 1.1).contains(&shown), "{before} {shown} {after}: {said}");
    }
    let two = row(&said, "By the replicas", "replica_two");
    assert_eq!(two[1], "paused", "{said}");
    assert!(two[4].starts_with("at most "), "{said}");
    assert_eq!(row(&said, "By the replicas", "replica_one")[4], "0 s", "{said}");

    servers.choose(&["8", "2"]);
    let behind = format!("SELECT ({own}) = 0");
    servers.wait_for_text(&servers.primary, &behind, "t");
    let said = servers.choose(&["5", "6"]);
    assert!(answer(&said, "5").contains("All servers hold the same."), "{said}");
    assert_eq!(row(&said, "By the replicas", "replica_two")[1], "running", "{said}");
}

#[tokio::test]
async fn a_stopped_replica_is_unreachable_its_slot_keeps_wal_and_it_comes_back() {
    let mut servers = Servers::start(15).await;
    let kept_by_slot = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)
                        FROM pg_replication_slots WHERE slot_name = 'replica_two'";
    servers.stop_two();
    wait_for(PATIENCE, "the primary to see it gone", || {
        servers.text(
            &servers.primary,
            "SELECT active FROM pg_replication_slots WHERE slot_name = 'replica_two'",
        ) == "f"
    });
    servers.text(
        &servers.primary,
        "CREATE TABLE large AS SELECT md5(n::text) FROM generate_series(1, 20000) AS n",
    );
    let said = servers.choose(&["1", "CY EXAMPLE", "4", "replica_two", "6"]);
    let kept: f64 = servers.text(&servers.primary, kept_by_slot).parse().unwrap();
    assert!(answer(&said, "4").contains("replica_two cannot be reached at 127.0.0.1:"), "{said}");
    assert!(answer(&said, "4").contains("Connection refused"), "{said}");
    assert_eq!(row(&said, "By the primary", "replica_two")[1], "not connected", "{said}");
    assert_eq!(
        row(&said, "By the replicas", "replica_two")[1..],
        ["unreachable", "unknown", "unknown", "unknown"]
    );
    let slot = row(&said, "What the primary keeps", "replica_two");
    assert_eq!((slot[1], slot[4]), ("no", "reserved"), "{said}");
    let shown = bytes(slot[2]);
    assert!(kept > 1_000_000.0 && (kept * 0.9..=kept * 1.1).contains(&shown), "{kept} {said}");

    servers.start_two();
    let booked = "SELECT count(*) FROM tickets WHERE passenger_name = 'CY EXAMPLE'";
    servers.wait_for_text(servers.two(), booked, "1");
    servers.wait_for_text(&servers.primary, &format!("SELECT ({kept_by_slot}) < 100000"), "t");
    let said = servers.choose(&["5", "6"]);
    assert!(answer(&said, "5").contains("All servers hold the same."), "{said}");
    assert_eq!(row(&said, "By the primary", "replica_two")[1], "streaming", "{said}");
}

#[tokio::test]
async fn a_commit_that_waits_for_a_stopped_replica_is_cancelled_and_told() {
    let mut servers = Servers::start(15).await;
    let said = servers.choose(&["9", "replica_two"]);
    assert!(said.contains("replica_one is async\nreplica_two is sync"), "{said}");
    servers.stop_two();

    let lines = [
        "1",
        "DOT EXAMPLE",
        "10",
        "local",
        "1",
        "EVE EXAMPLE",
        "9",
        "no",
        "10",
        "on",
        "1",
        "FAY EXAMPLE",
    ];
    let output = feed(servers.menu().args(["--commit-patience", "1s"]), &lines);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let hanging = &said[..said.find("> 10").unwrap()];
    for part in [
        "The commit has waited 1s for replicas in vain",
        "committed on the primary all the same",
        "The primary says: WARNING: canceling wait for synchronous replication due to user request",
        "might not have been replicated to the standby",
    ] {
        assert!(hanging.contains(part), "{part}: {said}");
    }
    assert_eq!(said.matches("in vain").count(), 1, "a commit waits although it need not: {said}");
    let booked = "SELECT count(*) FROM tickets WHERE passenger_name LIKE '%EXAMPLE'";
    assert_eq!(servers.text(&servers.primary, booked), "3");
}

#[tokio::test]
async fn a_paused_replica_hides_what_was_just_booked_and_another_shows_it() {
    let servers = Servers::start(15).await;
    let said = servers.choose(&[
        "9",
        "replica_one",
        "10",
        "remote_apply",
        "7",
        "replica_two",
        "11",
        "GUS EXAMPLE",
    ]);
    let read = answer(&said, "11");
    assert!(read.contains("replica_one showed it at once"), "{said}");
    assert!(read.contains("replica_two has not shown it within 2s"), "{said}");
}

#[tokio::test]
async fn a_replica_refuses_a_write_with_postgresqls_own_words() {
    let servers = Servers::start(15).await;
    let said = servers.choose(&["12", "replica_one", "13", "12", "2"]);
    let refusal =
        "replica_one refuses: cannot execute INSERT in a read-only transaction (SQLSTATE 25006)";
    assert!(said.contains(refusal), "{said}");
    let with_sql = answer(&said, "12");
    assert!(
        with_sql.contains("SQL to replica_two:")
            && with_sql.contains("INSERT INTO public.airports"),
        "{said}"
    );
}

#[tokio::test]
async fn a_booking_is_renamed_and_cancelled_everywhere() {
    let servers = Servers::start(15).await;
    let said = servers.choose(&IN_STEP);
    let book_ref = said.split("Booked ").nth(1).unwrap()[..6].to_owned();
    let name = format!(
        "SELECT string_agg(passenger_name, ',') FROM tickets WHERE book_ref = '{book_ref}'"
    );
    let said =
        servers.choose(&["10", "remote_apply", "2", &book_ref.to_lowercase(), "HAL EXAMPLE"]);
    assert!(said.contains(&format!("{book_ref} is now for HAL EXAMPLE.")), "{said}");
    assert_eq!(servers.text(&servers.one, &name), "HAL EXAMPLE");
    let said = servers.choose(&["10", "remote_apply", "3", &book_ref, "3", &book_ref]);
    assert!(said.contains(&format!("{book_ref} is cancelled.")), "{said}");
    assert!(said.contains(&format!("There is no booking {book_ref}")), "{said}");
    for server in [&servers.primary, &servers.one, servers.two()] {
        assert_eq!(servers.text(server, &name), "");
    }
    let broken = "SELECT count(*) FROM bookings AS b
                  WHERE total_amount <> (SELECT sum(amount) FROM tickets JOIN ticket_flights USING (ticket_no)
                                         WHERE tickets.book_ref = b.book_ref)";
    assert_eq!(servers.text(&servers.primary, broken), "0");
}

#[tokio::test]
async fn a_frozen_replica_is_silent_and_the_menu_goes_on() {
    let servers = Servers::start(15).await;
    let frozen = servers.two().freeze().unwrap();
    let output = feed(
        servers.menu().args(["--patience", "500ms"]),
        &["4", "replica_two", "6", "4", "replica_one"],
    );
    drop(frozen);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("replica_two does not answer: waited 500ms"), "{said}");
    assert_eq!(row(&said, "By the replicas", "replica_two")[1], "unreachable", "{said}");
    assert!(said.contains("The newest bookings on replica_one"), "{said}");
}

#[tokio::test]
async fn wrong_input_and_a_primary_that_is_away_have_their_exit_codes() {
    let mut servers = Servers::start(15).await;
    for lines in [&["99"][..], &["4", "replica_three"], &["2", "ABCDEF"]] {
        let output = feed(&mut servers.menu(), lines);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{lines:?}: {errors}");
        assert!(errors.contains("1 answers were none of the choices"), "{errors}");
    }
    for lines in [&["q"][..], &[], &["5", "0", "99"]] {
        assert_eq!(feed(&mut servers.menu(), lines).status.code(), Some(0), "{lines:?}");
    }
    let output = feed(servers.menu().env_remove("BOOKING_REPLICAS"), &[]);
    assert_eq!(output.status.code(), Some(2));
    let output =
        feed(servers.menu().env_remove("BOOKING_OPERATOR_PASSWORD"), &["7", "1", "6", "9", "1"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.matches("give the menu BOOKING_OPERATOR_PASSWORD").count(), 2, "{said}");
    assert!(said.contains("unknown: no operator's role is given"), "{said}");

    servers.primary.stop(devstack::StopMode::Fast).unwrap();
    let output = feed(&mut servers.menu(), &["5"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("primary cannot be reached at 127.0.0.1:"), "{errors}");
    assert!(!errors.contains(PASSWORD), "{errors}");
}
