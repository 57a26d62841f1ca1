//! A source that nobody wrote a model for, with its whole pipeline.
//!
//! In: the SQL of a database. Out: reader and loader of an inferred model, and the answer whether each published table
//! equals its view over the vault.
//! The views are found by what they say about themselves, so a table without a view is a difference.

use std::time::Duration;

use devstack::{Process, shared};
use e2e::oracle;
use e2e::rig::{Rig, RigOptions};
use e2e::sql;
use tokio_postgres::Client;

const PATIENCE: Duration = Duration::from_secs(60);

/// Columns that the vault does not hold: a table as `schema.name`, and the column.
pub(crate) type LeftOut<'a> = &'a [(&'a str, &'a str)];

/// The columns of a table, each with an expression that prints it as the vault does. `{table}` is the table.
///
/// A type is named here when the vault has another one for it, as the tests `types` show: blanks at the end of
/// characters are padding; money and oids are numbers; a number without a scale has no zeros at its end; a time with a
/// zone is in UTC; a bit is a boolean; an interval is microseconds, with months of 30.4375 days.
const COLUMNS: &str = "
    WITH RECURSIVE base AS (
        SELECT a.attname, a.attnum, a.atttypid AS type, a.atttypmod AS modifier
        FROM pg_attribute AS a
        WHERE a.attrelid = '{table}'::regclass AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT b.attname, b.attnum, t.typbasetype, CASE WHEN b.modifier >= 0 THEN b.modifier ELSE t.typtypmod END
        FROM base AS b
        JOIN pg_type AS t ON t.oid = b.type
        WHERE t.typtype = 'd'
    )
    SELECT b.attname,
           format(
               CASE
                   WHEN t.typname = 'bpchar' THEN '%1$I::text'
                   WHEN t.typname = '_bpchar' THEN '%1$I::text[]'
                   WHEN t.typname = 'money' THEN '%1$I::numeric'
                   WHEN t.typname = 'numeric' AND b.modifier < 0 THEN 'trim_scale(%1$I)'
                   WHEN t.typname = 'oid' THEN '%1$I::bigint'
                   WHEN t.typname = '_oid' THEN '%1$I::bigint[]'
                   WHEN t.typname = 'timetz' THEN '(%1$I AT TIME ZONE ''UTC'')'
                   WHEN t.typname = 'bit' AND b.modifier = 1 THEN '(%1$I = B''1'')'
                   WHEN t.typname = 'interval' THEN
                       'trunc(
                           ((extract(year FROM %1$I) * 12 + extract(month FROM %1$I)) * 30.4375 + extract(day FROM %1$I))
                           * 86400000000 + extract(hour FROM %1$I) * 3600000000 + extract(minute FROM %1$I) * 60000000
                           + extract(microseconds FROM %1$I)
                       )::bigint'
                   ELSE '%1$I'
               END,
               b.attname
           )
    FROM base AS b
    JOIN pg_type AS t ON t.oid = b.type
    WHERE t.typtype <> 'd'
    ORDER BY b.attnum";

/// The published tables: schema, name, and how SQL names the table.
const PUBLISHED: &str = "
    SELECT DISTINCT schemaname, tablename, format('%I.%I', schemaname, tablename)
    FROM pg_publication_tables ORDER BY 1, 2";

fn rig(name: &str, version: u32, partitions: u32) -> Rig {
    let stack = shared::stack();
    let name = format!("{name}{version}_{}", std::process::id());
    let server = if version == 15 { &stack.postgres15 } else { &stack.postgres18 };
    Rig::create(RigOptions {
        dir: stack.dir.join("e2e").join(&name),
        name,
        source: server.clone(),
        warehouse: stack.warehouse.clone(),
        bootstrap: stack.kafka_bootstrap.clone(),
        partitions,
    })
    .unwrap()
}

/// A source, its readers and its loader.
pub(crate) struct Pipeline {
    rig: Rig,
    further: String,
    /// what `vault-loader model infer` said
    pub(crate) told: String,
    /// a connection to the source
    pub(crate) source: Client,
    readers: Vec<Process>,
    loader: Option<Process>,
}

