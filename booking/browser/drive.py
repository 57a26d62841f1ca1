"""A real browser on the pages of the booking service: from the search to the boarding pass, files, the chat of a flight
and the departures board, with pictures of the pages.

In: variables SERVICE_URL, FLIGHT (id, from, to, day, separated by commas), PICTURES (a folder), CHROMIUM, WAREHOUSE (a
psql connection string of mart_reader without a password), WAREHOUSE_PASSWORD, BOOKING_OWNER_URL (one of the source's
owner), GRANT_STAFF (a command that takes an e-mail address). Out: pictures, and exit 0 when everything could be done, no
page reported an error, and the booking was in the data of the dashboards in time.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

URL = os.environ["SERVICE_URL"]
PICTURES = Path(os.environ["PICTURES"])
FLIGHT, FROM, TO, DAY = os.environ["FLIGHT"].split(",")
EMAIL = "browser@example.org"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
# How long a booking may take from the click to the data of the dashboards.
WITHIN_S = 2.0
complaints: list[str] = []


def watch(page: Page) -> Page:
    """Notes what a page complains of: a script's error, a refused file, a break of the policy."""
    page.set_default_timeout(30_000)
    page.on("console", lambda note: complaints.append(note.text) if note.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(f"{request.url}: {request.failure}"))
    return page


def keep(page: Page, name: str) -> None:
    page.screenshot(path=str(PICTURES / f"booking-{name}.png"), full_page=True)


def context(browser: Browser, scheme: str = "light", script: bool = True) -> BrowserContext:
    return browser.new_context(
        viewport={"width": 1100, "height": 800},
        color_scheme=scheme,
        java_script_enabled=script,
        locale="en-GB",
        timezone_id="UTC",
    )


def sign_up(page: Page, email: str) -> None:
    page.goto(f"{URL}/sign-up")
    page.fill("#name", "BROWSER EXAMPLE")
    page.fill("#email", email)
    page.fill("#password", "a long password")
    page.click("main button")
    expect(page.locator("#customer")).to_have_text("BROWSER EXAMPLE")


def search(page: Page) -> None:
    page.goto(f"{URL}/flights")
    page.fill("#from", FROM)
    page.fill("#to", TO)
    page.fill("#date", DAY)
    page.click("main form button")
    expect(page.locator("#found")).to_contain_text(f"Flights from {FROM} to {TO}")


def choose(page: Page, seat_index: int) -> str:
    """Chooses a free seat of Economy on the flight, as a person does who clicks on it."""
    page.locator(f"a[href^='/flights/{FLIGHT}?fare=Economy']").click()
    free = page.locator("label.seat:has(input[data-state=free])").nth(seat_index)
    seat = free.inner_text().strip()
    free.click()
    assert page.locator(f"input[value='{seat}']").is_checked(), seat
    return seat


def book(page: Page, document: str) -> str:
    page.click("main form button")
    expect(page.locator("h1")).to_have_text("Book")
    page.fill("[name='passengers/0/name']", "BROWSER EXAMPLE")
    page.fill("[name='passengers/0/document']", document)
    return re.sub(r"\s+", " ", page.locator("main form button").inner_text())


def finish(page: Page) -> str:
    page.click("main form[action='/book'] button")
    expect(page.locator("#status")).to_have_text("Active")
    return page.url.rsplit("/", 1)[1]


def check_in(page: Page, seat: str) -> None:
    page.get_by_role("button", name="Check in").click()
    expect(page.locator("#pass .seat-no")).to_have_text(seat)


def wait_for_marts(what: str, query: str, begun: float) -> float:
    """Seconds until a query of the marts gives 1."""
    command = ["psql", "--no-psqlrc", "--tuples-only", "--no-align", os.environ["WAREHOUSE"], "--command", query]
    environment = {**os.environ, "PGPASSWORD": os.environ["WAREHOUSE_PASSWORD"]}
    while time.monotonic() - begun < 60:
        if subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip() == "1":
            return time.monotonic() - begun
        time.sleep(0.05)
    raise AssertionError(f"{what} is not in the marts after 60 s")


