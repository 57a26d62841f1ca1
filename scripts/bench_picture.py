"""Draws docs/images/bench-loader.svg from a report of bench-loader.

In: the report's path. Out: the SVG on standard output, the same bytes for the same report with every Python 3.
Invariant: every number in the picture stands in the report. Bars of all scenarios have one scale. Colours follow the reader's light
or dark setting; the background is opaque, so that the picture stays legible where the page does not follow it.
"""

import json
import sys
from xml.sax.saxutils import escape

WIDTH = 980
NAMES, BARS = 230, 520  # where bars begin, and how long the longest is
ROW, GAP, TOP = 26, 40, 84

SCENARIOS = {
    "first": "First load: every event adds rows",
    "repeats": "All repeats: nothing is added",
    "updates": "Updates: a new version for each event",
    "mixed": "Mixed: 50 % new, 30 % changes, 10 % without a change, 10 % deletes",
}

# Fill of the bars by kind of contender; for light, then for dark.
KINDS = {
    "copy": ("#afb8c1", "#59636e"),
    "loader": ("#0969da", "#4493f8"),
    "sink": ("#bc4c00", "#f0883e"),
}
TEXT = ("#1f2328", "#e6edf3")
MUTED = ("#4d5660", "#a3abb5")
PAGE = (("#ffffff", "#d1d9e0"), ("#0d1117", "#3d444d"))


def style(mode: int) -> str:
    """The rules of a colour scheme: 0 light, 1 dark."""
    rules = [
        f".page {{ fill: {PAGE[mode][0]}; stroke: {PAGE[mode][1]} }}",
        f".title, .name, .value {{ fill: {TEXT[mode]} }}",
        f".small {{ fill: {MUTED[mode]} }}",
    ]
    rules += [f".bar.{kind} {{ fill: {colours[mode]} }}" for kind, colours in KINDS.items()]
    return "\n    ".join(rules)


def grouped(number: float) -> str:
    """A whole number with thousands apart."""
    return f"{round(number):,}".replace(",", " ")


def text(css: str, x: int, y: int, words: str, anchor: str = "start") -> str:
    return f'  <text class="{css}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def beside(line: dict) -> str:
    """What stands behind a bar: the rate, and how it compares."""
    words = [grouped(line["events_per_second"]) + " events/s"]
    if line["against_copy"] is not None and line["contender"] != "copy":
        words.append(f"{line['against_copy']:.2f} × COPY")
    elif line["against_sink_default"] is not None and line["contender"].startswith("loader"):
        words.append(f"{line['against_sink_default']:.1f} × sink")
    return ", ".join(words)


def draw_group(title: str, lines: list[dict], y: int, fastest: float) -> list[str]:
    drawn = [text("name", 24, y, title)]
    for number, line in enumerate(lines):
        top = y + 12 + ROW * number
        length = max(2, round(BARS * line["events_per_second"] / fastest))
        kind = line["contender"].split("-")[0]
        drawn.append(text("small", NAMES - 10, top + 15, line["title"], "end"))
        drawn.append(f'  <rect class="bar {kind}" x="{NAMES}" y="{top}" width="{length}" height="{ROW - 6}" rx="3"/>')
        drawn.append(text("value", NAMES + length + 8, top + 15, beside(line)))
    return drawn


def subtitle(report: dict) -> str:
    machine, parameters = report["machine"], report["parameters"]
    return (
        f"{grouped(parameters['rows'])} events, median of {parameters['rounds']}, {machine['cores']} cores for broker,"
        f" warehouse and program ({machine['cpu']}); build: {report['build']}"
    )


def draw(report: dict) -> str:
    medians = report["medians"]
    fastest = max(line["events_per_second"] for line in medians)
    drawn, y = [], TOP
    for scenario, title in SCENARIOS.items():
        lines = [line for line in medians if line["scenario"] == scenario]
        if lines:
            drawn += draw_group(title, lines, y, fastest)
            y += ROW * len(lines) + GAP
    label = "Events a second of vault-loader, of bare COPY of the same rows, and of the JDBC sink"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img"'
            f' aria-label="{label}">',
            "  <style>",
            "    text { font-family: -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; font-size: 13px }",
            "    .title { font-size: 18px; font-weight: 600 }",
            "    .name { font-weight: 600 }",
            f"    {style(0)}",
            "    @media (prefers-color-scheme: dark) {",
            f"    {style(1)}",
            "    }",
            "  </style>",
            f'  <rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{y - 1}" rx="8"/>',
            text("title", 24, 34, "Loading ticket_flights into the vault"),
            text("small", 24, 56, subtitle(report)),
            *drawn,
            "</svg>",
            "",
        ]
    )


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("give the path of a report of bench-loader")
    with open(sys.argv[1], encoding="utf-8") as file:
        report = json.load(file)
    if "medians" not in report:
        sys.exit(f"{sys.argv[1]} is no report of bench-loader with all contenders")
    sys.stdout.write(draw(report))


if __name__ == "__main__":
    main()
