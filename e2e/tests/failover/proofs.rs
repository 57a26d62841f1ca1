//! What has to hold when the failovers are over.
//!
//! In: the ledger of confirmed bookings, the source, the pipeline. Out: figures, or what is wrong.

use std::collections::BTreeMap;
use std::process::Output;

use anyhow::Context;
use e2e::rig::Rig;
use e2e::sql;
use tokio_postgres::Client;

use super::ledger::Sale;

/// Every sold seat with its booking.
const SOLD: &str = "
    SELECT a.flight_id, a.seat_no, t.book_ref
    FROM service.seat_assignments AS a
    JOIN tickets AS t USING (ticket_no)
    JOIN ticket_flights AS f ON f.ticket_no = t.ticket_no AND f.flight_id = a.flight_id
    JOIN bookings AS b USING (book_ref)";

/// Seats that more than one ticket has, tickets without a seat, and bookings without a ticket.
const BROKEN: &str = "
    SELECT (SELECT count(*) FROM (SELECT FROM service.seat_assignments GROUP BY flight_id, seat_no HAVING count(*) > 1) AS t)
         + (SELECT count(*) FROM ticket_flights AS f
            WHERE NOT EXISTS (SELECT FROM service.seat_assignments AS a
                              WHERE a.ticket_no = f.ticket_no AND a.flight_id = f.flight_id))
         + (SELECT count(*) FROM bookings AS b WHERE NOT EXISTS (SELECT FROM tickets AS t WHERE t.book_ref = b.book_ref))";

/// Every confirmed booking is there with its seat, no seat is sold twice, and nothing is sold that was not confirmed:
/// every request was repeated until its confirmation.
pub(super) async fn nothing_confirmed_is_lost(
    source: &Client,
    sales: &[Sale],
) -> anyhow::Result<()> {
    let mut sold = BTreeMap::new();
    for row in sql::rows(source, SOLD).await? {
        let [flight, seat, book_ref] =
            <[Option<String>; 3]>::try_from(row).ok().context("three columns")?;
        let place = (flight.context("a flight")?, seat.context("a seat")?);
        let before = sold.insert(place.clone(), book_ref.context("a reference")?);
        anyhow::ensure!(before.is_none(), "seat {place:?} is sold twice");
    }
    for sale in sales {
        let place = (sale.flight_id.to_string(), sale.seat.clone());
        let found = sold.remove(&place);
        anyhow::ensure!(
            found.as_deref() == Some(&sale.book_ref),
            "booking {} of seat {place:?} was confirmed, and the source has {found:?}",
            sale.book_ref
        );
    }
    anyhow::ensure!(sold.is_empty(), "sold and not confirmed: {sold:?}");
    let broken = sql::one(source, BROKEN).await?;
    anyhow::ensure!(broken == "0", "{broken} seats, tickets or bookings are broken");
    Ok(())
}

/// The pipeline has every change once: in the topics and, by the project's own checker, in the vault.
pub(super) async fn pipeline_is_exact(rig: &Rig, source: &Client) -> anyhow::Result<usize> {
    let mut events = 0;
    for table in ["bookings", "tickets", "ticket_flights"] {
        let rows = sql::one(source, &format!("SELECT count(*) FROM {table}")).await?;
        let (records, keys) = rig.records_and_keys(table)?;
        anyhow::ensure!(
            records == keys && rows == keys.to_string(),
            "{table}: {rows} rows at the source, {records} events with {keys} keys in the topic"
        );
        events += records;
    }
    succeeded("verify", &rig.prove(&["verify"])?)?;
    succeeded("check", &rig.check()?)?;
    Ok(events)
}

fn succeeded(what: &str, output: &Output) -> anyhow::Result<()> {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    anyhow::ensure!(output.status.success(), "{what} ended with {}: {out}{err}", output.status);
    Ok(())
}
