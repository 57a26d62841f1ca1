"""Draws docs/images/architecture.svg from the boxes and arrows below.

In: nothing. Out: the SVG on standard output, the same bytes on every machine and with every Python 3.
Invariant: no layout is computed, so the picture changes only where a line here changes. Colours follow the reader's light or dark
setting; the background is opaque, so that the picture stays legible where the page does not follow it.
"""

from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 1150, 500
LINE = 19

# Colours by kind: fill, outline; for light, then for dark.
KINDS = {
    "ours": (("#ddf4ff", "#0969da"), ("#12233d", "#4493f8")),
    "data": (("#f6f8fa", "#818b98"), ("#1a212b", "#768390")),
    "inner": (("#ffffff", "#c4ccd5"), ("#0d1117", "#4b545f")),
    "users": (("#fbefff", "#8250df"), ("#231a36", "#ab7df8")),
    "watch": (("#e6f9ea", "#1a7f37"), ("#10251a", "#3fb950")),
}
TEXT = ("#1f2328", "#e6edf3")
MUTED = ("#4d5660", "#a3abb5")
PAGE = (("#ffffff", "#d1d9e0"), ("#0d1117", "#3d444d"))


@dataclass(frozen=True)
class Box:
    """A rectangle with a title and lines below it."""

    kind: str
    x: int
    y: int
    width: int
    height: int
    title: str
    lines: tuple[str, ...] = ()
    dashed: bool = False
    at_top: bool = False


@dataclass(frozen=True)
class Arrow:
    """A line through points with a head at its end, and a word beside it."""

    kind: str
    points: tuple[tuple[int, int], ...]
    label: str = ""
    label_at: tuple[int, int] = (0, 0)
    anchor: str = "middle"
    dashed: bool = False
    both: bool = False


BOXES = (
    Box("data", 20, 24, 160, 70, "Booking app", ("seed, simulate",)),
    Box("data", 20, 170, 160, 120, "PostgreSQL", ("primary :5432", "publication", "logical slot")),
    Box("data", 20, 400, 160, 70, "PostgreSQL", ("hot standby :5433",)),
    Box("ours", 240, 170, 160, 120, "cdc-reader", ("Rust  :8083", "Debezium's events", "Connect REST")),
    Box("data", 240, 400, 160, 70, "Debezium", ("may read instead",), dashed=True),
    Box("data", 460, 170, 160, 120, "Kafka", (":9092", "one topic per table", "reader's offsets")),
    Box("ours", 680, 170, 150, 120, "vault-loader", ("Rust  :8084", "rows and offsets in", "one transaction")),
    Box("data", 885, 84, 245, 386, "Warehouse", ("PostgreSQL :5434",), at_top=True),
    Box("inner", 900, 146, 215, 60, "dwh_control", ("offsets, quarantine",)),
    Box("inner", 900, 218, 215, 60, "dwh_detailed", ("hubs, links, satellites",)),
    Box("inner", 900, 290, 215, 80, "dwh_marts", ("star schema, current state,", "history, measures")),
    Box("inner", 900, 382, 215, 72, "presentation", ("daily tables",)),
    Box("users", 680, 314, 150, 64, "Superset", (":8088 dashboards",)),
    Box("users", 680, 406, 150, 64, "Airflow", (":8080 daily DAGs",)),
    Box("watch", 460, 24, 160, 70, "Prometheus", (":9090 rules, alerts",)),
    Box("watch", 680, 24, 150, 70, "Grafana", (":3000 dashboard",)),
)

ARROWS = (
    Arrow("data", ((100, 94), (100, 166)), "SQL", (110, 136), "start"),
    Arrow("data", ((100, 290), (100, 396)), "replication", (110, 348), "start"),
    Arrow("ours", ((180, 230), (236, 230)), "WAL", (208, 221)),
    Arrow("ours", ((400, 230), (456, 230)), "events", (428, 221)),
    Arrow("ours", ((620, 230), (676, 230)), "events", (648, 221)),
    Arrow("ours", ((830, 230), (881, 230)), "rows", (855, 221)),
    Arrow("data", ((150, 290), (150, 320), (320, 320), (320, 396)), "WAL", (235, 312), dashed=True),
    Arrow("data", ((400, 435), (540, 435), (540, 294)), "same topics", (470, 427), dashed=True),
    Arrow("users", ((896, 346), (834, 346)), "SQL", (865, 337)),
    Arrow("users", ((834, 438), (896, 438)), "SQL", (865, 429), both=True),
    Arrow("watch", ((460, 59), (320, 59), (320, 166)), "/metrics", (390, 50), dashed=True),
    Arrow("watch", ((590, 94), (590, 130), (755, 130), (755, 166)), "/metrics", (672, 122), dashed=True),
    Arrow("watch", ((620, 59), (676, 59))),
)


