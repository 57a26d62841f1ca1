//! Arrays in PostgreSQL's text form, and as JSON arrays of their elements.
//!
//! In: `{1,NULL,"a b"}`. Out: its elements one after the other, or a JSON array. An array of several dimensions is an
//! array of arrays. Lower bounds (`[5:6]={7,8}`) have no place in JSON and are left out, as Debezium leaves them out.
//!
//! Text form: PostgreSQL manual, section 8.15.6, "Array Input and Output Syntax".

use std::borrow::Cow;

use super::ValueError;

const BAD: ValueError = ValueError("array");

/// The most dimensions of an array: PostgreSQL's `MAXDIM` (`src/include/utils/array.h`).
pub const DIMENSIONS_MAX: usize = 6;

/// A part of an array's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token<'a> {
    /// A dimension begins.
    Open,
    /// A dimension ends.
    Close,
    /// An element that is NULL.
    Null,
    /// The text of an element, without its quotation marks and backslashes.
    Element(Cow<'a, [u8]>),
}

/// The parts of an array's text in order. After an error, or after the end of the outermost dimension, nothing more
/// comes.
#[derive(Debug, Clone)]
pub struct Tokens<'a> {
    rest: &'a [u8],
    delimiter: u8,
    depth: usize,
    /// An element or a dimension has just ended: a comma or the end of the dimension comes next.
    is_after_item: bool,
    is_done: bool,
}

/// Reads an array that PostgreSQL printed as `text`, with commas between the elements.
#[must_use]
pub fn tokens(text: &[u8]) -> Tokens<'_> {
    tokens_between(b',', text)
}

/// Reads an array with another delimiter between the elements: the `typdelim` of their type.
#[must_use]
pub fn tokens_between(delimiter: u8, text: &[u8]) -> Tokens<'_> {
    let bounds_end = match text.first() {
        Some(b'[') => text.iter().position(|&byte| byte == b'=').map_or(0, |equals| equals + 1),
        _ => 0,
    };
    Tokens { rest: &text[bounds_end..], delimiter, depth: 0, is_after_item: false, is_done: false }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Result<Token<'a>, ValueError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let token = self.token();
        self.is_done = token.is_err() || (self.depth == 0 && token == Ok(Token::Close));
        Some(if self.is_done && !self.rest.is_empty() { Err(BAD) } else { token })
    }
}

impl<'a> Tokens<'a> {
    fn token(&mut self) -> Result<Token<'a>, ValueError> {
        let has_comma = self.is_after_item && self.rest.first() == Some(&self.delimiter);
        if has_comma {
            self.rest = &self.rest[1..];
        }
        let may_begin = has_comma || !self.is_after_item;
        let token = match self.rest.first() {
            Some(b'{') if may_begin && self.depth < DIMENSIONS_MAX => {
                self.rest = &self.rest[1..];
                self.depth += 1;
                Ok(Token::Open)
            }
            Some(b'}') if !has_comma && self.depth > 0 => {
                self.rest = &self.rest[1..];
                self.depth -= 1;
                Ok(Token::Close)
            }
            Some(b'"') if may_begin && self.depth > 0 => self.quoted(),
            Some(_) if may_begin && self.depth > 0 => self.plain(),
            _ => Err(BAD),
        };
        self.is_after_item = token != Ok(Token::Open);
        token
    }

    fn plain(&mut self) -> Result<Token<'a>, ValueError> {
        let ends = |byte: &u8| *byte == self.delimiter || *byte == b'}';
        let length = self.rest.iter().position(ends).ok_or(BAD)?;
        let (element, rest) = self.rest.split_at(length);
        self.rest = rest;
        match element {
            b"" => Err(BAD),
            b"NULL" => Ok(Token::Null),
            element => Ok(Token::Element(Cow::Borrowed(element))),
        }
    }

    fn quoted(&mut self) -> Result<Token<'a>, ValueError> {
        let text = &self.rest[1..];
        let mut unescaped: Option<Vec<u8>> = None;
        let mut index = 0;
        loop {
            match text.get(index) {
                Some(b'"') => break,
                Some(b'\\') => {
                    let escaped = *text.get(index + 1).ok_or(BAD)?;
                    unescaped.get_or_insert_with(|| text[..index].to_vec()).push(escaped);
                    index += 2;
                }
                Some(&byte) => {
                    if let Some(unescaped) = &mut unescaped {
                        unescaped.push(byte);
                    }
                    index += 1;
                }
                None => return Err(BAD),
            }
        }
        self.rest = &text[index + 1..];
        Ok(Token::Element(match unescaped {
            Some(unescaped) => Cow::Owned(unescaped),
            None => Cow::Borrowed(&text[..index]),
        }))
    }
}

