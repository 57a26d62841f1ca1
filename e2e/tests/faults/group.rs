//! The processes of a run: loaders of one group, and the reader.
//!
//! In: a fault. Out: the process that the fault is about is killed, asked to end, or stopped; `tick` starts it again,
//! or lets it go on, when its time has come. Invariant: a process that ends although nobody has ended it, or that ends
//! in order with another exit code than 0, is an error with the last lines of its log.

use std::time::{Duration, Instant};

use anyhow::Context;
use devstack::Process;
use e2e::rig::{Member, Rig};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How long a loader may take to end in order: its own limit is 20 s for the batch in flight, and the machine is slow.
const END_MAX: Duration = Duration::from_secs(45);

/// Lines of a log that an error shows.
const LOG_LINES: usize = 25;

enum State {
    Runs(Process),
    Paused { process: Process, until: Instant },
    Ending { process: Process, since: Instant, away: Duration },
    Away { until: Instant },
}

/// Who one of the processes is.
enum Who {
    Loader { name: String, is_static: bool },
    Reader,
}

struct Slot {
    who: Who,
    state: State,
    /// draws the settings of each start
    rng: ChaCha8Rng,
    starts: u32,
    /// length of its log when it was started last
    log_before: usize,
}

/// The processes of a run.
pub(crate) struct Group<'r> {
    rig: &'r Rig,
    loaders: Vec<Slot>,
    reader: Slot,
}

impl<'r> Group<'r> {
    /// Loaders, of which every other one is a static member, and a reader. All of them start with the next tick.
    pub(crate) fn new(rig: &'r Rig, loaders: usize, seed: u64) -> Self {
        let slot = |who, number: usize| Slot {
            who,
            state: State::Away { until: Instant::now() },
            rng: ChaCha8Rng::seed_from_u64(seed + number as u64),
            starts: 0,
            log_before: 0,
        };
        let loader = |number: usize| {
            let who = Who::Loader { name: format!("loader{number}"), is_static: number % 2 == 1 };
            slot(who, number)
        };
        let reader = slot(Who::Reader, loaders);
        Self { rig, loaders: (0..loaders).map(loader).collect(), reader }
    }

    /// Looks after every process.
    pub(crate) fn tick(&mut self) -> anyhow::Result<()> {
        let rig = self.rig;
        self.loaders.iter_mut().chain([&mut self.reader]).try_for_each(|slot| slot.tick(rig))
    }

    /// Whether all processes run, and none of them is stopped.
    pub(crate) fn is_whole(&self) -> bool {
        let mut slots = self.loaders.iter().chain([&self.reader]);
        slots.all(|slot| matches!(slot.state, State::Runs(_)))
    }

    /// The reader, once it runs.
    pub(crate) fn reader(&self) -> anyhow::Result<&Process> {
        match &self.reader.state {
            State::Runs(process) => Ok(process),
            _ => anyhow::bail!("the reader does not run"),
        }
    }

    /// Kills a loader, also a stopped one, unless it is away.
    pub(crate) fn kill(&mut self, loader: usize, away: Duration) {
        self.slot_for(loader, |slot| !matches!(slot.state, State::Away { .. })).kill(away);
    }

    /// Kills all loaders as nearly at once as signals go.
    pub(crate) fn kill_all(&mut self, away: Duration) {
        self.loaders.iter_mut().for_each(|slot| slot.kill(away));
    }

    /// Kills the reader.
    pub(crate) fn kill_reader(&mut self, away: Duration) {
        self.reader.kill(away);
    }

    /// Asks a running loader to end. A signal would kill one that does not handle signals yet, so it must have logged
    /// something.
    pub(crate) fn end(&mut self, loader: usize, away: Duration) {
        let slot = self.slot_for(loader, Slot::has_spoken);
        if !slot.has_spoken() {
            return slot.kill(away);
        }
        slot.replace(|state| match state {
            State::Runs(process) => {
                process.terminate();
                State::Ending { process, since: Instant::now(), away }
            }
            other => other,
        });
    }

    /// Stops a running loader for a while.
    pub(crate) fn pause(&mut self, loader: usize, away: Duration) {
        let slot = self.slot_for(loader, |slot| matches!(slot.state, State::Runs(_)));
        slot.replace(|state| match state {
            State::Runs(process) => {
                process.pause();
                State::Paused { process, until: Instant::now() + away }
            }
            other => other,
        });
    }

    /// This loader, or the next one that is in such a state; this one when none is.
    fn slot_for(&mut self, loader: usize, fits: impl Fn(&Slot) -> bool) -> &mut Slot {
        let count = self.loaders.len();
        let mut places = (0..count).map(|step| (loader + step) % count);
        let place = places.find(|&place| fits(&self.loaders[place])).unwrap_or(loader);
        &mut self.loaders[place]
    }

