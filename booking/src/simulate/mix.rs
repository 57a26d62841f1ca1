//! What happens at an airline, and how often.
//!
//! In: a generator. Out: a kind of transaction. The weights add up to a thousand, so each is a share in thousandths.

use rand::RngExt;

/// A kind of transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A booking of one to four passengers on one or more flights.
    Book,
    /// A booking in which an upgrade is tried behind a savepoint and mostly given up.
    BookWithSavepoint,
    /// A booking that is rolled back as a whole: the payment failed.
    Abandon,
    /// The price of a segment changes, and the booking's total with it.
    ChangePrice,
    /// A contact is changed or removed, or a name corrected.
    ChangeContact,
    /// Some or all segments not yet flown are given back: rows are deleted.
    Refund,
    /// A party moves to a later flight of the same route: primary keys change.
    Rebook,
    /// Some passengers of a flight of the next day get boarding passes.
    CheckIn,
    /// A flight that is due leaves; who waits is boarded.
    Depart,
    /// A flight that is due lands.
    Arrive,
    /// A flight is announced on time or late.
    Announce,
    /// A flight far ahead gets another time.
    Retime,
    /// Another aircraft model flies.
    SwapAircraft,
    /// A flight is cancelled and its boarding passes are void.
    Cancel,
    /// A flight is added on a route that exists.
    ScheduleFlight,
    /// An airport is renamed or a model's range corrected.
    EditReference,
}

/// All kinds with their weights.
pub const MIX: [(Kind, u32); 16] = [
    (Kind::Book, 300),
    (Kind::BookWithSavepoint, 30),
    (Kind::Abandon, 10),
    (Kind::ChangePrice, 90),
    (Kind::ChangeContact, 70),
    (Kind::Refund, 40),
    (Kind::Rebook, 15),
    (Kind::CheckIn, 215),
    (Kind::Depart, 60),
    (Kind::Arrive, 60),
    (Kind::Announce, 45),
    (Kind::Retime, 15),
    (Kind::SwapAircraft, 15),
    (Kind::Cancel, 3),
    (Kind::ScheduleFlight, 30),
    (Kind::EditReference, 2),
];

/// The sum of all weights.
const WEIGHT_SUM: u32 = 1_000;

impl Kind {
    /// Draws a kind, as often as the mix has it.
    pub fn draw(rng: &mut impl RngExt) -> Self {
        let mut rest = rng.random_range(0..WEIGHT_SUM);
        for (kind, weight) in MIX {
            if rest < weight {
                return kind;
            }
            rest -= weight;
        }
        Self::Book
    }

    /// Place in [`MIX`].
    pub(crate) fn index(self) -> usize {
        MIX.iter().position(|(kind, _)| *kind == self).expect("the mix lists every kind")
    }

    /// Name in the summary.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Book => "book",
            Self::BookWithSavepoint => "book with savepoint",
            Self::Abandon => "abandon",
            Self::ChangePrice => "change price",
            Self::ChangeContact => "change contact",
            Self::Refund => "refund",
            Self::Rebook => "rebook",
            Self::CheckIn => "check in",
            Self::Depart => "depart",
            Self::Arrive => "arrive",
            Self::Announce => "announce",
            Self::Retime => "retime",
            Self::SwapAircraft => "swap aircraft",
            Self::Cancel => "cancel",
            Self::ScheduleFlight => "schedule flight",
            Self::EditReference => "edit reference",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::{Kind, MIX, WEIGHT_SUM};

    #[test]
    fn weights_add_up() {
        assert_eq!(MIX.iter().map(|(_, weight)| weight).sum::<u32>(), WEIGHT_SUM);
    }

    #[test]
    fn every_kind_is_drawn() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let drawn: HashSet<_> = (0..20_000).map(|_| Kind::draw(&mut rng)).collect();
        assert_eq!(drawn.len(), MIX.len());
    }
}
