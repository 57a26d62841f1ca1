//! What JMeter has measured: one sample for each request.
//!
//! In: a `.jtl` file as `load-tests/jmeter.properties` asks for it: CSV with a head. Out: samples, and figures of those
//! of a label.
//! Invariant: a percentile is a time that a request really took: the smallest that so many of all do not exceed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

/// The columns, in their order.
const HEAD: [&str; 6] =
    ["timeStamp", "elapsed", "label", "responseCode", "success", "failureMessage"];

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When it began: milliseconds since 1970.
    pub at_ms: u64,
    /// How long its answer took.
    pub elapsed_ms: u64,
    /// Its name in the plan.
    pub label: String,
    /// The status, or what JMeter writes in its place when there was no answer.
    pub code: String,
    /// Whether everything was as the plan expects.
    pub is_ok: bool,
    /// What was not.
    pub failure: String,
}

/// Figures of several requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Requests.
    pub count: usize,
    /// Of them, those that were not as the plan expects.
    pub failed: usize,
    /// Requests a second, from the begin of the first to the end of the last.
    pub per_second: f64,
    /// Half of the requests took no longer, in milliseconds.
    pub p50_ms: u64,
    /// 95 of 100.
    pub p95_ms: u64,
    /// 99 of 100.
    pub p99_ms: u64,
    /// The longest.
    pub max_ms: u64,
}

/// The samples of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samples(Vec<Sample>);