    /// Asks all processes to end, which have to run, and awaits their ends.
    pub(crate) fn end_all(&mut self) -> anyhow::Result<()> {
        let slots = self.loaders.iter_mut().chain([&mut self.reader]);
        for slot in slots {
            let State::Runs(process) = &mut slot.state else {
                anyhow::bail!("{} does not run", slot.who.name());
            };
            process.terminate();
            let code = process.wait_exit(END_MAX)?;
            anyhow::ensure!(code == 0, "{}", told(&slot.who, process, code));
        }
        Ok(())
    }

    /// How often the loaders were started.
    pub(crate) fn starts(&self) -> u32 {
        self.loaders.iter().map(|slot| slot.starts).sum()
    }

    /// How often the loaders have logged this message. All of them run.
    pub(crate) fn said(&self, message: &str) -> usize {
        let processes = self.loaders.iter().filter_map(|slot| slot.state.parts().1);
        processes.map(|process| process.lines_with(message).len()).sum()
    }

    /// The last lines of every log.
    pub(crate) fn last_lines(&self) -> String {
        let slots = self.loaders.iter().chain([&self.reader]);
        let lines = slots.map(|slot| {
            let (state, process) = slot.state.parts();
            let log = process.map(|process| process.last_lines(LOG_LINES)).unwrap_or_default();
            format!("--- {} {state}\n{log}\n", slot.who.name())
        });
        lines.collect()
    }
}

impl State {
    fn parts(&self) -> (&'static str, Option<&Process>) {
        match self {
            Self::Runs(process) => ("runs", Some(process)),
            Self::Paused { process, .. } => ("is stopped", Some(process)),
            Self::Ending { process, .. } => ("is ending", Some(process)),
            Self::Away { .. } => ("is away", None),
        }
    }
}

impl Who {
    fn name(&self) -> &str {
        match self {
            Self::Loader { name, .. } => name,
            Self::Reader => "reader",
        }
    }
}

impl Slot {
    fn replace(&mut self, change: impl FnOnce(State) -> State) {
        let nothing = State::Away { until: Instant::now() };
        self.state = change(std::mem::replace(&mut self.state, nothing));
    }

    fn kill(&mut self, away: Duration) {
        self.replace(|state| match state {
            State::Runs(mut process)
            | State::Paused { mut process, .. }
            | State::Ending { mut process, .. } => {
                process.kill9();
                State::Away { until: Instant::now() + away }
            }
            away @ State::Away { .. } => away,
        });
    }

    /// Whether it runs and has logged something since it was started.
    fn has_spoken(&self) -> bool {
        match &self.state {
            State::Runs(process) => process.printed().len() > self.log_before,
            _ => false,
        }
    }

    fn tick(&mut self, rig: &Rig) -> anyhow::Result<()> {
        let now = Instant::now();
        match &mut self.state {
            State::Runs(process) => {
                if let Some(code) = process.exit_code()? {
                    anyhow::bail!("nobody has ended it: {}", told(&self.who, process, code));
                }
            }
            State::Ending { process, since, away } => match process.exit_code()? {
                Some(0) => self.state = State::Away { until: now + *away },
                Some(code) => anyhow::bail!("{}", told(&self.who, process, code)),
                None => anyhow::ensure!(
                    since.elapsed() < END_MAX,
                    "{} was asked to end {END_MAX:?} ago:\n{}",
                    self.who.name(),
                    process.last_lines(LOG_LINES)
                ),
            },
            State::Paused { until, .. } if *until <= now => self.replace(|state| match state {
                State::Paused { process, .. } => {
                    process.resume();
                    State::Runs(process)
                }
                other => other,
            }),
            State::Away { until } if *until <= now => self.start(rig)?,
            State::Paused { .. } | State::Away { .. } => {}
        }
        Ok(())
    }

    fn start(&mut self, rig: &Rig) -> anyhow::Result<()> {
        self.starts += 1;
        let process = match &self.who {
            Who::Reader => rig.start_reader()?,
            Who::Loader { name, is_static } => {
                let rows_max = *[7, 200, 10_000].choose(&mut self.rng).context("no choice")?;
                let is_static = *is_static && self.rng.random_ratio(9, 10);
                let writers = *[1, 2, 3].choose(&mut self.rng).context("no choice")?;
                let database = rig.name();
                rig.start_member(&Member { database, name, is_static, rows_max, writers })?
            }
        };
        self.log_before = process.printed().len();
        self.state = State::Runs(process);
        Ok(())
    }
}

fn told(who: &Who, process: &Process, code: i32) -> String {
    let lines = process.last_lines(LOG_LINES);
    format!("{} ended with exit code {code}, the end of its log:\n{lines}", who.name())
}
