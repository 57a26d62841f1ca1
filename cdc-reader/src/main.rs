//! Parses, loads, waits for a signal, and returns an exit code.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use cdc_reader::cli::{Cli, Command, HealthArgs, InitArgs, OffsetArgs, ReconcileArgs, RunArgs};
use cdc_reader::clock::PublishClock;
use cdc_reader::connector;
use cdc_reader::context::{Context, start_heartbeats};
use cdc_reader::exit;
use cdc_reader::init;
use cdc_reader::kafka_clients::KafkaClients;
use cdc_reader::metrics::Metrics;
use cdc_reader::observe::Observer;
use cdc_reader::offset_command;
use cdc_reader::orderly_end::GIVE_UP_AFTER;
use cdc_reader::reconcile;
use cdc_reader::rest::{self, Identity, Question, RestState};
use cdc_reader::source_watch::SourceWatch;
use cdc_reader::supervise;
use clap::Parser;
use shared::{shutdown, telemetry};
use tikv_jemallocator::Jemalloc;

/// For our own memory and librdkafka's, which takes most of it: what a stall of Kafka has filled goes back to the
/// system when it is over.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("cannot start: {error}");
                return ExitCode::from(exit::FAILED);
            }
        };
    let code = runtime.block_on(async {
        match cli.command {
            Command::Run(args) => run(args).await,
            Command::Check(args) => check(&args.connector),
            Command::Health(args) => match rest::check(&args.listen, question(&args)).await {
                Ok(()) => exit::OK,
                Err(error) => {
                    eprintln!("{error}");
                    exit::FAILED
                }
            },
            Command::Offset(args) => tokio::task::block_in_place(|| offset(args)),
            Command::Reconcile(args) => tokio::task::block_in_place(|| retract(args)),
            Command::Init(args) => tokio::task::block_in_place(|| look(&args)),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    ExitCode::from(code)
}

fn offset(args: OffsetArgs) -> u8 {
    match offset_command::run(args) {
        Ok(line) => {
            println!("{line}");
            exit::OK
        }
        Err(error) => {
            let code = error.exit_code();
            eprintln!("{:#}", anyhow::Error::new(error));
            code
        }
    }
}

fn retract(args: ReconcileArgs) -> u8 {
    match reconcile::run(args) {
        Ok(outcome) => {
            print!("{}", outcome.printed);
            outcome.exit_code()
        }
        Err(error) => {
            let code = error.exit_code();
            eprintln!("{:#}", anyhow::Error::new(error));
            code
        }
    }
}

fn look(args: &InitArgs) -> u8 {
    match init::run(args) {
        Ok(report) => {
            print!("{}", report.printed);
            eprint!("{report}");
            report.exit_code()
        }
        Err(error) => {
            eprintln!("{:#}", anyhow::Error::new(error));
            exit::CONFIGURATION
        }
    }
}

fn question(args: &HealthArgs) -> Question {
    if args.ready { Question::Ready } else { Question::Health }
}

fn check(path: &std::path::Path) -> u8 {
    match connector::load(path) {
        Ok(connector) => {
            for warning in &connector.warnings {
                eprintln!("warning: {warning}");
            }
            exit::OK
        }
        Err(error) => {
            eprintln!("{:#}", anyhow::Error::new(error));
            exit::CONFIGURATION
        }
    }
}

async fn run(args: RunArgs) -> u8 {
    let started = match start(args).await {
        Ok(started) => started,
        Err(error) => {
            eprintln!("{error:#}");
            return exit::CONFIGURATION;
        }
    };
    match work(started).await {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            exit::FAILED
        }
    }
}

/// Everything that the configuration decides, ready to work.
struct Started {
    context: Context,
    server: tokio::task::JoinHandle<()>,
    cancel: tokio_util::sync::CancellationToken,
}

async fn start(args: RunArgs) -> anyhow::Result<Started> {
    let worker = args.worker.resolve()?;
    let connector = connector::load(&args.connector)?;
    let security = &connector.settings.kafka_security;
    let kafka = KafkaClients::new(&worker.bootstrap_servers, &worker.kafka, security)?;
    telemetry::init(worker.log_format);
    for warning in connector.warnings.iter().chain(kafka.producer.security().warnings()) {
        tracing::warn!("{warning}");
    }
    let cancel = shutdown::on_signals()?;
    let listener = rest::bind(&worker.listen).await?;
    let metrics = Metrics::new(&connector.settings.topic_prefix);
    let state = RestState::new(
        Identity {
            name: connector.name.clone(),
            config: connector.shown(),
            version: connector.settings.version.clone(),
            topic_prefix: connector.settings.topic_prefix.clone(),
            worker_id: rest::worker_id(
                listener.local_addr()?,
                worker.advertised_host_name.as_deref(),
            ),
        },
        metrics.clone(),
    );
    tracing::info!(listen = %listener.local_addr()?, connector = connector.name, "started");
    let server = tokio::spawn(rest::serve(listener, state.clone(), cancel.clone()));
    let observer = Arc::new(Observer::new(metrics, state));
    let source = &connector.settings;
    let watch = SourceWatch::start(&source.database, &source.slot_name, &observer, &cancel)?;
    let heartbeats = start_heartbeats(&connector, &kafka, &observer)?;
    let context = Context {
        connector,
        kafka,
        offset_topic: worker.offset_storage_topic,
        startup_timeout: worker.startup_timeout,
        cancel: cancel.clone(),
        observer,
        watch,
        run_id: uuid::Uuid::now_v7().to_string(),
        publish_clock: PublishClock::default(),
        heartbeats,
        runtime: tokio::runtime::Handle::current(),
    };
    Ok(Started { context, server, cancel })
}

async fn work(started: Started) -> anyhow::Result<u8> {
    let Started { context, server, cancel } = started;
    // The hot path is a thread of its own: nothing of it may wait for another task.
    let worker = tokio::task::spawn_blocking(move || {
        let result = supervise::run(&context);
        if let Err(error) = &result {
            context.observer.failed(&error.chain());
        }
        result
    });
    let given_up = async {
        cancel.cancelled().await;
        tokio::time::sleep(GIVE_UP_AFTER).await;
    };
    let outcome = tokio::select! {
        outcome = worker => outcome?,
        () = given_up => {
            let seconds = GIVE_UP_AFTER.as_secs();
            tracing::warn!(
                seconds,
                "ending although a server is still waited for; the next start publishes again what was not confirmed"
            );
            return Ok(exit::OK);
        }
    };
    cancel.cancel();
    server.await?;
    Ok(match outcome {
        Ok(()) => {
            tracing::info!("stopped in order");
            exit::OK
        }
        Err(error) => {
            for line in error.chain().lines() {
                tracing::error!("{line}");
            }
            error.exit_code()
        }
    })
}