impl Samples {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is not there, is cut short, or has other columns.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        Self::parse(&text).with_context(|| format!("{} is no file of samples", file.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut records = records(text)?.into_iter();
        let head = records.next().context("it is empty")?;
        anyhow::ensure!(
            head == HEAD,
            "its columns are {}, and not {}; load-tests/jmeter.properties sets them",
            head.join(","),
            HEAD.join(",")
        );
        records.map(Sample::parse).collect::<anyhow::Result<_>>().map(Self)
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Sample] {
        &self.0
    }

    /// Those that began so long after the first, when the machine has become warm.
    #[must_use]
    pub fn after(&self, warm_up: Duration) -> Self {
        let first = self.0.iter().map(|sample| sample.at_ms).min().unwrap_or_default();
        let from = first + u64::try_from(warm_up.as_millis()).unwrap_or(u64::MAX - first);
        Self(self.0.iter().filter(|sample| sample.at_ms >= from).cloned().collect())
    }

    /// Those that were not as the plan expects.
    pub fn failed(&self) -> impl Iterator<Item = &Sample> {
        self.0.iter().filter(|sample| !sample.is_ok)
    }

    /// How many samples of a label had this status.
    #[must_use]
    pub fn count(&self, label: &str, code: &str) -> usize {
        self.0.iter().filter(|sample| sample.label == label && sample.code == code).count()
    }

    /// How often each status came, by label.
    #[must_use]
    pub fn codes(&self) -> BTreeMap<&str, BTreeMap<&str, usize>> {
        let mut codes: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for sample in &self.0 {
            *codes.entry(&sample.label).or_default().entry(&sample.code).or_default() += 1;
        }
        codes
    }

    /// The figures of each label, and of all together if there is any sample.
    #[must_use]
    pub fn figures(&self) -> (BTreeMap<&str, Figures>, Option<Figures>) {
        let mut labels: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
        for sample in &self.0 {
            labels.entry(&sample.label).or_default().push(sample);
        }
        let by_label = labels
            .into_iter()
            .filter_map(|(label, samples)| Some((label, Figures::of(&samples)?)))
            .collect();
        (by_label, Figures::of(&self.0.iter().collect::<Vec<_>>()))
    }
}

impl Sample {
    fn parse(fields: Vec<String>) -> anyhow::Result<Self> {
        let count = fields.len();
        let [at, elapsed, label, code, success, failure] = <[String; 6]>::try_from(fields)
            .map_err(|_| anyhow::anyhow!("a line has {count} fields and not 6"))?;
        let number = |text: &str| text.parse().with_context(|| format!("{text} is no number"));
        Ok(Self {
            at_ms: number(&at)?,
            elapsed_ms: number(&elapsed)?,
            label,
            code,
            is_ok: success == "true",
            failure,
        })
    }
}

impl Figures {
    fn of(samples: &[&Sample]) -> Option<Self> {
        let mut times: Vec<u64> = samples.iter().map(|sample| sample.elapsed_ms).collect();
        times.sort_unstable();
        let first = samples.iter().map(|sample| sample.at_ms).min()?;
        let last = samples.iter().map(|sample| sample.at_ms + sample.elapsed_ms).max()?;
        // A run that is shorter than the clock's tick took a tick.
        let seconds = (last - first).max(1) as f64 / 1000.0;
        Some(Self {
            count: samples.len(),
            failed: samples.iter().filter(|sample| !sample.is_ok).count(),
            per_second: samples.len() as f64 / seconds,
            p50_ms: percentile(&times, 50)?,
            p95_ms: percentile(&times, 95)?,
            p99_ms: percentile(&times, 99)?,
            max_ms: *times.last()?,
        })
    }
}

/// The smallest of the ordered times that so many percent do not exceed.
fn percentile(times: &[u64], percent: usize) -> Option<u64> {
    times.get((times.len() * percent).div_ceil(100).checked_sub(1)?).copied()
}

/// The records of a CSV text. A field in quotes may hold commas, line feeds and doubled quotes.
fn records(text: &str) -> anyhow::Result<Vec<Vec<String>>> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '"' if quoted && rest.peek() == Some(&'"') => {
                field.push('"');
                rest.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            '\r' if !quoted => {}
            other => field.push(other),
        }
    }
    anyhow::ensure!(!quoted && field.is_empty() && record.is_empty(), "its last line is cut short");
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD_LINE: &str = "timeStamp,elapsed,label,responseCode,success,failureMessage\n";

    fn samples(lines: &str) -> Samples {
        Samples::parse(&format!("{HEAD_LINE}{lines}")).unwrap()
    }

    #[test]
    fn a_failure_may_hold_commas_quotes_and_lines() {
        let read = samples(
            "1000,7,book,500,false,\"expected \"\"201\"\", was 500\nand more\"\n1001,3,book,201,true,\n",
        );
        let failed: Vec<_> = read.failed().collect();
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].failure, "expected \"201\", was 500\nand more");
        assert_eq!((read.count("book", "201"), read.count("book", "500")), (1, 1));
        assert_eq!(read.codes()["book"]["500"], 1);
    }

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let lines: String =
            (1..=200).rev().map(|ms| format!("{},{ms},a,200,true,\n", 5000 + ms)).collect();
        let read = samples(&lines);
        let (by_label, all) = read.figures();
        let all = all.unwrap();
        assert_eq!(by_label["a"], all);
        assert_eq!((all.p50_ms, all.p95_ms, all.p99_ms, all.max_ms), (100, 190, 198, 200));
        assert_eq!((all.count, all.failed), (200, 0));
        // The first began at 5001, the last ended at 5400.
        assert!((all.per_second - 200.0 / 0.399).abs() < 1e-6, "{}", all.per_second);
        assert_eq!(percentile(&[4], 50), Some(4));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn what_was_measured_while_the_machine_became_warm_can_be_left_out() {
        let read = samples("1000,900,a,200,true,\n3000,5,a,200,true,\n2999,8,a,200,true,\n");
        let warm = read.after(Duration::from_secs(2));
        assert_eq!(warm.all().iter().map(|sample| sample.elapsed_ms).collect::<Vec<_>>(), [5]);
        assert_eq!(read.after(Duration::ZERO), read);
        assert_eq!(samples("").after(Duration::from_secs(2)), samples(""));
    }

    #[test]
    fn a_file_that_is_cut_short_or_of_other_columns_is_refused() {
        let refusal = |text: &str| Samples::parse(text).unwrap_err().to_string();
        assert!(refusal(&format!("{HEAD_LINE}1,2,a,200,tr")).contains("cut short"));
        assert!(refusal("timeStamp,label\n").contains("its columns are timeStamp,label"));
        assert!(refusal(&format!("{HEAD_LINE}1,2\n")).contains("2 fields"));
        assert!(refusal("").contains("empty"));
        assert_eq!(samples("").figures(), (BTreeMap::new(), None));
    }
}