impl Pipeline {
    /// Makes the database on a server of that version, and the warehouse of its inferred model. `infer` are further
    /// arguments of `model infer`.
    pub(crate) async fn create(
        name: &str,
        version: u32,
        partitions: u32,
        sql: &str,
        infer: &[&str],
    ) -> Self {
        let mut rig = rig(name, version, partitions);
        let (further, told) = rig.add_inferred_source(sql, infer).await.unwrap();
        Self::new(rig, further, told).await
    }

    /// The same with a model that somebody wrote for these tables. Its source is called `further`.
    pub(crate) async fn with_model(
        name: &str,
        version: u32,
        partitions: u32,
        (sql, tables): (&str, &[&str]),
        model: &str,
    ) -> Self {
        let mut rig = rig(name, version, partitions);
        let further = rig.add_source(sql, tables, model).await.unwrap();
        Self::new(rig, further, String::new()).await
    }

    async fn new(rig: Rig, further: String, told: String) -> Self {
        let source = sql::connect(&rig.further_source(&further)).await.unwrap();
        Self { rig, further, told, source, readers: Vec::new(), loader: None }
    }

    /// The inferred model, with another name of the source.
    pub(crate) fn model(&self, name: &str) -> String {
        let model = std::fs::read_to_string(self.rig.further_model(&self.further).unwrap());
        model.unwrap().replace(&self.further, name)
    }

    /// Lets the warehouse have another model of the source, with the loader stopped, and loads what waits.
    pub(crate) fn change_model(&self, change: impl FnOnce(&str) -> String) {
        let path = self.rig.further_model(&self.further).unwrap();
        let model = std::fs::read_to_string(path).unwrap();
        let changed = change(&model);
        assert_ne!(changed, model);
        std::fs::write(path, changed).unwrap();
        self.rig.migrate_and_retry().unwrap();
    }

    /// Starts readers and loader.
    pub(crate) fn start(&mut self) {
        self.start_readers();
        self.start_loader();
    }

    fn start_readers(&mut self) {
        self.readers.push(self.rig.start_reader().unwrap());
        self.readers.push(self.rig.start_further_reader(&self.further).unwrap());
    }

    /// Kills the readers and starts them again. They publish again what they had published and not stored.
    pub(crate) fn kill_readers(&mut self) {
        self.readers.drain(..).for_each(|mut reader| reader.kill9());
        self.start_readers();
    }

    /// Waits until the snapshots are complete.
    pub(crate) fn wait_until_streaming(&self) {
        self.readers.iter().for_each(|reader| self.rig.wait_until_streaming(reader).unwrap());
    }

    pub(crate) fn start_loader(&mut self) {
        self.loader = Some(self.rig.start_loader().unwrap());
    }

    /// Kills the loader, which had no time to end anything.
    pub(crate) fn kill_loader(&mut self) {
        self.loader.take().unwrap().kill9();
    }

    /// Stops the loader as an operator does.
    pub(crate) fn stop_loader(&mut self) {
        let mut loader = self.loader.take().unwrap();
        loader.terminate();
        assert_eq!(loader.wait_exit(PATIENCE).unwrap(), 0);
    }

    /// Waits until everything is in the vault.
    pub(crate) async fn settle(&self) {
        self.rig.settle().await.unwrap();
    }

    /// A connection to the warehouse.
    pub(crate) async fn warehouse(&self) -> Client {
        sql::connect(&self.rig.warehouse(self.rig.name())).await.unwrap()
    }

