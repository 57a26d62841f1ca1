//! The file of vanished rows: rows that a vault holds and its source does not have any more, from the loader, which
//! finds them, to the reader, which publishes their deletes.
//!
//! In: rows and the moment at which the source was without them. Out: lines of JSON, and the same rows back. The first
//! line is the head, which says how many rows follow: a file that was cut off is refused. A value of a key is
//! PostgreSQL's text of it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::position::Lsn;

/// The header of a record that was published for a vanished row. Its value says by which program.
pub const RECONCILED_HEADER: &str = "__vaultstream.reconciled";

/// The form of the file.
const FORM: u32 = 1;

/// The moment at which the source was without the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absence {
    /// name of the source in the loader's model
    pub source: String,
    /// what the names of its topics begin with
    pub topic_prefix: String,
    /// the identifier of its cluster
    pub system_identifier: u64,
    /// the timeline of its log
    pub timeline: u32,
    /// position in its log: all changes of these rows below it are loaded, and every other one lies at or behind it
    pub lsn: Lsn,
    /// a time by the source's clock, microseconds since the epoch: what is not loaded was committed later
    pub time_us: i64,
}

/// A row that vanished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VanishedRow {
    /// schema of its table
    pub schema: String,
    /// its table
    pub table: String,
    /// its hash key in the vault, in hexadecimal digits
    pub hash_key: String,
    /// the columns of its primary key
    pub key: BTreeMap<String, String>,
}

/// The first line. A number of 64 bits is a text, because other programs read JSON's numbers as doubles.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    vanished_rows: u32,
    source: String,
    topic_prefix: String,
    system_identifier: String,
    timeline: u32,
    lsn: String,
    time_us: i64,
    rows: usize,
}

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
pub enum VanishedError {
    /// A line is not what it has to be. The text names no value.
    #[error("line {line} is not that of a file of vanished rows: {what}")]
    Line {
        /// the number of the line, from 1 on
        line: usize,
        /// what is wrong
        what: String,
    },
    /// Another version of the loader wrote it.
    #[error(
        "the file has form {0}, and this version reads form {FORM}: use programs of one version"
    )]
    Form(u32),
    /// It was cut off, or somebody edited it.
    #[error("the file has {found} rows, and its first line says {said}: write it again")]
    Count {
        /// rows that are there
        found: usize,
        /// rows that the head names
        said: usize,
    },
}

/// Writes the file.
///
/// # Errors
/// When it cannot be written.
pub fn write(out: &mut impl Write, absence: &Absence, rows: &[VanishedRow]) -> io::Result<()> {
    let head = Head {
        vanished_rows: FORM,
        source: absence.source.clone(),
        topic_prefix: absence.topic_prefix.clone(),
        system_identifier: absence.system_identifier.to_string(),
        timeline: absence.timeline,
        lsn: absence.lsn.to_string(),
        time_us: absence.time_us,
        rows: rows.len(),
    };
    serde_json::to_writer(&mut *out, &head)?;
    out.write_all(b"\n")?;
    for row in rows {
        serde_json::to_writer(&mut *out, row)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Reads a file's text.
///
/// # Errors
/// When it is not such a file, or not a whole one.
pub fn read(text: &str) -> Result<(Absence, Vec<VanishedRow>), VanishedError> {
    let mut lines = text.lines().enumerate();
    let (number, first) = lines.next().unwrap_or_default();
    let head: Head = parse(number, first)?;
    if head.vanished_rows != FORM {
        return Err(VanishedError::Form(head.vanished_rows));
    }
    let field = |what: &str| VanishedError::Line { line: 1, what: what.to_owned() };
    let absence = Absence {
        source: head.source,
        topic_prefix: head.topic_prefix,
        system_identifier: head
            .system_identifier
            .parse()
            .map_err(|_| field("system_identifier is no number"))?,
        timeline: head.timeline,
        lsn: head.lsn.parse().map_err(|_| field("lsn is no log position"))?,
        time_us: head.time_us,
    };
    let rows: Vec<VanishedRow> =
        lines.map(|(number, line)| parse(number, line)).collect::<Result<_, _>>()?;
    if rows.len() != head.rows {
        return Err(VanishedError::Count { found: rows.len(), said: head.rows });
    }
    Ok((absence, rows))
}

/// An error of `serde_json` may show what stands in the line, so only its place is told.
fn parse<'t, T: Deserialize<'t>>(number: usize, line: &'t str) -> Result<T, VanishedError> {
    serde_json::from_str(line).map_err(|err| VanishedError::Line {
        line: number + 1,
        what: format!("{:?} error at column {}", err.classify(), err.column()).to_lowercase(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn absence() -> Absence {
        Absence {
            source: "airline".to_owned(),
            topic_prefix: "a".to_owned(),
            system_identifier: u64::MAX,
            timeline: 3,
            lsn: Lsn(0x16_B374_D848),
            time_us: 1_700_000_000_000_001,
        }
    }

    fn row(key: &str) -> VanishedRow {
        VanishedRow {
            schema: "public".to_owned(),
            table: "seats".to_owned(),
            hash_key: "ab".to_owned(),
            key: BTreeMap::from([("seat_no".to_owned(), key.to_owned())]),
        }
    }

    fn text(rows: &[VanishedRow]) -> String {
        let mut bytes = Vec::new();
        write(&mut bytes, &absence(), rows).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let rows = [row("1A"), row("a \"quoted\"\nkey\u{2028}")];
        assert_eq!(read(&text(&rows)).unwrap(), (absence(), rows.to_vec()));
        assert_eq!(read(&text(&[])).unwrap(), (absence(), Vec::new()));
    }

    #[test]
    fn a_file_that_was_cut_off_is_refused_wherever_it_was() {
        let whole = text(&[row("1A"), row("secret")]);
        for end in 0..whole.len() - 1 {
            let why = read(&whole[..end]).unwrap_err().to_string();
            assert!(!why.contains("secret"), "{why}");
        }
    }

    #[test]
    fn another_form_is_named() {
        let other = text(&[]).replacen("\"vanished_rows\":1", "\"vanished_rows\":2", 1);
        assert!(read(&other).unwrap_err().to_string().contains("form 2"));
    }
}
