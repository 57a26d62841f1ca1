//! Reads: from one server, from all of them, and right after a write.
//!
//! In: servers. Out: what each of them shows. What one replica does not show yet, the primary and another may.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::desk::book;
use super::fleet::Fleet;
use super::report::{Report, Tone};
use super::server::{Server, ServerName, Trouble};
use super::statement::{COMPARE, FIND, NEWEST};

/// How often a replica is asked for a booking that it does not show yet.
const LOOK: Duration = Duration::from_millis(2);

/// How long it is asked.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// The server of that name.
fn reader<'a>(fleet: &'a mut Fleet, name: &ServerName) -> &'a mut Server {
    let replicas = fleet.replicas.iter_mut().map(|replica| &mut replica.reader);
    replicas.into_iter().find(|reader| reader.name() == name).unwrap_or(&mut fleet.primary)
}

/// The newest bookings of one server.
pub(super) async fn newest(fleet: &mut Fleet, name: &ServerName, report: &mut Report) {
    match reader(fleet, name).rows(NEWEST, &[]).await {
        Err(trouble) => report.bad(trouble.to_string()),
        Ok(rows) => {
            let columns = ["book_ref", "booked_at", "passenger_name", "flight", "total"];
            let cells: Vec<_> = rows
                .iter()
                .map(|row| {
                    let text = |column: &&str| row.get::<_, Option<String>>(*column);
                    let row = columns.iter().map(|column| text(column).unwrap_or_default());
                    (Tone::Plain, row.collect())
                })
                .collect();
            report.plain(format!("The newest bookings on {name}"));
            report.table(&["booking", "booked at, UTC", "passenger", "flight", "roubles"], &cells);
        }
    }
}

/// How much every server holds.
pub(super) async fn compare(fleet: &mut Fleet, report: &mut Report) {
    let replicas = fleet.replicas.iter_mut().map(|replica| &mut replica.reader);
    let servers = std::iter::once(&mut fleet.primary).chain(replicas);
    let answers = join_all(servers.map(counts)).await;
    let first = answers.first().and_then(|(_, counts)| counts.as_ref().ok()).cloned();
    let mut rows = Vec::new();
    let mut troubles = Vec::new();
    let mut in_step = true;
    for (name, counts) in answers {
        match counts {
            Ok(counts) => {
                let same = first.as_ref().is_some_and(|first| first[..4] == counts[..4]);
                in_step &= same;
                let row = std::iter::once(name.to_string()).chain(counts).collect();
                rows.push((if same { Tone::Good } else { Tone::Bad }, row));
            }
            Err(trouble) => {
                in_step = false;
                rows.push((Tone::Bad, vec![name.to_string(), "unreachable".to_owned()]));
                troubles.push(trouble);
            }
        }
    }
    report.table(&["server", "bookings", "tickets", "segments", "newest", "at"], &rows);
    troubles.iter().for_each(|trouble| report.bad(trouble.to_string()));
    if in_step {
        report.good("All servers hold the same.");
    } else {
        report.bad("Not all servers hold the same.");
    }
}

async fn counts(server: &mut Server) -> (ServerName, Result<[String; 5], Trouble>) {
    let name = server.name().clone();
    let counts = server.rows(COMPARE, &[]).await.map(|rows| {
        let row = &rows[0];
        let number = |column: &str| row.get::<_, i64>(column).to_string();
        let text = |column: &str| row.get::<_, Option<String>>(column).unwrap_or_default();
        [number("bookings"), number("tickets"), number("segments"), text("newest"), text("lsn")]
    });
    (name, counts)
}

/// Books, and asks every replica for the booking at once: does a client that has written see what it wrote?
pub(super) async fn book_and_read(fleet: &mut Fleet, name: &str, report: &mut Report) {
    let Some(book_ref) = book(fleet, name, report).await else { return };
    let committed = Instant::now();
    let asked = fleet
        .replicas
        .iter_mut()
        .map(|replica| until_shown(&mut replica.reader, &book_ref, committed));
    for (name, seen) in join_all(asked).await {
        match seen {
            Ok(Seen::AtOnce) => {
                report.good(format!("{name} showed it at once, at the first question."));
            }
            Ok(Seen::Later { asked, after }) => report.plain(format!(
                "{name} did not show it at once. It did {:.1} ms after the commit, at question {asked}.",
                after.as_secs_f64() * 1000.0
            )),
            Ok(Seen::Not) => report.bad(format!(
                "{name} has not shown it within {LOOK_LIMIT:?}; choice 6 says how far behind it is."
            )),
            Err(trouble) => report.bad(trouble.to_string()),
        }
    }
}

/// When a replica has shown a booking.
enum Seen {
    /// At the first question.
    AtOnce,
    /// At a later one, so long after the commit.
    Later { asked: u32, after: Duration },
    /// Not in time.
    Not,
}

async fn until_shown(
    reader: &mut Server,
    book_ref: &str,
    committed: Instant,
) -> (ServerName, Result<Seen, Trouble>) {
    let name = reader.name().clone();
    let mut asked = 0;
    let seen = loop {
        asked += 1;
        match reader.rows(FIND, &[&book_ref]).await {
            Err(trouble) => break Err(trouble),
            Ok(rows) if !rows.is_empty() && asked == 1 => break Ok(Seen::AtOnce),
            Ok(rows) if !rows.is_empty() => {
                break Ok(Seen::Later { asked, after: committed.elapsed() });
            }
            Ok(_) if committed.elapsed() >= LOOK_LIMIT => break Ok(Seen::Not),
            Ok(_) => tokio::time::sleep(LOOK).await,
        }
    };
    (name, seen)
}
