//! The menu's SQL: a file for each statement, so that what runs can be read, tried by hand, and shown.
//!
//! In: the files of `sql/`. Out: their text, which the server sees as it is, comment included.

/// A statement of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Statement {
    /// What it is.
    pub(super) text: &'static str,
}

macro_rules! statements {
    ($($name:ident = $file:literal),* $(,)?) => {
        $(pub(super) const $name: Statement = Statement { text: include_str!(concat!("sql/", $file)) };)*

        /// All of them, for the tests.
        #[cfg(test)]
        const ALL: &[Statement] = &[$($name),*];
    };
}

statements! {
    LOCK_FLIGHT = "lock-flight.sql",
    BOOK = "book.sql",
    RENAME = "rename.sql",
    CANCEL = "cancel.sql",
    NEWEST = "newest.sql",
    FIND = "find.sql",
    COMPARE = "compare.sql",
    PRIMARY = "primary.sql",
    SENDERS = "senders.sql",
    SLOTS = "slots.sql",
    REPLICA = "replica.sql",
    PAUSE = "pause.sql",
    RESUME = "resume.sql",
    REFUSED = "refused.sql",
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn every_file_says_what_it_does_and_is_one_statement() {
        for statement in ALL {
            assert!(statement.text.starts_with("-- "), "{}", statement.text);
            assert!(!statement.text.contains(';'), "{}", statement.text);
        }
    }
}
