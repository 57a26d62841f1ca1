//! The example with an entity of every kind: a small shop, loaded by the model that docs/ENTITIES.md explains.
//!
//! In: real servers, the built binaries, a seed. Out: after random work, during which readers and loader are killed and
//! started, each table equals its view over the vault, no rule of the vault is broken, and the vault answers, for each
//! kind of entity, the question that the kind exists for. The shop keeps a log of what happened to its rows, and plain
//! SQL over shop and log gives the answer that the vault has to give.
//! Invariant: each answer has to hold what makes the kind special, so that work that is too tame fails.

use e2e::sql;
use tokio_postgres::Client;

use super::pipeline::Pipeline;
use crate::workload::seed;

/// The shop, and random work on it.
const SHOP: &str = include_str!("entities.sql");

/// The model over the shop.
const MODEL: &str = include_str!("entities.vault.toml");

const TABLES: [&str; 7] = [
    "customers",
    "customer_duplicates",
    "employees",
    "products",
    "prices",
    "orders",
    "order_lines",
];

/// Transactions of each round, each of so many statements.
const TRANSACTIONS: u64 = 40;
const STATEMENTS: u64 = 12;

/// What the snapshot will read, as the first entries of the log.
const SNAPSHOT: &str = "
    TRUNCATE shop_log;
    DO $$
    DECLARE
        noted record;
    BEGIN
        FOR noted IN SELECT tgrelid::regclass AS relation, tgargs FROM pg_trigger WHERE tgname = 'noted'
        LOOP
            EXECUTE format(
                'INSERT INTO shop_log (relation, op, key, after)
                 SELECT %L, ''r'', shop_key(%L, to_jsonb(t)), to_jsonb(t) FROM %s AS t',
                noted.relation, string_to_array(trim(trailing ',' FROM replace(encode(noted.tgargs, 'escape'), '\\000', ',')), ','),
                noted.relation
            );
        END LOOP;
    END
    $$;";

/// A truncate ends every row and is an event of none.
const TRUNCATES: &str = "
    INSERT INTO shop_log (relation, op, key) SELECT 'orders', 't', id FROM orders;
    TRUNCATE orders;
    TRUNCATE customer_duplicates;";

/// What random work may leave out, once.
const CERTAIN: &str = "
    INSERT INTO employees SELECT n, 'name', NULLIF(100, n) FROM generate_series(100, 104) AS n;
    INSERT INTO customer_duplicates VALUES (201, 202, 'rule'), (203, 202, 'rule'), (204, 205, 'rule');
    INSERT INTO orders SELECT n, min(id), n, 'new', '2026-01-01' FROM customers, generate_series(100, 104) AS n GROUP BY n;
    UPDATE orders SET customer_id = NULL WHERE id = 100;
    UPDATE orders SET customer_id = (SELECT max(id) FROM customers) WHERE id = 100;
    DELETE FROM orders WHERE id = 101;
    INSERT INTO orders VALUES (101, NULL, 101, 'new', '2026-01-02');
    INSERT INTO order_lines VALUES (100, 0, 'maker 2', 1, 1), (100, 1, 'maker 2', 2, 1), (101, 0, 'maker 2', 3, 1);
    UPDATE customers SET tier = 'tier last', name = 'name last' WHERE id = (SELECT max(id) FROM customers);
    UPDATE customers SET newsletter = newsletter WHERE id IN (SELECT id FROM customers ORDER BY id DESC LIMIT 4);";

/// A question that a kind of entity exists for.
struct Question {
    kind: &'static str,
    /// asks the shop and its log
    shop: &'static str,
    /// asks the vault
    vault: &'static str,
    /// a part of at least one row of the answer; without it the work was too tame to tell anything
    telling: &'static str,
}

