//! The name of a table's topic.

/// `<prefix>.<schema>.<table>`. A character that Kafka does not allow in a name becomes an underscore, as in Debezium's
/// `SchemaTopicNamingStrategy`; so two tables can have one topic.
#[must_use]
pub fn topic_name(prefix: &str, schema: &str, table: &str) -> String {
    format!("{prefix}.{schema}.{table}")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_hold_only_what_kafka_allows() {
        assert_eq!(topic_name("airline", "public", "flüge x"), "airline.public.fl_ge_x");
        assert_eq!(topic_name("airline", "public", "Odd Table"), "airline.public.Odd_Table");
    }
}