def picture() -> bytes:
    """A PNG of one grey pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\x7f")) + chunk(b"IEND", b"")


def upload(page: Page) -> None:
    page.goto(f"{URL}/uploads")
    page.fill("#title", "One pixel")
    page.select_option("#kind", "photo")
    page.set_input_files("#file", {"name": "pixel.png", "mimeType": "image/png", "buffer": picture()})
    page.get_by_role("button", name="Upload").click()
    link = page.get_by_role("link", name="pixel.png")
    expect(page.get_by_role("rowheader", name="One pixel")).to_be_visible()
    assert page.request.get(f"{URL}{link.get_attribute('href')}").body() == picture(), "the file has other bytes"
    page.get_by_role("button", name="Remove").click()
    expect(page.locator("main")).to_contain_text("Nothing yet.")


def say(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.get_by_role("button", name="Say it").click()


def chat(browser: Browser, page: Page) -> None:
    """Two customers, each in a browser of their own, see what the other one says without loading the page again."""
    other = watch(context(browser).new_page())
    sign_up(other, "other@example.org")
    for each in (page, other):
        each.goto(f"{URL}/flights/{FLIGHT}/chat")
        expect(each.locator("#live")).to_contain_text("Up to date")
        each.evaluate("window.loaded = 'once'")
    say(page, "Is <b>there</b> a delay?")
    said = other.locator("#chat li", has_text="Is <b>there</b> a delay?")
    expect(said).to_have_count(1)
    say(other, "Not yet.")
    expect(page.locator("#chat li", has_text="Not yet.")).to_have_count(1)
    expect(page.locator("#chat li.own")).to_have_count(1)
    for each in (page, other):
        assert each.evaluate("window.loaded") == "once", "the page was loaded again"
    other.context.close()


def watch_board(page: Page) -> None:
    """A flight that the airline delays is shown as delayed without loading the page again."""
    page.goto(f"{URL}/departures?airport={FROM}")
    expect(page.locator("#live")).to_contain_text("Up to date")
    page.evaluate("window.loaded = 'once'")
    line = page.locator("#board tbody tr").last
    flight = int(line.locator("a").get_attribute("href").rsplit("/", 1)[1])
    change = f"UPDATE public.flights SET status = 'Delayed' WHERE flight_id = {flight} AND status <> 'Delayed'"
    command = ["psql", "--no-psqlrc", os.environ["BOOKING_OWNER_URL"], "--command", change]
    assert "UPDATE 1" in subprocess.run(command, check=True, capture_output=True, text=True).stdout, flight
    line = page.locator("#board tbody tr", has=page.locator(f"a[href='/flights/{flight}']"))
    expect(line).to_contain_text("Delayed")
    assert page.evaluate("window.loaded") == "once", "the page was loaded again"


def with_scripts(browser: Browser) -> None:
    page = watch(context(browser).new_page())
    page.goto(URL)
    expect(page.locator("#node")).to_be_visible()
    expect(page.locator("#role")).to_have_text("primary")
    keep(page, "home")
    sign_up(page, EMAIL)
    search(page)
    keep(page, "search")
    seat = choose(page, 20)
    expect(page.locator("#chosen-seats")).to_contain_text(f"passenger 1: {seat}")
    keep(page, "seats")
    book(page, "1234 567890")
    keep(page, "book")
    begun = time.monotonic()
    book_ref = finish(page)
    query = f"SELECT count(*) FROM dwh_marts.v_dashboard_bookings WHERE book_ref = '{book_ref}'"
    took = wait_for_marts(f"booking {book_ref}", query, begun)
    print(f"booking {book_ref} was in the dashboards' data {took:.2f} s after the click")
    assert took <= WITHIN_S, f"{took:.2f} s are more than {WITHIN_S} s"
    keep(page, "booking")
    check_in(page, seat)
    keep(page, "boarding-pass")
    upload(page)
    chat(browser, page)
    watch_board(page)
    subprocess.run([*os.environ["GRANT_STAFF"].split(), EMAIL], check=True)
    for report in ("sales-per-day", "seat-utilisation", "top-routes"):
        page.goto(f"{URL}/reports/{report}?days=30")
        expect(page.locator("#fresh")).to_contain_text("Complete up to")
        assert page.locator("svg .bar").count() > 0, report
        keep(page, f"report-{report}")
    page.goto(f"{URL}/reference/airports/{FROM}")
    page.fill("#city", "Newtown")
    page.click("main form button")
    expect(page.locator("dl.facts")).to_contain_text("Newtown")
    query = f"SELECT count(*) FROM dwh_marts.current_airports WHERE airport_code = '{FROM}' AND city = 'Newtown'"
    took = wait_for_marts("the edited airport", query, time.monotonic())
    print(f"the edited airport was in the warehouse {took:.2f} s after its page")
    keep(page, "reference")


def in_the_dark(browser: Browser) -> None:
    page = watch(context(browser, scheme="dark").new_page())
    page.goto(f"{URL}/flights/{FLIGHT}?fare=Economy&passengers=1")
    expect(page.locator("fieldset.seats")).to_be_visible()
    keep(page, "seats-dark")


def without_scripts(browser: Browser) -> None:
    page = context(browser, script=False).new_page()
    sign_up(page, "plain@example.org")
    search(page)
    seat = choose(page, 30)
    book(page, "1234 567891")
    finish(page)
    check_in(page, seat)
    page.goto(f"{URL}/flights/{FLIGHT}/chat")
    say(page, "Thank you.")
    expect(page.locator("#chat li.own")).to_contain_text("Thank you.")


def main() -> int:
    PICTURES.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=20_000)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=os.environ["CHROMIUM"], headless=True, args=FLAGS)
        with_scripts(browser)
        in_the_dark(browser)
        without_scripts(browser)
        browser.close()
    for complaint in complaints:
        print(f"a page complains: {complaint}", file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
