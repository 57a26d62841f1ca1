//! What is compared of a vault when two vaults are to be equal.
//!
//! In: a table or view of the vault. Out: SQL that makes one comparable line of each of its rows. When and from where a
//! row of a hub or link was first loaded depends on the order of loading. So these columns are left out, and the views
//! of first mentions, which do not depend on that order, are compared beside the tables.

/// The names of all tables and views of the vault.
pub const RELATIONS: &str = "
    SELECT relname
    FROM pg_class
    WHERE relnamespace = 'dwh_detailed'::regnamespace AND relkind IN ('r', 'v')
    ORDER BY relname";

/// A `FROM` clause with one column `line` for each row of a table or view of the vault.
#[must_use]
pub fn lines_of(relation: &str) -> String {
    let has_order = ["hub_", "link_"].iter().any(|prefix| relation.starts_with(prefix));
    let line = if has_order && !relation.ends_with("_first_mention") {
        "(to_jsonb(t) - 'load_date' - 'record_source' - 'source_system_id')::text"
    } else {
        "t::text"
    };
    format!("(SELECT {line} AS line FROM dwh_detailed.{relation} AS t) AS lines")
}

#[cfg(test)]
mod tests {
    use super::lines_of;

    #[test]
    fn only_rows_of_hubs_and_links_are_compared_without_their_first_load() {
        for relation in ["hub_airports", "link_ticket_flights"] {
            assert!(lines_of(relation).contains("- 'load_date'"), "{relation}");
        }
        for relation in ["sat_airports", "hub_airports_first_mention"] {
            assert!(lines_of(relation).contains("SELECT t::text AS line"), "{relation}");
        }
    }
}
