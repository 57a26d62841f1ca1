//! What can be chosen, by number.
//!
//! In: a line or a key. Out: a choice. The numbers are part of the interface: scripts use them.

/// A line of the menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    Book,
    Rename,
    Cancel,
    Newest,
    Compare,
    Lag,
    Pause,
    Resume,
    Awaited,
    Level,
    BookAndRead,
    TryWrite,
    ToggleSql,
    Leave,
}

impl Choice {
    /// All, in the order in which they are shown.
    pub(super) const ALL: [Self; 14] = [
        Self::Book,
        Self::Rename,
        Self::Cancel,
        Self::Newest,
        Self::Compare,
        Self::Lag,
        Self::Pause,
        Self::Resume,
        Self::Awaited,
        Self::Level,
        Self::BookAndRead,
        Self::TryWrite,
        Self::ToggleSql,
        Self::Leave,
    ];

    /// The number by which it is chosen: its place, and 0 for the last.
    pub(super) fn number(self) -> usize {
        match Self::ALL.iter().position(|choice| *choice == self) {
            Some(place) if self != Self::Leave => place + 1,
            _ => 0,
        }
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Book => "Book a flight for a passenger (on the primary)",
            Self::Rename => "Correct the passenger's name in a booking (on the primary)",
            Self::Cancel => "Cancel a booking (on the primary)",
            Self::Newest => "Show the newest bookings of a server",
            Self::Compare => "Compare what the servers hold",
            Self::Lag => "Show how far the replicas are behind",
            Self::Pause => "Pause a replica: it receives and does not apply",
            Self::Resume => "Resume a replica",
            Self::Awaited => "Choose which replicas commits wait for",
            Self::Level => "Choose what the menu's commits wait for there",
            Self::BookAndRead => "Book, and look for the booking on every replica at once",
            Self::TryWrite => "Try to write on a replica",
            Self::ToggleSql => "Show the SQL of what is done, or hide it",
            Self::Leave => "Leave",
        }
    }

    /// The choice that a line names: its number, or `q`.
    pub(super) fn of(line: &str) -> Option<Self> {
        match line.trim() {
            "q" | "quit" | "exit" => Some(Self::Leave),
            number => {
                let number: usize = number.parse().ok()?;
                Self::ALL.into_iter().find(|choice| choice.number() == number)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Choice;

    #[test]
    fn every_choice_has_a_number_of_its_own_that_leads_to_it() {
        for choice in Choice::ALL {
            assert_eq!(Choice::of(&format!(" {}\n", choice.number())), Some(choice));
        }
        assert_eq!(Choice::of("q"), Some(Choice::Leave));
        for nonsense in ["", "14", "-1", "one", "1 2"] {
            assert_eq!(Choice::of(nonsense), None, "{nonsense}");
        }
    }
}
