//! What of our own environment PostgreSQL's programs must not see.
//!
//! In: the environment of this process. Out: the names to leave out.

/// Variables of ours that would change how PostgreSQL's programs behave.
pub(crate) fn clean_environment() -> impl Iterator<Item = String> {
    std::env::vars()
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("PG") || name == "LANG" || name == "LANGUAGE")
}
