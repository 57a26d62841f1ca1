//! What must hold of a history, whatever the seed.

use std::collections::HashMap;

use chrono::NaiveDate;

use super::*;

const SCALE: f64 = 0.1;

fn plan(seed: u64) -> Plan {
    Plan { seed, first_day: NaiveDate::from_ymd_opt(2026, 1, 1).unwrap(), scale: SCALE }
}

/// All rows of a history, by table.
fn lived(seed: u64, days: u64) -> HashMap<&'static str, Vec<Vec<String>>> {
    let mut batch = Batch::default();
    let mut history = History::begin(plan(seed), &mut batch);
    for day in 0..days {
        history.day(day, &mut batch);
    }
    history.end(&mut batch);
    let fields = |line: String| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
    batch
        .into_tables()
        .map(|(table, lines)| (table.name, lines.into_iter().map(fields).collect()))
        .collect()
}

fn column(table: Table, name: &str) -> usize {
    table.columns.split(", ").position(|column| column == name).unwrap()
}

/// An amount or a quantity as a whole number of its last digit.
fn exact(text: &str) -> i64 {
    text.replace('.', "").parse().unwrap()
}

#[test]
fn a_row_has_a_field_for_each_column_and_a_key_of_its_own() {
    let rows = lived(1, 40);
    for table in tables::ALL {
        let Some(lines) = rows.get(table.name) else { continue };
        let columns = table.columns.split(", ").count();
        assert!(lines.iter().all(|line| line.len() == columns), "{}", table.name);
        let mut keys: Vec<i64> = lines.iter().map(|line| exact(&line[0])).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), lines.len(), "{}", table.name);
    }
    assert_eq!(rows.len(), 10, "nine kinds of documents and movements, and the shelves");
}

#[test]
fn transactions_share_one_sequence_of_keys() {
    let rows = lived(1, 40);
    let mut keys: Vec<i64> = Vec::new();
    for table in [
        tables::CUSTOMER_TRANSACTIONS,
        tables::SUPPLIER_TRANSACTIONS,
        tables::STOCK_ITEM_TRANSACTIONS,
    ] {
        keys.extend(rows[table.name].iter().map(|line| exact(&line[0])));
    }
    keys.sort_unstable();
    let expected: Vec<i64> = (1..=i64::try_from(keys.len()).unwrap()).collect();
    assert_eq!(keys, expected);
}

#[test]
fn stock_on_hand_is_the_sum_of_all_movements_and_was_never_negative() {
    let rows = lived(2, 60);
    let quantity = column(tables::STOCK_ITEM_TRANSACTIONS, "quantity");
    let mut movements: Vec<_> = rows[tables::STOCK_ITEM_TRANSACTIONS.name].iter().collect();
    // Keys are given in the order in which things happen.
    movements.sort_by_key(|line| exact(&line[0]));
    let mut on_hand: HashMap<&str, i64> = HashMap::new();
    for line in movements {
        let stock = on_hand.entry(&line[1]).or_default();
        *stock += exact(&line[quantity]) / 1_000;
        assert!(*stock >= 0, "{line:?}");
    }
    for line in &rows[tables::STOCK_ITEM_HOLDINGS.name] {
        assert_eq!(on_hand[line[0].as_str()], exact(&line[1]), "{line:?}");
    }
}

#[test]
fn an_invoices_transaction_is_the_sum_of_its_lines() {
    let rows = lived(3, 40);
    let (tax, whole) = (
        column(tables::INVOICE_LINES, "tax_amount"),
        column(tables::INVOICE_LINES, "extended_price"),
    );
    let mut sums: HashMap<&str, (i64, i64)> = HashMap::new();
    for line in &rows[tables::INVOICE_LINES.name] {
        let sum = sums.entry(&line[1]).or_default();
        *sum = (sum.0 + exact(&line[tax]), sum.1 + exact(&line[whole]));
    }
    let invoice = column(tables::CUSTOMER_TRANSACTIONS, "invoice_id");
    let amount = column(tables::CUSTOMER_TRANSACTIONS, "transaction_amount");
    let mut checked = 0;
    for line in &rows[tables::CUSTOMER_TRANSACTIONS.name] {
        if line[invoice] != "\\N" {
            let expected = sums[line[invoice].as_str()];
            assert_eq!((exact(&line[amount - 1]), exact(&line[amount])), expected, "{line:?}");
            checked += 1;
        }
    }
    assert_eq!(checked, rows[tables::INVOICES.name].len());
    assert!(checked > 800, "{checked}");
}

