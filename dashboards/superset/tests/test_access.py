"""Who gets in and what they may do: an analyst looks and never writes, nobody sees anything without a login."""

from __future__ import annotations

import psycopg2
import pytest

import bundle
from settings import Settings
from superset_api import Superset

DASHBOARDS = {"airports", "passengers", "pipeline"}


def first_id(superset: Superset, kind: str) -> int:
    return int(superset.all_of(kind)[0]["id"])


def test_the_analyst_sees_the_dashboards_and_their_data(
    analyst: Superset, files: bundle.Files
) -> None:
    assert {entry["slug"] for entry in analyst.all_of("dashboard")} == DASHBOARDS
    assert len(analyst.all_of("chart")) == sum(path.startswith("charts/") for path in files)
    assert len(analyst.all_of("dataset")) == sum(path.startswith("datasets/") for path in files)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/api/v1/chart/{chart}", {"slice_name": "mine"}),
        ("DELETE", "/api/v1/chart/{chart}", None),
        (
            "POST",
            "/api/v1/chart/",
            {
                "slice_name": "mine",
                "viz_type": "table",
                "datasource_id": 1,
                "datasource_type": "table",
            },
        ),
        ("PUT", "/api/v1/dashboard/{dashboard}", {"dashboard_title": "mine"}),
        ("DELETE", "/api/v1/dashboard/{dashboard}", None),
        ("POST", "/api/v1/dashboard/", {"dashboard_title": "mine"}),
        (
            "POST",
            "/api/v1/dataset/",
            {"database": 1, "schema": "dwh_detailed", "table_name": "hub_airports"},
        ),
        ("PUT", "/api/v1/dataset/{dataset}", {"sql": "SELECT 1"}),
        ("DELETE", "/api/v1/dataset/{dataset}", None),
        ("POST", "/api/v1/database/", {"database_name": "mine", "sqlalchemy_uri": "sqlite://"}),
        ("PUT", "/api/v1/database/1", {"allow_dml": True}),
        (
            "POST",
            "/api/v1/sqllab/execute/",
            {"database_id": 1, "sql": "SELECT * FROM dwh_detailed.hub_airports"},
        ),
        ("POST", "/api/v1/assets/import/", None),
        ("GET", "/api/v1/assets/export/", None),
        ("GET", "/api/v1/security/users/", None),
        ("POST", "/api/v1/security/roles/", {"name": "mine"}),
    ],
)
def test_the_analyst_cannot_write(
    analyst: Superset, admin: Superset, method: str, path: str, body: dict[str, object] | None
) -> None:
    ids = {kind: first_id(admin, kind) for kind in ("chart", "dashboard", "dataset")}
    answer = analyst.request(method, path.format(**ids), json=body)
    # 404 is Superset's answer for an asset that one may not touch.
    assert answer.status_code in (401, 403, 404), f"{answer.status_code} {answer.text[:300]}"


def test_what_the_analyst_tried_changed_nothing(admin: Superset, files: bundle.Files) -> None:
    names = {entry["slice_name"] for entry in admin.all_of("chart")}
    assert names == {f["slice_name"] for p, f in files.items() if p.startswith("charts/")}
    assert {entry["slug"] for entry in admin.all_of("dashboard")} == DASHBOARDS


def test_the_analyst_cannot_ask_for_data_beyond_the_datasets(
    analyst: Superset, admin: Superset
) -> None:
    """Own SQL inside a chart's query is as good as SQL Lab, so it has to be refused, too."""
    context = admin.query_context(first_id(admin, "chart"))
    context["queries"][0]["metrics"] = [
        {
            "expressionType": "SQL",
            "label": "stolen",
            "sqlExpression": "(SELECT count(*) FROM dwh_detailed.hub_passengers)",
        }
    ]
    answer = analyst.chart_data(context)
    assert answer.status_code != 200, answer.text[:300]


@pytest.mark.parametrize(
    "statement", ["SELECT * FROM dwh_detailed.hub_passengers", "CREATE TABLE dwh_marts.mine ()"]
)
def test_the_role_of_the_connection_reads_marts_and_nothing_else(
    settings: Settings, statement: str
) -> None:
    session = settings.read_warehouse()
    try:
        with session.cursor() as cursor, pytest.raises(psycopg2.Error) as refused:
            cursor.execute(statement)
        assert refused.value.pgcode in ("42501", "25006")
    finally:
        session.close()


@pytest.mark.parametrize("slug", sorted(DASHBOARDS))
def test_nobody_is_sent_to_the_login(nobody: Superset, slug: str) -> None:
    answer = nobody.get(f"/superset/dashboard/{slug}/")
    assert answer.status_code in (302, 303, 307, 401)
    if answer.is_redirect:
        assert "/login" in answer.headers["Location"]


def test_nobody_gets_anything_from_the_interface(nobody: Superset, admin: Superset) -> None:
    for kind in ("dashboard", "chart", "dataset", "database"):
        answer = nobody.get(f"/api/v1/{kind}/")
        listed = answer.json().get("result") if answer.status_code == 200 else []
        assert not listed, f"{kind}: {answer.status_code} {answer.text[:200]}"
    chart = first_id(admin, "chart")
    assert nobody.get(f"/api/v1/chart/{chart}/data/").status_code in (401, 403, 404)
    # Without a session there is no token against forged requests either; 400 is that refusal.
    assert nobody.chart_data(admin.query_context(chart)).status_code in (400, 401, 403)


def test_a_wrong_password_is_refused(settings: Settings) -> None:
    import requests

    with pytest.raises(requests.HTTPError, match="401"):
        Superset(settings.superset_url, settings.analyst[0], "not the password")


def test_pages_may_load_from_their_own_server_only(nobody: Superset) -> None:
    headers = nobody.get("/login/").headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "connect-src 'self';" in policy + ";"
    assert "http" not in policy.replace("'strict-dynamic'", "")
    assert headers["X-Frame-Options"] == "SAMEORIGIN"
