//! Servers end with whoever started them; what was not started here is left alone.

use std::path::Path;
use std::time::Duration;

use devstack::profile::{self, State};
use devstack::{Identity, Process, ProcessOptions, wait_for};

const DEVSTACK: &str = env!("CARGO_BIN_EXE_devstack");

/// What the run directory's state file says, once it is there.
fn recorded(run_dir: &Path, deadline: Duration) -> State {
    let file = run_dir.join("state.json");
    wait_for(deadline, "the servers to be recorded", || {
        let bytes = std::fs::read(&file).ok()?;
        serde_json::from_slice::<State>(&bytes).ok()
    })
}

fn sleeper(dir: &Path) -> Process {
    Process::start(&ProcessOptions::new("sleep", dir.join("sleep.log")).args(["600"])).unwrap()
}

#[test]
fn killing_the_starter_with_signal_9_ends_all_its_servers() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let mut starter = Process::start(
        &ProcessOptions::new(DEVSTACK, dir.path().join("devstack.log"))
            .args(["up", "--profile", "test", "--foreground", "--run-dir"])
            .args([&run_dir]),
    )
    .unwrap();
    let state = recorded(&run_dir, Duration::from_secs(180));
    assert_eq!(state.processes.len(), 4);
    assert!(state.processes.iter().all(|record| record.identity.is_alive()));

    starter.kill9();

    for record in &state.processes {
        wait_for(Duration::from_secs(30), &record.name, || !record.identity.is_alive());
    }
    profile::down(&run_dir, true).unwrap();
}

#[test]
fn a_dropped_process_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let process = sleeper(dir.path());
    let identity = process.identity().clone();
    assert!(identity.is_alive());
    drop(process);
    assert!(!identity.is_alive());
}

#[test]
fn a_process_reports_its_exit_code_and_the_signal_that_ended_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("sh.log");
    let mut process = Process::start(
        &ProcessOptions::new("sh", &log)
            .args(["-c", "echo \"$WORD\"; exit 7"])
            .env("WORD", "hello"),
    )
    .unwrap();
    assert_eq!(process.wait_exit(Duration::from_secs(10)).unwrap(), 7);
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "hello\n");

    let mut process = sleeper(dir.path());
    process.terminate();
    assert_eq!(process.wait_exit(Duration::from_secs(10)).unwrap(), 128 + 15);
}

#[test]
fn a_program_that_does_not_exist_is_named_by_its_exit() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("none.log");
    let code = Process::start(&ProcessOptions::new("no-such-program", &log))
        .and_then(|mut process| process.wait_exit(Duration::from_secs(10)));
    assert_eq!(code.unwrap(), 127);
    assert!(std::fs::read_to_string(&log).unwrap().contains("no-such-program"));
}

#[test]
fn down_leaves_a_process_alone_that_only_has_the_recorded_number() {
    let dir = tempfile::tempdir().unwrap();
    let bystander = sleeper(dir.path());
    let stale = Identity {
        start_time: bystander.identity().start_time - 1,
        ..bystander.identity().clone()
    };
    let state = serde_json::json!({
        "profile": "test",
        "processes": [{"name": "old", "kind": "postgres", "identity": stale, "endpoint": "", "log": "/dev/null"}],
        "postgres": {},
        "kafka_bootstrap": "",
        "connect_url": null,
    });
    std::fs::write(dir.path().join("state.json"), state.to_string()).unwrap();

    assert!(profile::down(dir.path(), false).unwrap().is_some());

    assert!(bystander.is_alive());
    assert!(!dir.path().join("state.json").exists());
}