def style(mode: int) -> str:
    """The rules of a colour scheme: 0 light, 1 dark."""
    rules = [
        f".page {{ fill: {PAGE[mode][0]}; stroke: {PAGE[mode][1]} }}",
        f".title {{ fill: {TEXT[mode]} }}",
        f".small {{ fill: {MUTED[mode]} }}",
    ]
    for kind, colours in KINDS.items():
        fill, outline = colours[mode]
        rules.append(f".box.{kind} {{ fill: {fill}; stroke: {outline} }}")
        rules.append(f".line.{kind} {{ stroke: {outline} }}")
        rules.append(f".head.{kind} {{ fill: {outline} }}")
    return "\n    ".join(rules)


def text(css: str, x: int, y: int, words: str, anchor: str = "middle") -> str:
    return f'  <text class="{css}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def draw_box(box: Box) -> list[str]:
    dash = ' stroke-dasharray="6 4"' if box.dashed else ""
    drawn = [
        f'  <rect class="box {box.kind}" x="{box.x}" y="{box.y}" width="{box.width}"'
        f' height="{box.height}" rx="8"{dash}/>'
    ]
    middle = box.x + box.width // 2
    # Title and lines stand as one block in the middle of the box, or below its upper edge.
    first = box.y + 25 if box.at_top else box.y + (box.height - LINE * len(box.lines)) // 2 + 5
    drawn.append(text("title", middle, first, box.title))
    for number, line in enumerate(box.lines, start=1):
        drawn.append(text("small", middle, first + LINE * number + 1, line))
    return drawn


def draw_head(kind: str, before: tuple[int, int], tip: tuple[int, int]) -> str:
    """A triangle whose tip is at the end of a horizontal or vertical line."""
    (x, y), (from_x, from_y) = tip, before
    along_x, along_y = (x > from_x) - (x < from_x), (y > from_y) - (y < from_y)
    back_x, back_y = x - 9 * along_x, y - 9 * along_y
    corners = (
        (x, y),
        (back_x + 5 * along_y, back_y + 5 * along_x),
        (back_x - 5 * along_y, back_y - 5 * along_x),
    )
    return f'  <polygon class="head {kind}" points="{" ".join(f"{a},{b}" for a, b in corners)}"/>'


def draw_arrow(arrow: Arrow) -> list[str]:
    dash = ' stroke-dasharray="6 4"' if arrow.dashed else ""
    points = " ".join(f"{x},{y}" for x, y in arrow.points)
    drawn = [
        f'  <polyline class="line {arrow.kind}" points="{points}"{dash}/>',
        draw_head(arrow.kind, arrow.points[-2], arrow.points[-1]),
    ]
    if arrow.both:
        drawn.append(draw_head(arrow.kind, arrow.points[1], arrow.points[0]))
    if arrow.label:
        drawn.append(text("small", *arrow.label_at, arrow.label, arrow.anchor))
    return drawn


def draw() -> str:
    title = "Architecture of Vaultstream"
    description = (
        "A booking application writes to a PostgreSQL primary, which has a hot standby. cdc-reader, or Debezium in its place,"
        " reads the write-ahead log and publishes events to Kafka. vault-loader writes them to a PostgreSQL warehouse, which"
        " Superset reads and in which Airflow builds daily tables. Prometheus and Grafana watch both programs."
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img"'
        ' aria-labelledby="title description">',
        "  <!-- Made by scripts/architecture.py. Change that file, then run scripts/pictures.sh. -->",
        f'  <title id="title">{title}</title>',
        f'  <desc id="description">{description}</desc>',
        "  <style>",
        "    text { font-family: -apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', Helvetica, Arial, sans-serif }",
        "    .title { font-size: 16px; font-weight: 600 }",
        "    .small { font-size: 14px }",
        "    .box { stroke-width: 1.5 }",
        "    .line { fill: none; stroke-width: 1.75 }",
        f"    {style(0)}",
        "    @media (prefers-color-scheme: dark) {",
        f"    {style(1)}",
        "    }",
        "  </style>",
        f'  <rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="12"/>',
    ]
    for box in BOXES:
        parts += draw_box(box)
    for arrow in ARROWS:
        parts += draw_arrow(arrow)
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    print(draw(), end="")
