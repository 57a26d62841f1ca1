"""The files by themselves: valid, complete, consistent, translated. Only the warehouse's catalogue is asked."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from flask import Flask
from psycopg2.extensions import connection

import bundle

# Charts whose axes have titles, and the parameters that hold them.
AXIS_TITLES = {
    "echarts_timeseries_line": ("x_axis_title", "y_axis_title"),
    "echarts_timeseries_bar": ("x_axis_title", "y_axis_title"),
    "bubble_v2": ("x_axis_label", "y_axis_label"),
}
# What the source document asks of the two dashboards, and what issue of ours goes beyond it.
DEMANDED = {
    "airports": {
        "airports_active_30d",
        "airports_active_by_day",
        "airports_flight_share",
        "airports_passenger_share",
        "airports_map",
        "airports_delay_by_hour",
    },
    "passengers": {
        "passengers_unique_30d",
        "passengers_average_check_30d",
        "passengers_flights_per_passenger_30d",
        "passengers_unique_by_day",
        "passengers_revenue_by_day",
        "passengers_revenue_by_group",
        "passengers_retention",
    },
    "pipeline": {
        "pipeline_freshness",
        "pipeline_events_by_minute",
        "pipeline_quarantine",
        "pipeline_lag",
    },
}


def of_kind(files: bundle.Files, folder: str) -> dict[str, dict[str, Any]]:
    return {path: file for path, file in files.items() if path.startswith(f"{folder}/")}


def placed(dashboard: dict[str, Any]) -> list[str]:
    """The uuids of the charts in a dashboard's layout."""
    return [
        node["meta"]["uuid"]
        for node in dashboard["position"].values()
        if isinstance(node, dict) and node["type"] == "CHART"
    ]


@pytest.mark.parametrize("language", bundle.LANGUAGES)
def test_every_file_is_what_superset_imports(superset_app: Flask, language: str) -> None:
    """The schemas exist only inside a Superset that has been started."""
    assert superset_app
    from superset.charts.schemas import ImportV1ChartSchema
    from superset.dashboards.schemas import ImportV1DashboardSchema
    from superset.databases.schemas import ImportV1DatabaseSchema
    from superset.datasets.schemas import ImportV1DatasetSchema

    schemas = {
        "databases": ImportV1DatabaseSchema(),
        "datasets": ImportV1DatasetSchema(),
        "charts": ImportV1ChartSchema(),
        "dashboards": ImportV1DashboardSchema(),
    }
    built = bundle.build(language, "127.0.0.1", 5434, "airline_tickets_dwh")
    problems = {
        path: schemas[path.split("/")[0]].validate(copy.deepcopy(file))
        for path, file in built.items()
        if path != "metadata.yaml"
    }
    assert {path: found for path, found in problems.items() if found} == {}
    assert built["metadata.yaml"]["version"] == "1.0.0"
    assert built["metadata.yaml"]["type"] == "assets"


def test_fields_that_the_import_needs_and_its_schema_does_not_ask_for(files: bundle.Files) -> None:
    for path, file in files.items():
        folder = path.split("/")[0]
        for key in {
            "databases": ["extra"],
            "charts": ["params"],
            "dashboards": ["position", "metadata"],
        }.get(folder, []):
            assert file.get(key), f"{path} has no {key}"
        if folder == "datasets":
            assert "schema" in file, f"{path} has no schema"


def test_identifiers_are_unique_and_every_reference_has_a_target(files: bundle.Files) -> None:
    identifiers = [file["uuid"] for path, file in files.items() if path != "metadata.yaml"]
    assert len(identifiers) == len(set(identifiers))
    databases = {file["uuid"] for file in of_kind(files, "databases").values()}
    datasets = {file["uuid"] for file in of_kind(files, "datasets").values()}
    charts = {file["uuid"] for file in of_kind(files, "charts").values()}
    on_dashboards: set[str] = set()
    for path, file in of_kind(files, "datasets").items():
        assert file["database_uuid"] in databases, path
    for path, file in of_kind(files, "charts").items():
        assert file["dataset_uuid"] in datasets, path
    for path, file in of_kind(files, "dashboards").items():
        used = placed(file)
        assert len(used) == len(set(used)), f"{path} shows a chart twice"
        assert set(used) <= charts, path
        on_dashboards |= set(used)
        for native in file["metadata"]["native_filter_configuration"]:
            for target in native["targets"]:
                assert target.get("datasetUuid", next(iter(datasets))) in datasets, path
    assert on_dashboards == charts, "a chart is on no dashboard"


