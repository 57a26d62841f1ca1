//! The three reports: sales per day, seat utilisation, top routes; from the warehouse.
//!
//! In: a report and a number of days. Out: a page with a chart and the same numbers as a table, or a file of them. The
//! page says up to when the warehouse is complete. When there is no warehouse or it is away, the page says so, and
//! everything else of the service works: the warehouse has connections of its own, and a question to it has an end.
//! What the airline earns is for staff alone.

mod chart;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use self::chart::{Chart, Shape};
use super::super::problem::{Kind, Problem};
use super::super::request::Named;
use super::super::state::Service;
use super::super::store::reports::{Fresh, Freshness, Report, ReportOf};
use super::form::Values;
use super::page::{Frame, page, refused, see_other};
use super::text::moment;
use super::visitor::Employee;

/// The numbers of days that can be chosen.
const DAYS: [i32; 3] = [7, 30, 90];
/// The number of days unless another one is chosen.
const DAYS_DEFAULT: i32 = 30;

/// A report as people see it.
#[derive(Debug)]
struct Kit {
    report: Report,
    /// The last part of its path.
    slug: &'static str,
    title: &'static str,
    lead: &'static str,
    /// Names of the columns, and whether they hold numbers.
    columns: &'static [(&'static str, bool)],
    /// The column of the chart's bars, and what it counts.
    value: (usize, &'static str),
    shape: Shape,
}

const KITS: [Kit; 3] = [
    Kit {
        report: Report::SalesPerDay,
        slug: "sales-per-day",
        title: "Sales per day",
        lead: "What was booked on each day, and what it cost.",
        columns: &[("Day", false), ("Bookings", true), ("Items", true), ("Revenue, roubles", true)],
        value: (3, "Revenue in roubles"),
        shape: Shape::Columns,
    },
    Kit {
        report: Report::SeatUtilisation,
        slug: "seat-utilisation",
        title: "Seat utilisation",
        lead: "How many seats of the flights that left on each day were sold.",
        columns: &[
            ("Day", false),
            ("Flights", true),
            ("Seats", true),
            ("Sold", true),
            ("Boarded", true),
            ("Sold, %", true),
        ],
        value: (5, "Seats sold in per cent"),
        shape: Shape::Columns,
    },
    Kit {
        report: Report::TopRoutes,
        slug: "top-routes",
        title: "Top routes",
        lead: "The ten routes that brought the most, by what was booked.",
        columns: &[
            ("Route", false),
            ("From", false),
            ("To", false),
            ("Flights", true),
            ("Items", true),
            ("Revenue, roubles", true),
        ],
        value: (5, "Revenue in roubles"),
        shape: Shape::Rows,
    },
];

#[derive(Template)]
#[template(path = "report.html")]
struct ReportPage {
    frame: Frame,
    kit: &'static Kit,
    days: i32,
    outcome: Outcome,
}

/// What became of the question.
enum Outcome {
    /// The rows, their chart, and up to when they are complete.
    Shown { rows: Vec<Vec<String>>, chart: Chart, fresh: Fresh },
    /// Why there is nothing to show.
    Absent(String),
}

impl ReportPage {
    /// The reports: path, title, whether it is this one.
    fn reports(&self) -> Vec<(String, &'static str, bool)> {
        let link = |kit: &Kit| {
            let path = format!("/reports/{}?days={}", kit.slug, self.days);
            (path, kit.title, kit.slug == self.kit.slug)
        };
        KITS.iter().map(link).collect()
    }

    /// The numbers of days, and whether it is this one.
    fn choices(&self) -> Vec<(i32, bool)> {
        DAYS.into_iter().map(|days| (days, days == self.days)).collect()
    }

    fn columns(&self) -> &'static [(&'static str, bool)] {
        self.kit.columns
    }

    fn is_number(&self, at: &usize) -> bool {
        self.kit.columns.get(*at).is_some_and(|(_, is_number)| *is_number)
    }
}

/// The first report.
pub(crate) async fn first(_: Employee) -> Response {
    see_other(&format!("/reports/{}", KITS[0].slug))
}

fn find(slug: &str) -> Result<&'static Kit, Problem> {
    KITS.iter().find(|kit| kit.slug == slug).ok_or_else(|| Problem::not_found("report"))
}

