//! Databases with the wholesaler's schema, and questions to them.
//!
//! In: a server. Out: a prepared database or an answer. Only the test of the rights creates the roles, on a server of
//! its own, because roles belong to the whole server.

use std::collections::BTreeMap;
use std::ops::Deref;

use chrono::NaiveDate;
use devstack::{PostgresAddress, sql_files, unique};
use shared::postgres::ConnectOptions;
use shared::source_url::source_options;
use tokio_postgres::Client;
use wideworld::seed::{Existing, SeedOptions, SeedSummary, seed};
use wideworld::tables::ALL;

/// The day after the last day of every history of the tests.
pub(crate) const UNTIL: NaiveDate = NaiveDate::from_ymd_opt(2026, 6, 15).unwrap();

/// Passwords of the three roles that log in. One holds a quote on purpose.
pub(crate) const PASSWORDS: [(&str, &str); 3] = [
    ("generator_password", "generator's secret"),
    ("capture_password", "capture_secret"),
    ("engineer_password", "engineer_secret"),
];

/// A database of this test alone.
pub(crate) struct Wholesaler(devstack::Database);

impl Deref for Wholesaler {
    type Target = devstack::Database;

    fn deref(&self) -> &devstack::Database {
        &self.0
    }
}

impl Wholesaler {
    /// A new database with everything but the roles, on the shared server.
    pub(crate) fn create() -> Self {
        Self::create_on(&devstack::shared::stack().postgres15, false)
    }

    /// The same on another server, and with the roles if that is wanted.
    pub(crate) fn create_on(server: &PostgresAddress, with_roles: bool) -> Self {
        let wholesaler = Self::empty_on(server);
        wholesaler.apply(with_roles);
        wholesaler
    }

    pub(crate) fn empty_on(server: &PostgresAddress) -> Self {
        Self(devstack::Database::create(server, &unique("wideworld")).unwrap())
    }

    /// Applies the files of sql/wideworld, as a user would.
    #[track_caller]
    pub(crate) fn apply(&self, with_roles: bool) {
        let files = sql_files("sql/wideworld").unwrap();
        let wanted =
            files.into_iter().filter(|file| with_roles || !file.ends_with("100_roles.sql"));
        let psql = self.psql().unwrap();
        let psql = PASSWORDS.iter().fold(psql, |psql, (name, value)| psql.variable(name, value));
        let complaints = psql.run_files(wanted).unwrap();
        assert!(complaints.is_empty(), "{complaints}");
    }

    pub(crate) fn url(&self) -> String {
        self.server.url(&self.name, &self.server.user, &self.server.password)
    }

    pub(crate) fn options(&self) -> ConnectOptions {
        source_options(&self.url(), "wideworld test").unwrap()
    }

    /// A connection as the superuser.
    pub(crate) async fn client(&self) -> Client {
        self.connect().await.unwrap()
    }

    /// Seeds the database.
    pub(crate) async fn seed(&self, days: u64, seed_no: u64) -> SeedSummary {
        seed(&self.options(), &options(days, seed_no), &mut |_, _| ()).await.unwrap()
    }

    /// One number that a query gives.
    pub(crate) async fn number(&self, query: &str) -> i64 {
        self.client().await.query_one(query, &[]).await.unwrap().get(0)
    }

    /// A digest of all rows of each table, archives included.
    pub(crate) async fn digests(&self) -> BTreeMap<String, String> {
        let client = self.client().await;
        let mut digests = BTreeMap::new();
        for name in names() {
            let query = format!(
                "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text)), '')
                 FROM {name} AS t"
            );
            digests.insert(name, client.query_one(&query, &[]).await.unwrap().get(0));
        }
        digests
    }

    /// What must hold whatever happened: each query gives the rows that break a rule.
    pub(crate) async fn assert_sound(&self) {
        for (rule, query) in RULES {
            let broken = self.number(&format!("SELECT count(*) FROM ({query}) AS broken")).await;
            assert_eq!(broken, 0, "{rule}");
        }
        for table in ALL.iter().filter(|table| table.is_versioned) {
            let (name, key) = (table.name, table.columns.split(',').next().unwrap());
            let gaps = format!(
                "SELECT count(*)
                 FROM (
                     SELECT valid_from, lag(valid_to) OVER (PARTITION BY {key} ORDER BY valid_from) AS before
                     FROM (
                         SELECT {key}, valid_from, valid_to FROM {name}
                         UNION ALL
                         SELECT {key}, valid_from, valid_to FROM {name}_archive
                     ) AS versions
                 ) AS pairs
                 WHERE before <> valid_from"
            );
            assert_eq!(self.number(&gaps).await, 0, "versions of {name} follow each other");
            let current = format!(
                "SELECT count(*) FROM {name} WHERE valid_to <> '9999-12-31 23:59:59.999999'"
            );
            assert_eq!(self.number(&current).await, 0, "rows of {name} are current");
        }
    }
}

