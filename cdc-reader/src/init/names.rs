//! The names of what a source gets: topic prefix, slot, publication, role.
//!
//! In: what the operator gave, and the database's name. Out: a name for everything. A name that was given is taken as
//! it is, and reading the connector file back says whether it will do.

use crate::cli::InitArgs;

/// The role, unless another one is given. The same role may read several databases of a server.
const ROLE: &str = "cdc_reader";

/// The longest name of a slot or a publication, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// Names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) connector: String,
    pub(super) topic_prefix: String,
    pub(super) slot: String,
    pub(super) publication: String,
    pub(super) role: String,
}

impl Names {
    pub(super) fn of(args: &InitArgs, database: &str) -> Self {
        let given = |name: &Option<String>| name.clone();
        let topic_prefix = given(&args.topic_prefix).unwrap_or_else(|| fit_for_topics(database));
        Self {
            connector: format!("{topic_prefix}-connector"),
            slot: given(&args.slot).unwrap_or_else(|| derived(&topic_prefix, "_slot")),
            publication: given(&args.publication)
                .unwrap_or_else(|| derived(&topic_prefix, "_publication")),
            role: given(&args.role).unwrap_or_else(|| ROLE.to_owned()),
            topic_prefix,
        }
    }
}

/// A topic's name holds only these characters.
fn fit_for_topics(name: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    name.chars().map(fit).collect()
}

/// A name of lower-case letters, digits and underscores, as a slot needs it.
fn derived(prefix: &str, ending: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let stem: String = prefix.chars().map(fit).take(NAME_BYTES_MAX - ending.len()).collect();
    stem + ending
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(topic_prefix: Option<&str>, database: &str) -> Names {
        let args =
            InitArgs { topic_prefix: topic_prefix.map(str::to_owned), ..InitArgs::default() };
        Names::of(&args, database)
    }

    #[test]
    fn names_come_from_the_prefix_and_the_prefix_from_the_database() {
        let named = names(Some("shop.eu-1"), "x");
        assert_eq!(named.connector, "shop.eu-1-connector");
        assert_eq!(named.slot, "shop_eu_1_slot");
        assert_eq!(named.publication, "shop_eu_1_publication");
        assert_eq!(named.role, "cdc_reader");
        let derived = names(None, "My \"Shop\".ü");
        assert_eq!(derived.topic_prefix, "My__Shop___");
        assert_eq!(derived.slot, "my__shop____slot");
    }

    #[test]
    fn derived_names_are_never_too_long() {
        let named = names(None, &"é".repeat(100));
        assert_eq!(named.slot.len(), NAME_BYTES_MAX);
        assert_eq!(named.publication.len(), NAME_BYTES_MAX);
    }
}
