//! The picture as SVG.
//!
//! In: a figure and where everything stands. Out: the text of an SVG file. Colours follow the reader's light or dark
//! setting. The background is opaque, so that the picture stays legible where the page does not follow it.

use std::fmt::Write;

use super::figure::Figure;
use super::layout::{
    BOX_PADDING, Bracket, Kind, Layout, NAME_HEIGHT, PAGE_MARGIN, Placed, ROW_HEIGHT, ROWS_PADDING,
};
use super::wires::Trunk;
use crate::model::{KEY_COLUMNS, STATUS_COLUMNS, VERSION_COLUMNS};

/// Colours for light and for dark: fill and outline of each kind of box, text, faint text, lines, page.
const LIGHT: [&str; 11] = [
    "#ddf4ff", "#0969da", "#dafbe1", "#1a7f37", "#fff8c5", "#9a6700", "#1f2328", "#59636e",
    "#59636e", "#ffffff", "#d1d9e0",
];
const DARK: [&str; 11] = [
    "#12233d", "#4493f8", "#10251a", "#3fb950", "#272115", "#d29922", "#e6edf3", "#9198a1",
    "#9198a1", "#0d1117", "#3d444d",
];

/// Length and half the width of the head of an arrow.
const HEAD: (i64, i64) = (9, 4);

/// Writes the picture.
pub(super) fn write(figure: &Figure, layout: &Layout<'_>) -> String {
    let mut out = String::new();
    let (width, height) = (layout.width, layout.height);
    line(
        &mut out,
        &format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-labelledby=\"title description\">"
        ),
    );
    line(&mut out, "  <!-- Made by `vault-loader model docs`. -->");
    line(&mut out, &format!("  <title id=\"title\">{}</title>", escaped(&figure.title)));
    line(&mut out, &format!("  <desc id=\"description\">{}</desc>", escaped(&figure.subtitle)));
    style(&mut out);
    let (inner_width, inner_height) = (width - 1, height - 1);
    line(
        &mut out,
        &format!(
            "  <rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"{inner_width}\" height=\"{inner_height}\" rx=\"12\"/>"
        ),
    );
    head(&mut out, figure, layout);
    layout.brackets.iter().for_each(|one| bracket(&mut out, one));
    trunks(&mut out, layout);
    layout.boxes.iter().for_each(|one| placed(&mut out, one));
    line(&mut out, "</svg>");
    out
}

fn style(out: &mut String) {
    line(out, "  <style>");
    line(
        out,
        "    text { font-family: -apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', Helvetica, Arial, sans-serif; font-size: 13px }",
    );
    line(
        out,
        "    .name, .row, .kind { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace; font-size: 12px }",
    );
    line(out, "    .title { font-size: 22px; font-weight: 600 }");
    line(out, "    .name { font-size: 13px; font-weight: 600 }");
    line(out, "    .kind { text-anchor: end }");
    line(out, "    .head { font-size: 12px; letter-spacing: 0.06em }");
    line(out, "    .box { stroke-width: 1.25 }");
    line(out, "    .rule { stroke-width: 0.75; stroke-opacity: 0.5 }");
    line(out, "    .wire { fill: none; stroke-width: 1.5 }");
    line(out, "    .thin { stroke-width: 1.1 }");
    line(out, "    .over { fill: none; stroke-width: 6 }");
    rules(out, &LIGHT);
    line(out, "    @media (prefers-color-scheme: dark) {");
    rules(out, &DARK);
    line(out, "    }");
    line(out, "  </style>");
}

fn rules(out: &mut String, colours: &[&str; 11]) {
    let [hub, hub_line, link, link_line, satellite, satellite_line, text, faint, wire, page, edge] =
        colours;
    for (kind, fill, outline) in [
        ("hub", hub, hub_line),
        ("link", link, link_line),
        ("satellite", satellite, satellite_line),
    ] {
        line(out, &format!("    .{kind} {{ fill: {fill}; stroke: {outline} }}"));
    }
    line(out, &format!("    .title, .name, .row {{ fill: {text} }}"));
    line(out, &format!("    .faint, .kind, .head {{ fill: {faint} }}"));
    line(out, &format!("    .wire {{ stroke: {wire} }}"));
    line(out, &format!("    .tip {{ fill: {wire} }}"));
    line(out, &format!("    .over {{ stroke: {page} }}"));
    line(out, &format!("    .page {{ fill: {page}; stroke: {edge} }}"));
}

/// Title, legend and the heads of the columns.
fn head(out: &mut String, figure: &Figure, layout: &Layout<'_>) {
    let left = PAGE_MARGIN;
    let room = layout.width - 2 * PAGE_MARGIN;
    text(out, "title", (left, 46), &fitting(&figure.title, room, 13));
    text(out, "faint", (left, 70), &fitting(&figure.subtitle, room, 7));
    let mut x = left;
    for (class, words) in [
        ("hub", "hub: a business key"),
        ("link", "link: a relationship"),
        ("satellite", "satellite: versions of what is known"),
    ] {
        line(
            out,
            &format!(
                "  <rect class=\"box {class}\" x=\"{x}\" y=\"87\" width=\"18\" height=\"13\" rx=\"3\"/>"
            ),
        );
        text(out, "faint", (x + 26, 98), words);
        x += 26 + 7 * super::layout::count(words.len()) + 22;
    }
    line(out, &format!("  <path class=\"wire\" d=\"M{} 94H{x}\"/>", x + 28));
    tip(out, (x, 94), Side::Right);
    text(out, "faint", (x + 36, 98), "holds the hash key of");
    for (y, what, columns) in [
        (124, "Every table begins with", &KEY_COLUMNS[..]),
        (144, "Every satellite goes on with", &VERSION_COLUMNS[..]),
        (164, "A satellite without columns here says whether the row exists:", &STATUS_COLUMNS[..]),
    ] {
        let words = format!("{what} {}.", columns.join(", "));
        text(out, "faint", (left, y), &fitting(&words, room, 7));
    }
    for (x, words) in &layout.heads {
        text(out, "head", (*x, 200), words);
    }
}

