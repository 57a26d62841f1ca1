//! One attempt to commit a stretch of a batch.
//!
//! In: a stretch without a truncate and its vault rows. Out: a commit with rows, quarantined events and offsets, or an
//! error and nothing. The order is: locks and offsets first, so that a fenced loader writes nothing; then the stored
//! state of the satellites' keys; hubs and links in key order, while the versions are folded; then these; quarantined
//! events last.

use super::cache::Caches;
use super::error::StretchError;
use super::held::HeldKeys;
use super::outcome::{Learned, Loaded};
use super::satellites::{fold_satellites, read_states, write_satellites};
use super::statements::LoadingSession;
use super::stretch::Stretch;
use super::writer::RowWriter;
use crate::control;
use crate::vault::projection::Projection;

/// Commits a stretch.
pub(super) async fn commit(
    stretch: Stretch<'_>,
    projection: &Projection,
    session: &mut LoadingSession,
    caches: &mut Caches,
) -> Result<Loaded, StretchError> {
    let plan = stretch.plan;
    let moves = stretch.moves();
    let topics = stretch.topics(&moves);
    let minutes = stretch.minutes();
    let spans = stretch.spans(&topics);
    let statements = &session.statements;
    let prepared = &statements.control;
    let transaction = session.client.transaction().await?;
    // The statements are sent at once and run in this order.
    let ((), (), (), truncations) = tokio::try_join!(
        async { Ok(control::share_topics(&transaction, prepared, &topics).await?) },
        async {
            Ok(control::move_offsets(&transaction, prepared, plan, stretch.batch, &moves).await?)
        },
        async { Ok(minutes.write(&transaction, prepared, plan).await?) },
        async {
            Ok::<_, StretchError>(
                control::read_truncations(&transaction, prepared, plan, stretch.batch, &spans)
                    .await?,
            )
        },
    )?;
    for table in moves.iter().map(|m| m.from.table) {
        caches.note_truncation(plan, table, truncations.get(&table).and_then(|known| known.last));
    }
    let mut loaded = Loaded {
        moves: moves.iter().map(|m| (m.from, m.next)).collect(),
        events: stretch.count_events(),
        last_applied_us: moves
            .iter()
            .filter_map(|m| m.last)
            .map(|last| last.times.applied_us)
            .max(),
        ..Loaded::default()
    };
    let writer = RowWriter { stretch: &stretch, transaction: &transaction, statements };
    let (states, guessed) = read_states(&writer, projection, caches).await?;
    let held = HeldKeys::new(plan, &states, &guessed);
    let hubs = writer.hubs(projection, caches);
    let links = writer.links(projection, caches, &held);
    let (hub_ways, link_ways) = (&mut caches.hub_ways, &mut caches.link_ways);
    // The versions are made while the warehouse writes hubs and links.
    let (keys, folded) = tokio::join!(
        async {
            let hubs = writer.write_keys(hubs, hub_ways).await?;
            Ok::<_, StretchError>((hubs, writer.write_keys(links, link_ways).await?))
        },
        fold_satellites(&writer, projection, states, &truncations),
    );
    // What was folded counts only if the keys that were taken for new are new.
    let (hubs, links) = keys?;
    let mut folded = folded?;
    loaded.rows.extend(hubs.rows);
    loaded.rows.extend(links.rows);
    loaded.rows.extend(write_satellites(&writer, &mut folded).await?);
    loaded.repeat_count = folded.repeat_count;
    let learned = Learned { hubs: hubs.held, links: links.held, states: folded.states };
    loaded.quarantined = writer.quarantine().await?;
    transaction.commit().await?;
    learned.remember(caches);
    Ok(loaded)
}
