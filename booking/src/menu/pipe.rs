//! The menu in a pipe: a line in for each choice and each answer, plain lines out.
//!
//! In: standard input. Out: standard output without any escape sequence. What was read is repeated, so that the output
//! alone tells what was done.

use std::io::{self, BufRead as _, Write as _};

use super::choice::Choice;
use super::report::Report;

/// A line, or why there is none.
pub(super) enum Answer<T> {
    /// What was given.
    Given(T),
    /// Something else than what was asked for.
    Nonsense,
    /// The input has ended.
    Ended,
}

/// Reads and writes lines.
pub(super) struct Pipe {
    title: String,
    listed: bool,
}

impl Pipe {
    pub(super) fn new(title: String) -> Self {
        Self { title, listed: false }
    }

    /// The next choice; the list is shown before the first.
    pub(super) fn choose(&mut self) -> io::Result<Answer<Choice>> {
        if !self.listed {
            self.listed = true;
            println!("{}\n", self.title);
            for choice in Choice::ALL {
                println!("{:>3}  {}", choice.number(), choice.label());
            }
        }
        let Some(line) = read_line()? else { return Ok(Answer::Ended) };
        println!("\n> {line}");
        let choice = Choice::of(&line);
        if choice.is_none() {
            println!(
                "'{line}' is none of the choices: give a number from the list, or q to leave."
            );
        }
        Ok(choice.map_or(Answer::Nonsense, Answer::Given))
    }

    /// A line of text; an empty one means the proposal.
    pub(super) fn ask(&mut self, question: &str, proposal: &str) -> io::Result<Answer<String>> {
        let Some(line) = read_line()? else { return Ok(Answer::Ended) };
        let given = if line.is_empty() { proposal.to_owned() } else { line };
        println!("{question}: {given}");
        Ok(Answer::Given(given))
    }

    /// One of a list, by its number, or by its text up to the first colon or blank.
    pub(super) fn pick(&mut self, question: &str, list: &[String]) -> io::Result<Answer<usize>> {
        let Some(line) = read_line()? else { return Ok(Answer::Ended) };
        match place_of(&line, list) {
            Some(place) => {
                println!("{question}: {}", list[place]);
                Ok(Answer::Given(place))
            }
            None => {
                println!("{question}: '{line}' is none of these:");
                for (place, text) in list.iter().enumerate() {
                    println!("{:>3}  {text}", place + 1);
                }
                Ok(Answer::Nonsense)
            }
        }
    }

    pub(super) fn show(&mut self, report: &Report) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for line in &report.lines {
            writeln!(out, "{}", line.text)?;
        }
        out.flush()
    }
}

/// The place in a list that a line names.
fn place_of(line: &str, list: &[String]) -> Option<usize> {
    if let Ok(number) = line.parse::<usize>() {
        return number.checked_sub(1).filter(|place| *place < list.len());
    }
    let first = |text: &str| text.split([':', ' ']).next().unwrap_or("").to_owned();
    list.iter().position(|text| text == line || (!line.is_empty() && first(text) == line))
}

/// A line without its end; nothing when the input has ended.
fn read_line() -> io::Result<Option<String>> {
    io::stdout().flush()?;
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line)?;
    Ok((read > 0).then(|| line.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::place_of;

    #[test]
    fn a_list_is_answered_by_number_or_by_name() {
        let list = ["primary".to_owned(), "replica_one: async".to_owned()];
        for (line, place) in
            [("1", Some(0)), ("2", Some(1)), ("replica_one", Some(1)), ("primary", Some(0))]
        {
            assert_eq!(place_of(line, &list), place, "{line}");
        }
        for nonsense in ["", "0", "3", "replica"] {
            assert_eq!(place_of(nonsense, &list), None, "{nonsense}");
        }
    }
}
