//! The menu in a terminal: screens that are drawn anew, colours, choice by arrow keys or by number.
//!
//! In: keys. Out: screens. The servers' state stands above the list and is measured again each second, so what is done
//! to a server elsewhere is seen here. NO_COLOR and TERM=dumb are honoured.
//! A key is awaited on a thread, because a terminal cannot be asked for a key for a limited time. Nothing else reads
//! from the terminal while a key is awaited.

use std::io;
use std::time::Duration;

use console::{Key, Style, Term};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};

use super::choice::Choice;
use super::fleet::Fleet;
use super::lag::Standing;
use super::report::{Line, Report, Tone};

/// How often the servers' state is measured while a choice is awaited.
const REFRESH: Duration = Duration::from_secs(1);

/// A terminal and where its list stands.
pub(super) struct Terminal {
    term: Term,
    title: String,
    selected: usize,
}

/// A list to choose from.
struct List<'a> {
    question: &'a str,
    labels: Vec<String>,
    numbers: Vec<usize>,
    /// The place that Enter takes.
    selected: usize,
}

/// What a key does to a list.
#[derive(Debug, PartialEq, Eq)]
enum Move {
    /// Another line is selected.
    To(usize),
    /// The selected line is taken.
    Take,
    /// The list is left.
    Leave,
    /// Nothing.
    Stay,
}

impl Terminal {
    pub(super) fn new(title: String) -> Self {
        Self { term: Term::stdout(), title, selected: 0 }
    }

    /// The next choice.
    pub(super) async fn choose(&mut self, fleet: &mut Fleet) -> io::Result<Choice> {
        let list = List {
            question: "What shall be done?",
            labels: Choice::ALL.map(|choice| choice.label().to_owned()).to_vec(),
            numbers: Choice::ALL.map(Choice::number).to_vec(),
            selected: self.selected,
        };
        let place = self.select(fleet, list).await?;
        self.selected = place.unwrap_or(self.selected);
        Ok(place.map_or(Choice::Leave, |place| Choice::ALL[place]))
    }

    /// One of a list; nothing when the list is left.
    pub(super) async fn pick(
        &mut self,
        fleet: &mut Fleet,
        question: &str,
        labels: &[String],
    ) -> io::Result<Option<usize>> {
        let numbers = (1..=labels.len()).collect();
        let list = List { question, labels: labels.to_vec(), numbers, selected: 0 };
        self.select(fleet, list).await
    }

    /// A line of text; an empty one means the proposal.
    pub(super) async fn ask(&mut self, question: &str, proposal: &str) -> io::Result<String> {
        self.term.write_line("")?;
        let hint = if proposal.is_empty() { String::new() } else { format!(" [{proposal}]") };
        self.term.write_str(&format!("{question}{hint}: "))?;
        let term = self.term.clone();
        let line = spawn_blocking(move || term.read_line()).await.map_err(joined)??;
        let line = line.trim();
        Ok(if line.is_empty() { proposal.to_owned() } else { line.to_owned() })
    }

    /// A report on a screen of its own, until a key is pressed.
    pub(super) async fn show(&mut self, heading: &str, report: &Report) -> io::Result<()> {
        self.term.clear_screen()?;
        self.line(&Line { tone: Tone::Title, text: heading.to_owned() })?;
        self.term.write_line("")?;
        for line in &report.lines {
            self.line(line)?;
        }
        self.term.write_line("\nPress a key to go back to the list.")?;
        self.key().await.map(drop)
    }

    pub(super) fn leave(&mut self) -> io::Result<()> {
        self.term.clear_screen()
    }

