//! `bench-loader`: the same topics, loaded by each contender in turn, round after round.
//!
//! In: options. Out: a table and a JSON report: seconds, events a second, CPU, memory, bytes of the warehouse's log,
//! and how near a contender comes to bare COPY of the same rows. Invariant: every contender gets the same records, and
//! tables of the same definition, in a database of its own that goes afterwards. A load that lost or doubled a row
//! makes the bench fail.

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
mod sink;

mod history;

mod figures;

use anyhow::Context;
use devstack::{binary, workspace_root};
use serde_json::{Value, json};

pub use self::options::Options;
pub use self::run::Contender;

use self::figures::Figures;
use self::place::Place;
use self::prepared::Prepared;
use self::rows::{Taken, next_transaction};
use self::run::{Kind, Measured, Run, Team, Tuning};
use self::scenario::Scenario;
use self::sink::{PlainTable, Sink};
use self::warehouse::Warehouse;
use self::work::Work;
use super::machine::{self, Machine};
use super::sql::Sql;
use super::{report, say, servers};

/// Everything that stays the same from round to round.
struct Bench<'p> {
    place: &'p Place,
    work: Work,
    prepared: Prepared,
    /// What bare COPY writes in each scenario.
    taken: Vec<(Scenario, Taken)>,
    /// Nothing when no sink is measured.
    sink: Option<Sink>,
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
    let mut bench = Bench::prepare(&place, options, &contenders)?;
    let (name, figures) = match options.history {
        Some(rows) => {
            let runs = history::measure(&place, bench.work, &bench.prepared, options, rows)?;
            ("bench-history", Figures::History(runs))
        }
        None => ("bench-loader", Figures::Contenders(bench.rounds(options, &contenders)?)),
    };
    print!("{}", figures.table());
    let text = figures.describe(options, &machine, &versions(&place)?);
    let results = options.results.clone().unwrap_or_else(|| workspace_root().join("bench-results"));
    say(&format!("written: {}", report::write(&results, name, &text)?.display()));
    Ok(())
}

impl<'p> Bench<'p> {
    fn prepare(
        place: &'p Place,
        options: &Options,
        contenders: &[Contender],
    ) -> anyhow::Result<Self> {
        let work = Work { rows: options.rows };
        say(&format!("writing {} segments", report::count(work.rows)));
        work.seed(&place.source)?;
        let sink = if contenders.iter().any(|contender| matches!(contender.kind(), Kind::Sink(_))) {
            say("starting Kafka Connect; Debezium publishes the segments with schemas");
            Some(Sink::prepare(place, work, options.partitions)?)
        } else {
            None
        };
        let prepared = Prepared::make(place, work, options.partitions)?;
        Ok(Self { place, work, prepared, taken: Vec::new(), sink })
    }

    /// All rounds of all contenders.
    fn rounds(&mut self, options: &Options, contenders: &[Contender]) -> anyhow::Result<Vec<Run>> {
        if contenders.contains(&Contender::Copy) {
            self.take_rows()?;
        }
        let mut runs = Vec::new();
        for round in 1..=options.rounds {
            for &contender in contenders {
                say(&format!("round {round} of {}: {}", options.rounds, contender.title()));
                runs.extend(self.measure(contender, round)?);
            }
        }
        Ok(runs)
    }

    /// A load that is not measured, from which bare COPY gets its rows. It also lets every server work once before a
    /// clock starts.
    fn take_rows(&mut self) -> anyhow::Result<()> {
        let warehouse = Warehouse::create(self.place, "taken", "taken")?;
        for scenario in [Scenario::First, Scenario::Updates, Scenario::Mixed] {
            say(&format!("loading once, not measured: {}", scenario.title()));
            self.prepared.give(self.place, &warehouse.prefix, scenario)?;
            let since = next_transaction(&warehouse)?;
            let size = self.work.size(scenario);
            loading::load(&warehouse, Team::ONE, scenario, size)?;
            let path = self.place.dir.path().join(format!("rows-{scenario:?}.copy"));
            let taken = Taken::take(&warehouse, since, &path)?;
            let (found, wanted) = (taken.rows(), size.vault_rows);
            anyhow::ensure!(found == wanted, "{found} rows were taken instead of {wanted}");
            self.taken.push((scenario, taken));
        }
        warehouse.drop()
    }

    /// Lets one contender load everything that it can.
    fn measure(&self, contender: Contender, round: u16) -> anyhow::Result<Vec<Run>> {
        let name = format!("{}_{round}", contender.word());
        let mut runs = Vec::new();
        let mut keep = |scenario, measured| {
            let events = self.work.size(scenario).events;
            runs.push(Run { contender, scenario, round, events, measured });
        };
        match contender.kind() {
            Kind::Copy => self.copy(&name, &mut keep)?,
            Kind::Loader(team) => self.load(&name, team, &mut keep)?,
            Kind::Sink(tuning) => self.sink(&name, tuning, &mut keep)?,
        }
        Ok(runs)
    }

    fn copy(&self, name: &str, keep: &mut impl FnMut(Scenario, Measured)) -> anyhow::Result<()> {
        let warehouse = Warehouse::create(self.place, name, name)?;
        // In the order of the scenarios; of repeats nothing is to be written.
        for (scenario, taken) in &self.taken {
            keep(*scenario, limit::copy(&warehouse, taken)?);
        }
        warehouse.drop()
    }

    fn load(
        &self,
        name: &str,
        team: Team,
        keep: &mut impl FnMut(Scenario, Measured),
    ) -> anyhow::Result<()> {
        let warehouse = Warehouse::create(self.place, name, name)?;
        for scenario in Scenario::ALL {
            self.prepared.give(self.place, name, scenario)?;
            let size = self.work.size(scenario);
            keep(scenario, loading::load(&warehouse, team, scenario, size)?);
        }
        warehouse.drop()
    }

    fn sink(
        &self,
        name: &str,
        tuning: Tuning,
        keep: &mut impl FnMut(Scenario, Measured),
    ) -> anyhow::Result<()> {
        let sink = self.sink.as_ref().context("the sink is not prepared")?;
        let table = PlainTable::create(self.place, name)?;
        for scenario in [Scenario::First, Scenario::Repeats] {
            let size = self.work.size(scenario);
            keep(scenario, sink.load(&table, tuning, scenario, size)?);
        }
        table.drop()
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