const QUESTIONS: [Question; 13] = [
    Question {
        kind: "hub with a composite key that several tables feed: every product that any table named",
        shop: "SELECT DISTINCT content ->> 'maker', content ->> 'code'
               FROM shop_log CROSS JOIN LATERAL (VALUES (before), (after)) AS v (content)
               WHERE relation IN ('products', 'prices', 'order_lines') AND content IS NOT NULL
               ORDER BY 1, 2",
        vault: "SELECT maker, code::text FROM dwh_detailed.hub_products WHERE record_source <> 'SYSTEM' ORDER BY 1, 2",
        telling: "maker 2",
    },
    Question {
        kind: "ordinary link: orders that a clerk handles",
        shop: "SELECT clerk_id, string_agg(id::text, ' ' ORDER BY id) FROM orders GROUP BY clerk_id ORDER BY clerk_id",
        vault: "SELECT c.employee_id, string_agg(o.order_id::text, ' ' ORDER BY o.order_id)
                FROM dwh_marts.current_sat_orders_status AS live
                JOIN dwh_marts.current_sat_order_clerks_effectivity AS holds USING (hash_key)
                JOIN dwh_detailed.link_order_clerks AS l ON l.hash_key = holds.link_hash_key
                JOIN dwh_detailed.hub_orders AS o ON o.hash_key = l.order_hash_key
                JOIN dwh_detailed.hub_employees AS c ON c.hash_key = l.clerk_hash_key
                WHERE NOT live.is_deleted
                GROUP BY c.employee_id ORDER BY c.employee_id",
        telling: "1",
    },
    Question {
        kind: "same-as link: the smallest number of each customer with several numbers",
        shop: "WITH RECURSIVE pair AS (
                   SELECT customer_id AS one, same_as_id AS two FROM customer_duplicates
                   UNION SELECT same_as_id, customer_id FROM customer_duplicates
               ), reached AS (
                   SELECT one, one AS two FROM pair
                   UNION SELECT r.one, p.two FROM reached AS r JOIN pair AS p ON p.one = r.two
               )
               SELECT one, min(two) AS least FROM reached GROUP BY one ORDER BY one",
        vault: "WITH RECURSIVE known AS (
                   SELECT l.customer_hash_key, l.same_as_hash_key
                   FROM dwh_detailed.link_customer_same_as AS l
                   JOIN dwh_marts.current_sat_customer_duplicates_status AS live USING (hash_key)
                   WHERE NOT live.is_deleted
               ), pair AS (
                   SELECT customer_hash_key AS one, same_as_hash_key AS two FROM known
                   UNION SELECT same_as_hash_key, customer_hash_key FROM known
               ), reached AS (
                   SELECT one, one AS two FROM pair
                   UNION SELECT r.one, p.two FROM reached AS r JOIN pair AS p ON p.one = r.two
               )
               SELECT a.customer_id AS one, min(b.customer_id) AS least
               FROM reached
               JOIN dwh_detailed.hub_customers AS a ON a.hash_key = reached.one
               JOIN dwh_detailed.hub_customers AS b ON b.hash_key = reached.two
               GROUP BY a.customer_id ORDER BY a.customer_id",
        telling: "1",
    },
    Question {
        kind: "hierarchical link: who is above each employee",
        shop: "WITH RECURSIVE above AS (
                   SELECT e.id, coalesce(e.manager_id::text, 'nobody') || ' > ' || e.id AS path
                   FROM employees AS e
                   WHERE NOT EXISTS (SELECT FROM employees AS m WHERE m.id = e.manager_id)
                   UNION ALL
                   SELECT e.id, above.path || ' > ' || e.id FROM above JOIN employees AS e ON e.manager_id = above.id
               )
               SELECT id, path FROM above ORDER BY id",
        vault: "WITH RECURSIVE team AS (
                   SELECT e.employee_id AS id, m.employee_id AS manager_id
                   FROM dwh_marts.current_sat_employees_status AS live
                   JOIN dwh_marts.current_sat_employee_managers_effectivity AS holds USING (hash_key)
                   JOIN dwh_detailed.link_employee_managers AS l ON l.hash_key = holds.link_hash_key
                   JOIN dwh_detailed.hub_employees AS e ON e.hash_key = l.employee_hash_key
                   JOIN dwh_detailed.hub_employees AS m ON m.hash_key = l.manager_hash_key
                   WHERE NOT live.is_deleted
               ), above AS (
                   SELECT e.id, coalesce(e.manager_id::text, 'nobody') || ' > ' || e.id AS path
                   FROM team AS e
                   WHERE NOT EXISTS (SELECT FROM team AS m WHERE m.id = e.manager_id)
                   UNION ALL
                   SELECT e.id, above.path || ' > ' || e.id FROM above JOIN team AS e ON e.manager_id = above.id
               )
               SELECT id, path FROM above ORDER BY id",
        telling: "nobody > ",
    },
    Question {
        kind: "dependent child key: every line that an order ever had",
        shop: "SELECT split_part(key, ' ', 1) AS of_order, string_agg(DISTINCT split_part(key, ' ', 2), ' ')
               FROM shop_log WHERE relation = 'order_lines' GROUP BY 1 ORDER BY 1",
        vault: "SELECT o.order_id::text AS of_order, string_agg(DISTINCT l.line_no::text, ' ')
                FROM dwh_detailed.link_order_lines AS l
                JOIN dwh_detailed.hub_orders AS o ON o.hash_key = l.order_hash_key
                WHERE l.record_source <> 'SYSTEM' GROUP BY 1 ORDER BY 1",
        telling: "0 1",
    },
    Question {
        kind: "standard satellite, split by rate of change: the tiers of each customer, in order",
        shop: "SELECT key, string_agg(value, ', ' ORDER BY number)
               FROM (
                   SELECT *, value IS DISTINCT FROM lag(value) OVER (PARTITION BY key ORDER BY number) AS is_new
                   FROM (SELECT number, key, format('%s %s', after ->> 'tier', after ->> 'newsletter') AS value
                         FROM shop_log WHERE relation = 'customers' AND after IS NOT NULL) AS said
               ) AS changes
               WHERE is_new GROUP BY key ORDER BY key",
        vault: "SELECT h.customer_id::text AS key, string_agg(format('%s %s', s.tier, CASE WHEN s.newsletter THEN 'true' ELSE 'false' END),
                                                             ', ' ORDER BY s.load_date)
                FROM dwh_marts.history_sat_customers AS s JOIN dwh_detailed.hub_customers AS h USING (hash_key)
                GROUP BY 1 ORDER BY 1",
        telling: ", ",
    },
    Question {
        kind: "satellite split by privacy: names and addresses of each customer, apart from everything else",
        shop: "SELECT key, string_agg(value, ', ' ORDER BY number)
               FROM (
                   SELECT *, value IS DISTINCT FROM lag(value) OVER (PARTITION BY key ORDER BY number) AS is_new
                   FROM (SELECT number, key, format('%s %s', after ->> 'name', coalesce(after ->> 'mail', 'none')) AS value
                         FROM shop_log WHERE relation = 'customers' AND after IS NOT NULL) AS said
               ) AS changes
               WHERE is_new GROUP BY key ORDER BY key",
        vault: "SELECT h.customer_id::text AS key, string_agg(format('%s %s', s.name, coalesce(s.mail, 'none')), ', ' ORDER BY s.load_date)
                FROM dwh_marts.history_sat_customers_personal AS s JOIN dwh_detailed.hub_customers AS h USING (hash_key)
                GROUP BY 1 ORDER BY 1",
        telling: ", name",
    },
    Question {
        kind: "non-historized satellite: one version of every customer ever, also of those who left",
        shop: "SELECT DISTINCT ON (key) key, after ->> 'signed_up', after ->> 'channel'
               FROM shop_log WHERE relation = 'customers' AND after IS NOT NULL ORDER BY key, number",
        vault: "SELECT h.customer_id::text AS key, s.signed_up::text, s.channel
                FROM dwh_detailed.sat_customers_origin AS s JOIN dwh_detailed.hub_customers AS h USING (hash_key)
                WHERE s.record_source <> 'SYSTEM' ORDER BY 1",
        telling: "channel 1",
    },
    Question {
        kind: "effectivity satellite: the customers of each order, in order",
        shop: "SELECT key, string_agg(value, ', ' ORDER BY number)
               FROM (
                   SELECT *, value IS DISTINCT FROM lag(value) OVER (PARTITION BY key ORDER BY number) AS is_new
                   FROM (SELECT number, key, coalesce(after ->> 'customer_id', 'nobody') AS value
                         FROM shop_log WHERE relation = 'orders' AND after IS NOT NULL) AS said
               ) AS changes
               WHERE is_new GROUP BY key ORDER BY key",
        vault: "SELECT o.order_id::text AS key, string_agg(coalesce(c.customer_id::text, 'nobody'), ', ' ORDER BY holds.load_date)
                FROM dwh_marts.history_sat_order_customers_effectivity AS holds
                JOIN dwh_detailed.link_order_customers AS l ON l.hash_key = holds.link_hash_key
                JOIN dwh_detailed.hub_orders AS o ON o.hash_key = l.order_hash_key
                JOIN dwh_detailed.hub_customers AS c ON c.hash_key = l.customer_hash_key
                GROUP BY 1 ORDER BY 1",
        telling: ", nobody, ",
    },
    Question {
        kind: "status satellite: when each order came and went",
        shop: "SELECT key, string_agg(op, '' ORDER BY number) FROM shop_log
               WHERE relation = 'orders' AND op <> 'u' GROUP BY key ORDER BY key",
        vault: "SELECT o.order_id::text AS key, string_agg(s.op, '' ORDER BY s.load_date)
                FROM dwh_marts.history_sat_orders_status AS s JOIN dwh_detailed.hub_orders AS o USING (hash_key)
                GROUP BY 1 ORDER BY 1",
        telling: "cdc",
    },
    Question {
        kind: "record-tracking satellite: every event of each order",
        shop: "SELECT key, string_agg(op, '' ORDER BY number) FROM shop_log
               WHERE relation = 'orders' AND op <> 't' GROUP BY key ORDER BY key",
        vault: "SELECT o.order_id::text AS key, string_agg(t.op, '' ORDER BY t.load_date)
                FROM dwh_detailed.sat_orders_tracking AS t JOIN dwh_detailed.hub_orders AS o USING (hash_key)
                WHERE t.record_source <> 'SYSTEM' GROUP BY 1 ORDER BY 1",
        telling: "cuu",
    },
    Question {
        kind: "record-tracking satellite: the events that changed nothing",
        shop: "SELECT key, count(*) FROM shop_log
               WHERE relation = 'customers' AND op = 'u' AND before = after GROUP BY key ORDER BY key",
        vault: "SELECT h.customer_id::text AS key, count(*)
                FROM dwh_detailed.sat_customers_tracking AS t
                JOIN dwh_detailed.hub_customers AS h USING (hash_key)
                WHERE t.op = 'u'
                    AND NOT EXISTS (SELECT FROM dwh_detailed.sat_customers AS s
                                    WHERE (s.kafka_partition, s.kafka_offset, s.hash_key) = (t.kafka_partition, t.kafka_offset, t.hash_key))
                    AND NOT EXISTS (SELECT FROM dwh_detailed.sat_customers_personal AS s
                                    WHERE (s.kafka_partition, s.kafka_offset, s.hash_key) = (t.kafka_partition, t.kafka_offset, t.hash_key))
                GROUP BY 1 ORDER BY 1",
        telling: "1",
    },
    Question {
        kind: "zero and ghost rows: the tier of each order's customer, without a left join",
        shop: "SELECT o.id, (SELECT after ->> 'tier' FROM shop_log
                             WHERE relation = 'customers' AND key = o.customer_id::text AND after IS NOT NULL
                             ORDER BY number DESC LIMIT 1)
               FROM orders AS o ORDER BY o.id",
        vault: "SELECT o.order_id, s.tier
                FROM dwh_marts.current_sat_orders_status AS live
                JOIN dwh_marts.current_sat_order_customers_effectivity AS holds USING (hash_key)
                JOIN dwh_detailed.link_order_customers AS l ON l.hash_key = holds.link_hash_key
                JOIN dwh_detailed.hub_orders AS o ON o.hash_key = l.order_hash_key
                JOIN (SELECT DISTINCT ON (hash_key) * FROM dwh_detailed.sat_customers ORDER BY hash_key, load_date DESC) AS s
                    ON s.hash_key = l.customer_hash_key
                WHERE NOT live.is_deleted
                ORDER BY o.order_id",
        telling: "nothing",
    },
];