    async fn select(&mut self, fleet: &mut Fleet, mut list: List<'_>) -> io::Result<Option<usize>> {
        let mut typed = String::new();
        let mut ticks = interval(REFRESH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut overview = Report::default();
        let mut key = Box::pin(self.key());
        loop {
            tokio::select! {
                biased;
                pressed = &mut key => {
                    match moved(&pressed?, list.selected, &list.numbers, &mut typed) {
                        Move::Take => return Ok(Some(list.selected)),
                        Move::Leave => return Ok(None),
                        Move::To(place) => list.selected = place,
                        Move::Stay => {}
                    }
                    key = Box::pin(self.key());
                }
                _ = ticks.tick() => {
                    overview = Report::default();
                    Standing::measure(fleet).await.overview(&mut overview);
                }
            }
            self.draw(&overview, &list)?;
        }
    }

    /// The next key. Ctrl-C restores the terminal and ends the program.
    fn key(&self) -> impl Future<Output = io::Result<Key>> + use<> {
        let term = self.term.clone();
        let reading = spawn_blocking(move || term.read_key());
        async move { reading.await.map_err(joined)? }
    }

    fn draw(&self, overview: &Report, list: &List<'_>) -> io::Result<()> {
        self.term.clear_screen()?;
        self.line(&Line { tone: Tone::Title, text: self.title.clone() })?;
        self.term.write_line("")?;
        for line in &overview.lines {
            self.line(line)?;
        }
        self.term.write_line(&format!("\n{}", list.question))?;
        for (place, (label, number)) in list.labels.iter().zip(&list.numbers).enumerate() {
            let mark = if place == list.selected { '>' } else { ' ' };
            let text = format!("{mark} {number:>2}  {label}");
            let style = if place == list.selected { Style::new().reverse() } else { Style::new() };
            self.term.write_line(&style.apply_to(self.fitted(&text)).to_string())?;
        }
        self.term.write_str("Arrows or a number, then Enter; q leaves. ")
    }

    fn line(&self, line: &Line) -> io::Result<()> {
        let style = match line.tone {
            Tone::Plain => Style::new(),
            Tone::Title => Style::new().bold(),
            Tone::Good => Style::new().green(),
            Tone::Bad => Style::new().yellow(),
            Tone::Sql => Style::new().cyan(),
        };
        self.term.write_line(&style.apply_to(&line.text).to_string())
    }

    /// Text cut to the terminal's width, for a list whose lines must not wrap.
    fn fitted(&self, text: &str) -> String {
        let width = usize::from(self.term.size().1);
        text.chars().take(width).collect()
    }
}

/// What a key does. Digits are collected as long as they can be the beginning of a number.
fn moved(key: &Key, selected: usize, numbers: &[usize], typed: &mut String) -> Move {
    let count = numbers.len();
    if let Key::Char(digit @ '0'..='9') = key {
        typed.push(*digit);
        let place_of = |text: &str| {
            let number: usize = text.parse().ok()?;
            numbers.iter().position(|known| *known == number)
        };
        if place_of(typed).is_none() {
            *typed = digit.to_string();
        }
        return place_of(typed).map_or(Move::Stay, Move::To);
    }
    typed.clear();
    match key {
        Key::ArrowUp | Key::Char('k') => Move::To((selected + count - 1) % count),
        Key::ArrowDown | Key::Char('j') | Key::Tab => Move::To((selected + 1) % count),
        Key::Home => Move::To(0),
        Key::End => Move::To(count - 1),
        Key::Enter => Move::Take,
        Key::Char('q') | Key::Escape => Move::Leave,
        _ => Move::Stay,
    }
}

/// A thread of ours that has panicked.
fn joined(err: JoinError) -> io::Error {
    io::Error::other(err)
}

#[cfg(test)]
mod tests {
    use console::Key;

    use super::{Move, moved};

    #[test]
    fn digits_select_and_a_second_one_goes_on_with_the_first() {
        let numbers: Vec<usize> = (1..=13).chain([0]).collect();
        let mut typed = String::new();
        let mut press = |key: Key| moved(&key, 3, &numbers, &mut typed);
        assert_eq!(press(Key::Char('1')), Move::To(0));
        assert_eq!(press(Key::Char('2')), Move::To(11));
        assert_eq!(press(Key::Char('4')), Move::To(3));
        assert_eq!(press(Key::Char('0')), Move::To(13));
        assert_eq!(press(Key::Enter), Move::Take);
    }

    #[test]
    fn arrows_go_round() {
        let numbers = [1, 2, 3];
        let mut typed = String::new();
        assert_eq!(moved(&Key::ArrowUp, 0, &numbers, &mut typed), Move::To(2));
        assert_eq!(moved(&Key::ArrowDown, 2, &numbers, &mut typed), Move::To(0));
        assert_eq!(moved(&Key::Char('q'), 2, &numbers, &mut typed), Move::Leave);
    }
}