def test_layout_is_closed_and_fills_the_grid(files: bundle.Files) -> None:
    names = {file["uuid"]: file["slice_name"] for file in of_kind(files, "charts").values()}
    for path, file in of_kind(files, "dashboards").items():
        position = file["position"]
        nodes = {key: node for key, node in position.items() if isinstance(node, dict)}
        numbers = [node["meta"]["chartId"] for node in nodes.values() if node["type"] == "CHART"]
        assert len(numbers) == len(set(numbers)), path
        reached = {"ROOT_ID", "HEADER_ID"}
        for key, node in nodes.items():
            assert node["id"] == key, path
            for child in node.get("children", []):
                assert child in nodes, f"{path}: {child}"
                reached.add(child)
            if node["type"] == "ROW":
                assert sum(nodes[child]["meta"]["width"] for child in node["children"]) == 12, path
            if node["type"] == "CHART":
                assert node["meta"]["sliceName"] == names[node["meta"]["uuid"]], path
        assert reached == nodes.keys(), path
        for native in file["metadata"]["native_filter_configuration"]:
            assert set(native["scope"]["excluded"]) < set(numbers), path


@pytest.mark.parametrize("dashboard", DEMANDED)
def test_what_the_documents_ask_for_is_there(files: bundle.Files, dashboard: str) -> None:
    by_uuid = {file["uuid"]: path for path, file in of_kind(files, "charts").items()}
    shown = {
        by_uuid[uuid].removeprefix("charts/").removesuffix(".yaml")
        for uuid in placed(files[f"dashboards/{dashboard}.yaml"])
    }
    assert DEMANDED[dashboard] <= shown


def test_columns_are_those_of_the_warehouse(files: bundle.Files, warehouse: connection) -> None:
    kinds = {
        "text": "TEXT",
        "double precision": "DOUBLE PRECISION",
        "date": "DATE",
        "timestamp without time zone": "TIMESTAMP",
        "integer": "INTEGER",
        "bigint": "BIGINT",
        "numeric": "NUMERIC",
        "boolean": "BOOLEAN",
        "bytea": "BYTEA",
    }
    with warehouse.cursor() as cursor:
        for path, file in of_kind(files, "datasets").items():
            assert file["schema"] == "dwh_marts" and file["table_name"].startswith(
                "v_dashboard_"
            ), path
            cursor.execute(
                "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute"
                " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
                (f"{file['schema']}.{file['table_name']}",),
            )
            in_warehouse = {name: kinds[kind] for name, kind in cursor.fetchall()}
            in_file = {
                column["column_name"]: column["type"]
                for column in file["columns"]
                if "expression" not in column
            }
            assert in_file == in_warehouse, path


def test_every_expression_is_understood_by_the_warehouse(
    files: bundle.Files, warehouse: connection
) -> None:
    with warehouse.cursor() as cursor:
        for file in of_kind(files, "datasets").values():
            expressions = [metric["expression"] for metric in file["metrics"]]
            calculated = [
                column["expression"] for column in file["columns"] if "expression" in column
            ]
            relation = f"{file['schema']}.{file['table_name']}"
            for expression in expressions + calculated:
                cursor.execute(f"SELECT {expression} FROM {relation} LIMIT 0")


def test_charts_name_only_what_their_dataset_has(files: bundle.Files) -> None:
    datasets = {file["uuid"]: file for file in of_kind(files, "datasets").values()}
    for path, file in of_kind(files, "charts").items():
        dataset = datasets[file["dataset_uuid"]]
        columns = {column["column_name"] for column in dataset["columns"]}
        metrics = {metric["metric_name"] for metric in dataset["metrics"]}
        params = file["params"]
        assert file["viz_type"] == params["viz_type"], path
        query = json.loads(json.dumps(bundle.query_context(params)))["queries"][0]
        for column in query["columns"]:
            assert (column if isinstance(column, str) else column["label"]) in columns, path
        assert set(query["metrics"]) <= metrics, path
        assert query["columns"] or query["metrics"], path
        assert {part["col"] for part in query["filters"]} <= columns, path


def test_native_filters_reach_charts_that_have_their_column(files: bundle.Files) -> None:
    datasets = {file["uuid"]: file for file in of_kind(files, "datasets").values()}
    charts = {file["uuid"]: file for file in of_kind(files, "charts").values()}
    for path, file in of_kind(files, "dashboards").items():
        for native in file["metadata"]["native_filter_configuration"]:
            excluded = set(native["scope"]["excluded"])
            for node in file["position"].values():
                if (
                    not isinstance(node, dict)
                    or node["type"] != "CHART"
                    or node["meta"]["chartId"] in excluded
                ):
                    continue
                chart = charts[node["meta"]["uuid"]]
                columns = {c["column_name"] for c in datasets[chart["dataset_uuid"]]["columns"]}
                if native["filterType"] == "filter_time":
                    operators = {part["operator"] for part in chart["params"]["adhoc_filters"]}
                    assert "TEMPORAL_RANGE" in operators, f"{path}: {chart['slice_name']}"
                else:
                    name = native["targets"][0]["column"]["name"]
                    assert name in columns, f"{path}: {chart['slice_name']} has no {name}"