    /// Waits until everything is in the vault. Then each table has to equal its view, no rule of the vault may be
    /// broken, and nothing may be set aside.
    pub(crate) async fn verify(&self, left_out: LeftOut<'_>) {
        self.rig.settle().await.unwrap();
        let warehouse = sql::connect(&self.rig.warehouse(self.rig.name())).await.unwrap();
        let published = sql::rows(&self.source, PUBLISHED).await.unwrap();
        let mut named = 0;
        for row in &published {
            let [Some(schema), Some(name), Some(quoted)] = row.as_slice() else {
                panic!("{row:?}")
            };
            let label = format!("{schema}.{name}");
            let columns: Vec<&str> = left_out
                .iter()
                .filter(|(table, _)| *table == label)
                .map(|(_, column)| *column)
                .collect();
            named += columns.len();
            self.compare(&warehouse, &label, quoted, &columns).await;
        }
        assert_eq!(named, left_out.len(), "a table of {left_out:?} is not published");
        for table in ["quarantine", "paused_tables"] {
            let count = format!("SELECT count(*) FROM dwh_control.{table}");
            assert_eq!(sql::one(&warehouse, &count).await.unwrap(), "0", "{table}");
        }
        oracle::verify_checks(&warehouse).await.unwrap();
    }

    /// A view of the warehouse has as many rows as a table of the source.
    pub(crate) async fn assert_as_many(&self, view: &str, table: &str) {
        let warehouse = sql::connect(&self.rig.warehouse(self.rig.name())).await.unwrap();
        let count = |from: String| format!("SELECT count(*) FROM {from}");
        let here = sql::one(&warehouse, &count(format!("dwh_marts.{view}"))).await.unwrap();
        let there = sql::one(&self.source, &count(table.to_owned())).await.unwrap();
        assert_eq!(here, there, "{view} beside {table}");
    }

    /// Compares one table with its view, row by row and column by column.
    async fn compare(&self, warehouse: &Client, label: &str, quoted: &str, left_out: &[&str]) {
        let columns = sql::rows(&self.source, &COLUMNS.replace("{table}", quoted)).await.unwrap();
        let mut fields = Vec::new();
        let mut missing = left_out.len();
        for row in columns {
            let [Some(name), Some(printed)] = row.as_slice() else { panic!("{row:?}") };
            if left_out.contains(&name.as_str()) {
                missing -= 1;
            } else {
                fields.push(format!("'{}', {printed}", name.replace('\'', "''")));
            }
        }
        assert_eq!(missing, 0, "{label} does not have all of {left_out:?}");
        let there = format!(
            "SELECT line FROM (SELECT jsonb_build_object({})::text AS line FROM {quoted}) AS t ORDER BY line COLLATE \"C\"",
            fields.join(", ")
        );
        let view = format!(
            "SELECT c.oid::regclass FROM pg_class AS c
             WHERE c.relkind = 'v' AND c.relnamespace = 'dwh_marts'::regnamespace
               AND obj_description(c.oid, 'pg_class') = 'rows of {}.{label} as they stand now'",
            self.further
        );
        let views = sql::rows(warehouse, &view).await.unwrap();
        let [view] = views.as_slice() else { panic!("{label} has the views {views:?}") };
        let here = format!(
            "SELECT line FROM (SELECT (to_jsonb(v) - 'has_waiting_events')::text AS line FROM {} AS v) AS t
             ORDER BY line COLLATE \"C\"",
            view[0].as_deref().unwrap()
        );
        let there = sql::rows(&self.source, &there).await.unwrap();
        assert!(there.len() > 3, "{label} has too few rows to tell anything");
        let here = sql::rows(warehouse, &here).await.unwrap();
        if here != there {
            let only = |these: &[sql::Row], others: &[sql::Row]| {
                let rows = these.iter().filter(|row| !others.contains(row)).take(3);
                rows.flatten().flatten().cloned().collect::<Vec<_>>().join("\n")
            };
            panic!(
                "{label}: {} rows in the source, {} in the vault\nonly in the source:\n{}\nonly in the vault:\n{}",
                there.len(),
                here.len(),
                only(&there, &here),
                only(&here, &there)
            );
        }
    }

    /// Stops everything in order.
    pub(crate) fn stop(mut self) {
        self.stop_loader();
        for reader in &mut self.readers {
            reader.terminate();
            assert_eq!(reader.wait_exit(PATIENCE).unwrap(), 0);
        }
    }
}
