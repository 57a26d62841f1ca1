//! One run of one plan on one variant.
//!
//! In: a place, a plan, a variant. Out: samples, and what service and server have used.
//! Invariant: a run with an answer that the plan does not expect is an error, and so is one after which the database
//! holds other bookings than were confirmed.

use std::time::Duration;

use anyhow::Context;
use devstack::jmeter::{Jmeter, JmeterOptions, Samples};

use super::place::{Beside, Place};
use super::{Options, Plan, Variant};
use crate::bench::interrupt::wait;
use crate::bench::sql::Sql;
use crate::bench::usage::Usage;
use crate::bench::{airline, servers};
use crate::service::Service;

/// Failures that a message shows.
const FAILURES_SHOWN: usize = 5;

/// A run.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) plan: Plan,
    pub(super) variant: Variant,
    /// Without those of the warm-up.
    pub(super) samples: Samples,
    /// All that the service has used, from its start on.
    pub(super) service: Usage,
    pub(super) server_cpu_seconds: f64,
}

pub(super) fn run(
    options: &Options,
    place: &Place,
    (plan, variant): (Plan, Variant),
    number: u16,
) -> anyhow::Result<Round> {
    let name = format!("{}_{}_{number}", plan.name(), format!("{variant:?}").to_lowercase());
    place.copy(&name)?;
    let dir = place.dir.path().join(&name);
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let beside = place.beside(variant, &name)?;
    let service = start_service(options, &beside, &dir)?;
    let jmeter = JmeterOptions::new(plan.name(), &dir)
        .quick_start(false)
        .property("port", service.port())
        .property("threads", options.threads)
        .property("ramp", 1)
        .property("duration", options.duration)
        .property("seed", options.seed)
        .property("trips", place.trips.display());
    let server_before = servers::postgres_cpu_seconds(&place.source)?;
    let mut jmeter = Jmeter::start(&jmeter)?;
    let patience = servers::patience(options.deadline);
    let samples = wait(patience, "JMeter to end", || jmeter.ended())?;
    let usage = Usage::of(service.pid()).context("the booking service has ended")?;
    let server_cpu_seconds = servers::postgres_cpu_seconds(&place.source)? - server_before;
    airline::end(service.into_process(), "the booking service")?;
    check_answers(&samples)?;
    let sql = Sql::connect(&place.address().superuser(&name))?;
    check_database(&sql, &samples)?;
    drop(sql);
    place.address().drop_database(&name)?;
    Ok(Round {
        plan,
        variant,
        samples: samples.after(Duration::from_secs(options.warm_up.into())),
        service: usage,
        server_cpu_seconds,
    })
}

/// The service, which must have taken what the variant gives it.
fn start_service(
    options: &Options,
    beside: &Beside,
    dir: &std::path::Path,
) -> anyhow::Result<Service> {
    let pool_size = options.pool_size.to_string();
    let redis: Vec<_> =
        beside.redis.iter().map(|url| ("BOOKING_REDIS_URL", url.as_str())).collect();
    let words = ["--pool-size", &pool_size, "--log-format", "json"];
    let service = Service::start(&beside.database, dir, &words, &redis)?;
    if beside.redis.is_some() {
        let hears = || {
            let metrics = service.metrics()?;
            Ok(metrics.iter().any(|line| line == "booking_redis_up 1").then_some(()))
        };
        wait(servers::patience(30), "the booking service to hear Redis", hears)?;
    }
    Ok(service)
}

fn check_answers(samples: &Samples) -> anyhow::Result<()> {
    let failed: Vec<String> = samples
        .failed()
        .take(FAILURES_SHOWN)
        .map(|sample| format!("{}: {} {}", sample.label, sample.code, sample.failure))
        .collect();
    anyhow::ensure!(
        failed.is_empty(),
        "{} answers were not as the plan expects; the first:\n{}",
        samples.failed().count(),
        failed.join("\n")
    );
    Ok(())
}

/// Compares what customers were told with what the database holds.
fn check_database(sql: &Sql, samples: &Samples) -> anyhow::Result<()> {
    let told = |label, code| i64::try_from(samples.count(label, code));
    let booked = told("book", "201")?;
    let cancelled = told("cancel", "200")? + told("give back", "200")?;
    for (expected, what, query) in [
        (booked, "bookings", "SELECT count(*) FROM service.orders"),
        (cancelled, "cancelled bookings", "SELECT count(cancelled_at) FROM service.orders"),
        (booked - cancelled, "sold seats", "SELECT count(*) FROM service.seat_assignments"),
    ] {
        let found: i64 = sql.value(query)?;
        anyhow::ensure!(
            found == expected,
            "customers were told of {expected} {what}, and the database holds {found}"
        );
    }
    Ok(())
}
