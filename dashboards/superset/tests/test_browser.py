"""What an analyst sees, in a real browser: every chart drawn, no error box, a picture of each dashboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

import browser
import bundle
from settings import Settings
from superset_api import Superset

PATIENCE_S = 240


# On leaving a dashboard Superset tries to keep the colours that it gave to values. The bundle fixes them, and an analyst
# may not write: refused, and the page's code complains that it was.
REFUSED_WRITE = re.compile(r"403 PUT .*/api/v1/dashboard/\d+/colors")


@pytest.fixture
def page(settings: Settings) -> Iterator[Page]:
    assert Path(settings.chromium).exists(), (
        f"no browser at {settings.chromium}: apt-get install chromium"
    )
    with browser.signed_in(settings.superset_url, *settings.analyst, settings.chromium) as opened:
        yield opened


def charts_on(dashboard: dict[str, object]) -> list[str]:
    position = dashboard["position"]
    assert isinstance(position, dict)
    return [
        node["meta"]["uuid"]
        for node in position.values()
        if isinstance(node, dict) and node["type"] == "CHART"
    ]


@pytest.mark.parametrize("name", ["airports", "passengers", "pipeline"])
def test_a_dashboard_is_drawn_whole(
    page: Page, settings: Settings, admin: Superset, files: bundle.Files, name: str
) -> None:
    dashboard = files[f"dashboards/{name}.yaml"]
    wanted = charts_on(dashboard)
    ids = {entry["uuid"]: entry["id"] for entry in admin.all_of("chart")}
    answers = browser.Answers()
    answers.watch(page)
    browser.open_dashboard(
        page, answers, settings.superset_url, str(dashboard["slug"]), len(wanted), PATIENCE_S
    )
    assert browser.errors(page) == []
    assert browser.undrawn(page) == []
    assert [entry for entry in answers.statuses if entry[0] != 200] == []
    for uuid in wanted:
        counts = answers.rows.get(ids[uuid], [])
        assert counts and min(counts) > 0, (
            f"{uuid} was asked {len(counts)} times and showed {counts}"
        )
    assert [entry for entry in answers.refused if not REFUSED_WRITE.search(entry)] == []
    assert len(answers.failures) <= len(answers.refused), f"the page's code: {answers.failures}"
    title = page.locator("[data-test='editable-title'] , [data-test='editable-title-input']").first
    assert str(dashboard["dashboard_title"]) in (
        title.input_value() if title.evaluate("e => e.tagName") == "INPUT" else title.inner_text()
    )
    browser.keep_picture(page, settings.pictures / f"dashboard-{name}.png")


def test_the_analyst_is_offered_nothing_to_write_with(page: Page, settings: Settings) -> None:
    page.goto(
        f"{settings.superset_url}/superset/dashboard/airports/", wait_until="domcontentloaded"
    )
    page.wait_for_selector(".dashboard-component-chart-holder")
    assert (
        page.query_selector("[data-test='edit-dashboard-button'], [aria-label='Edit dashboard']")
        is None
    )
    for address in ("/sqllab/", "/chart/add", "/users/list/"):
        answer = page.request.get(settings.superset_url + address, max_redirects=0)
        assert answer.status in (302, 303, 307, 401, 403, 404), f"{address}: {answer.status}"
