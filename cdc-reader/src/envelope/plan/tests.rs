//! Rows of small tables, from tuples to keys and values.

use shared::debezium::envelope::SnapshotMark;
use shared::position::Lsn;

use super::super::table::TypeClass;
use super::*;

fn column(name: &str, type_oid: u32, modifier: i32) -> ColumnInfo {
    ColumnInfo {
        name: name.to_owned(),
        type_oid,
        type_modifier: modifier,
        type_class: TypeClass::BuiltIn,
        is_domain: false,
        not_null: false,
        default: None,
    }
}

fn plan(replace_null_with_default: bool) -> TablePlan {
    let mut id = column("id", 23, -1);
    id.not_null = true;
    let mut code = column("code", 1043, 10);
    code.not_null = true;
    code.default = Some("'XX'::character varying".to_owned());
    let mut tz = column("tz", 1184, -1);
    tz.default = Some("now()".to_owned());
    let table = TableInfo {
        schema: "public".to_owned(),
        name: "flights".to_owned(),
        columns: vec![id, code, column("note", 25, -1), tz],
        key: vec![0],
    };
    TablePlan::new(table, &plan_options(replace_null_with_default)).unwrap()
}

fn plan_options(replace_null_with_default: bool) -> PlanOptions {
    PlanOptions {
        topic_prefix: "obs".to_owned(),
        database: "obs".to_owned(),
        version: "3.6.0.Final".to_owned(),
        unavailable_value_placeholder: "__debezium_unavailable_value".to_owned(),
        replace_null_with_default,
        column_types_header: false,
        without_form: WithoutForm::Null,
    }
}

const INFO: SourceInfo<'static> = SourceInfo {
    ts_us: 1,
    snapshot: SnapshotMark::Streaming,
    tx_id: Some(1),
    lsn: Lsn(1),
    last_commit: None,
    origin: None,
};

