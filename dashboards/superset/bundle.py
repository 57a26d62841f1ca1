"""Turns the files of bundle/ into what Superset imports.

In: the YAML files, a language, where the warehouse is. Out: a mapping from path to text, or a ZIP of it. Three things
are done on the way, and nothing else: texts are translated, the warehouse's address is put into the connection, and
every chart gets its query context, so that Superset can answer for a chart's data without a browser.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
BUNDLE = HERE / "bundle"
TRANSLATIONS = HERE / "translations"
SOURCE_LANGUAGE = "ru"
LANGUAGES = (SOURCE_LANGUAGE, "en")
CYRILLIC = re.compile("[А-Яа-яЁё]")
# The same moment in every archive: the archive of unchanged files does not change.
EPOCH = (1980, 1, 1, 0, 0, 0)

Files = dict[str, dict[str, Any]]


class BundleError(Exception):
    """What is wrong with the files, in one sentence."""


def read_files(root: Path = BUNDLE) -> Files:
    """All YAML files below root by their path relative to it."""
    files = {
        path.relative_to(root).as_posix(): yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted(root.rglob("*.yaml"))
    }
    if "metadata.yaml" not in files:
        raise BundleError(f"{root} has no metadata.yaml")
    return files


def strings(value: Any) -> Iterator[str]:
    """Every string inside a value, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def replace_strings(value: Any, table: dict[str, str]) -> Any:
    """The value with each string that the table knows replaced, keys too: some keys are labels."""
    if isinstance(value, str):
        return table.get(value, value)
    if isinstance(value, dict):
        return {
            replace_strings(key, table): replace_strings(inner, table)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [replace_strings(inner, table) for inner in value]
    return value


def keys(value: Any) -> Iterator[str]:
    """Every key inside a value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def texts_to_translate(files: Files) -> set[str]:
    """The texts that have letters of the source language."""
    return {
        text
        for file in files.values()
        for text in (*strings(file), *keys(file))
        if CYRILLIC.search(text)
    }


def translation_table(language: str) -> dict[str, str]:
    """Source text to text; texts of several lines lose the newline that YAML leaves at their end."""
    table = yaml.safe_load((TRANSLATIONS / f"{language}.yaml").read_text(encoding="utf-8"))
    return {str(source): str(target) for source, target in table.items()}


def translate(files: Files, language: str) -> Files:
    """The files in another language. A text without a translation is an error, not a mixture of languages."""
    if language == SOURCE_LANGUAGE:
        return files
    if language not in LANGUAGES:
        raise BundleError(f"unknown language {language}: give one of {', '.join(LANGUAGES)}")
    table = translation_table(language)
    missing = sorted(texts_to_translate(files) - table.keys())
    if missing:
        raise BundleError(f"no translation into {language} of: {'; '.join(map(repr, missing))}")
    return {path: replace_strings(file, table) for path, file in files.items()}


def connect(files: Files, host: str, port: int, database: str) -> Files:
    """The files with the warehouse's address in the connection. It has no password: that is in the environment."""
    connected = dict(files)
    for path, file in files.items():
        if path.startswith("databases/"):
            connected[path] = file | {
                "sqlalchemy_uri": f"postgresql+psycopg2://mart_reader@{host}:{port}/{database}"
            }
    return connected


# ---- Query contexts


def column_of(params: dict[str, Any], name: str) -> Any:
    """The x axis of a chart over time carries its grain; any other column is its name."""
    grain = params.get("time_grain_sqla")
    if name != params.get("x_axis") or grain is None:
        return name
    return {
        "columnType": "BASE_AXIS",
        "expressionType": "SQL",
        "label": name,
        "sqlExpression": name,
        "timeGrain": grain,
    }


def as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def columns_of(params: dict[str, Any]) -> list[Any]:
    """What the chart groups by, in the order in which its kind asks for it."""
    kind = params["viz_type"]
    if kind == "bubble_v2":
        names = as_list(params.get("entity")) + as_list(params.get("series"))
    elif kind == "table" and params.get("query_mode") == "raw":
        names = as_list(params.get("all_columns"))
    else:
        names = as_list(params.get("x_axis")) + as_list(params.get("groupby"))
    distinct = list(dict.fromkeys(names))
    return [column_of(params, name) for name in distinct]


def metrics_of(params: dict[str, Any]) -> list[Any]:
    """What the chart measures."""
    if params["viz_type"] == "bubble_v2":
        return [params["x"], params["y"], params["size"]]
    if params["viz_type"] == "table" and params.get("query_mode") == "raw":
        return []
    return as_list(params.get("metric")) or as_list(params.get("metrics"))


def filters_of(params: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"col": part["subject"], "op": part["operator"], "val": part["comparator"]}
        for part in params.get("adhoc_filters", [])
        if part["expressionType"] == "SIMPLE"
    ]


def query_context(params: dict[str, Any]) -> dict[str, Any]:
    """The query that answers for a chart's data; the import puts the dataset's number in."""
    metrics = metrics_of(params)
    query = {
        "columns": columns_of(params),
        "metrics": metrics,
        "filters": filters_of(params),
        "extras": {"having": "", "where": ""},
        "orderby": [[metrics[0], False]] if metrics else [],
        "row_limit": params.get("row_limit", 1000),
        "annotation_layers": [],
        "applied_time_extras": {},
        "url_params": {},
        "custom_params": {},
        "custom_form_data": {},
    }
    return {
        "datasource": {"id": 0, "type": "table"},
        "force": False,
        "queries": [query],
        "form_data": params,
        "result_format": "json",
        "result_type": "full",
    }


def with_query_contexts(files: Files) -> Files:
    return {
        path: file
        | {"query_context": json.dumps(query_context(file["params"]), ensure_ascii=False)}
        if path.startswith("charts/")
        else file
        for path, file in files.items()
    }


# ---- Out


def build(language: str, host: str, port: int, database: str, root: Path = BUNDLE) -> Files:
    """The bundle as Superset is to import it."""
    files = translate(read_files(root), language)
    return with_query_contexts(connect(files, host, port, database))


def from_environment(root: Path = BUNDLE) -> Files:
    """The bundle for the language and the warehouse that the environment names."""
    return build(
        os.environ.get("SUPERSET_LANGUAGE", SOURCE_LANGUAGE),
        os.environ.get("VAULTSTREAM_WAREHOUSE_HOST", "127.0.0.1"),
        int(os.environ.get("VAULTSTREAM_WAREHOUSE_PORT", "5434")),
        os.environ.get("VAULTSTREAM_WAREHOUSE_DB", "airline_tickets_dwh"),
        root,
    )


def as_texts(files: Files) -> dict[str, str]:
    return {
        path: yaml.safe_dump(file, allow_unicode=True, sort_keys=False, width=120)
        for path, file in files.items()
    }


def as_zip(files: Files) -> bytes:
    """The archive for POST /api/v1/assets/import/: everything below one folder, which Superset strips."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in as_texts(files).items():
            archive.writestr(zipfile.ZipInfo(f"vaultstream/{path}", EPOCH), text)
    return buffer.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Write the bundle as a ZIP that Superset imports; the environment says for which warehouse."
    )
    parser.add_argument("output", type=Path, help="the ZIP to write")
    parser.add_argument("--language", choices=LANGUAGES, help="default: SUPERSET_LANGUAGE, else ru")
    arguments = parser.parse_args()
    if arguments.language:
        os.environ["SUPERSET_LANGUAGE"] = arguments.language
    try:
        arguments.output.write_bytes(as_zip(from_environment()))
    except BundleError as problem:
        print(f"bundle: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
