"""A real browser: signs in, opens a dashboard, waits until every chart is drawn, keeps a picture."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Request, Response, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
]
WIDTH = 1600
SIGN_IN_ATTEMPTS = 4

# What Superset shows instead of a chart that failed, and beside the whole page when something went wrong.
ERROR_SELECTORS = (
    "[data-test='error-alert']",
    ".error-container",
    ".missing-chart-container",
    ".ant-result-error",
    ".ant-alert-error",
    "[data-test='toast-container'] .toast--danger",
)
# Every kind of chart that the bundle uses draws into one of these.
DRAWN = (
    "canvas",
    "svg.marks",
    "table tbody tr td",
    ".header-line",
)


# Chromium gives up what it is loading when a network appears or goes on the machine, such as that of a container.
NETWORK_CHANGED = "ERR_NETWORK_CHANGED"


@dataclass
class Answers:
    """Every answer for a chart's data that the page received, and every refusal of anything else."""

    statuses: list[tuple[int, str]] = field(default_factory=list)
    rows: dict[int, list[int]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    network_changes: int = 0

    def watch(self, page: Page) -> None:
        page.on("response", self.note)
        page.on("requestfailed", self.note_failure)
        page.on("pageerror", lambda error: self.failures.append(str(error)))

    def note_failure(self, request: Request) -> None:
        if NETWORK_CHANGED in (request.failure or ""):
            self.network_changes += 1

    def note(self, response: Response) -> None:
        if "/api/v1/chart/data" not in response.url:
            if response.status >= 400:
                path = response.url.split("?")[0]
                self.refused.append(f"{response.status} {response.request.method} {path}")
            return
        self.statuses.append((response.status, response.url))
        found = re.search(r"slice_id%22%3A(\d+)", response.url)
        if found and response.status == 200:
            counts = [part["rowcount"] for part in response.json()["result"]]
            self.rows.setdefault(int(found.group(1)), []).extend(counts)


@contextmanager
def signed_in(url: str, user: str, password: str, chromium: str) -> Iterator[Page]:
    with sync_playwright() as play, tempfile.TemporaryDirectory() as profile:
        context = play.chromium.launch_persistent_context(
            profile,
            executable_path=chromium,
            headless=True,
            args=FLAGS,
            viewport={"width": WIDTH, "height": 1200},
            locale="ru-RU",
            timezone_id="UTC",
        )
        page = context.new_page()
        page.set_default_timeout(120_000)
        sign_in(page, url, user, password)
        yield page
        context.close()


def sign_in(page: Page, url: str, user: str, password: str) -> None:
    """Signs in. The login page also reports its use to the server, not signed in yet. When that answer arrives after the
    login's, its cookie replaces the session, and the login page is back: a person signs in again, and so does this."""
    for _ in range(SIGN_IN_ATTEMPTS):
        page.goto(f"{url}/login/", wait_until="domcontentloaded")
        page.fill("#username", user)
        page.fill("#password", password)
        with page.expect_navigation(wait_until="domcontentloaded"):
            page.press("#password", "Enter")
        if "/login" not in page.url:
            return
    raise AssertionError(f"{user} is not signed in after {SIGN_IN_ATTEMPTS} attempts: {page.url}")


def errors(page: Page) -> list[str]:
    return [
        element.inner_text().strip()[:300]
        for selector in ERROR_SELECTORS
        for element in page.query_selector_all(selector)
    ]


def undrawn(page: Page) -> list[str]:
    """Titles of the charts that show nothing yet."""
    holders = page.query_selector_all(".dashboard-component-chart-holder")
    if not holders:
        return ["the dashboard"]
    return [
        (holder.query_selector("[data-test='editable-title']") or holder).inner_text()[:60]
        for holder in holders
        if holder.query_selector(".loading, [data-test='loading-indicator']")
        or not any(holder.query_selector(selector) for selector in DRAWN)
    ]


def open_dashboard(
    page: Page, answers: Answers, url: str, slug: str, charts: int, patience_s: float
) -> None:
    """Opens it and scrolls until all its charts are drawn: those out of sight are not asked for."""
    page.goto(f"{url}/superset/dashboard/{slug}/", wait_until="domcontentloaded")
    ends = time.monotonic() + patience_s
    changes = answers.network_changes
    while True:
        if answers.network_changes != changes:
            changes = answers.network_changes
            page.wait_for_timeout(1_000)
            page.goto(f"{url}/superset/dashboard/{slug}/", wait_until="domcontentloaded")
        count = len(page.query_selector_all(".dashboard-component-chart-holder"))
        waiting = undrawn(page)
        if count == charts and not waiting:
            break
        found = errors(page)
        if found:
            raise AssertionError(f"{slug} shows errors: {found}")
        if time.monotonic() > ends:
            raise AssertionError(f"{slug}: {count} of {charts} charts; not drawn: {waiting}")
        page.set_viewport_size({"width": WIDTH, "height": full_height(page)})
        page.wait_for_timeout(500)
    # The animation of a chart that has just been drawn.
    page.wait_for_timeout(2_000)


def full_height(page: Page) -> int:
    height: Any = page.evaluate(
        "Math.max(document.documentElement.scrollHeight, document.body.scrollHeight, "
        "...[...document.querySelectorAll('*')].map(e => e.scrollHeight > 1200 ? e.scrollHeight : 0))"
    )
    return min(max(int(height), 1200), 6_000)


def keep_picture(page: Page, path: Path) -> None:
    page.set_viewport_size({"width": WIDTH, "height": full_height(page)})
    page.wait_for_timeout(1_500)
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(path), full_page=True)
