//! From when to when each key of a hub or link existed.
//!
//! In: the models of all sources. Out: one view for each link and each hub, with a row for each period. A period begins
//! with the load date of the first change that shows the key, and ends with the load date of a delete. A link that an
//! effectivity satellite places also ends where another link row of the same key begins, and it begins again when its
//! key comes back after a delete. Periods that touch each other are one period.
//!
//! A hub that no table has as its parent exists while a link or a row of a multi-active table names it.

use super::super::ddl::SYSTEM;
use super::current_keys::{
    Feed, find_hub, find_link, hub_columns, hub_names, join_keys, link_columns, link_names,
    multi_active_of_hub, roles_of_hub, tables_of_hub, view_name,
};
use super::{END_OF_TIME, MART_SCHEMA, ViewColumn, ViewSpec, beside, quoted};
use crate::model::{Model, VAULT_SCHEMA};

/// The columns of a period.
const PERIOD: [(&str, &str); 3] = [
    ("load_date", "from when the key existed"),
    (
        "load_end_date",
        "from when it did not exist any more; the end of the year 9999 while it exists",
    ),
    ("is_current", "whether it exists now"),
];

/// The views of all links, and behind them those of all hubs.
pub(super) fn views(models: &[&Model]) -> Vec<ViewSpec> {
    let links = link_names(models);
    let hubs = hub_names(models);
    let links = links.iter().filter_map(|name| link_view(models, name));
    links.chain(hubs.iter().filter_map(|name| hub_view(models, name))).collect()
}

/// The columns of a period beside `columns`, and their values from a range under the alias `existing`.
fn period(columns: &[ViewColumn]) -> (Vec<ViewColumn>, String) {
    let named = PERIOD.map(|(name, comment)| ViewColumn::new(beside(name, columns), comment));
    let [from, until, is_current] = named.each_ref().map(|column| &column.name);
    let values = format!(
        "lower(existing.period) AS {from},\n    upper(existing.period) AS {until},\n    \
         upper(existing.period) = {END_OF_TIME} AS {is_current}"
    );
    (named.to_vec(), values)
}

/// The periods in which a satellite's versions hold, one row each, under the alias `version`.
fn versions(satellite: &str, column: &str) -> String {
    format!(
        "(\n        SELECT\n            hash_key,\n            {column},\n            \
         tstzrange(load_date, lead(load_date, 1, {END_OF_TIME}) OVER (PARTITION BY hash_key ORDER BY load_date)) AS period\n        \
         FROM {VAULT_SCHEMA}.{satellite}\n        \
         WHERE record_source <> '{SYSTEM}'\n    ) AS version"
    )
}

/// The periods in which the rows of a table existed: one multirange for each key of its parent.
fn lives(status: &str) -> String {
    format!(
        "SELECT version.hash_key, range_agg(version.period) AS periods\n    FROM {}\n    \
         WHERE NOT version.is_deleted\n    GROUP BY version.hash_key",
        versions(status, "is_deleted")
    )
}

/// The periods in which the rows of a multi-active table existed, by a hub's hash key that the satellite holds.
fn lives_of_hub(status: &str, column: &str) -> String {
    format!(
        "SELECT version.{column} AS hash_key, range_agg(version.period) AS periods\n    FROM {}\n    \
         WHERE NOT version.is_deleted\n    GROUP BY version.{column}",
        versions(status, &format!("is_deleted,\n            {column}"))
    )
}

/// The hash keys of a link with a period each.
fn link_periods(feed: &Feed<'_>) -> String {
    let lives = lives(&feed.table.status);
    match feed.effectivity() {
        Some(effectivity) => format!(
            "SELECT version.link_hash_key AS hash_key, life.periods * tstzmultirange(version.period) AS periods\n    \
             FROM {}\n    JOIN (\n    {lives}\n    ) AS life ON life.hash_key = version.hash_key",
            versions(effectivity, "link_hash_key")
        ),
        None => format!(
            "SELECT link.hash_key, life.periods\n    FROM (\n    {lives}\n    ) AS life\n    {}",
            feed.joins("life")
        ),
    }
}

fn link_view(models: &[&Model], link: &str) -> Option<ViewSpec> {
    let feeds: Vec<Feed<'_>> = models.iter().filter_map(|model| Feed::of(model, link)).collect();
    let technical = PERIOD.map(|(name, _)| name);
    feeds.first()?;
    let (model, description) = find_link(models, link)?;
    let shown = link_columns(model, description, &technical);
    let values: Vec<String> = shown
        .values
        .iter()
        .zip(&shown.columns)
        .map(|(value, column)| format!("{value} AS {}", quoted(&column.name)))
        .collect();
    let (period, period_values) = period(&shown.columns);
    let periods: Vec<String> = feeds.iter().map(link_periods).collect();
    let query = format!(
        "SELECT\n    {},\n    {period_values}\nFROM (\n    \
         SELECT hash_key, unnest(range_agg(periods)) AS period\n    FROM (\n    {}\n    ) AS held\n    \
         GROUP BY hash_key\n) AS existing\n\
         JOIN {VAULT_SCHEMA}.{link} AS link ON link.hash_key = existing.hash_key\n{}",
        values.join(",\n    "),
        periods.join("\n    UNION ALL\n    "),
        shown.joins.trim_end(),
    );
    Some(ViewSpec {
        schema: MART_SCHEMA,
        name: view_name("history_", link),
        comment: format!("periods in which each row of {link} held"),
        columns: shown.columns.into_iter().chain(period).collect(),
        query,
    })
}

fn hub_view(models: &[&Model], name: &str) -> Option<ViewSpec> {
    let hub = find_hub(models, name)?;
    let mut periods: Vec<String> =
        tables_of_hub(models, name).iter().map(|table| lives(&table.status)).collect();
    if periods.is_empty() {
        periods.extend(roles_of_hub(models, name).into_iter().map(|(link, column)| {
            let view = view_name("history_", &link);
            format!(
                "SELECT link.{column} AS hash_key, tstzmultirange(tstzrange(link.load_date, link.load_end_date)) AS periods\n    \
                 FROM {MART_SCHEMA}.{view} AS link"
            )
        }));
        let rows = models.iter().flat_map(|model| multi_active_of_hub(model, name));
        periods.extend(rows.map(|(table, column)| lives_of_hub(&table.status, &column)));
    }
    if periods.is_empty() {
        return None; // no table and no link says which keys exist
    }
    let (columns, values) = hub_columns(hub);
    let (period, period_values) = period(&columns);
    let query = format!(
        "SELECT\n    {},\n    {period_values}\nFROM (\n    \
         SELECT hash_key, unnest(range_agg(periods)) AS period\n    FROM (\n    {}\n    ) AS held\n    \
         GROUP BY hash_key\n) AS existing\n\
         {keys}",
        values.join(",\n    "),
        periods.join("\n    UNION ALL\n    "),
        keys = join_keys(models, hub, "existing"),
    );
    Some(ViewSpec {
        schema: MART_SCHEMA,
        name: view_name("history_", name),
        comment: format!("periods in which each key of {name} existed"),
        columns: columns.into_iter().chain(period).collect(),
        query,
    })
}