/// All 48 tables.
pub(crate) fn names() -> Vec<String> {
    let names = ALL.iter().flat_map(|table| [Some(table.name.to_owned()), table.archive()]);
    names.flatten().collect()
}

pub(crate) fn options(days: u64, seed_no: u64) -> SeedOptions {
    SeedOptions {
        days,
        until: UNTIL,
        scale: 0.05,
        seed: seed_no,
        reading_interval: 600,
        recent_interval: 60,
        existing: Existing::Refuse,
    }
}

/// Rules beyond the constraints, as queries for rows that break them.
const RULES: [(&str, &str); 9] = [
    (
        "stock on hand is the sum of all movements",
        "SELECT h.stock_item_id
         FROM warehouse.stock_item_holdings AS h
         LEFT JOIN warehouse.stock_item_transactions AS t ON t.stock_item_id = h.stock_item_id
         GROUP BY h.stock_item_id
         HAVING h.quantity_on_hand <> coalesce(sum(t.quantity), 0)",
    ),
    (
        "every stock item has a shelf",
        "SELECT si.stock_item_id
         FROM warehouse.stock_items AS si
         LEFT JOIN warehouse.stock_item_holdings AS h ON h.stock_item_id = si.stock_item_id
         WHERE h.stock_item_id IS NULL",
    ),
    (
        "an invoice has one transaction, which is the sum of its lines",
        "SELECT i.invoice_id
         FROM sales.invoices AS i
         LEFT JOIN (
             SELECT invoice_id, sum(extended_price) AS amount, sum(tax_amount) AS tax
             FROM sales.invoice_lines
             GROUP BY invoice_id
         ) AS lines ON lines.invoice_id = i.invoice_id
         LEFT JOIN (
             SELECT invoice_id, count(*) AS number, sum(transaction_amount) AS amount, sum(tax_amount) AS tax
             FROM sales.customer_transactions
             GROUP BY invoice_id
         ) AS booked ON booked.invoice_id = i.invoice_id
         WHERE (booked.number, booked.amount, booked.tax) IS DISTINCT FROM (1, lines.amount, lines.tax)",
    ),
    (
        "taxes are rounded once",
        "SELECT invoice_line_id
         FROM sales.invoice_lines
         WHERE tax_amount <> round(quantity * unit_price * tax_rate / 100, 2)",
    ),
    (
        "a customer owes what the open invoices say",
        "SELECT customer_id
         FROM sales.customer_transactions
         GROUP BY customer_id
         HAVING sum(transaction_amount) <> sum(outstanding_balance)",
    ),
    (
        "a supplier is owed what the open invoices say",
        "SELECT supplier_id
         FROM purchasing.supplier_transactions
         GROUP BY supplier_id
         HAVING sum(transaction_amount) <> sum(outstanding_balance)",
    ),
    (
        "an order is invoiced once, with what was picked",
        "SELECT o.order_id
         FROM sales.orders AS o
         JOIN sales.invoices AS i ON i.order_id = o.order_id
         GROUP BY o.order_id
         HAVING count(*) <> 1
             OR (SELECT sum(picked_quantity) FROM sales.order_lines AS ol WHERE ol.order_id = o.order_id)
                <> (SELECT sum(quantity)
                    FROM sales.invoice_lines AS il
                    JOIN sales.invoices AS j ON j.invoice_id = il.invoice_id
                    WHERE j.order_id = o.order_id)",
    ),
    (
        "a backorder has what was missing from its order",
        "SELECT o.order_id
         FROM sales.orders AS o
         WHERE o.backorder_order_id IS NOT NULL
           AND (SELECT array_agg((stock_item_id, quantity) ORDER BY stock_item_id)
                FROM sales.order_lines
                WHERE order_id = o.order_id)
               IS DISTINCT FROM
               (SELECT array_agg((stock_item_id, quantity) ORDER BY stock_item_id)
                FROM sales.order_lines
                WHERE order_id = o.backorder_order_id AND picked_quantity = 0)",
    ),
    (
        "three tables share the keys of transactions",
        "SELECT key
         FROM (
             SELECT customer_transaction_id AS key FROM sales.customer_transactions
             UNION ALL
             SELECT supplier_transaction_id FROM purchasing.supplier_transactions
             UNION ALL
             SELECT stock_item_transaction_id FROM warehouse.stock_item_transactions
         ) AS keys
         GROUP BY key
         HAVING count(*) > 1",
    ),
];