/// The rows of an answer, each as one text.
async fn answer(client: &Client, question: &str) -> Vec<String> {
    let rows = sql::rows(client, question).await.unwrap();
    let text = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
    let mut rows: Vec<String> = rows
        .into_iter()
        .map(|row| row.into_iter().map(text).collect::<Vec<_>>().join(" | "))
        .collect();
    rows.sort_unstable();
    rows
}

/// The shop at work.
struct Shop {
    pipeline: Pipeline,
    seed: u64,
    round: u64,
    truncates: bool,
}

impl Shop {
    async fn open(version: u32, partitions: u32, truncates: bool) -> Self {
        let model = MODEL.replacen("name = \"shop\"", "name = \"further\"", 1);
        let shop = (SHOP, TABLES.as_slice());
        let pipeline = Pipeline::with_model("shop", version, partitions, shop, &model).await;
        Self { pipeline, seed: seed(), round: 0, truncates }
    }

    async fn run(&self, sql: &str) {
        self.pipeline.source.batch_execute(sql).await.unwrap();
    }

    async fn work(&mut self) {
        for transaction in 0..TRANSACTIONS {
            let seed = (self.seed + self.round * TRANSACTIONS + transaction) % 1_000_000;
            self.run(&format!("SELECT shop_work({seed}, {STATEMENTS})")).await;
        }
        if self.truncates && self.round.is_multiple_of(3) {
            self.run(TRUNCATES).await;
        }
        self.round += 1;
    }

