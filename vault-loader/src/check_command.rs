//! `vault-loader check`: the rules of the vault, each with the number of its violations and the first of them.
//!
//! In: the views of the schema `dwh_checks`. Out: lines or JSON. All rules look at one moment. A violation is told by
//! hash keys. The rules that `migrate` makes show nothing else; what a rule of somebody else shows (`star_equals_vault`
//! shows numbers of tickets and bookings) is printed only on demand.

use std::fmt::Write as _;

use clap::Args;
use futures_util::TryStreamExt;
use serde::Serialize;
use shared::postgres::ConnectOptions;
use tokio_postgres::Client;

use crate::migrate::views::checks::RULES;
use crate::proof::{Format, ProofError, quoted};
use crate::warehouse::WarehouseError;

/// Which rules are checked, and how they are told.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Rule, as its view in dwh_checks is called; several times for several [default: all]
    #[arg(long = "rule")]
    rules: Vec<String>,
    /// So many violations of each rule are shown; all are counted
    #[arg(long, default_value_t = 10)]
    show: usize,
    /// Show violations of rules that are not the loader's own too; those may hold business keys
    #[arg(long)]
    show_keys: bool,
    /// How the rules are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// A rule and what breaks it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Checked {
    rule: String,
    violations: u64,
    /// the first of them
    shown: Vec<Violation>,
}

/// A row that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Violation {
    table: String,
    detail: String,
}

/// Checks the rules and prints them.
///
/// # Errors
/// When the warehouse cannot be read, a rule is unknown, and when a rule is broken.
pub async fn run(arguments: &CheckArguments, warehouse: &ConnectOptions) -> Result<(), ProofError> {
    let client = shared::postgres::connect(warehouse).await.map_err(WarehouseError::Connect)?;
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let rules = chosen(known_rules(&client).await?, &arguments.rules)?;
    let mut checked = Vec::new();
    for rule in &rules {
        let found = check(&client, rule, arguments).await?;
        eprintln!("{rule}: {} violations", found.violations);
        checked.push(found);
    }
    client.batch_execute("COMMIT").await?;
    match arguments.format {
        Format::Text => print!("{}", lines(&checked)),
        Format::Json => println!("{}", serde_json::json!({ "rules": checked })),
    }
    let broken: Vec<&str> = checked
        .iter()
        .filter(|checked| checked.violations > 0)
        .map(|checked| checked.rule.as_str())
        .collect();
    if broken.is_empty() {
        return Ok(());
    }
    Err(ProofError::Found(format!("{} rules are broken: {}", broken.len(), broken.join(", "))))
}

/// The views that have the form of a rule: first the loader's own, in the order in which they are best run.
async fn known_rules(client: &Client) -> Result<Vec<String>, ProofError> {
    let sql = "SELECT c.relname::text
               FROM pg_class AS c
               JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname IN ('rule', 'table_name', 'detail')
               WHERE c.relnamespace = to_regnamespace('dwh_checks') AND c.relkind IN ('v', 'm')
               GROUP BY c.relname
               HAVING count(*) = 3
               ORDER BY c.relname";
    let mut rules: Vec<String> =
        client.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect();
    rules.sort_by_key(|rule| RULES.iter().position(|own| own == rule).unwrap_or(RULES.len()));
    Ok(rules)
}

fn chosen(rules: Vec<String>, names: &[String]) -> Result<Vec<String>, ProofError> {
    if rules.is_empty() {
        let usage = "the warehouse has no rules: run `vault-loader migrate` first";
        return Err(ProofError::Usage(usage.to_owned()));
    }
    if let Some(unknown) = names.iter().find(|name| !rules.contains(name)) {
        return Err(ProofError::Usage(format!(
            "--rule {unknown}: dwh_checks has the rules {}",
            rules.join(", ")
        )));
    }
    Ok(rules.into_iter().filter(|rule| names.is_empty() || names.contains(rule)).collect())
}

async fn check(
    client: &Client,
    rule: &str,
    arguments: &CheckArguments,
) -> Result<Checked, ProofError> {
    let sql = format!("SELECT table_name::text, detail::text FROM dwh_checks.{}", quoted(rule));
    let is_shown = arguments.show_keys || RULES.contains(&rule);
    let none: [&str; 0] = [];
    let mut rows = Box::pin(client.query_raw(sql.as_str(), none).await?);
    let mut found = Checked { rule: rule.to_owned(), violations: 0, shown: Vec::new() };
    while let Some(row) = rows.try_next().await? {
        found.violations += 1;
        if found.shown.len() < arguments.show {
            let text = |place: usize| row.get::<_, Option<String>>(place).unwrap_or_default();
            let detail = if is_shown { text(1) } else { "shown with --show-keys".to_owned() };
            found.shown.push(Violation { table: text(0), detail });
        }
    }
    Ok(found)
}

fn lines(checked: &[Checked]) -> String {
    let width = checked.iter().map(|checked| checked.rule.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Checked { rule, violations, shown } in checked {
        let _ = writeln!(text, "{rule:width$}  {violations:>8}");
        for Violation { table, detail } in shown {
            let _ = writeln!(text, "    {table}: {detail}");
        }
        let more = violations - u64::try_from(shown.len()).unwrap_or(u64::MAX).min(*violations);
        if more > 0 {
            let _ = writeln!(text, "    and {more} more");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_shown_is_counted() {
        let violation = || Violation { table: "t".to_owned(), detail: "hash key 00".to_owned() };
        let checked =
            |rule: &str, violations, shown| Checked { rule: rule.to_owned(), violations, shown };
        let text = lines(&[
            checked("hash_keys", 0, Vec::new()),
            checked("order", 3, vec![violation(), violation()]),
        ]);
        let expected = "hash_keys         0\norder             3\n    t: hash key 00\n    t: hash key 00\n    and 1 more\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_unknown_rule_is_refused_with_the_known_ones() {
        let rules = || vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(chosen(rules(), &["b".to_owned()]).unwrap(), ["b"]);
        let err = chosen(rules(), &["c".to_owned()]).unwrap_err().to_string();
        assert!(err.contains("--rule c") && err.contains("a, b"), "{err}");
        assert!(chosen(Vec::new(), &[]).is_err());
    }
}
