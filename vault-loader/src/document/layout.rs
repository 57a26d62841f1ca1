//! Where each box of the picture stands.
//!
//! In: a [`Figure`]. Out: boxes and lines with whole coordinates. There are four columns: satellites of hubs, hubs,
//! links, satellites of links. Beside each hub and link stand its satellites, so their lines are short and cross
//! nothing. All other lines are in the channel between hubs and links, where no box is. So the picture grows downwards
//! with the model, and its text stays as large as it is.

use super::figure::{Entity, Figure, Group};
use super::order;
use super::wires::{self, Terminal, Trunk};

/// Room around everything.
pub(super) const PAGE_MARGIN: i64 = 28;
/// Where the boxes begin, below title and legend.
const TOP: i64 = 214;
/// Room between a hub or link and its satellites.
const SATELLITE_GAP: i64 = 44;
/// Room between two satellites of one parent, and between two groups.
const STACK_GAP: i64 = 10;
const GROUP_GAP: i64 = 26;
/// A line from a satellite to its parent has no smaller step than this.
const STEP_MIN: i64 = 8;
/// Of a box: the line of its name, each further line, and the room at its edges.
pub(super) const NAME_HEIGHT: i64 = 26;
pub(super) const ROW_HEIGHT: i64 = 17;
pub(super) const ROWS_PADDING: i64 = 5;
pub(super) const BOX_PADDING: i64 = 10;
/// Legend and column heads need this width.
const PAGE_WIDTH_MIN: i64 = 1000;

/// What a box stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Hub,
    Link,
    Satellite,
}

/// A box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed<'f> {
    pub(super) kind: Kind,
    pub(super) entity: &'f Entity,
    pub(super) x: i64,
    pub(super) y: i64,
    pub(super) width: i64,
    pub(super) height: i64,
}

impl Placed<'_> {
    /// Middle of the left or right edge.
    pub(super) fn middle(&self) -> i64 {
        self.y + self.height / 2
    }
}

/// A line from a satellite to its parent, bent at `rail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bracket {
    pub(super) from: (i64, i64),
    pub(super) rail: i64,
    pub(super) to: (i64, i64),
}

/// The picture's boxes and lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout<'f> {
    pub(super) width: i64,
    pub(super) height: i64,
    /// heads of the columns: where each begins, and what it has
    pub(super) heads: Vec<(i64, &'static str)>,
    pub(super) boxes: Vec<Placed<'f>>,
    pub(super) brackets: Vec<Bracket>,
    /// left and right edge of the channel
    pub(super) channel: (i64, i64),
    pub(super) trunks: Vec<Trunk>,
}

/// Widths of the columns, and where they begin.
struct Columns {
    hub_satellites: (i64, i64),
    hubs: (i64, i64),
    links: (i64, i64),
    link_satellites: (i64, i64),
    end: i64,
}

/// Places everything.
pub(super) fn place(figure: &Figure) -> Layout<'_> {
    let leads_to = |group: &Group| group.parent.rows.iter().filter_map(|row| row.hub).collect();
    let leads: Vec<Vec<usize>> = figure.links.iter().map(leads_to).collect();
    let order = order::find(figure.hubs.len(), &leads);
    let hubs: Vec<&Group> = order.hubs.iter().map(|&hub| &figure.hubs[hub]).collect();
    let links: Vec<&Group> = order.links.iter().map(|&link| &figure.links[link]).collect();

    let hub_tops = stacked(&hubs, total(&links));
    let middle_of = |hub: usize| {
        let at = order.hubs.iter().position(|&other| other == hub).unwrap_or(0);
        hub_tops[at] + group_height(hubs[at]) / 2
    };
    let link_tops = beside(&links, middle_of);
    let terminals = terminals(&order.hubs, &hubs, &hub_tops, &links, &link_tops);
    let (trunks, channel) = wires::route(&terminals);

    let columns = columns(figure, channel);
    let mut layout = Layout {
        width: (columns.end + PAGE_MARGIN).max(PAGE_WIDTH_MIN),
        height: 0,
        heads: heads(figure, &columns),
        boxes: Vec::new(),
        brackets: Vec::new(),
        channel: (columns.hubs.0 + columns.hubs.1, columns.links.0),
        trunks,
    };
    for (group, top) in hubs.iter().zip(&hub_tops) {
        layout.group(group, Kind::Hub, *top, (columns.hubs, columns.hub_satellites));
    }
    for (group, top) in links.iter().zip(&link_tops) {
        layout.group(group, Kind::Link, *top, (columns.links, columns.link_satellites));
    }
    let bottom = layout.boxes.iter().map(|placed| placed.y + placed.height).max();
    layout.height = bottom.unwrap_or(TOP) + PAGE_MARGIN;
    layout
}

