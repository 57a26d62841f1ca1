//! Tests with servers of which some have ended, and with data that an earlier run has left.

use super::*;
use crate::account::Account;

/// A run directory in which, by its state file, `ended` has ended and `left` still runs.
fn half_ended(ended: (&str, Kind), left: (&str, Kind)) -> (tempfile::TempDir, Process) {
    let dir = tempfile::tempdir().unwrap();
    let sleeper = || {
        let options = ProcessOptions::new("sleep", dir.path().join("sleep.log")).args(["600"]);
        Process::start(&options).unwrap()
    };
    let record = |(name, kind): (&str, Kind), process: &Process| Record {
        name: name.to_owned(),
        kind,
        identity: process.identity().clone(),
        endpoint: String::new(),
        log: process.log().to_owned(),
        data: None,
    };
    let (gone, left_over) = (sleeper(), sleeper());
    let processes = vec![record(ended, &gone), record(left, &left_over)];
    drop(gone);
    let state = State { profile: "test".to_owned(), processes, ..State::default() };
    Locked::take(dir.path()).unwrap().save(&state).unwrap();
    (dir, left_over)
}

#[test]
fn a_worker_that_has_ended_ends_no_server_under_the_tests_that_use_it() {
    for ended in [("connect", Kind::Connect), ("cdc-reader", Kind::Program)] {
        let (dir, server) = half_ended(ended, ("postgres15", Kind::Postgres));
        let joined = join(Profile::Test, dir.path()).unwrap();
        let found = up(Profile::Test, dir.path(), true).unwrap();
        assert_eq!((joined.processes.len(), found.processes.len()), (2, 2));
        assert!(server.is_alive());
    }
}

#[test]
fn a_server_that_has_ended_under_the_tests_is_named_and_the_others_live() {
    let (dir, server) = half_ended(("postgres18", Kind::Postgres), ("kafka", Kind::Kafka));
    let error = join(Profile::Test, dir.path()).unwrap_err().to_string();
    assert!(error.contains("postgres18") && !error.contains("kafka"), "{error}");
    assert!(server.is_alive());
}

#[test]
fn data_that_lies_elsewhere_is_removed_although_its_run_directory_was_removed_first() {
    // Only root's servers run as somebody who may be shut out of a directory.
    if Account::for_postgres().unwrap().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let run_dir = fs::make_dir(&dir.path().join("run")).unwrap();
    let place = fs::substitute(&fs::make_dir(&run_dir.join("postgres15")).unwrap()).unwrap();
    fs::write(&place.join("PG_VERSION"), "15").unwrap();
    std::fs::remove_dir_all(&run_dir).unwrap();
    fs::make_dir(&run_dir).unwrap();
    remove_data(Profile::Test, &run_dir).unwrap();
    assert!(!place.exists(), "{}", place.display());
}

#[test]
fn a_promotion_outlives_its_servers_and_goes_with_their_data() {
    let dir = tempfile::tempdir().unwrap();
    let promotion = Promotion::of("hot_backup", "primary", None);
    let locked = Locked::take(dir.path()).unwrap();
    locked.save(&State { profile: "backup".to_owned(), ..State::default() }).unwrap();
    locked.record_promotion(Some(&promotion)).unwrap();
    assert_eq!(locked.load().unwrap().unwrap().promoted, Some(promotion.clone()));
    drop(locked);

    let recorded = || Locked::take(dir.path()).unwrap().promotion().unwrap();
    down(dir.path(), false).unwrap();
    assert_eq!(recorded(), Some(promotion));
    // A profile without the promoted server would start the earlier primary beside it.
    let plan = Profile::Demo.postgres_now(dir.path(), recorded().as_ref());
    let error = plan.unwrap_err().to_string();
    assert!(error.contains("hot_backup was promoted in"), "{error}");
    down(dir.path(), true).unwrap();
    assert_eq!(recorded(), None);
}

#[test]
fn after_two_promotions_each_earlier_primary_is_one_that_nobody_needs() {
    let first = Promotion::of("replica_one", "primary", None);
    let second = Promotion::of("replica_two", "replica_one", Some(&first));
    assert!(second.replaces("primary") && second.replaces("replica_one"));
    let back = Promotion::of("primary", "replica_two", Some(&second));
    assert_eq!(back.replaced, ["replica_one", "replica_two"]);
}

#[test]
fn down_ends_the_server_of_a_patroni_that_has_ended() {
    let (dir, left) = half_ended(("node1", Kind::Patroni), ("haproxy", Kind::Companion));
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    // A shell's background process ignores SIGINT unless it is told otherwise, as PostgreSQL's is.
    let options = ProcessOptions::new("env", dir.path().join("sh.log"))
        .args(["--default-signal=INT", "sh", "-c", "trap 'kill $!; exit' INT; sleep 600 & wait"])
        .args(["-D"])
        .args([&data]);
    let server = Process::start(&options).unwrap();
    std::fs::write(data.join("postmaster.pid"), format!("{}\n", server.pid())).unwrap();
    let locked = Locked::take(dir.path()).unwrap();
    let mut state = locked.load().unwrap().unwrap();
    state.processes[0].data = Some(data);
    locked.save(&state).unwrap();
    drop(locked);

    server.pause();
    down(dir.path(), false).unwrap();

    assert!(!server.is_alive());
    assert!(!left.is_alive());
}
