"""Importing for real: twice is once, a change arrives, what is gone goes, and the other language fits in."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bundle
from superset_api import Superset

DEPLOY = Path(bundle.__file__).with_name("deploy.py")
KINDS = ("dashboard", "chart", "dataset", "database")


def built(language: str | None = None) -> bundle.Files:
    if language is None:
        return bundle.from_environment()
    before = os.environ.get("SUPERSET_LANGUAGE")
    os.environ["SUPERSET_LANGUAGE"] = language
    try:
        return bundle.from_environment()
    finally:
        if before is None:
            del os.environ["SUPERSET_LANGUAGE"]
        else:
            os.environ["SUPERSET_LANGUAGE"] = before


def identities(superset: Superset) -> dict[str, set[tuple[int, str]]]:
    return {kind: {(e["id"], e["uuid"]) for e in superset.all_of(kind)} for kind in KINDS}


def deploy(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(DEPLOY), *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(autouse=True)
def as_it_was(admin: Superset) -> Iterator[None]:
    yield
    admin.import_assets(bundle.as_zip(built()))


def test_importing_twice_changes_nothing(admin: Superset) -> None:
    admin.import_assets(bundle.as_zip(built()))
    first, first_ids = admin.export_assets(), identities(admin)
    admin.import_assets(bundle.as_zip(built()))
    assert admin.export_assets() == first
    assert identities(admin) == first_ids


def test_both_ways_in_leave_the_same(admin: Superset) -> None:
    admin.import_assets(bundle.as_zip(built()))
    by_interface, ids = admin.export_assets(), identities(admin)
    done = deploy()
    assert done.returncode == 0, done.stderr[-2000:]
    assert admin.export_assets() == by_interface
    assert identities(admin) == ids


def test_a_change_in_a_chart_arrives_with_the_next_import(admin: Superset) -> None:
    changed = copy.deepcopy(built())
    chart = changed["charts/airports_active_by_day.yaml"]
    chart["slice_name"] = "Переименованный график"
    chart["params"]["y_axis_title"] = "Другая ось"
    admin.import_assets(bundle.as_zip(bundle.with_query_contexts(changed)))
    found = next(e for e in admin.all_of("chart") if e["uuid"] == chart["uuid"])
    assert found["slice_name"] == "Переименованный график"
    params = json.loads(admin.result(f"/api/v1/chart/{found['id']}")["params"])
    assert params["y_axis_title"] == "Другая ось"
    # The verification of the deployment sees that this is not what the files say, and the next one mends it.
    looked = deploy("--verify")
    assert looked.returncode == 1
    assert "airports_active_by_day" in looked.stderr
    admin.import_assets(bundle.as_zip(built()))
    found = next(e for e in admin.all_of("chart") if e["uuid"] == chart["uuid"])
    assert found["slice_name"] == "Активные аэропорты по дням"


def analyst_permissions(admin: Superset) -> tuple[int, set[int]]:
    roles = admin.result("/api/v1/security/roles/?q=(page_size:100)")
    role = next(entry["id"] for entry in roles if entry["name"] == "Analyst")
    return role, {p["id"] for p in admin.result(f"/api/v1/security/roles/{role}/permissions/")}


def test_a_deployment_takes_back_what_was_done_by_hand(admin: Superset) -> None:
    """A chart that an earlier bundle had, and a right that somebody gave to the role."""
    left = copy.deepcopy(built())
    left["charts/left_over.yaml"] = left["charts/pipeline_lag.yaml"] | {
        "uuid": "7e3f1e6a-36a0-4f58-9c42-0d8f5f6f1a01",
        "slice_name": "Прежний график",
    }
    admin.import_assets(bundle.as_zip(left))
    role, before = analyst_permissions(admin)
    extra = next(
        entry["id"]
        for entry in admin.result("/api/v1/security/permissions-resources/?q=(page_size:1000)")
        if entry["permission"]["name"] == "can_write" and entry["view_menu"]["name"] == "Chart"
    )
    answer = admin.request(
        "POST",
        f"/api/v1/security/roles/{role}/permissions",
        json={"permission_view_menu_ids": sorted(before | {extra})},
    )
    assert answer.status_code == 200, answer.text[:500]
    assert analyst_permissions(admin)[1] == before | {extra}
    done = deploy()
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Прежний график" not in {entry["slice_name"] for entry in admin.all_of("chart")}
    assert analyst_permissions(admin)[1] == before


def test_the_english_bundle_takes_the_place_of_the_russian(admin: Superset) -> None:
    ids = identities(admin)
    admin.import_assets(bundle.as_zip(built("en")))
    assert identities(admin) == ids
    titles: list[Any] = [entry["slice_name"] for entry in admin.all_of("chart")]
    titles += [entry["dashboard_title"] for entry in admin.all_of("dashboard")]
    assert [title for title in titles if bundle.CYRILLIC.search(title)] == []
    answer = admin.get(f"/api/v1/chart/{admin.all_of('chart')[0]['id']}/data/")
    assert answer.status_code == 200


@pytest.mark.parametrize("dataset", [None, "00000000-0000-4000-8000-000000000000"])
def test_a_broken_bundle_changes_nothing(admin: Superset, dataset: str | None) -> None:
    """One that is refused at once, and one that fails after other assets were written."""
    before = admin.export_assets()
    broken = copy.deepcopy(built())
    broken["charts/airports_map.yaml"]["slice_name"] = "Сломано"
    broken["datasets/warehouse/v_dashboard_bookings.yaml"]["description"] = "Сломано"
    if dataset is None:
        del broken["charts/pipeline_lag.yaml"]["dataset_uuid"]
    else:
        broken["charts/pipeline_lag.yaml"]["dataset_uuid"] = dataset
    answer = admin.request(
        "POST",
        "/api/v1/assets/import/",
        files={"bundle": ("bundle.zip", bundle.as_zip(broken), "application/zip")},
    )
    assert answer.status_code in (422, 500), answer.text[:300]
    assert admin.export_assets() == before
