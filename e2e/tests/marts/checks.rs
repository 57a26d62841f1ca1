//! The rules in `dwh_checks`: silent on a good vault, and loud about each table that breaks their rule.
//!
//! In: the history, and for each check a way to break one table. Out: the violations that the check finds.
//! Invariant: a vault table that a check leaves out, or a check that nothing breaks, fails here.

use anyhow::Context;
use e2e::oracle::checks;
use tokio_postgres::Client;

use super::warehouse::{Content, Warehouse, rows};

/// The tables whose names begin with one of these words hold keys.
const KEYS: [&str; 2] = ["hub_", "link_"];

/// The satellites, of every kind.
const SATELLITES: [&str; 1] = ["sat_"];

/// Breaks the rule of one check in `{table}`; a row of the system is never the one that is touched unless it is the
/// point.
struct Breakage {
    check: &'static str,
    tables: &'static [&'static str],
    /// What the names end in.
    suffix: &'static str,
    /// What they must not end in.
    but: &'static str,
    script: &'static str,
}

const BREAKAGES: [Breakage; 13] = [
    Breakage {
        check: "hash_keys",
        tables: &KEYS,
        suffix: "",
        but: "-",
        script: "ALTER TABLE {table} DROP CONSTRAINT {name}_pkey;
                 INSERT INTO {table} SELECT * FROM {table} WHERE record_source <> 'SYSTEM' LIMIT 1",
    },
    Breakage {
        check: "hash_keys",
        tables: &KEYS,
        suffix: "",
        but: "-",
        script: "UPDATE {table} SET hash_key = substr(hash_key, 2) WHERE record_source <> 'SYSTEM'",
    },
    Breakage {
        check: "satellite_parents_exist",
        tables: &SATELLITES,
        suffix: "",
        but: "-",
        script: "UPDATE {table} SET hash_key = sha256(hash_key) WHERE record_source <> 'SYSTEM'",
    },
    Breakage {
        check: "satellite_versions_unique",
        tables: &SATELLITES,
        suffix: "",
        but: "-",
        script: "ALTER TABLE {table} DROP CONSTRAINT {name}_pkey;
                 INSERT INTO {table} SELECT * FROM {table} WHERE record_source <> 'SYSTEM' LIMIT 1",
    },
    Breakage {
        check: "versions_differ",
        tables: &SATELLITES,
        suffix: "",
        but: "_status",
        script: "{copy_last}
                 UPDATE copy SET load_date = load_date + interval '1 second', kafka_offset = kafka_offset + 1;
                 INSERT INTO {table} TABLE copy",
    },
    // An insert over a key that exists is allowed to repeat the status; an update is not.
    Breakage {
        check: "versions_differ",
        tables: &SATELLITES,
        suffix: "_status",
        but: "-",
        script: "{copy_last}
                 UPDATE copy SET load_date = load_date + interval '1 second', kafka_offset = kafka_offset + 1,
                     op = 'u', hashdiff = sha256(hashdiff);
                 INSERT INTO {table} TABLE copy",
    },
    Breakage {
        check: "versions_in_source_order",
        tables: &SATELLITES,
        suffix: "",
        but: "-",
        script: "{copy_last}
                 UPDATE copy SET load_date = load_date + interval '1 second', source_lsn = source_lsn - 1,
                     kafka_offset = kafka_offset + 1;
                 INSERT INTO {table} TABLE copy",
    },
    Breakage {
        check: "versions_in_source_order",
        tables: &SATELLITES,
        suffix: "",
        but: "-",
        script: "{copy_last}
                 UPDATE copy SET load_date = load_date + interval '1 second', source_lsn = NULL,
                     kafka_offset = kafka_offset + 1;
                 INSERT INTO {table} TABLE copy",
    },
    Breakage {
        check: "versions_in_source_order",
        tables: &SATELLITES,
        suffix: "",
        but: "-",
        script: "{copy_last}
                 UPDATE copy SET load_date = load_date + interval '1 second';
                 INSERT INTO {table} TABLE copy",
    },
    Breakage {
        check: "effectivity_links_exist",
        tables: &SATELLITES,
        suffix: "_effectivity",
        but: "-",
        script: "UPDATE {table} SET link_hash_key = sha256(link_hash_key)",
    },
    Breakage {
        check: "effectivity_links_of_their_key",
        tables: &SATELLITES,
        suffix: "_effectivity",
        but: "-",
        script: "UPDATE {table} SET link_hash_key = decode(repeat('00', 32), 'hex') WHERE record_source <> 'SYSTEM'",
    },
    Breakage {
        check: "system_rows",
        tables: &["hub_", "link_", "sat_"],
        suffix: "",
        but: "-",
        script: "DELETE FROM {table} WHERE record_source = 'SYSTEM' AND hash_key = decode(repeat('00', 32), 'hex')",
    },
    Breakage {
        check: "business_keys_unique",
        tables: &KEYS,
        suffix: "",
        but: "-",
        script: "{copy_last}
                 UPDATE copy SET hash_key = sha256(hash_key);
                 INSERT INTO {table} TABLE copy",
    },
];

/// Breakages that need a table's own column names, made from the catalog.
const ROLE_BREAKAGE: &str =
    "UPDATE {table} SET {column} = sha256({column}) WHERE record_source <> 'SYSTEM'";
