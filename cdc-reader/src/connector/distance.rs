//! Which known name a misspelt one is closest to.
//!
//! In come a name and the known names, out comes the nearest, or none when nothing is near enough to be meant.

/// Edits between two names: insert, delete, replace, each counted once.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

/// The nearest of the known names, if at most a third of the letters differ.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (edits(name, candidate), candidate))
        .min()
        .filter(|(count, candidate)| count * 3 <= candidate.chars().count())
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_misspelt_name_finds_its_neighbour_and_a_strange_one_none() {
        let known = ["slot.name", "snapshot.mode", "topic.prefix"];
        assert_eq!(nearest("slot.nmae", known.into_iter()), Some("slot.name"));
        assert_eq!(nearest("topic-prefix", known.into_iter()), Some("topic.prefix"));
        assert_eq!(nearest("kitchen", known.into_iter()), None);
    }

    proptest! {
        #[test]
        fn edits_are_a_distance(a in "[a-d.]{0,9}", b in "[a-d.]{0,9}", c in "[a-d.]{0,9}") {
            prop_assert_eq!(edits(&a, &b), edits(&b, &a));
            prop_assert_eq!(edits(&a, &b) == 0, a == b);
            prop_assert!(edits(&a, &c) <= edits(&a, &b) + edits(&b, &c));
        }
    }
}
