//! What a choice has to say: lines with a tone, and tables.
//!
//! In: words. Out: lines that a terminal colours and a pipe gets as they are.

/// How a line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// As any text.
    Plain,
    /// A heading.
    Title,
    /// As it should be.
    Good,
    /// Something to look at.
    Bad,
    /// SQL that was sent.
    Sql,
}

/// A line of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) tone: Tone,
    pub(super) text: String,
}

/// Lines in their order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) lines: Vec<Line>,
}

impl Report {
    pub(super) fn add(&mut self, tone: Tone, text: impl Into<String>) {
        self.lines.push(Line { tone, text: text.into() });
    }

    pub(super) fn plain(&mut self, text: impl Into<String>) {
        self.add(Tone::Plain, text);
    }

    pub(super) fn good(&mut self, text: impl Into<String>) {
        self.add(Tone::Good, text);
    }

    pub(super) fn bad(&mut self, text: impl Into<String>) {
        self.add(Tone::Bad, text);
    }

    /// A heading, and rows below it in columns that are as wide as they need. A row says how it is meant.
    pub(super) fn table(&mut self, heading: &[&str], rows: &[(Tone, Vec<String>)]) {
        let mut widths: Vec<usize> = heading.iter().map(|word| word.chars().count()).collect();
        for (_, row) in rows {
            for (width, word) in widths.iter_mut().zip(row) {
                *width = (*width).max(word.chars().count());
            }
        }
        let line = |words: &mut dyn Iterator<Item = &str>| {
            let padded: Vec<String> =
                words.zip(&widths).map(|(word, &width)| format!("{word:<width$}")).collect();
            padded.join("  ").trim_end().to_owned()
        };
        self.add(Tone::Title, line(&mut heading.iter().copied()));
        for (tone, row) in rows {
            self.add(*tone, line(&mut row.iter().map(String::as_str)));
        }
    }
}

/// Bytes as people say them: exact below a kilobyte, else with one digit behind the point.
pub(super) fn bytes(count: i64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1024 {
        return format!("{count} B");
    }
    // Tenths of the unit, in whole numbers.
    let (mut tenths, mut unit) = (count.saturating_mul(10) / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::{Report, Tone, bytes};

    #[test]
    fn bytes_are_exact_while_they_are_few() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 kB"),
            (16 * 1024 * 1024, "16.0 MB"),
            (3 * 1024 * 1024 * 1024 / 2, "1.5 GB"),
        ];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_word() {
        let mut report = Report::default();
        let row = vec!["replica_one".to_owned(), "ok".to_owned()];
        report.table(&["server", "state"], &[(Tone::Plain, row)]);
        let texts: Vec<&str> = report.lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["server       state", "replica_one  ok"]);
    }
}
