//! Which server a connection reached: `IDENTIFY_SYSTEM` and `TIMELINE_HISTORY`.
//!
//! A cluster has one system identifier for its life; standbys have their primary's. A timeline is one history of that
//! cluster's WAL: a promotion, and a recovery to a point in time, begin a new one. The history of a timeline says at
//! which position it left each earlier timeline.
//!
//! Protocol: <https://www.postgresql.org/docs/current/protocol-replication.html>.

use std::fmt;
use std::str::FromStr;

use shared::position::Lsn;

use super::{Client, ReplicationError, Row};

/// The identifier that `initdb` gave a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemIdentifier(pub u64);

impl fmt::Display for SystemIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for SystemIdentifier {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The number of a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timeline(pub u32);

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One history of one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceIdentity {
    /// The cluster.
    pub system: SystemIdentifier,
    /// The timeline of its WAL.
    pub timeline: Timeline,
}

impl fmt::Display for SourceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "system identifier {}, timeline {}", self.system, self.timeline)
    }
}

/// Where a timeline's ancestors ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimelineHistory {
    ended: Vec<(Timeline, Lsn)>,
}

impl TimelineHistory {
    /// The position at which this history left the timeline; none when it was never on that timeline.
    #[must_use]
    pub fn end_of(&self, timeline: Timeline) -> Option<Lsn> {
        self.ended.iter().find(|(ancestor, _)| *ancestor == timeline).map(|(_, end)| *end)
    }

    /// A history file: for each ancestor a line with its number, its end, and a reason; `#` begins a comment.
    fn parse(content: &str) -> Option<Self> {
        let lines = content.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
        let ended = lines.map(|line| {
            let mut words = line.split_ascii_whitespace();
            let timeline = words.next()?.parse().ok()?;
            Some((Timeline(timeline), words.next()?.parse().ok()?))
        });
        Some(Self { ended: ended.collect::<Option<_>>()? })
    }
}

#[cfg(test)]
impl TimelineHistory {
    pub(crate) fn of(ended: &[(u32, u64)]) -> Self {
        let ended = ended.iter().map(|&(timeline, end)| (Timeline(timeline), Lsn(end)));
        Self { ended: ended.collect() }
    }
}

/// Asks which cluster and which timeline this connection reads. On a standby it is the timeline that it replays.
///
/// # Errors
/// When the command fails.
pub fn identify(client: &mut Client) -> Result<SourceIdentity, ReplicationError> {
    const SHAPE: ReplicationError =
        ReplicationError::Protocol("IDENTIFY_SYSTEM answered in another shape");
    let rows = client.query("IDENTIFY_SYSTEM")?;
    let cell = |index: usize| first_cell(&rows, index).ok_or(SHAPE);
    Ok(SourceIdentity {
        system: cell(0)?.parse().map_err(|_| SHAPE)?,
        timeline: Timeline(cell(1)?.parse().map_err(|_| SHAPE)?),
    })
}

/// Asks for the history of a timeline. The first timeline has none.
///
/// # Errors
/// When the command fails.
pub fn timeline_history(
    client: &mut Client,
    timeline: Timeline,
) -> Result<TimelineHistory, ReplicationError> {
    if timeline.0 <= 1 {
        return Ok(TimelineHistory::default());
    }
    let rows = client.query(&format!("TIMELINE_HISTORY {timeline}"))?;
    first_cell(&rows, 1)
        .and_then(TimelineHistory::parse)
        .ok_or(ReplicationError::Protocol("TIMELINE_HISTORY answered in another shape"))
}

fn first_cell(rows: &[Row], index: usize) -> Option<&str> {
    rows.first().and_then(|row| row.get(index)).and_then(Option::as_deref)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_says_where_each_ancestor_ended() {
        let content = "1\t0/3000160\tno recovery target specified\n# a comment\n\n2\t1/A0\tbefore 2000-01-01\n";
        let history = TimelineHistory::parse(content).unwrap();
        assert_eq!(history.end_of(Timeline(1)), Some(Lsn(0x300_0160)));
        assert_eq!(history.end_of(Timeline(2)), Some(Lsn(0x1_0000_00A0)));
        assert_eq!(history.end_of(Timeline(3)), None);
        assert_eq!(TimelineHistory::parse(""), Some(TimelineHistory::default()));
        for bad in ["x\t0/1\ty", "1", "1\tx"] {
            assert_eq!(TimelineHistory::parse(bad), None, "{bad}");
        }
    }
}