/// The side of a box at which an arrow ends.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

fn tip(out: &mut String, (x, y): (i64, i64), side: Side) {
    let (length, half) = HEAD;
    let back = match side {
        Side::Left => x - length,
        Side::Right => x + length,
    };
    line(
        out,
        &format!("  <path class=\"tip\" d=\"M{x} {y}L{back} {}L{back} {}Z\"/>", y - half, y + half),
    );
}

fn bracket(out: &mut String, bracket: &Bracket) {
    let Bracket { from, rail, to } = bracket;
    line(
        out,
        &format!(
            "  <path class=\"wire thin\" d=\"M{} {}H{rail}V{}H{}\"/>",
            from.0, from.1, to.1, to.0
        ),
    );
    tip(out, *to, if from.0 < to.0 { Side::Left } else { Side::Right });
}

/// Upright lines first, so that level ones go over them.
fn trunks(out: &mut String, layout: &Layout<'_>) {
    let (left, right) = layout.channel;
    for trunk in &layout.trunks {
        let (top, bottom) = trunk.span();
        if top < bottom {
            line(
                out,
                &format!("  <path class=\"wire\" d=\"M{} {top}V{bottom}\"/>", left + trunk.x),
            );
        }
    }
    for trunk in &layout.trunks {
        let x = left + trunk.x;
        let is_straight = trunk.x == 0;
        if is_straight {
            level(out, trunk.hub_y, (left, right), (left, right));
        } else {
            level(out, trunk.hub_y, (left, x), (left, x - 5));
            trunk.rows.iter().for_each(|&y| level(out, y, (x, right), (x + 5, right)));
        }
        tip(out, (left, trunk.hub_y), Side::Right);
        junctions(out, trunk, x);
    }
}

/// A level line, and where it covers the upright ones below it.
fn level(out: &mut String, y: i64, (from, to): (i64, i64), (over_from, over_to): (i64, i64)) {
    line(out, &format!("  <path class=\"over\" d=\"M{over_from} {y}H{over_to}\"/>"));
    line(out, &format!("  <path class=\"wire\" d=\"M{from} {y}H{to}\"/>"));
}

/// Dots where three lines of one trunk meet.
fn junctions(out: &mut String, trunk: &Trunk, x: i64) {
    let (top, bottom) = trunk.span();
    let mut heights: Vec<i64> = trunk.rows.iter().copied().chain([trunk.hub_y]).collect();
    heights.sort_unstable();
    heights.dedup();
    for y in heights {
        let level =
            usize::from(y == trunk.hub_y) + trunk.rows.iter().filter(|&&row| row == y).count();
        let upright = usize::from(y > top) + usize::from(y < bottom);
        if upright > 0 && level + upright > 2 {
            line(out, &format!("  <circle class=\"tip\" cx=\"{x}\" cy=\"{y}\" r=\"3\"/>"));
        }
    }
}

fn placed(out: &mut String, placed: &Placed<'_>) {
    let Placed { kind, entity, x, y, width, height } = placed;
    let class = match kind {
        Kind::Hub => "hub",
        Kind::Link => "link",
        Kind::Satellite => "satellite",
    };
    line(out, &format!("  <g><title>{}</title>", escaped(&entity.comment)));
    line(
        out,
        &format!(
            "  <rect class=\"box {class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>"
        ),
    );
    text(out, "name", (x + BOX_PADDING, y + NAME_HEIGHT - 8), &entity.name);
    if !entity.rows.is_empty() {
        let (rule, end) = (y + NAME_HEIGHT, x + width);
        line(out, &format!("  <path class=\"rule {class}\" d=\"M{x} {rule}H{end}\"/>"));
    }
    let mut baseline = y + NAME_HEIGHT + ROWS_PADDING + ROW_HEIGHT - 5;
    for row in &entity.rows {
        let class = if row.is_remark { "row faint" } else { "row" };
        text(out, class, (x + BOX_PADDING, baseline), &row.text);
        if !row.kind.is_empty() {
            text(out, "kind", (x + width - BOX_PADDING, baseline), &row.kind);
        }
        baseline += ROW_HEIGHT;
    }
    line(out, "  </g>");
}

/// Words that end with an ellipsis when they need more room, at so many pixels for each letter.
fn fitting(words: &str, room: i64, letter: i64) -> String {
    let most = usize::try_from(room / letter).unwrap_or(0);
    if words.chars().count() <= most {
        return words.to_owned();
    }
    let cut: String = words.chars().take(most.saturating_sub(1)).collect();
    cut + "…"
}

fn text(out: &mut String, class: &str, (x, y): (i64, i64), words: &str) {
    line(out, &format!("  <text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", escaped(words)));
}

fn line(out: &mut String, line: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{line}");
}

/// Text for SVG. Characters that XML does not have become blanks.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push(' '),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