/// Appends a JSON array; `delimiter` stands between the elements of `text`, and `write_element` appends the JSON of one
/// element from its text.
///
/// # Errors
/// When the text is no array, and what `write_element` fails with.
pub fn write_json(
    out: &mut Vec<u8>,
    delimiter: u8,
    text: &[u8],
    mut write_element: impl FnMut(&mut Vec<u8>, &[u8]) -> Result<(), ValueError>,
) -> Result<(), ValueError> {
    let mut is_first = true;
    for token in tokens_between(delimiter, text) {
        let token = token?;
        if !is_first && token != Token::Close {
            out.push(b',');
        }
        is_first = token == Token::Open;
        match token {
            Token::Open => out.push(b'['),
            Token::Close => out.push(b']'),
            Token::Null => out.extend_from_slice(b"null"),
            Token::Element(element) => write_element(out, &element)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(text: &str) -> Result<String, ValueError> {
        let mut out = Vec::new();
        let copy = |out: &mut Vec<u8>, element: &[u8]| {
            out.extend_from_slice(element);
            Ok(())
        };
        write_json(&mut out, b',', text.as_bytes(), copy).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn arrays_of_any_shape_are_arrays_of_json() {
        for (text, expected) in [
            ("{}", "[]"),
            ("{1,-2,NULL}", "[1,-2,null]"),
            ("{{1,2},{3,NULL}}", "[[1,2],[3,null]]"),
            ("[5:6]={7,8}", "[7,8]"),
            ("[1:1][-2:-1]={{7,8}}", "[[7,8]]"),
            (r#"{"a,b","{x}","NULL",""}"#, "[a,b,{x},NULL,]"),
            (r#"{"q\"q","b\\c"}"#, r#"[q"q,b\c]"#),
        ] {
            assert_eq!(json(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn another_delimiter_may_stand_between_elements() {
        let mut out = Vec::new();
        let copy = |out: &mut Vec<u8>, element: &[u8]| {
            out.extend_from_slice(element);
            Ok(())
        };
        write_json(&mut out, b':', b"{01:NULL:\"a:b\"}", copy).unwrap();
        assert_eq!(out, b"[01,null,a:b]");
    }

    #[test]
    fn what_is_no_array_is_refused() {
        for text in [
            "",
            "1",
            "{",
            "{1",
            "{1}x",
            "{,}",
            "{1,}x",
            "{\"a}",
            "{\"a\\",
            "[1:2]",
            "}",
            "{{{{{{{1}}}}}}}",
        ] {
            assert_eq!(json(text), Err(BAD), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_reading_ends(bytes: Vec<u8>) {
            prop_assert!(tokens(&bytes).count() <= bytes.len() + 1);
        }

        #[test]
        fn any_text_comes_back_from_its_quoted_form(texts in proptest::collection::vec(".*", 1..4)) {
            let quoted: Vec<String> =
                texts.iter().map(|text| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))).collect();
            let array = format!("{{{}}}", quoted.join(","));
            let elements: Vec<String> = tokens(array.as_bytes())
                .filter_map(|token| match token.unwrap() {
                    Token::Element(element) => Some(String::from_utf8(element.into_owned()).unwrap()),
                    _ => None,
                })
                .collect();
            prop_assert_eq!(elements, texts);
        }
    }
}
