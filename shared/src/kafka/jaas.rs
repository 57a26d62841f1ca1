//! The value of `sasl.jaas.config`: one login module of Java's, with its options.
//!
//! In: `<class> <flag> name="value" …;` as Kafka's Java clients read it. Out: the class and the options. The reading
//! follows Kafka's `JaasConfig`, which uses Java's `StreamTokenizer`: words, texts in either kind of quotes with
//! backslashes, and comments.
//!
//! Invariant: no error shows any part of the value, because a password may stand in the wrong place.

use std::iter::Peekable;
use std::str::Chars;

use crate::secret::Secret;

/// What the words after the class may be.
const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];

/// A login module and its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoginModule {
    /// The last part of the class's name, for example `PlainLoginModule`.
    pub(super) class: String,
    options: Vec<(String, Secret)>,
}

impl LoginModule {
    /// The value of an option. When an option stands there twice, the last one counts, as in Java.
    #[must_use]
    pub(super) fn option(&self, name: &str) -> Option<&Secret> {
        self.options().rev().find(|(given, _)| *given == name).map(|(_, value)| value)
    }

    /// All options in their order.
    pub(super) fn options(&self) -> impl DoubleEndedIterator<Item = (&str, &Secret)> {
        self.options.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// What is wrong with the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum JaasError {
    /// A quote without its partner.
    #[error("a quoted text in it has no end")]
    OpenQuote,
    /// No class, or no flag after it.
    #[error("it has to begin with the login module's class and the word required")]
    Beginning,
    /// An option without a value.
    #[error("an option in it has no value: write name=\"value\"")]
    Value,
    /// No semicolon at the end.
    #[error("it has to end with a semicolon")]
    End,
    /// Something after the semicolon.
    #[error("it has to hold exactly one login module")]
    More,
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Text(String),
    Sign(char),
}

/// Reads the value.
///
/// # Errors
/// See [`JaasError`].
pub(super) fn parse(text: &str) -> Result<LoginModule, JaasError> {
    let mut tokens = tokens(text)?.into_iter();
    let (Some(Token::Text(class)), Some(Token::Text(flag))) = (tokens.next(), tokens.next()) else {
        return Err(JaasError::Beginning);
    };
    if !FLAGS.iter().any(|word| word.eq_ignore_ascii_case(&flag)) {
        return Err(JaasError::Beginning);
    }
    let mut options = Vec::new();
    loop {
        match tokens.next() {
            Some(Token::Sign(';')) => break,
            Some(Token::Text(name)) => match (tokens.next(), tokens.next()) {
                (Some(Token::Sign('=')), Some(Token::Text(value))) => {
                    options.push((name, Secret::new(value)));
                }
                _ => return Err(JaasError::Value),
            },
            Some(Token::Sign(_)) => return Err(JaasError::Value),
            None => return Err(JaasError::End),
        }
    }
    if tokens.next().is_some() {
        return Err(JaasError::More);
    }
    let class = class.rsplit('.').next().unwrap_or_default().to_owned();
    Ok(LoginModule { class, options })
}

fn tokens(text: &str) -> Result<Vec<Token>, JaasError> {
    let mut letters = text.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(letter) = letters.next() {
        match letter {
            _ if letter.is_whitespace() => {}
            '"' | '\'' => tokens.push(Token::Text(quoted(letter, &mut letters)?)),
            '/' if letters.next_if_eq(&'/').is_some() => {
                while letters.next_if(|letter| *letter != '\n').is_some() {}
            }
            '/' if letters.next_if_eq(&'*').is_some() => {
                let mut before = ' ';
                for letter in letters.by_ref() {
                    if before == '*' && letter == '/' {
                        break;
                    }
                    before = letter;
                }
            }
            _ if is_word(letter) => {
                let mut word = String::from(letter);
                while let Some(letter) = letters.next_if(|letter| is_word(*letter)) {
                    word.push(letter);
                }
                tokens.push(Token::Text(word));
            }
            sign => tokens.push(Token::Sign(sign)),
        }
    }
    Ok(tokens)
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '.' | '-' | '_' | '$')
}