const BARE_KEY_BREAKAGE: &str = "DELETE FROM {table} WHERE record_source <> 'SYSTEM'";

async fn vault_tables(client: &Client) -> anyhow::Result<Vec<String>> {
    rows(
        client,
        "SELECT relname
         FROM pg_catalog.pg_class
         WHERE relnamespace = 'dwh_detailed'::regnamespace
           AND relkind = 'r'
         ORDER BY relname",
    )
    .await
}

/// What the checks say about the vault after `script`, which is then undone.
async fn violations(client: &Client, script: &str, check: &str) -> anyhow::Result<Vec<String>> {
    client.batch_execute("BEGIN").await?;
    client.batch_execute(script).await.with_context(|| script.to_owned())?;
    let found = rows(client, check).await?;
    client.batch_execute("ROLLBACK").await?;
    Ok(found)
}

#[track_caller]
fn assert_names(found: &[String], table: &str, check: &str) {
    let named = found.iter().any(|violation| violation.split('|').nth(1) == Some(table));
    assert!(named, "{check} does not see that {table} is broken: {found:?}");
}

/// The newest row of the table in a temporary table of the transaction.
fn fill_in(script: &str, table: &str) -> String {
    script
        .replace(
            "{copy_last}",
            "CREATE TEMPORARY TABLE copy ON COMMIT DROP AS
                 SELECT *
                 FROM {table}
                 WHERE record_source <> 'SYSTEM'
                 ORDER BY load_date DESC
                 LIMIT 1;",
        )
        .replace("{table}", &format!("dwh_detailed.{table}"))
        .replace("{name}", table)
}

#[tokio::test]
async fn a_good_vault_breaks_no_rule() -> anyhow::Result<()> {
    for (database, content) in
        [("marts_checks_good", Content::History), ("marts_checks_empty", Content::Empty)]
    {
        let warehouse = Warehouse::create(database, content)?;
        let client = warehouse.connect().await?;
        for (name, check) in checks(&client).await? {
            assert_eq!(rows(&client, &check).await?, Vec::<String>::new(), "{name}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn each_check_sees_each_table_that_breaks_its_rule() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_checks_broken", Content::History)?;
    let client = warehouse.connect().await?;
    let checks = checks(&client).await?;
    let tables = vault_tables(&client).await?;
    assert_eq!(tables.len(), 31, "{tables:?}");
    for breakage in BREAKAGES {
        let check = checks.get(breakage.check).context(breakage.check)?;
        let broken = tables.iter().filter(|table| {
            breakage.tables.iter().any(|prefix| table.starts_with(prefix))
                && table.ends_with(breakage.suffix)
                && !table.ends_with(breakage.but)
        });
        let mut count = 0;
        for table in broken {
            let found = violations(&client, &fill_in(breakage.script, table), check).await?;
            assert_names(&found, table, breakage.check);
            count += 1;
        }
        assert!(count > 0, "{} was tried on no table", breakage.check);
    }
    Ok(())
}

#[tokio::test]
async fn a_link_without_one_of_its_hubs_is_seen_in_every_role() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_checks_roles", Content::History)?;
    let client = warehouse.connect().await?;
    let check = &checks(&client).await?["link_hubs_exist"];
    let roles = rows(
        &client,
        "SELECT relname, attname
         FROM pg_catalog.pg_class
         JOIN pg_catalog.pg_attribute ON attrelid = pg_class.oid
         WHERE relnamespace = 'dwh_detailed'::regnamespace
           AND relname LIKE 'link%'
           AND relkind = 'r'
           AND attname LIKE '%\\_hash\\_key'",
    )
    .await?;
    assert_eq!(roles.len(), 11, "{roles:?}");
    for role in roles {
        let (table, column) = role.split_once('|').context("two columns")?;
        let script = fill_in(&ROLE_BREAKAGE.replace("{column}", column), table);
        let found = violations(&client, &script, check).await?;
        assert_names(&found, table, column);
        let word = column.trim_end_matches("_hash_key");
        assert!(found[0].contains(&format!("role {word} ")), "{found:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_key_that_lost_its_versions_is_seen_in_every_satellite() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_checks_bare", Content::History)?;
    let client = warehouse.connect().await?;
    let check = &checks(&client).await?["keys_have_versions"];
    let satellites: Vec<String> = vault_tables(&client)
        .await?
        .into_iter()
        .filter(|table| table.starts_with("sat_") && !table.ends_with("_status"))
        .collect();
    assert_eq!(satellites.len(), 12, "{satellites:?}");
    for table in satellites {
        let found = violations(&client, &fill_in(BARE_KEY_BREAKAGE, &table), check).await?;
        assert_names(&found, &table, "keys_have_versions");
    }
    Ok(())
}

#[tokio::test]
async fn no_check_is_without_a_breakage() -> anyhow::Result<()> {
    let tried: Vec<&str> = BREAKAGES
        .iter()
        .map(|breakage| breakage.check)
        .chain(["link_hubs_exist", "keys_have_versions"])
        // Broken in star.rs.
        .chain(["star_equals_vault"])
        .collect();
    let warehouse = Warehouse::create("marts_checks_named", Content::Empty)?;
    for name in checks(&warehouse.connect().await?).await?.keys() {
        assert!(tried.contains(&name.as_str()), "nothing tries to break {name}");
    }
    Ok(())
}
