//! Names and types that the vault cannot take over as they are: two tables of one name, columns that are stored under
//! another name, keys of other types than their hub's.

use serde_json::json;

use crate::support::{World, create, delete, update};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Two tables called items. Both feed one hub whose key is text: one by an integer, the other by a `char(n)`.
const ITEMS: &str = r#"
format_version = 1

[source]
name = "shop"
schema = "public"
system_id = 3
comment = "a shop and its archive"

[[hub]]
name = "hub_items"
comment = "an item, known by its number"
key = [{ name = "item_no", type = "text" }]

[[hub]]
name = "hub_labels"
comment = "a label"
key = [{ name = "label", type = "text" }]

[[hub]]
name = "hub_shelves"
comment = "a shelf"
key = [{ name = "shelf", type = "numeric(12,2)" }]

[[link]]
name = "link_items"
comment = "an item with its label and its shelf"
hubs = [
  { role = "item", hub = "hub_items" },
  { role = "label", hub = "hub_labels" },
  { role = "shelf", hub = "hub_shelves" },
]

[[table]]
name = "items"
key = ["Id"]
parent = "hub_items"
status = "sat_items_status"
hubs = [
  { role = "item", hub = "hub_items", columns = [{ column = "Id", cast = "text" }] },
  { role = "label", hub = "hub_labels", columns = [{ column = "label", cast = "text" }] },
  { role = "shelf", hub = "hub_shelves", columns = [{ column = "shelf", cast = "numeric(12,2)" }] },
]
links = [{ link = "link_items", effectivity = "sat_items_effectivity" }]

[table.columns]
Id = "integer"
label = "uuid"
shelf = "smallint"
op = { type = "text", stored_as = "operation" }
load_date = { type = "date", stored_as = "loaded_on" }
"Mixed \"Case\"" = { type = "text", stored_as = "mixed_case" }
"a column with a name as long as PostgreSQL lets it be, 63 bytes" = { type = "text", stored_as = "long_one" }
user = "text"

[[table.satellite]]
name = "sat_items"
comment = "an item of the shop"
columns = ["op", "load_date", "Mixed \"Case\"", "a column with a name as long as PostgreSQL lets it be, 63 bytes", "user"]

[[table]]
schema = "Old Things"
name = "items"
key = ["code"]
parent = "hub_items"
status = "sat_old_items_status"
hubs = [{ hub = "hub_items", columns = [{ column = "code", cast = "text" }] }]

[table.columns]
code = "char(5)"
weight = "integer"

[[table.satellite]]
name = "sat_old_items"
comment = "an item of the archive"
columns = ["weight"]
"#;

const LONG: &str = "a column with a name as long as PostgreSQL lets it be, 63 bytes";

fn item(id: i64, word: &str) -> serde_json::Value {
    json!({"Id": id, "label": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "shelf": 4, "op": word, "load_date": 20_000,
           "Mixed \"Case\"": "Both", LONG: "long", "user": "somebody"})
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_one_name_odd_columns_and_keys_of_several_types_are_loaded() {
    assert_eq!(LONG.len(), 63);
    let mut world = World::unmigrated("spellings").await;
    world.write_model(&ITEMS.replacen("\"shop\"", &format!("\"{}\"", world.source), 1));
    world.migrate(&[]);
    let again = world.command(&["migrate"]);
    assert!(text(&again.stdout).contains("nothing to do"), "{}", text(&again.stdout));
    world.publish(create("items", 10, item(7, "first"))).await;
    // An update leaves out a long value, which is read back from the vault under its name there.
    let mut second = item(7, "second");
    second["Mixed \"Case\""] = json!("__debezium_unavailable_value");
    world.publish(update("items", 11, second)).await;
    world.publish(create("items", 12, item(8, "other"))).await;
    world.publish(delete("items", 13, item(8, "other"))).await;
    world.schema = "Old Things".to_owned();
    world.publish(create("items", 20, json!({"code": "7    ", "weight": 70}))).await;
    world.publish(create("items", 21, json!({"code": "9    ", "weight": 90}))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.end(&mut loader);
    assert_eq!(world.count("dwh_control.quarantine").await, 0);
    world
        .assert_rows(
            "SELECT h.item_no, s.operation, s.loaded_on, s.mixed_case, s.long_one, s.\"user\", o.weight
             FROM dwh_detailed.hub_items AS h
             LEFT JOIN dwh_detailed.sat_items AS s USING (hash_key)
             LEFT JOIN dwh_detailed.sat_old_items AS o USING (hash_key)
             WHERE h.item_no IS NOT NULL
             ORDER BY 1, s.load_date",
            &[
                "(7,first,2024-10-04,Both,long,somebody,70)",
                "(7,second,2024-10-04,Both,long,somebody,70)",
                "(8,other,2024-10-04,Both,long,somebody,)",
                "(9,,,,,,90)",
            ],
        )
        .await;
    world
        .assert_rows(
            "SELECT label FROM dwh_detailed.hub_labels WHERE label IS NOT NULL",
            &["(a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11)"],
        )
        .await;
    world
        .assert_rows(
            "SELECT shelf FROM dwh_detailed.hub_shelves WHERE shelf IS NOT NULL",
            &["(4.00)"],
        )
        .await;
    world
        .assert_rows(
            "SELECT h.item_no, s.op, s.is_deleted
             FROM dwh_detailed.sat_items_status AS s
             JOIN dwh_detailed.hub_items AS h USING (hash_key)
             WHERE h.item_no IS NOT NULL
             ORDER BY 1, s.load_date",
            &["(7,c,f)", "(8,c,f)", "(8,d,t)"],
        )
        .await;
    let comments = "SELECT col_description('dwh_detailed.sat_items'::regclass, attnum)
                    FROM pg_attribute
                    WHERE attrelid = 'dwh_detailed.sat_items'::regclass AND attname = 'mixed_case'";
    let comment = world.rows(comments).await;
    assert!(comment[0].contains("Mixed") && comment[0].contains("public.items"), "{comment:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_name_and_a_cast_cannot_change_later() {
    let world = World::unmigrated("spelt").await;
    let model = ITEMS.replacen("\"shop\"", &format!("\"{}\"", world.source), 1);
    world.write_model(&model);
    world.migrate(&[]);
    for (from, to, expected) in [
        (
            "stored_as = \"operation\"",
            "stored_as = \"action\"",
            "column operation left satellite sat_items",
        ),
        (
            "schema = \"Old Things\"\n",
            "schema = \"Older Things\"\n",
            "table Old Things.items: removed from the model",
        ),
        ("Id = \"integer\"", "Id = \"uuid\"", "table items: its binding of hub item changed"),
    ] {
        let changed = model.replacen(from, to, 1);
        assert_ne!(changed, model, "{from}");
        world.write_model(&changed);
        let refused = world.command(&["migrate"]);
        assert_eq!(refused.status.code(), Some(1), "{from}");
        assert!(text(&refused.stderr).contains(expected), "{}", text(&refused.stderr));
    }
    world.write_model(&model.replacen("cast = \"numeric(12,2)\"", "cast = \"numeric(5,2)\"", 1));
    let refused = world.command(&["migrate"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("cast to the key's type"), "{}", text(&refused.stderr));
}
