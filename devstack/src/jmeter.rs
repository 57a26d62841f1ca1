//! JMeter, which asks a service as many customers would.
//!
//! In: the name of a plan below `load-tests`, its properties, a directory. Out: JMeter at work without its window; the
//! samples that it has taken, after its end.
//! Invariant: a run writes below its directory and nowhere else, and JMeter ends with this process.

mod samples;

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

pub use samples::{Figures, Sample, Samples};

use crate::binaries::workspace_root;
use crate::kafka::{java, java_options};
use crate::process::{Process, ProcessOptions};
use crate::psql::Psql;
use crate::{artifacts, fs};

/// The largest heap: some hundred threads with their last answers.
const HEAP_MEGABYTES: u32 = 512;

/// What to run.
#[derive(Debug, Clone)]
pub struct JmeterOptions {
    plan: PathBuf,
    dir: PathBuf,
    properties: Vec<(String, String)>,
    quick_start: bool,
}

impl JmeterOptions {
    /// Runs the plan of this name below `load-tests`; `dir` is for the samples and logs of this run alone.
    pub fn new(plan: &str, dir: impl Into<PathBuf>) -> Self {
        let plan = folder().join(format!("{plan}.jmx"));
        Self { plan, dir: dir.into(), properties: Vec::new(), quick_start: true }
    }

    /// Sets a property, which the plan reads as `${__P(name)}`.
    #[must_use]
    pub fn property(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.properties.push((name.to_owned(), value.to_string()));
        self
    }

    /// Whether a quick start counts for more than speed later (default: yes).
    #[must_use]
    pub fn quick_start(mut self, quick_start: bool) -> Self {
        self.quick_start = quick_start;
        self
    }
}

/// A JMeter at work; dropping it kills it.
#[derive(Debug)]
pub struct Jmeter {
    process: Process,
    samples: PathBuf,
}

impl Jmeter {
    /// Starts it.
    ///
    /// # Errors
    /// When it can be neither found nor fetched, or when the directory holds the samples of another run.
    pub fn start(options: &JmeterOptions) -> anyhow::Result<Self> {
        let dir = fs::make_dir(&options.dir)?;
        let samples = dir.join("samples.jtl");
        anyhow::ensure!(
            !samples.exists(),
            "{} is there from another run; give another directory",
            samples.display()
        );
        let mut start = ProcessOptions::new(java(), dir.join("jmeter.out"))
            .args(java_options(HEAP_MEGABYTES, options.quick_start))
            .args(program(&artifacts::jmeter_home()?, &dir))
            .args(["--nongui", "--testfile"])
            .args([&options.plan])
            .args(["--logfile"])
            .args([&samples])
            .args(["--jmeterlogfile"])
            .args([dir.join("jmeter.log")])
            .dir(&dir);
        for (name, value) in &options.properties {
            start = start.args([format!("-J{name}={value}")]);
        }
        Ok(Self { process: Process::start(&start)?, samples })
    }

    /// The samples once it has ended, and nothing before.
    ///
    /// # Errors
    /// When it ended otherwise than in order.
    pub fn ended(&mut self) -> anyhow::Result<Option<Samples>> {
        let Some(code) = self.process.exit_code()? else { return Ok(None) };
        anyhow::ensure!(
            code == 0,
            "JMeter ended with exit code {code}:\n{}",
            self.process.last_lines(5)
        );
        Samples::read(&self.samples).map(Some)
    }
}

/// Writes the journeys that the plans ask for: as many, drawn by this seed from the flights of a database.
///
/// # Errors
/// When the database has no flight that can be booked, or does not answer.
pub fn write_trips(
    connection_string: &str,
    seed: u64,
    count: u32,
    file: &Path,
) -> anyhow::Result<()> {
    let query = folder().join("trips.sql");
    let query = std::fs::read_to_string(&query)
        .with_context(|| format!("cannot read {}", query.display()))?;
    let trips = Psql::new(connection_string)?
        .variable("seed", &seed.to_string())
        .variable("count", &count.to_string())
        .run(&query)?;
    anyhow::ensure!(!trips.is_empty(), "the database has no flight that leaves after tomorrow");
    fs::write(file, &format!("{trips}\n"))
}

/// Runs JMeter with these arguments in this process's place, with its window unless they say otherwise.
///
/// # Errors
/// When it can be neither found nor fetched. It does not return otherwise.
pub fn become_jmeter(arguments: &[OsString]) -> anyhow::Result<std::convert::Infallible> {
    let home = artifacts::jmeter_home()?;
    let error = Command::new(java())
        .args(java_options(HEAP_MEGABYTES, false))
        .args(program(&home, &std::env::temp_dir()))
        .args(arguments)
        .exec();
    Err(error).context("cannot run java; install it with `make setup`")
}

/// The folder of the plans.
fn folder() -> PathBuf {
    workspace_root().join("load-tests")
}

/// What makes a Java machine JMeter, with our settings of it.
fn program(home: &Path, dir: &Path) -> Vec<OsString> {
    let set = |name: &str, value: &Path| {
        let mut word = OsString::from(format!("-D{name}="));
        word.push(value);
        word
    };
    vec![
        set("jmeter.home", home),
        // Java would keep the window's settings in the user's home.
        set("java.util.prefs.userRoot", dir),
        "-cp".into(),
        home.join("libs").join("*").into(),
        "org.apache.jmeter.NewDriver".into(),
        "--addprop".into(),
        folder().join("jmeter.properties").into(),
    ]
}