    async fn verify(&self) {
        self.pipeline.verify(&[]).await;
        let warehouse = self.pipeline.warehouse().await;
        for Question { kind, shop, vault, telling } in QUESTIONS {
            let expected = answer(&self.pipeline.source, shop).await;
            assert_eq!(answer(&warehouse, vault).await, expected, "{kind}");
            assert!(expected.len() > 3, "{kind}: {expected:#?}");
            let tells = expected.iter().any(|row| row.contains(telling));
            assert!(tells, "{kind}: no row has {telling:?}: {expected:#?}");
        }
    }

    /// What never changes changes. The events of that customer wait, and everything else goes on.
    async fn something_fixed_changes(&mut self) {
        let changes = "
            CREATE TABLE moved AS SELECT id FROM customers ORDER BY id LIMIT 2;
            UPDATE customers SET channel = 'channel other' WHERE id = (SELECT min(id) FROM moved);
            UPDATE customers SET tier = 'tier later' WHERE id IN (SELECT id FROM moved)";
        self.run(changes).await;
        self.pipeline.settle().await;
        let warehouse = self.pipeline.warehouse().await;
        let waiting = "SELECT at_fault, reason LIKE '%sat_customers_origin is not historized%remove historized = false%'
                       FROM dwh_control.quarantine ORDER BY kafka_offset";
        assert_eq!(answer(&warehouse, waiting).await, ["f | f", "t | t"]);
        let others = "SELECT id, tier, has_waiting_events FROM dwh_marts.current_customers WHERE tier = 'tier later' OR has_waiting_events";
        let waits = answer(&warehouse, others).await;
        assert_eq!(waits.len(), 2, "{waits:?}");
        assert!(waits.iter().any(|row| row.ends_with("| tier later | f")), "{waits:?}");
        self.pipeline.stop_loader();
        self.pipeline.change_model(|model| model.replacen("historized = false\n", "", 1));
        self.pipeline.start_loader();
        self.pipeline.verify(&[]).await;
        let channels = "SELECT count(*) FROM dwh_marts.history_sat_customers_origin
                        GROUP BY hash_key HAVING count(*) > 1";
        assert_eq!(answer(&warehouse, channels).await, ["2"]);
    }
}

