//! `bench-loader`: the same topics, loaded by each contender in turn, round after round.
//!
//! In: options. Out: a table and a JSON report: seconds, events a second, CPU, memory, bytes of the warehouse's log, and
//! how near a contender comes to bare COPY of the same rows.
//! Invariant: every contender gets the same records, and tables of the same definition, in a database of its own that
//! goes afterwards. A load that lost or doubled a row makes the bench fail.

mod scenario;

mod work;

mod options;
mod run;

mod place;

mod prepared;
mod warehouse;

mod loading;
mod rows;

mod limit;

mod figures;

use devstack::{binary, workspace_root};
use serde_json::{Value, json};

pub use self::options::Options;
pub use self::run::Contender;

use self::place::Place;
use self::prepared::Prepared;
use self::rows::{Taken, next_transaction};
use self::run::Run;
use self::scenario::Scenario;
use self::warehouse::Warehouse;
use self::work::Work;
use super::machine::{self, Machine};
use super::sql::Sql;
use super::{interrupt, report, say, servers};

/// Everything that stays the same from round to round.
struct Bench<'p> {
    place: &'p Place,
    work: Work,
    prepared: Prepared,
    /// What bare COPY writes in each scenario.
    taken: Vec<(Scenario, Taken)>,
}

/// Runs the bench.
pub fn run(options: &Options) -> anyhow::Result<()> {
    servers::require_release(options.any_build)?;
    let machine = Machine::look();
    say(&format!("on {}", machine.line()));
    for program in ["cdc-reader", "vault-loader"] {
        binary(program)?;
    }
    say("starting two PostgreSQL and Kafka");
    let place = Place::start(options)?;
    let contenders = options.contenders();
    let mut bench = Bench::prepare(&place, options)?;
    if contenders.contains(&Contender::Copy) {
        bench.take_rows()?;
    }
    let mut runs = Vec::new();
    for round in 1..=options.rounds {
        for &contender in &contenders {
            say(&format!("round {round} of {}: {}", options.rounds, contender.title()));
            runs.extend(bench.measure(contender, round)?);
        }
    }
    print!("{}", figures::table(&runs));
    let text = figures::describe(options, &machine, &versions(&place)?, &runs)?;
    let results = options.results.clone().unwrap_or_else(|| workspace_root().join("bench-results"));
    say(&format!("written: {}", report::write(&results, "bench-loader", &text)?.display()));
    Ok(())
}

impl<'p> Bench<'p> {
    fn prepare(place: &'p Place, options: &Options) -> anyhow::Result<Self> {
        let work = Work { rows: options.rows };
        let prepared = Prepared::make(place, work, options.partitions)?;
        Ok(Self { place, work, prepared, taken: Vec::new() })
    }

    /// A load that is not measured, from which bare COPY gets its rows. It also lets every server work once before a
    /// clock starts.
    fn take_rows(&mut self) -> anyhow::Result<()> {
        let warehouse = Warehouse::create(self.place, "taken")?;
        for scenario in [Scenario::First, Scenario::Updates, Scenario::Mixed] {
            say(&format!("loading once, not measured: {}", scenario.title()));
            self.prepared.give(self.place, &warehouse.prefix, scenario)?;
            let since = next_transaction(&warehouse)?;
            let size = self.work.size(scenario);
            loading::load(&warehouse, 1, scenario, size)?;
            let path = self.place.dir.path().join(format!("rows-{scenario:?}.copy"));
            let taken = Taken::take(&warehouse, since, &path)?;
            let (found, wanted) = (taken.rows(), size.vault_rows);
            anyhow::ensure!(found == wanted, "{found} rows were taken instead of {wanted}");
            self.taken.push((scenario, taken));
        }
        warehouse.drop()
    }

    /// Lets one contender load everything into a warehouse of its own.
    fn measure(&self, contender: Contender, round: u16) -> anyhow::Result<Vec<Run>> {
        let warehouse = Warehouse::create(self.place, &format!("{}_{round}", contender.word()))?;
        let mut runs = Vec::new();
        for scenario in Scenario::ALL {
            interrupt::check()?;
            let size = self.work.size(scenario);
            let measured = match contender {
                Contender::Copy => {
                    // Repeats are rows that nobody has to write.
                    let Some((_, taken)) = self.taken.iter().find(|(of, _)| *of == scenario) else {
                        continue;
                    };
                    limit::copy(&warehouse, taken)?
                }
                Contender::OneWriter | Contender::TwoWriters => {
                    self.prepared.give(self.place, &warehouse.prefix, scenario)?;
                    let writers = if contender == Contender::OneWriter { 1 } else { 2 };
                    loading::load(&warehouse, writers, scenario, size)?
                }
            };
            runs.push(Run { contender, scenario, round, events: size.events, measured });
        }
        warehouse.drop()?;
        Ok(runs)
    }
}

fn versions(place: &Place) -> anyhow::Result<Value> {
    let postgres: String = Sql::connect(&place.warehouse.address().superuser("postgres"))?
        .value("SELECT version()")?;
    Ok(json!({
        "commit": machine::commit(&workspace_root()),
        "vault-loader": machine::version(&binary("vault-loader")?),
        "cdc-reader": machine::version(&binary("cdc-reader")?),
        "postgres": postgres,
        "kafka": devstack::KAFKA_VERSION,
    }))
}
