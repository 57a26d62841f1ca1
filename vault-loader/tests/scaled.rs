//! A vault beyond one table on one disk: what `model ddl --partitions` and `--distributed` print is run, and the
//! partitioned vault is loaded and proved.
//!
//! There is no Citus here. Functions of the same names and arguments stand for it, and refuse what Citus refuses: a
//! table or column that is not there, a primary key without the column, shards beside a table that has none.

use std::process::Output;

use crate::replaying::publish_mixture;
use crate::support::World;

/// Stand-ins for Citus, and what they were called with.
const CITUS: &str = "
CREATE TABLE public.spread (place integer GENERATED ALWAYS AS IDENTITY, relation regclass PRIMARY KEY, key text, beside text);
CREATE FUNCTION public.create_reference_table(table_name regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.spread (relation) VALUES (table_name);
END
$$;
CREATE FUNCTION public.create_distributed_table(
    table_name regclass,
    distribution_column text,
    distribution_type text DEFAULT 'hash',
    colocate_with text DEFAULT 'default',
    shard_count integer DEFAULT NULL
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    kind regtype;
BEGIN
    SELECT a.atttypid INTO kind
    FROM pg_constraint AS k
    JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
    WHERE k.conrelid = table_name AND k.contype = 'p' AND a.attname = distribution_column;
    IF kind IS NULL THEN
        RAISE EXCEPTION 'the primary key of % has no column %', table_name, distribution_column;
    END IF;
    IF colocate_with <> 'none' AND NOT EXISTS (
        SELECT
        FROM public.spread AS s
        JOIN pg_attribute AS a ON a.attrelid = s.relation AND a.attname = s.key
        WHERE s.relation = colocate_with::regclass AND a.atttypid = kind
    ) THEN
        RAISE EXCEPTION '% has no shards of % to stand beside', colocate_with, kind;
    END IF;
    INSERT INTO public.spread (relation, key, beside) VALUES (table_name, distribution_column, colocate_with);
END
$$;";

fn told(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}

/// What a command prints.
fn printed(world: &World, arguments: &[&str]) -> String {
    let output = world.command(arguments);
    assert!(output.status.success(), "{}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Compares the vault with a report of `checksum`.
fn compare(world: &World, file: &str) {
    let output = world.command(&["checksum", "--compare", file]);
    assert!(output.status.success(), "{}", told(&output));
}

/// Loads what was published, from its beginning.
async fn load(world: &World, name: &str) {
    world.client.batch_execute("DELETE FROM dwh_control.offsets").await.unwrap();
    let mut loader = world.loader(name);
    world.loaded().await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_with_partitioned_satellites_holds_what_an_ordinary_one_holds() {
    let mut world = World::new("partitioned").await;
    publish_mixture(&mut world).await;
    load(&world, "ordinary").await;
    let report = world.dir.path().join("ordinary.json");
    std::fs::write(&report, printed(&world, &["checksum", "--format", "json"])).unwrap();
    let report = report.display().to_string();
    let script = printed(&world, &["model", "ddl", "--partitions", "3"]);
    let refused = world.client.batch_execute(&script).await.unwrap_err();
    let refused = refused.as_db_error().unwrap().message().to_owned();
    assert!(refused.contains("holds rows"), "{refused}");
    world
        .client
        .batch_execute(
            "ROLLBACK; DROP SCHEMA dwh_control, dwh_detailed, dwh_marts, dwh_checks, dwh_business CASCADE",
        )
        .await
        .unwrap();
    world.migrate(&[]);
    world.client.batch_execute(&script).await.unwrap();
    world.migrate(&[]);
    let again = told(&world.command(&["migrate"]));
    assert!(!again.contains("created"), "{again}");
    load(&world, "partitioned").await;
    compare(&world, &report);
    let spread = "SELECT count(DISTINCT tableoid) > 1, bool_and(tableoid::regclass::text LIKE 'dwh\\_partitions.sat\\_airports\\_p_')
                  FROM dwh_detailed.sat_airports";
    world.assert_rows(spread, &["(t,t)"]).await;
    let ordinary = "SELECT count(*) FROM dwh_control.vault_tables AS v
                    JOIN pg_class AS c ON c.relname = v.table_name AND c.relnamespace = 'dwh_detailed'::regnamespace
                    WHERE v.table_name LIKE 'sat%' AND c.relkind <> 'p'";
    world.assert_rows(ordinary, &["(0)"]).await;
    let checked = world.command(&["check"]);
    assert!(checked.status.success(), "{}", told(&checked));
    load(&world, "again").await;
    compare(&world, &report);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_for_a_cluster_names_a_table_and_a_column_of_its_primary_key() {
    let world = World::new("distributed").await;
    world.client.batch_execute(CITUS).await.unwrap();
    let script = printed(&world, &["model", "ddl", "--distributed", "--small", "hub_aircrafts"]);
    world.client.batch_execute(&script).await.unwrap();
    let left_out = "SELECT c.oid::regclass::text FROM pg_class AS c
                    WHERE c.relnamespace IN ('dwh_detailed'::regnamespace, 'dwh_business'::regnamespace) AND c.relkind = 'r'
                      AND NOT EXISTS (SELECT FROM public.spread AS s WHERE s.relation = c.oid)";
    world.assert_rows(left_out, &[]).await;
    let copies = "SELECT relation::text FROM public.spread WHERE key IS NULL ORDER BY place";
    let expected = ["hub_aircrafts", "sat_aircrafts", "sat_aircrafts_status"];
    world
        .assert_rows(
            copies,
            &expected.map(|name| format!("(dwh_detailed.{name})")).each_ref().map(String::as_str),
        )
        .await;
    let beside = "SELECT beside, key FROM public.spread WHERE relation = 'dwh_business.bridge_booking_flights'::regclass";
    world
        .assert_rows(beside, &["(dwh_detailed.link_booking_tickets,link_booking_tickets_hash_key)"])
        .await;
    let output = world.command(&["model", "ddl", "--distributed", "--small", "hub_nowhere"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(
        told(&output).contains("hub_nowhere is no hub or link of the model"),
        "{}",
        told(&output)
    );
}