async fn every_kind_of_entity_tells_what_it_is_for(version: u32, partitions: u32, truncates: bool) {
    let mut shop = Shop::open(version, partitions, truncates).await;
    shop.work().await;
    // From here on the log knows what is published. Nothing happens while the snapshot is read, so that it is known
    // which rows are read.
    shop.run(SNAPSHOT).await;
    shop.pipeline.start();
    shop.pipeline.wait_until_streaming();
    shop.work().await;
    shop.pipeline.kill_loader();
    shop.work().await;
    shop.pipeline.kill_readers();
    shop.pipeline.start_loader();
    shop.work().await;
    shop.pipeline.stop_loader();
    shop.work().await;
    shop.pipeline.start_loader();
    shop.work().await;
    shop.run(CERTAIN).await;
    shop.verify().await;
    shop.something_fixed_changes().await;
    shop.pipeline.stop();
}

#[tokio::test]
async fn every_kind_of_entity_of_postgresql_15_tells_what_it_is_for() {
    every_kind_of_entity_tells_what_it_is_for(15, 1, true).await;
}

/// With several partitions a table's truncate may overtake changes, so there is none here.
#[tokio::test]
async fn every_kind_of_entity_of_postgresql_18_tells_what_it_is_for() {
    every_kind_of_entity_tells_what_it_is_for(18, 3, false).await;
}
