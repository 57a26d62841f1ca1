//! Charts as SVG that the server makes: bars, a scale, labels.
//!
//! In: labels and values. Out: rectangles, lines and texts in the coordinates of a picture 720 wide. The picture has a
//! title and a description for those who do not see it; the table beside it has the numbers.

/// Width of the picture.
const WIDTH: f64 = 720.0;
/// Height of a picture of columns.
const HEIGHT: f64 = 260.0;
/// Height of one row of a picture of rows.
const ROW: f64 = 26.0;
/// Room for the scale of columns, and for the labels of rows.
const LEFT: f64 = 76.0;
/// Room at the other sides.
const MARGIN: f64 = 12.0;
/// Room below columns for their labels.
const BELOW: f64 = 26.0;
/// Labels below columns at most.
const LABELS_MAX: usize = 8;

/// Which way the bars go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Upwards, one for each day.
    Columns,
    /// To the right, one for each name.
    Rows,
}

/// A bar.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bar {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
    /// What it stands for.
    pub(crate) words: String,
}

/// A text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Label {
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// start, middle or end.
    pub(crate) anchor: &'static str,
    pub(crate) text: String,
}

/// A picture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) bars: Vec<Bar>,
    pub(crate) labels: Vec<Label>,
    /// Lines of the scale: x and y of the begin, x and y of the end.
    pub(crate) lines: Vec<(f64, f64, f64, f64)>,
}

impl Chart {
    pub(crate) fn new(shape: Shape, title: &str, unit: &str, values: &[(String, f64)]) -> Self {
        let most = values.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        let top = round_up(most);
        let height = match shape {
            Shape::Columns => HEIGHT,
            Shape::Rows => ROW * count(values.len()) + 2.0 * MARGIN,
        };
        let mut chart = Self {
            title: title.to_owned(),
            description: description(unit, values),
            width: WIDTH,
            height,
            bars: Vec::new(),
            labels: Vec::new(),
            lines: Vec::new(),
        };
        match shape {
            Shape::Columns => chart.columns(top, values),
            Shape::Rows => chart.rows(top, values),
        }
        chart
    }

    fn columns(&mut self, top: f64, values: &[(String, f64)]) {
        let bottom = HEIGHT - BELOW;
        let room = bottom - MARGIN;
        for step in 0..=4_u8 {
            let part = f64::from(step) / 4.0;
            let y = bottom - room * part;
            self.lines.push((LEFT, y, WIDTH - MARGIN, y));
            self.label(LEFT - 8.0, y + 4.0, "end", short(top * part));
        }
        let step = (WIDTH - MARGIN - LEFT) / count(values.len()).max(1.0);
        let every = values.len().div_ceil(LABELS_MAX).max(1);
        for (at, (name, value)) in values.iter().enumerate() {
            let x = LEFT + step * count(at);
            let height = room * value / top;
            self.bars.push(Bar {
                x: tenth(x + step * 0.12),
                y: tenth(bottom - height),
                width: tenth(step * 0.76),
                height: tenth(height),
                words: format!("{name}: {value}"),
            });
            if at % every == 0 {
                let day = name.get(5..).unwrap_or(name).to_owned();
                self.label(x + step / 2.0, HEIGHT - 8.0, "middle", day);
            }
        }
    }

    fn rows(&mut self, top: f64, values: &[(String, f64)]) {
        let room = WIDTH - LEFT - 110.0;
        for (at, (name, value)) in values.iter().enumerate() {
            let y = MARGIN + ROW * count(at);
            let width = room * value / top;
            self.bars.push(Bar {
                x: LEFT,
                y: tenth(y + 3.0),
                width: tenth(width),
                height: ROW - 6.0,
                words: format!("{name}: {value}"),
            });
            self.label(LEFT - 8.0, y + 17.0, "end", name.clone());
            self.label(LEFT + width + 8.0, y + 17.0, "start", short(*value));
        }
    }

    fn label(&mut self, x: f64, y: f64, anchor: &'static str, text: String) {
        self.labels.push(Label { x: tenth(x), y: tenth(y), anchor, text });
    }
}

/// A count as a number of the picture. There are some hundred bars at most.
fn count(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// The next number that a scale can end with: 1, 2, 2.5 or 5 with zeros.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let ten = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    steps.into_iter().map(|step| step * ten).find(|end| *end >= value).unwrap_or(10.0 * ten)
}

/// A number of a scale: `1.2 M`, `350 k`, `75`.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        value if value >= 1e6 => (value / 1e6, " M"),
        value if value >= 1e4 => (value / 1e3, " k"),
        value => (value, ""),
    };
    format!("{}{unit}", (value * 100.0).round() / 100.0)
}

fn description(unit: &str, values: &[(String, f64)]) -> String {
    let most = values.iter().max_by(|one, other| one.1.total_cmp(&other.1));
    match most {
        Some((name, value)) if *value > 0.0 => format!("{unit}; the highest is {value} ({name})."),
        _ => format!("{unit}; there is nothing yet."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_ends_above_the_highest_bar() {
        for (value, end) in [(0.0, 1.0), (3.0, 5.0), (87.4, 100.0), (2400.0, 2500.0), (1e6, 1e6)] {
            assert!((round_up(value) - end).abs() < 1e-6, "{value}");
        }
        assert_eq!([short(0.0), short(12_500.0), short(2_500_000.0)], ["0", "12.5 k", "2.5 M"]);
    }

    #[test]
    fn bars_are_as_high_as_their_values_and_within_the_picture() {
        let values: Vec<_> =
            (0..30).map(|at| (format!("2026-06-{at:02}"), f64::from(at))).collect();
        let chart = Chart::new(Shape::Columns, "Title", "Unit", &values);
        assert_eq!(chart.bars.len(), 30);
        assert!((chart.bars[20].height / chart.bars[10].height - 2.0).abs() < 0.01);
        assert!(chart.bars.iter().all(|bar| bar.y >= MARGIN - 0.1 && bar.x + bar.width <= WIDTH));
        assert!(chart.description.contains("29 (2026-06-29)"));
        let rows = Chart::new(Shape::Rows, "Title", "Unit", &values[28..]);
        assert!(rows.bars.iter().all(|bar| bar.x + bar.width <= WIDTH) && rows.bars.len() == 2);
        assert!(Chart::new(Shape::Rows, "Title", "Unit", &[]).bars.is_empty());
    }
}