#[test]
fn payments_settle_what_they_pay() {
    let rows = lived(4, 60);
    for table in [tables::CUSTOMER_TRANSACTIONS, tables::SUPPLIER_TRANSACTIONS] {
        let (amount, balance) =
            (column(table, "transaction_amount"), column(table, "outstanding_balance"));
        let finalized = column(table, "finalization_date");
        let (mut all, mut open, mut payments) = (0, 0, 0);
        for line in &rows[table.name] {
            all += exact(&line[amount]);
            open += exact(&line[balance]);
            payments += usize::from(line[amount].starts_with('-'));
            assert_eq!(line[balance] == "0.00", line[finalized] != "\\N", "{line:?}");
        }
        assert_eq!(all, open, "{}", table.name);
        assert!(payments > 10, "{}: {payments}", table.name);
    }
}

#[test]
fn an_order_of_which_something_is_missing_is_split() {
    let rows = lived(5, 60);
    let missing_from = column(tables::ORDERS, "backorder_order_id");
    let split: Vec<_> =
        rows[tables::ORDERS.name].iter().filter(|line| line[missing_from] != "\\N").collect();
    assert!(!split.is_empty());
    for line in split {
        assert!(exact(&line[missing_from]) < exact(&line[0]), "{line:?}");
    }
}

/// The rows of a history that its first days have given, before anything that is open is given.
fn given(seed: u64, days: u64, together: bool) -> Vec<(&'static str, Vec<String>)> {
    let mut batch = Batch::default();
    let mut history = History::begin(plan(seed), &mut batch);
    let mut parts = Vec::new();
    for day in 0..days {
        history.day(day, &mut batch);
        if !together {
            parts.push(std::mem::take(&mut batch));
        }
    }
    parts.push(batch);
    let mut rows: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for (table, lines) in parts.into_iter().flat_map(Batch::into_tables) {
        rows.entry(table.name).or_default().extend(lines);
    }
    rows.into_iter().collect()
}

#[test]
fn one_seed_gives_one_history_and_two_seeds_give_two() {
    assert_eq!(given(6, 20, true), given(6, 20, false));
    assert_ne!(given(6, 20, true), given(7, 20, true));
}

#[test]
fn the_first_days_do_not_depend_on_those_that_follow() {
    let (short, long) = (given(8, 10, true), given(8, 20, true));
    assert!(short.len() > 5, "{}", short.len());
    for (name, first) in &short {
        let all = long.iter().find(|(same, _)| same == name).map(|(_, all)| all).unwrap();
        assert!(first.len() < all.len(), "{name}");
        assert_eq!(first[..], all[..first.len()], "{name}");
    }
}

#[test]
fn what_is_kept_does_not_grow_with_the_history() {
    let mut batch = Batch::default();
    let mut history = History::begin(plan(9), &mut batch);
    let mut kept = Vec::new();
    for day in 0..240 {
        history.day(day, &mut batch);
        batch = Batch::default();
        let debts: usize = history.receivables.values().map(Vec::len).sum();
        kept.push(history.orders.len() + history.invoices.len() + debts);
    }
    let most = |days: std::ops::Range<usize>| kept[days].iter().max().copied().unwrap();
    assert!(most(200..240) < most(60..100) * 3 / 2, "{} {}", most(200..240), most(60..100));
}