impl<'f> Layout<'f> {
    /// Places a hub or link and its satellites. `columns` are those of the two, each with its left edge and its width.
    fn group(&mut self, group: &'f Group, kind: Kind, top: i64, columns: ((i64, i64), (i64, i64))) {
        let (own, satellites) = columns;
        let height = box_height(&group.parent);
        let parent = Placed {
            kind,
            entity: &group.parent,
            x: own.0,
            y: top + parent_offset(group),
            width: own.1,
            height,
        };
        let to_the_left = satellites.0 < own.0;
        let (near, edge) = if to_the_left {
            (satellites.0 + satellites.1, parent.x)
        } else {
            (satellites.0, parent.x + parent.width)
        };
        let mut y = top + (group_height(group) - stack_height(group)) / 2;
        let mut placed = Vec::with_capacity(group.satellites.len());
        for satellite in &group.satellites {
            let height = box_height(satellite);
            let (x, width) = satellites;
            placed.push(Placed { kind: Kind::Satellite, entity: satellite, x, y, width, height });
            y += height + STACK_GAP;
        }
        let end = parent.middle();
        self.brackets.extend(placed.iter().map(|satellite| {
            let y = satellite.middle();
            // A small step would look like a mistake.
            let y = if (y - end).abs() <= STEP_MIN { end } else { y };
            Bracket { from: (near, y), rail: (near + edge) / 2, to: (edge, end) }
        }));
        self.boxes.push(parent);
        self.boxes.append(&mut placed);
    }
}

fn heads(figure: &Figure, columns: &Columns) -> Vec<(i64, &'static str)> {
    let has_satellites = |groups: &[Group]| groups.iter().any(|group| !group.satellites.is_empty());
    [
        (has_satellites(&figure.hubs), columns.hub_satellites.0, "satellites of hubs"),
        (!figure.hubs.is_empty(), columns.hubs.0, "hubs"),
        (!figure.links.is_empty(), columns.links.0, "links"),
        (has_satellites(&figure.links), columns.link_satellites.0, "satellites of links"),
    ]
    .into_iter()
    .filter_map(|(is_there, x, head)| is_there.then_some((x, head)))
    .collect()
}

fn columns(figure: &Figure, channel: i64) -> Columns {
    let parents = |groups: &[Group]| width_of(groups.iter().map(|group| &group.parent));
    let satellites = |groups: &[Group]| width_of(groups.iter().flat_map(|group| &group.satellites));
    let mut x = PAGE_MARGIN;
    let mut column = |width: i64, gap: i64| {
        let at = (x, width);
        // A column without a box takes no room.
        x += width + if width > 0 { gap } else { 0 };
        at
    };
    let hub_satellites = column(satellites(&figure.hubs), SATELLITE_GAP);
    let hubs = column(parents(&figure.hubs), channel);
    let links = column(parents(&figure.links), SATELLITE_GAP);
    let link_satellites = column(satellites(&figure.links), 0);
    let end = [hubs, links, link_satellites].map(|(x, width)| x + width).into_iter().max();
    Columns { hub_satellites, hubs, links, link_satellites, end: end.unwrap_or(x) }
}

/// Where each hub's lines end, and the rows of links that lead there.
fn terminals(
    numbers: &[usize],
    hubs: &[&Group],
    hub_tops: &[i64],
    links: &[&Group],
    link_tops: &[i64],
) -> Vec<Terminal> {
    let mut terminals: Vec<Terminal> = Vec::with_capacity(hubs.len());
    for ((&hub, group), top) in numbers.iter().zip(hubs).zip(hub_tops) {
        let y = top + parent_offset(group);
        terminals.push(Terminal {
            hub,
            edge: (y, y + box_height(&group.parent)),
            rows: Vec::new(),
        });
    }
    for (group, top) in links.iter().zip(link_tops) {
        let y = top + parent_offset(group);
        for (number, row) in group.parent.rows.iter().enumerate() {
            if let Some(terminal) = terminals.iter_mut().find(|one| Some(one.hub) == row.hub) {
                terminal.rows.push(y + row_offset(number));
            }
        }
    }
    terminals
}

