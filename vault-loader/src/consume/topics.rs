//! Which of the model's topics exist, and whether the ones that do not were meant to have another name.
//!
//! In: the model's topics and the names of all topics that the brokers have. Out: what is missing and what looks alike.
//! Pure.

/// How many similar names are named.
const SIMILAR_MAX: usize = 3;

/// By how many characters two prefixes may differ to be similar.
const SIMILAR_DISTANCE: usize = 2;

/// What is known of the model's topics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Topics {
    /// topics of the model
    pub(crate) count: usize,
    /// those that do not exist
    pub(crate) missing: Vec<String>,
    /// topics of the same tables under another prefix, those with a similar prefix first
    pub(crate) similar: Vec<String>,
    /// whether the first of them has a similar prefix
    has_similar_prefix: bool,
    /// topics of tables under a prefix of the model's topics that the model does not name
    pub(crate) not_in_model: Vec<String>,
}

impl Topics {
    /// Compares the model's topics with the existing ones.
    pub(crate) fn compare<'t>(model: &[String], existing: impl Iterator<Item = &'t str>) -> Self {
        let mut existing: Vec<&str> = existing.collect();
        existing.sort_unstable();
        let missing: Vec<String> = model
            .iter()
            .filter(|topic| existing.binary_search(&topic.as_str()).is_err())
            .cloned()
            .collect();
        let tables: Vec<&str> = model.iter().filter_map(|topic| table_of(topic)).collect();
        let prefixes: Vec<&str> = model.iter().filter_map(|topic| prefix_of(topic)).collect();
        let not_in_model = existing
            .iter()
            .filter(|topic| prefix_of(topic).is_some_and(|prefix| prefixes.contains(&prefix)))
            .filter(|topic| !model.iter().any(|known| known == *topic))
            .map(|topic| (*topic).to_owned())
            .collect();
        let mut others: Vec<(bool, &str)> = existing
            .into_iter()
            .filter(|topic| !model.iter().any(|known| known == topic))
            .filter(|topic| table_of(topic).is_some_and(|table| tables.contains(&table)))
            .map(|topic| (!model.iter().any(|known| have_similar_prefixes(known, topic)), topic))
            .collect();
        others.sort_unstable();
        let has_similar_prefix = others.first().is_some_and(|(is_strange, _)| !is_strange);
        let similar =
            others.into_iter().take(SIMILAR_MAX).map(|(_, topic)| topic.to_owned()).collect();
        Self { count: model.len(), missing, similar, has_similar_prefix, not_in_model }
    }

    /// What is wrong when none of the model's topics exists.
    pub(crate) fn none_exists(&self) -> Option<String> {
        if self.count == 0 || self.missing.len() < self.count {
            return None;
        }
        let (count, first) = (self.count, &self.missing[0]);
        let none = format!("none of the model's {count} topics exists, the first is {first}");
        Some(if self.similar.is_empty() {
            format!("{none}: nothing was published under this topic prefix yet")
        } else {
            let similar = self.similar.join(", ");
            format!(
                "{none}, but Kafka has {similar}: compare source.topic_prefix in the model (the source's name unless it is set) with the connector's topic.prefix"
            )
        })
    }

    /// Whether the model's prefix looks mistyped: none of its topics exists, and the same tables have topics under a
    /// similar prefix. Another prefix may be that of another source.
    pub(crate) fn is_mistyped(&self) -> bool {
        self.none_exists().is_some() && self.has_similar_prefix
    }
}

/// Whether the prefixes of two topics differ by case or by at most two characters.
fn have_similar_prefixes(one: &str, other: &str) -> bool {
    let prefix = |topic: &str| {
        let length = topic.len() - table_of(topic).map_or(0, str::len);
        topic[..length].to_lowercase()
    };
    distance(&prefix(one), &prefix(other)) <= SIMILAR_DISTANCE
}

/// How many characters must be put in, left out or replaced to make one text of another (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (number, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = number + 1;
        for (place, wanted) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *wanted);
            diagonal = row[place + 1];
            row[place + 1] = replaced.min(row[place] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// Schema and table in a topic's name, which stand behind its prefix.
fn table_of(topic: &str) -> Option<&str> {
    let (before, table) = topic.rsplit_once('.')?;
    let (prefix, schema) = before.rsplit_once('.')?;
    let is_named = !prefix.is_empty() && !schema.is_empty() && !table.is_empty();
    is_named.then(|| &topic[prefix.len() + 1..])
}

/// What stands before schema and table in a topic's name.
fn prefix_of(topic: &str) -> Option<&str> {
    let table = table_of(topic)?;
    topic.strip_suffix(table)?.strip_suffix('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(model: &[&str], existing: &[&str]) -> Topics {
        let model: Vec<String> = model.iter().map(|topic| (*topic).to_owned()).collect();
        Topics::compare(&model, existing.iter().copied())
    }

    #[test]
    fn some_missing_topics_are_named_and_no_problem() {
        let topics = compare(&["a.s.t", "a.s.u"], &["a.s.u", "b.s.t"]);
        assert_eq!(topics.missing, ["a.s.t"]);
        assert_eq!((topics.none_exists(), topics.is_mistyped()), (None, false));
    }

    #[test]
    fn tables_under_the_prefix_that_the_model_does_not_name_are_named() {
        let existing = ["a.s.t", "a.s.new", "a.transaction", "b.s.t", "aa.s.u", "a.b.s.t"];
        assert_eq!(compare(&["a.s.t"], &existing).not_in_model, ["a.s.new"]);
        assert_eq!(compare(&["a.b.s.u"], &existing).not_in_model, ["a.b.s.t"]);
    }

    #[test]
    fn a_prefix_under_which_nothing_was_published_is_no_mistake() {
        let topics = compare(&["a.s.t"], &["__consumer_offsets", "connect-offsets", "a.s.other"]);
        assert!(!topics.is_mistyped());
        let said = topics.none_exists().unwrap();
        assert!(said.ends_with("nothing was published under this topic prefix yet"), "{said}");
    }

    #[test]
    fn the_same_tables_under_another_prefix_are_named() {
        let existing = ["aaa.s.t", "air.line.s.t", "AIRLINES.s.t", "zzz.s.t"];
        let topics = compare(&["airline.s.t", "airline.s.u"], &existing);
        assert!(topics.is_mistyped());
        let said = topics.none_exists().unwrap();
        assert!(said.contains("Kafka has AIRLINES.s.t, air.line.s.t, aaa.s.t:"), "{said}");
        let topics = compare(&["airline.s.t"], &["crm.s.t", "airlines.s.other"]);
        assert!(!topics.is_mistyped());
        assert!(topics.none_exists().unwrap().contains("but Kafka has crm.s.t:"));
    }

    #[test]
    fn prefixes_are_similar_up_to_two_characters() {
        for (one, other, expected) in
            [("", "", 0), ("abc", "abc", 0), ("abc", "abd", 1), ("abc", "bc", 1), ("abc", "", 3)]
        {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }
}
