//! Which known name is closest to a misspelt one.
//!
//! In: a name and the known names. Out: the nearest, or none when nothing is near enough to be meant.

/// The nearest of the known names, if at most a third of its letters must be inserted, deleted or replaced to get the
/// other.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::levenshtein(name, candidate), candidate))
        .min()
        .filter(|(count, candidate)| count * 3 <= candidate.chars().count())
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_its_neighbour_and_a_strange_one_none() {
        let known = ["slot.name", "snapshot.mode", "topic.prefix"];
        assert_eq!(nearest("slot.nmae", known.into_iter()), Some("slot.name"));
        assert_eq!(nearest("topic-prefix", known.into_iter()), Some("topic.prefix"));
        assert_eq!(nearest("kitchen", known.into_iter()), None);
    }
}
