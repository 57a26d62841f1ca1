//! One row as a line of COPY's text format.
//!
//! In: values. Out: a line without its end. Text is escaped here and nowhere else.

use std::fmt::{Display, Write as _};

use chrono::NaiveDateTime;

/// The end of the validity of a row that is current. It has six digits, because seven would round into the year 10000.
pub(crate) const END_OF_TIME: &str = "9999-12-31 23:59:59.999999";

/// A line under construction.
#[derive(Debug, Default)]
pub(crate) struct Line(String);

impl Line {
    pub(crate) fn new() -> Self {
        Self(String::with_capacity(160))
    }

    fn separate(&mut self) {
        if !self.0.is_empty() {
            self.0.push('\t');
        }
    }

    /// A value whose text needs no escaping: a number, a date, a time.
    pub(crate) fn put(mut self, value: impl Display) -> Self {
        self.separate();
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{value}");
        self
    }

    pub(crate) fn flag(self, value: bool) -> Self {
        self.put(if value { 't' } else { 'f' })
    }

    pub(crate) fn null(self) -> Self {
        self.put("\\N")
    }

    pub(crate) fn nulls(self, count: usize) -> Self {
        (0..count).fold(self, |line, _| line.null())
    }

    pub(crate) fn maybe(self, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.put(value),
            None => self.null(),
        }
    }

    /// Text of any content.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.separate();
        for letter in text.chars() {
            match letter {
                '\\' => self.0.push_str("\\\\"),
                '\t' => self.0.push_str("\\t"),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                other => self.0.push(other),
            }
        }
        self
    }

    pub(crate) fn maybe_text(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    /// `bytea` in its hexadecimal form.
    pub(crate) fn maybe_bytes(self, bytes: Option<&[u8]>) -> Self {
        match bytes {
            Some(bytes) => self.text(&format!("\\x{}", hex::encode(bytes))),
            None => self.null(),
        }
    }

    /// When a version began and ended; `None` for a version that is current.
    pub(crate) fn validity(self, from: NaiveDateTime, to: Option<NaiveDateTime>) -> Self {
        let line = self.put(from);
        match to {
            Some(to) => line.put(to),
            None => line.put(END_OF_TIME),
        }
    }

    pub(crate) fn end(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Line;

    #[test]
    fn what_would_end_a_field_or_a_line_is_escaped() {
        let line = Line::new().put(7).text("a\tb\\c\nd").null().flag(true).end();
        assert_eq!(line, "7\ta\\tb\\\\c\\nd\t\\N\tt");
    }

    #[test]
    fn an_empty_first_field_is_a_field() {
        assert_eq!(Line::new().put(1).text("").text("x").end(), "1\t\tx");
    }

    #[test]
    fn bytes_are_hexadecimal() {
        assert_eq!(Line::new().put(1).maybe_bytes(Some(&[0, 255])).end(), "1\t\\\\x00ff");
    }
}
