//! The figures of the runs, for people and for programs.
//!
//! In: runs. Out: a table of medians, and JSON of everything.

use devstack::jmeter::{Figures, Samples};
use devstack::{JMETER_VERSION, binary, workspace_root};
use serde_json::{Value, json};

use super::Options;
use super::round::Round;
use crate::bench::machine::{self, Machine};
use crate::bench::{report, servers};

/// The plan's word for the request that books.
const BOOK: &str = "book";

/// A line for each plan and variant.
pub(super) fn table(rounds: &[Round]) -> String {
    let head = [
        "plan, variant",
        "requests",
        "requests/s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "most ms",
        "bookings/s",
        "409",
        "service CPU s",
        "service MiB",
        "server CPU s",
    ];
    let rows: Vec<_> = medians(rounds).into_iter().filter_map(row).collect();
    report::table(&head, &rows)
}

/// The run of median requests/s of each plan and variant, in the order of the runs.
fn medians(rounds: &[Round]) -> Vec<&Round> {
    let mut found: Vec<&Round> = Vec::new();
    for round in rounds {
        let kind = |other: &Round| (other.plan, other.variant) == (round.plan, round.variant);
        if found.iter().any(|other| kind(other)) {
            continue;
        }
        let own: Vec<&Round> = rounds.iter().filter(|other| kind(other)).collect();
        // The middle of the slownesses, so that of two middle ones the faster counts.
        let slowness = |round: &&Round| all(&round.samples).map_or(0.0, |all| -all.per_second);
        found.extend(own.get(report::median_index(&own, slowness)));
    }
    found
}

fn all(samples: &Samples) -> Option<Figures> {
    samples.figures().1
}

fn row(round: &Round) -> Option<Vec<String>> {
    let all = all(&round.samples)?;
    let seconds = all.count as f64 / all.per_second;
    let booked = round.samples.count(BOOK, "201");
    let refused = round.samples.all().iter().filter(|sample| sample.code == "409").count();
    Some(vec![
        format!("{}, {}", round.plan.name(), round.variant.name()),
        report::count(u64::try_from(all.count).ok()?),
        format!("{:.0}", all.per_second),
        all.p50_ms.to_string(),
        all.p95_ms.to_string(),
        all.p99_ms.to_string(),
        all.max_ms.to_string(),
        format!("{:.1}", booked as f64 / seconds),
        report::count(u64::try_from(refused).ok()?),
        format!("{:.1}", round.service.cpu_seconds()),
        report::mib(round.service.peak_resident_bytes),
        format!("{:.1}", round.server_cpu_seconds),
    ])
}

fn figures(figures: &Figures) -> Value {
    json!({
        "requests": figures.count,
        "requests_per_second": figures.per_second,
        "p50_ms": figures.p50_ms,
        "p95_ms": figures.p95_ms,
        "p99_ms": figures.p99_ms,
        "max_ms": figures.max_ms,
    })
}

pub(super) fn describe(
    options: &Options,
    machine: &Machine,
    server_version: &str,
    rounds: &[Round],
) -> anyhow::Result<Value> {
    let rounds: Vec<Value> = rounds
        .iter()
        .map(|round| {
            let (by_label, all) = round.samples.figures();
            let by_label: serde_json::Map<String, Value> = by_label
                .iter()
                .map(|(label, of_label)| ((*label).to_owned(), figures(of_label)))
                .collect();
            json!({
                "plan": round.plan,
                "variant": round.variant,
                "all": all.as_ref().map(figures),
                "by_request": by_label,
                "statuses": round.samples.codes(),
                "service": round.service,
                "server_cpu_seconds": round.server_cpu_seconds,
            })
        })
        .collect();
    Ok(json!({
        "bench": "bench-booking",
        "at": chrono::Utc::now().to_rfc3339(),
        "command": std::env::args().skip(1).collect::<Vec<_>>(),
        "build": servers::build_profile(),
        "machine": machine,
        "load_average_after": machine::load_average(),
        "versions": {
            "commit": machine::commit(&workspace_root()),
            "booking": machine::version(&binary("booking")?),
            "jmeter": JMETER_VERSION,
            "postgres": server_version,
        },
        "parameters": {
            "threads": options.threads,
            "duration_seconds": options.duration,
            "warm_up_seconds": options.warm_up,
            "runs": options.runs,
            "scale": options.scale,
            "seed": options.seed,
            "pool_size": options.pool_size,
            "pooler_size": options.pooler_size,
        },
        "runs": rounds,
    }))
}
