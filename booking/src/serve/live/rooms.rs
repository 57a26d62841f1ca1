//! The chats that somebody of this instance follows.
//!
//! In: who comes, messages in their order. Out: a receiver for each who came. A room knows the last message that it has
//! handed out. It begins where the first comer's look into the table ended, and it is gone when nobody is left.
//!
//! Whoever comes first joins and then looks into the table. What is stored after the look is handed out, because the
//! room stands at or before the end of the look. What came by both ways is dropped by its id. If the room was begun by
//! somebody else's later look, [`Rooms::begin`] says where, and the comer looks once more.
//!
//! A failover may lose messages that a room has handed out. A comer's look then ends before the place of the room, and
//! the room is forgotten: its receivers end, and whoever had one comes again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::broadcast;

use super::super::bell::Heard;

/// Messages that a room keeps for a slow reader.
const KEPT: usize = 256;

/// A message on its way to those who follow a chat.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) id: i64,
    pub(super) text: Utf8Bytes,
}

#[derive(Debug)]
struct Room {
    /// The last message that was handed out; unknown until the first comer has looked.
    last: Option<i64>,
    sender: broadcast::Sender<Line>,
}

/// The rooms of this instance.
#[derive(Debug, Clone, Default)]
pub(super) struct Rooms(Arc<Mutex<HashMap<i32, Room>>>);

impl Rooms {
    /// Follows a chat from now on.
    pub(super) fn join(&self, flight_id: i32) -> broadcast::Receiver<Line> {
        let mut rooms = self.rooms();
        // A room that all have left stands where it was left. It begins anew.
        if rooms.get(&flight_id).is_some_and(|room| room.sender.receiver_count() == 0) {
            rooms.remove(&flight_id);
        }
        let new = || Room { last: None, sender: broadcast::channel(KEPT).0 };
        rooms.entry(flight_id).or_insert_with(new).sender.subscribe()
    }

    /// Has a room begin after this message, unless it has begun. Gives the message after which it goes on.
    pub(super) fn begin(&self, flight_id: i32, newest: i64) -> i64 {
        self.rooms().get_mut(&flight_id).map_or(newest, |room| *room.last.get_or_insert(newest))
    }

    /// Ends a room that stands behind the last message of the table.
    pub(super) fn forget(&self, flight_id: i32, newest: i64) {
        let mut rooms = self.rooms();
        if rooms.get(&flight_id).is_some_and(|room| room.last.is_some_and(|last| last > newest)) {
            rooms.remove(&flight_id);
        }
    }

    /// The rooms that have to be looked at, with the message after which each goes on. Empty rooms go.
    pub(super) fn after(&self, heard: &Heard) -> Vec<(i32, i64)> {
        let mut rooms = self.rooms();
        rooms.retain(|_, room| room.sender.receiver_count() > 0);
        rooms
            .iter()
            .filter(|(flight_id, _)| heard.all || heard.flights.contains(flight_id))
            .filter_map(|(flight_id, room)| room.last.map(|last| (*flight_id, last)))
            .collect()
    }

    /// Hands a message out, unless the room has gone beyond it.
    pub(super) fn hand_out(&self, flight_id: i32, line: Line) {
        if let Some(room) = self.rooms().get_mut(&flight_id)
            && room.last.is_some_and(|last| last < line.id)
        {
            room.last = Some(line.id);
            // An error says that all have left.
            let _ = room.sender.send(line);
        }
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<i32, Room>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: i64) -> Line {
        Line { id, text: Utf8Bytes::from_static("") }
    }

    #[test]
    fn a_room_hands_out_each_message_once_and_in_order() {
        let rooms = Rooms::default();
        let mut one = rooms.join(7);
        assert!(rooms.after(&Heard { all: true, ..Heard::default() }).is_empty(), "not begun");
        assert_eq!(rooms.begin(7, 10), 10);
        for id in [11, 11, 12, 10] {
            rooms.hand_out(7, line(id));
        }
        let mut two = rooms.join(7);
        assert_eq!(rooms.begin(7, 5), 12, "a room that has begun stays where it is");
        rooms.hand_out(7, line(13));
        let ids = |receiver: &mut broadcast::Receiver<Line>| {
            let mut ids = Vec::new();
            while let Ok(line) = receiver.try_recv() {
                ids.push(line.id);
            }
            ids
        };
        assert_eq!((ids(&mut one), ids(&mut two)), (vec![11, 12, 13], vec![13]));
    }

    #[test]
    fn a_room_ahead_of_the_table_ends_for_all() {
        let rooms = Rooms::default();
        let mut follower = rooms.join(7);
        rooms.begin(7, 10);
        rooms.forget(7, 10);
        assert!(matches!(follower.try_recv(), Err(broadcast::error::TryRecvError::Empty)));
        rooms.forget(7, 9);
        assert!(matches!(follower.try_recv(), Err(broadcast::error::TryRecvError::Closed)));
        let _comer = rooms.join(7);
        assert_eq!(rooms.begin(7, 9), 9, "the room begins anew");
    }

    #[test]
    fn a_room_that_all_have_left_begins_anew() {
        let rooms = Rooms::default();
        drop(rooms.join(7));
        rooms.begin(7, 10);
        let _comer = rooms.join(7);
        assert_eq!(rooms.begin(7, 20), 20);
        let heard = Heard { flights: [7, 8].into(), all: false };
        assert_eq!(rooms.after(&heard), [(7, 20)]);
    }
}
