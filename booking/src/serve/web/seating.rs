//! The seat map of a page: rows of seats, of which one is chosen for each passenger.
//!
//! In: the seats of a flight, the class, what was chosen. Out: groups of radio buttons, one for each passenger, which
//! work without a script and can be used with a keyboard. Each button says its seat, its class and whether it is free.
//! A seat of another class and a taken one cannot be chosen.

use super::super::field::Fare;
use super::super::model::Seat;

/// A seat as the map shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) seat_no: String,
    pub(crate) fare: &'static str,
    /// What a person is told of it: free, taken or another class.
    pub(crate) state: &'static str,
    pub(crate) is_open: bool,
    /// Whether an aisle is before it.
    pub(crate) after_aisle: bool,
}

/// A row of seats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) cells: Vec<Cell>,
}

/// The choice of one passenger.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    /// The name of the form's field.
    pub(crate) field: String,
    /// Who chooses.
    pub(crate) title: String,
    /// What is chosen; empty for any seat.
    pub(crate) chosen: String,
}

/// A seat map with the choices of the passengers.
#[derive(Debug, Clone)]
pub(crate) struct Seating {
    pub(crate) rows: Vec<Row>,
    pub(crate) choices: Vec<Choice>,
    /// Whether a passenger may leave the choice to the service.
    pub(crate) may_be_any: bool,
}

impl Seating {
    /// The map of seats; `own` are taken by whoever chooses, and so are open to them.
    pub(crate) fn new(seats: &[Seat], fare: Fare, own: &[&str], choices: Vec<Choice>) -> Self {
        let mut rows: Vec<Row> = Vec::new();
        for seat in seats {
            let name = seat.seat_no.trim_end_matches(|letter: char| !letter.is_ascii_digit());
            if rows.last().is_none_or(|row| row.name != name) {
                rows.push(Row { name: name.to_owned(), cells: Vec::new() });
            }
            if let Some(row) = rows.last_mut() {
                row.cells.push(cell(seat, fare, own));
            }
        }
        for row in &mut rows {
            let middle = row.cells.len().div_ceil(2);
            if let Some(cell) = row.cells.get_mut(middle) {
                cell.after_aisle = true;
            }
        }
        Self { rows, choices, may_be_any: own.is_empty() }
    }
}

fn cell(seat: &Seat, fare: Fare, own: &[&str]) -> Cell {
    let is_own = own.contains(&seat.seat_no.as_str());
    let (state, is_open) = match (seat.fare == fare, seat.is_free || is_own) {
        (true, true) => (if is_own { "yours" } else { "free" }, true),
        (true, false) => ("taken", false),
        (false, true) => ("another class", false),
        (false, false) => ("another class, taken", false),
    };
    Cell {
        seat_no: seat.seat_no.clone(),
        fare: seat.fare.as_str(),
        state,
        is_open,
        after_aisle: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_their_seats_and_an_aisle_in_the_middle() {
        let seat =
            |seat_no: &str, fare, is_free| Seat { seat_no: seat_no.to_owned(), fare, is_free };
        let seats = [
            seat("1A", Fare::Business, true),
            seat("1C", Fare::Business, false),
            seat("2A", Fare::Economy, true),
            seat("2B", Fare::Economy, false),
            seat("2C", Fare::Economy, false),
        ];
        let seating = Seating::new(&seats, Fare::Economy, &["2B"], vec![]);
        let rows: Vec<_> = seating.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(rows, ["1", "2"]);
        let states: Vec<_> =
            seating.rows.iter().flat_map(|row| &row.cells).map(|cell| cell.state).collect();
        assert_eq!(states, ["another class", "another class, taken", "free", "yours", "taken"]);
        let open: Vec<_> =
            seating.rows.iter().flat_map(|row| &row.cells).filter(|cell| cell.is_open).collect();
        assert_eq!(open.len(), 2);
        assert!(seating.rows[1].cells[2].after_aisle);
    }
}