/// The text up to the closing quote, with the escapes of Java's `StreamTokenizer`. A text ends with its line.
fn quoted(quote: char, letters: &mut Peekable<Chars<'_>>) -> Result<String, JaasError> {
    let mut text = String::new();
    loop {
        match letters.next() {
            None | Some('\n' | '\r') => return Err(JaasError::OpenQuote),
            Some(letter) if letter == quote => return Ok(text),
            Some('\\') => match letters.next().ok_or(JaasError::OpenQuote)? {
                'a' => text.push('\u{7}'),
                'b' => text.push('\u{8}'),
                'f' => text.push('\u{c}'),
                'n' => text.push('\n'),
                'r' => text.push('\r'),
                't' => text.push('\t'),
                'v' => text.push('\u{b}'),
                digit @ '0'..='7' => text.push(octal(digit, letters)),
                other => text.push(other),
            },
            Some(letter) => text.push(letter),
        }
    }
}

/// A letter by its number: up to three octal digits, the first of three at most 3.
fn octal(first: char, letters: &mut Peekable<Chars<'_>>) -> char {
    let mut number = first.to_digit(8).unwrap_or_default();
    let further = if first <= '3' { 2 } else { 1 };
    for _ in 0..further {
        let Some(digit) = letters.next_if(|letter| letter.is_digit(8)) else { break };
        number = number * 8 + digit.to_digit(8).unwrap_or_default();
    }
    char::from_u32(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, class: &str, options: &[(&str, &str)]) {
        let module = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(module.class, class);
        let found: Vec<_> = module.options().map(|(name, value)| (name, value.expose())).collect();
        assert_eq!(found, options, "{text}");
    }

    #[test]
    fn the_lines_of_the_manuals_are_read() {
        check(
            "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"KEY\" password=\"a/b+c==\";",
            "PlainLoginModule",
            &[("username", "KEY"), ("password", "a/b+c==")],
        );
        check(
            "org.apache.kafka.common.security.scram.ScramLoginModule  required\n  username='u'\n  password='p' ;\n",
            "ScramLoginModule",
            &[("username", "u"), ("password", "p")],
        );
        check(
            "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required clientId=a-b_1 \
             extension_logicalCluster='lkc-1' ssl.truststore.type=PEM;",
            "OAuthBearerLoginModule",
            &[
                ("clientId", "a-b_1"),
                ("extension_logicalCluster", "lkc-1"),
                ("ssl.truststore.type", "PEM"),
            ],
        );
    }

    #[test]
    fn quotes_escapes_and_comments_are_java_s() {
        check(
            r#"X required a="s;p=a\"c\\e" b='it"s' /* c="d" */ // e="f"
               g="\101\n";"#,
            "X",
            &[("a", "s;p=a\"c\\e"), ("b", "it\"s"), ("g", "A\n")],
        );
    }

    #[test]
    fn what_cannot_be_read_is_said_without_the_value() {
        for (text, expected) in [
            ("", JaasError::Beginning),
            ("hunter2", JaasError::Beginning),
            ("X hunter2 a=b;", JaasError::Beginning),
            ("X required username=\"u\" password=\"hunter2\"", JaasError::End),
            ("X required password=\"hunter2;", JaasError::OpenQuote),
            ("X required password hunter2;", JaasError::Value),
            ("X required password=;", JaasError::Value),
            ("X required a=hunter2; Y required;", JaasError::More),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn the_last_of_two_options_counts() {
        let module = parse("X required a=\"1\" a=\"2\";").unwrap();
        assert_eq!(module.option("a").unwrap().expose(), "2");
        assert_eq!(module.option("b"), None);
        assert!(!format!("{module:?}").contains('2'));
    }
}