/// The upper ends of groups that stand below each other, spread over this height at least.
fn stacked(groups: &[&Group], height: i64) -> Vec<i64> {
    let spare = (height - total(groups)).max(0);
    let gap = GROUP_GAP + spare / (count(groups.len()) - 1).max(1);
    let mut y = TOP;
    let mut tops = Vec::with_capacity(groups.len());
    for group in groups {
        tops.push(y);
        y += group_height(group) + gap;
    }
    tops
}

/// The upper ends of links, each as near to its hubs as the order and the other links let it.
fn beside(links: &[&Group], middle_of: impl Fn(usize) -> i64) -> Vec<i64> {
    // Without the heights of those above it, a link's place may only grow from one to the next. A run of links that
    // want to be in the wrong order takes the mean of their wishes.
    let mut above = 0;
    let mut runs: Vec<(i64, i64)> = Vec::new();
    let mut heights = Vec::with_capacity(links.len());
    for group in links {
        heights.push(above);
        let mut run = (wish(group, &middle_of) - above, 1);
        while let Some(&(sum, number)) = runs.last() {
            if sum * run.1 <= run.0 * number {
                break;
            }
            runs.pop();
            run = (run.0 + sum, run.1 + number);
        }
        runs.push(run);
        above += group_height(group) + GROUP_GAP;
    }
    let places = runs.iter().flat_map(|&(sum, number)| (0..number).map(move |_| sum / number));
    places.zip(heights).map(|(place, above)| place.max(TOP) + above).collect()
}

/// Where a link's group would begin if it were alone: its rows at the heights of their hubs.
fn wish(group: &Group, middle_of: impl Fn(usize) -> i64) -> i64 {
    let rows = group.parent.rows.iter().enumerate();
    let wishes: Vec<i64> = rows
        .filter_map(|(number, row)| Some(middle_of(row.hub?) - row_offset(number)))
        .map(|y| y - parent_offset(group))
        .collect();
    wishes.iter().sum::<i64>() / count(wishes.len()).max(1)
}

/// Height of groups that stand below each other.
fn total(groups: &[&Group]) -> i64 {
    let heights: i64 = groups.iter().map(|group| group_height(group) + GROUP_GAP).sum();
    (heights - GROUP_GAP).max(0)
}

fn group_height(group: &Group) -> i64 {
    box_height(&group.parent).max(stack_height(group))
}

/// How far below the group's upper end its hub or link begins.
fn parent_offset(group: &Group) -> i64 {
    (group_height(group) - box_height(&group.parent)) / 2
}

fn stack_height(group: &Group) -> i64 {
    let heights: i64 = group.satellites.iter().map(|one| box_height(one) + STACK_GAP).sum();
    (heights - STACK_GAP).max(0)
}

fn box_height(entity: &Entity) -> i64 {
    match count(entity.rows.len()) {
        0 => NAME_HEIGHT,
        rows => NAME_HEIGHT + rows * ROW_HEIGHT + 2 * ROWS_PADDING,
    }
}

/// How far below the box's upper end the middle of a line is.
fn row_offset(row: usize) -> i64 {
    NAME_HEIGHT + ROWS_PADDING + count(row) * ROW_HEIGHT + ROW_HEIGHT / 2
}

fn width_of<'e>(entities: impl Iterator<Item = &'e Entity>) -> i64 {
    entities.map(box_width).max().unwrap_or(0)
}

fn box_width(entity: &Entity) -> i64 {
    let row = |text: &str, kind: &str| {
        let gap = if kind.is_empty() { 0 } else { 2 };
        small_width(text.chars().count() + gap + kind.chars().count())
    };
    let rows = entity.rows.iter().map(|line| row(&line.text, &line.kind)).max().unwrap_or(0);
    rows.max(name_width(entity.name.chars().count())) + 2 * BOX_PADDING
}

/// Width of so many letters of a name, 13 pixels high. A letter of every usual font of equal widths is at most 0.602
/// of its height wide; a little more is reckoned, because programs round widths.
pub(super) fn name_width(letters: usize) -> i64 {
    (count(letters) * 7_950 + 999) / 1_000
}

/// Width of so many letters of a column, 12 pixels high.
pub(super) fn small_width(letters: usize) -> i64 {
    (count(letters) * 7_350 + 999) / 1_000
}

pub(super) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
