//! The booking desk: the menu's writes, all on the primary.
//!
//! In: a name or a booking reference. Out: a transaction, and what came of it.
//! A flight is locked while its free seats are counted, so none is sold twice, and a booking's total is the sum of its
//! segments: the rules that all writers of the airline keep.

use rand::RngExt;

use super::commit::commit;
use super::fleet::Fleet;
use super::report::Report;
use super::server::Trouble;
use super::statement::{BOOK, CANCEL, LOCK_FLIGHT, RENAME, Statement};
use crate::reference::fleet::Fare;
use crate::reference::people::Person;
use crate::reference::prices::{price_kopecks, roubles};

/// How many flights are tried, when others buy the last seats at the same time.
const ATTEMPTS: usize = 5;

/// A name for whoever gives none.
pub(super) fn some_name() -> String {
    Person(rand::rng().random_range(0..1 << 32)).name()
}

/// Sells a seat on the next flight. Gives the booking reference, when there is a booking.
pub(super) async fn book(fleet: &mut Fleet, name: &str, report: &mut Report) -> Option<String> {
    let sold = match sell(fleet, name).await {
        Ok(sold) => sold,
        Err(trouble) => {
            fleet.primary.rollback().await;
            report.bad(trouble.to_string());
            return None;
        }
    };
    let Some((book_ref, what)) = sold else {
        fleet.primary.rollback().await;
        report.bad("No flight with a free seat leaves: seed the airline with `booking seed`.");
        return None;
    };
    match commit(fleet, report).await {
        Ok(()) => report.good(format!("Booked {book_ref}: {what}")),
        Err(trouble) => {
            report.bad(trouble.to_string());
            report
                .bad(format!("Whether {book_ref} is booked is not known; look for it (choice 4)."));
        }
    }
    Some(book_ref)
}

/// Everything but the commit. Gives the reference and what was sold; nothing when no flight has a seat.
async fn sell(fleet: &mut Fleet, name: &str) -> Result<Option<(String, String)>, Trouble> {
    let level = fleet.commit_level;
    let primary = &mut fleet.primary;
    for _ in 0..ATTEMPTS {
        primary.begin(level).await?;
        let rows = primary.rows(LOCK_FLIGHT, &[]).await?;
        let Some(flight) = rows.first() else { return Ok(None) };
        let kopecks = price_kopecks(flight.get("minutes"), Fare::Economy, 100);
        let (book_ref, ticket_no, document) = {
            let mut random = rand::rng();
            (
                format!("{:06X}", random.random_range(0..1 << 24)),
                format!("0006{:09}", random.random_range(0..1_000_000_000)),
                Person(random.random_range(0..1 << 32)).document(),
            )
        };
        let flight_id: i32 = flight.get("flight_id");
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&book_ref, &ticket_no, &document, &name, &flight_id, &kopecks];
        if primary.change(BOOK, &values).await? == 1 {
            let what = format!(
                "{name}, flight {} {}-{}, {} roubles",
                flight.get::<_, &str>("flight_no").trim_end(),
                flight.get::<_, &str>("departure_airport"),
                flight.get::<_, &str>("arrival_airport"),
                roubles(kopecks)
            );
            return Ok(Some((book_ref, what)));
        }
        primary.rollback().await;
    }
    Ok(None)
}

/// Gives the passengers of a booking another name.
pub(super) async fn rename(fleet: &mut Fleet, book_ref: &str, name: &str, report: &mut Report) {
    let done = format!("{book_ref} is now for {name}.");
    let none = format!("There is no booking {book_ref}.");
    write(fleet, RENAME, &[&book_ref, &name], (&done, &none), report).await;
}

/// Removes a booking.
pub(super) async fn cancel(fleet: &mut Fleet, book_ref: &str, report: &mut Report) {
    let done = format!("{book_ref} is cancelled.");
    let none = format!("There is no booking {book_ref}, or a flight of it has left.");
    write(fleet, CANCEL, &[&book_ref], (&done, &none), report).await;
}

/// One statement in a transaction; says the first text when it has changed a row, else the second.
async fn write(
    fleet: &mut Fleet,
    statement: Statement,
    values: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    (done, none): (&str, &str),
    report: &mut Report,
) {
    let level = fleet.commit_level;
    let changed = async {
        fleet.primary.begin(level).await?;
        fleet.primary.change(statement, values).await
    }
    .await;
    match changed {
        Err(trouble) => report.bad(trouble.to_string()),
        Ok(0) => report.bad(none),
        Ok(_) => match commit(fleet, report).await {
            Ok(()) => return report.good(done),
            Err(trouble) => {
                report.bad(trouble.to_string());
                return report.bad("Whether it was done is not known; look for it (choice 4).");
            }
        },
    }
    fleet.primary.rollback().await;
}