#[track_caller]
fn check(
    plan: &TablePlan,
    before: Option<&[Column<'_>]>,
    after: Option<&[Column<'_>]>,
    expected: &str,
) {
    let mut out = Vec::new();
    let change = Change {
        op: Op::Update,
        before: before.map(|row| row.iter().copied()),
        after: after.map(|row| row.iter().copied()),
    };
    plan.write_value(&mut out, &change, &INFO, 0).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn null_unchanged_and_key_only_are_three_things() {
    let id = Column::Text(b"1");
    let code = Column::Text(b"A");
    check(
        &plan(false),
        None,
        Some(&[id, code, Column::UnchangedToast, Column::Null]),
        r#"{"before":null,"after":{"id":1,"code":"A","note":"__debezium_unavailable_value","tz":null},"source":"#,
    );
    check(
        &plan(false),
        Some(&[id, code, Column::Text(b"long"), Column::Null]),
        Some(&[id, code, Column::UnchangedToast, Column::Null]),
        r#"{"before":{"id":1,"code":"A","note":"long","tz":null},"after":{"id":1,"code":"A","note":"long","tz":null},"#,
    );
    check(
        &plan(true),
        Some(&[id, Column::Null, Column::Null, Column::Null]),
        None,
        r#"{"before":{"id":1,"code":"XX","note":null,"tz":"1970-01-01T00:00:00.000000Z"},"after":null,"#,
    );
}

#[test]
fn the_key_is_the_key_columns_alone() {
    let mut key = Vec::new();
    let row = [Column::Text(b"7"), Column::Null, Column::Null, Column::Null];
    plan(false).write_key(&mut key, &row.iter().copied(), Nulls::AreNull, None).unwrap();
    assert_eq!(key, br#"{"id":7}"#);
    let row = [Column::Null];
    key.clear();
    plan(false).write_key(&mut key, &row.iter().copied(), Nulls::AreUnknown, None).unwrap();
    assert_eq!(key, br#"{"id":0}"#, "as Debezium writes a key that was not sent");
    assert!(matches!(
        plan(false).write_key(&mut key, &row.iter().copied(), Nulls::AreNull, None),
        Err(RowError::Key { .. })
    ));
}

#[test]
fn an_unchanged_toasted_key_is_the_old_rows_and_nothing_else_is() {
    let write = |new: Column<'_>, old: Option<Column<'_>>| {
        let mut key = Vec::new();
        let (new, old) = ([new], old.map(|old| [old]));
        let old = old.as_ref().map(|old| old.iter().copied());
        plan(false)
            .write_key(&mut key, &new.iter().copied(), Nulls::AreNull, old.as_ref())
            .map(|()| key)
    };
    let seven = Some(Column::Text(b"7"));
    assert_eq!(write(Column::UnchangedToast, seven).unwrap(), br#"{"id":7}"#);
    assert_eq!(write(Column::Text(b"8"), seven).unwrap(), br#"{"id":8}"#);
    for (new, old) in [
        (Column::Null, seven),
        (Column::UnchangedToast, None),
        (Column::UnchangedToast, Some(Column::Null)),
        (Column::UnchangedToast, Some(Column::UnchangedToast)),
    ] {
        assert!(matches!(write(new, old), Err(RowError::Key { .. })), "{new:?} {old:?}");
    }
}

#[test]
fn a_column_that_debezium_leaves_out_leaves_no_trace() {
    let mut pair = column("pair", 99_999, -1);
    pair.type_class = TypeClass::OfExtension("pair".to_owned());
    let mut mood = column("mood", 99_998, -1);
    mood.type_class = TypeClass::Enum;
    let table = TableInfo {
        schema: "public".to_owned(),
        name: "t".to_owned(),
        columns: vec![pair, mood, column("id", 23, -1)],
        key: vec![2],
    };
    let options = plan_options(false);
    let compile = |table| TablePlan::new(table, &options);
    let plan = compile(table.clone()).unwrap();
    assert_eq!(plan.left_out().collect::<Vec<_>>(), ["pair"]);
    let row = [Column::Text(b"(1,2)"), Column::Text(b"ok"), Column::Text(b"7")];
    check(&plan, None, Some(&row), r#"{"before":null,"after":{"mood":"ok","id":7},"source":"#);
    let in_key = compile(TableInfo { key: vec![0], ..table.clone() });
    assert!(matches!(in_key, Err(PlanError::KeyLeftOut { .. })));
    let mut arrays = table;
    arrays.columns[0].type_class = array_of(99_997, TypeClass::LeftOut);
    arrays.columns[1].type_class = array_of(99_996, TypeClass::Enum);
    let plan = compile(arrays).unwrap();
    let row = [Column::Text(b"{(1,2)}"), Column::Text(b"{ok,NULL}"), Column::Text(b"7")];
    check(&plan, None, Some(&row), r#"{"before":null,"after":{"mood":["ok",null],"id":7},"#);
}

#[test]
fn types_of_postgis_and_pgvector_have_debeziums_forms() {
    let of = |name: &str| TypeClass::OfExtension(name.to_owned());
    let typed = |name: &str, class: TypeClass| {
        let mut column = column(name, 99_999, -1);
        column.type_class = class;
        column
    };
    let table = TableInfo {
        schema: "public".to_owned(),
        name: "t".to_owned(),
        columns: vec![
            typed("place", of("geometry")),
            typed("places", array_of(99_998, of("geography"))),
            typed("meaning", of("vector")),
            typed("half", of("halfvec")),
            typed("sparse", of("sparsevec")),
            typed("huge", of("sparsevec")),
        ],
        key: vec![],
    };
    let plan = TablePlan::new(table, &plan_options(false)).unwrap();
    let row = [
        Column::Text(b"010700000000000000"),
        Column::Text(b"{010700000000000000:NULL}"),
        Column::Text(b"[1,0.5]"),
        Column::Text(b"[0.5]"),
        Column::Text(b"{2:0.5}/3"),
        Column::Text(b"{2:0.5}/32768"),
    ];
    check(
        &plan,
        None,
        Some(&row),
        r#"{"before":null,"after":{"place":{"wkb":"AQcAAAAAAAAA","srid":null},"places":[{"wkb":"AQcAAAAAAAAA","srid":null},null],"meaning":[1.0,0.5],"half":[0.5],"sparse":{"dimensions":3,"vector":[[2,0.5]]},"huge":null},"#,
    );
}

fn array_of(element_oid: u32, element: TypeClass) -> TypeClass {
    TypeClass::Array { element_oid, element: Box::new(element) }
}

#[test]
fn a_value_without_a_form_is_null_and_its_column_is_named() {
    let table = TableInfo {
        schema: "public".to_owned(),
        name: "t".to_owned(),
        columns: vec![column("id", 23, -1), column("amount", 1700, -1)],
        key: vec![0],
    };
    let compile =
        |table: &TableInfo, options: &PlanOptions| TablePlan::new(table.clone(), options).unwrap();
    let row = [Column::Text(b"1"), Column::Text(b"NaN")];
    let change = Change { op: Op::Create, before: None, after: Some(row.iter().copied()) };
    let mut out = Vec::new();
    let plan = compile(&table, &plan_options(false));
    let remarks = plan.write_value(&mut out, &change, &INFO, 0).unwrap();
    assert_eq!(remarks.null_instead, [1]);
    assert!(out.starts_with(br#"{"before":null,"after":{"id":1,"amount":null},"#));
    let fails = PlanOptions { without_form: WithoutForm::Error, ..plan_options(false) };
    let error = compile(&table, &fails).write_value(&mut out, &change, &INFO, 0).unwrap_err();
    assert!(matches!(error, RowError::Value { .. }), "{error}");
    let in_key = compile(&TableInfo { key: vec![1], ..table }, &plan_options(false));
    let written = in_key.write_key(&mut Vec::new(), &row.iter().copied(), Nulls::AreNull, None);
    assert!(matches!(written, Err(RowError::KeyValue { .. })));
}

#[test]
fn what_was_written_of_a_value_without_a_form_is_taken_back() {
    let mut integers = column("a", 1007, -1);
    integers.type_class = array_of(23, TypeClass::BuiltIn);
    let table = TableInfo {
        schema: "public".to_owned(),
        name: "t".to_owned(),
        columns: vec![integers, column("id", 23, -1)],
        key: vec![1],
    };
    let plan = TablePlan::new(table, &plan_options(false)).unwrap();
    let row = [Column::Text(b"{1,x}"), Column::Text(b"1")];
    let change = Change { op: Op::Create, before: None, after: Some(row.iter().copied()) };
    let mut out = Vec::new();
    let remarks = plan.write_value(&mut out, &change, &INFO, 0).unwrap();
    assert_eq!(remarks.null_instead, [0]);
    assert!(out.starts_with(br#"{"before":null,"after":{"a":null,"id":1},"#));
}

#[test]
fn rows_of_another_shape_are_refused() {
    for count in [0, 3, 5] {
        let row = vec![Column::Null; count];
        let change = Change { op: Op::Create, before: None, after: Some(row.iter().copied()) };
        let error = plan(false).write_value(&mut Vec::new(), &change, &INFO, 0).unwrap_err();
        assert!(matches!(error, RowError::ColumnCount { expected: 4, .. }), "{error}");
    }
}

#[test]
fn the_header_names_the_types_of_what_is_written_and_what_was_not_sent() {
    let mut left_out = column("left_out", 4711, -1);
    left_out.type_class = TypeClass::LeftOut;
    let mut mood = column("mood", 4712, -1);
    mood.type_class = TypeClass::Enum;
    let mut codes = column("codes", 1231, (10 << 16 | 2) + 4);
    codes.type_class = array_of(1700, TypeClass::BuiltIn);
    let mut place = column("place", 4713, -1);
    place.type_class = TypeClass::OfExtension("geometry".to_owned());
    let table = TableInfo {
        schema: "public".to_owned(),
        name: "t".to_owned(),
        columns: vec![column("id", 23, -1), left_out, mood, codes, place],
        key: vec![0],
    };
    let with_header = PlanOptions { column_types_header: true, ..plan_options(false) };
    let plan = TablePlan::new(table.clone(), &with_header).unwrap();
    assert_eq!(plan.types(), Some(&b"i4,t,n10.2[],geometry"[..]));
    let old = [Column::Text(b"1"), Column::Null, Column::Null, Column::Null, Column::Text(b"00")];
    let new = [
        Column::Text(b"1"),
        Column::UnchangedToast,
        Column::Null,
        Column::UnchangedToast,
        Column::UnchangedToast,
    ];
    let (before, after) = (old.iter().copied(), new.iter().copied());
    let change = Change { op: Op::Update, before: Some(before), after: Some(after) };
    // The place comes from the old row, and the column that is left out has no place in the row.
    let remarks = plan.write_value(&mut Vec::new(), &change, &INFO, 0).unwrap();
    assert_eq!(remarks.unchanged, [2]);
    assert_eq!(TablePlan::new(table, &plan_options(false)).unwrap().types(), None);
}