def test_looks_are_one(files: bundle.Files) -> None:
    for path, file in of_kind(files, "charts").items():
        params = file["params"]
        for key in AXIS_TITLES.get(file["viz_type"], ()):
            assert params[key], f"{path} has no {key}"
        if "color_scheme" in params:
            assert params["color_scheme"] == "vaultstream", path
        assert file["description"], f"{path} does not say what it measures"
    for path, file in of_kind(files, "dashboards").items():
        metadata = file["metadata"]
        assert metadata["color_scheme"] == "vaultstream", path
        assert metadata["cross_filters_enabled"] is True, path
        assert 10 <= metadata["refresh_frequency"] <= 60, path
        assert {n["filterType"] for n in metadata["native_filter_configuration"]} >= {
            "filter_time",
            "filter_select",
        }, path


def test_every_metric_has_a_format_and_money_has_a_currency(files: bundle.Files) -> None:
    for path, file in of_kind(files, "datasets").items():
        for metric in file["metrics"]:
            assert metric["d3format"] and metric["verbose_name"], f"{path}: {metric['metric_name']}"
            is_money = "amount" in metric["expression"] and "1000000" not in metric["expression"]
            assert ("currency" in metric) == is_money, f"{path}: {metric['metric_name']}"
            if is_money:
                assert metric["currency"]["symbol"] == "RUB"


def test_no_cache_outlives_what_freshness_allows(files: bundle.Files) -> None:
    for folder in ("databases", "datasets"):
        for path, file in of_kind(files, folder).items():
            assert file["cache_timeout"] == 1, path
    for path, file in of_kind(files, "charts").items():
        assert file["cache_timeout"] is None, f"{path} does not take the dataset's"


def test_no_password_is_in_the_files(files: bundle.Files) -> None:
    for path, file in of_kind(files, "databases").items():
        assert "password" not in file, path
        assert re.fullmatch(
            r"postgresql\+psycopg2://mart_reader@[^:@]+:\d+/\w+", file["sqlalchemy_uri"]
        )
        assert not file["allow_dml"] and not file["expose_in_sqllab"] and not file["allow_ctas"], (
            path
        )


def test_the_english_bundle_has_no_russian_left() -> None:
    built = bundle.build("en", "127.0.0.1", 5434, "airline_tickets_dwh")
    left = bundle.texts_to_translate(built)
    assert left == set()
    # The same assets in another language, not other assets.
    russian = bundle.build("ru", "127.0.0.1", 5434, "airline_tickets_dwh")
    assert {p: f.get("uuid") for p, f in built.items()} == {
        p: f.get("uuid") for p, f in russian.items()
    }


def test_the_translation_table_has_what_is_needed_and_no_more(files: bundle.Files) -> None:
    table = bundle.translation_table("en")
    assert set(table) == bundle.texts_to_translate(files)
    assert all(text.strip() for text in table.values())


def test_a_title_without_translation_is_refused(files: bundle.Files) -> None:
    changed = copy.deepcopy(files)
    changed["dashboards/airports.yaml"]["dashboard_title"] = "Новое название"
    with pytest.raises(bundle.BundleError, match="Новое название"):
        bundle.translate(changed, "en")


def test_every_title_is_russian_in_the_files(files: bundle.Files) -> None:
    titles = [f["slice_name"] for f in of_kind(files, "charts").values()]
    titles += [f["dashboard_title"] for f in of_kind(files, "dashboards").values()]
    assert [title for title in titles if not bundle.CYRILLIC.search(title)] == []


def test_unchanged_files_make_an_unchanged_archive() -> None:
    built = bundle.build("ru", "127.0.0.1", 5434, "airline_tickets_dwh")
    again = bundle.build("ru", "127.0.0.1", 5434, "airline_tickets_dwh")
    assert bundle.as_zip(built) == bundle.as_zip(again)


def test_the_connection_takes_the_address_it_is_given() -> None:
    built = bundle.build("ru", "db_dwh", 5432, "other")
    assert (
        built["databases/warehouse.yaml"]["sqlalchemy_uri"]
        == "postgresql+psycopg2://mart_reader@db_dwh:5432/other"
    )