fn days(query: Vec<(String, String)>) -> i32 {
    let wanted = Values::new(query).get("days").parse().ok();
    wanted.filter(|days| DAYS.contains(days)).unwrap_or(DAYS_DEFAULT)
}

/// A report's page.
pub(crate) async fn show(
    State(service): State<Service>,
    Employee { visitor }: Employee,
    Named(slug): Named<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let (kit, days) = (find(&slug)?, days(query));
    let frame = Frame::new(&service, &visitor, kit.title, "/reports");
    if !service.has_warehouse() {
        let words = "No warehouse is configured: start the service with --warehouse-url.";
        let outcome = Outcome::Absent(words.to_owned());
        return Ok(page(StatusCode::OK, &visitor, &ReportPage { frame, kit, days, outcome }));
    }
    match service.on_warehouse(&ReportOf { report: kit.report, days }).await {
        Ok((rows, fresh)) => {
            let chart = Chart::new(kit.shape, kit.title, kit.value.1, &bars(kit, &rows));
            let outcome = Outcome::Shown { rows, chart, fresh };
            Ok(page(StatusCode::OK, &visitor, &ReportPage { frame, kit, days, outcome }))
        }
        Err(problem) => {
            let words = format!("The warehouse does not answer: {}.", problem.detail());
            let outcome = Outcome::Absent(words);
            let away = Problem::new(Kind::Unavailable, "the warehouse does not answer");
            Ok(refused(&away, &visitor, &ReportPage { frame, kit, days, outcome }))
        }
    }
}

/// Label and value of each row.
fn bars(kit: &Kit, rows: &[Vec<String>]) -> Vec<(String, f64)> {
    let text = |row: &Vec<String>, at: usize| row.get(at).cloned().unwrap_or_default();
    rows.iter().map(|row| (text(row, 0), text(row, kit.value.0).parse().unwrap_or(0.0))).collect()
}

/// A report as a file.
pub(crate) async fn file(
    State(service): State<Service>,
    _: Employee,
    Named(slug): Named<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let (kit, days) = (find(&slug)?, days(query));
    let (rows, _) = service.on_warehouse(&ReportOf { report: kit.report, days }).await?;
    let name = format!("attachment; filename=\"{}-{days}-days.csv\"", kit.slug);
    let head = [(CONTENT_TYPE, "text/csv; charset=utf-8"), (CONTENT_DISPOSITION, name.as_str())];
    Ok((head, csv(kit, &rows)).into_response())
}

/// The rows as RFC 4180 has them. A text that a spreadsheet would take for a formula gets an apostrophe before it.
fn csv(kit: &Kit, rows: &[Vec<String>]) -> String {
    let mut out = String::new();
    let names = kit.columns.iter().map(|(name, _)| quoted(name)).collect::<Vec<_>>();
    out.push_str(&names.join(","));
    out.push_str("\r\n");
    for row in rows {
        let cells = row.iter().zip(kit.columns).map(|(cell, (_, is_number))| match is_number {
            true => cell.clone(),
            false if cell.starts_with(['=', '+', '-', '@']) => quoted(&format!("'{cell}")),
            false => quoted(cell),
        });
        out.push_str(&cells.collect::<Vec<_>>().join(","));
        out.push_str("\r\n");
    }
    out
}

fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\r', '\n']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

/// What the home page says of the warehouse.
pub(crate) async fn health(service: &Service) -> Result<String, Problem> {
    let fresh = service.on_warehouse(&Freshness).await?;
    Ok(match fresh.complete_up_to {
        Some(at) => format!("complete up to {} UTC", moment(&at)),
        None => "answers; it has no watermark yet".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_by_spreadsheets_and_runs_no_formula() {
        let row = ["LED-SVO", "Saint \"P\", city", "=cmd()", "2", "3", "-1.50"];
        let text = csv(&KITS[2], &[row.map(str::to_owned).to_vec()]);
        let lines: Vec<_> = text.split("\r\n").collect();
        assert_eq!(lines[0], "Route,From,To,Flights,Items,\"Revenue, roubles\"");
        assert_eq!(lines[1], "LED-SVO,\"Saint \"\"P\"\", city\",'=cmd(),2,3,-1.50");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn only_offered_days_are_asked_for() {
        let of = |text: &str| days(vec![("days".to_owned(), text.to_owned())]);
        assert_eq!([of("7"), of("90"), of("8"), of("-1"), of("x")], [7, 90, 30, 30, 30]);
    }
}
