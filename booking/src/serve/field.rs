//! Values of requests that cannot be wrong: each is made from text once, at the edge.
//!
//! In: text of a path, a query or a body. Out: a value, or the reason why it is none, without repeating the text. A
//! [`Fields`] collects what is wrong, so that a client learns of everything at once.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::{FieldError, Problem};

/// Characters of a person's name at most.
const NAME_CHARS_MAX: usize = 100;
/// Bytes of an e-mail address at most, by RFC 5321.
const EMAIL_BYTES_MAX: usize = 254;
/// Characters of an identity document at most: what the column holds.
const DOCUMENT_CHARS_MAX: usize = 20;
/// Characters of what is said of an upload at most: what the column holds.
const DESCRIPTION_CHARS_MAX: usize = 1000;
/// Characters of a password; argon2 reads all of them, so there is an end.
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 10..=128;
/// Digits of a telephone number, by E.164.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 5..=15;

/// A travel class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) enum Fare {
    Economy,
    Comfort,
    Business,
}

impl Fare {
    pub(crate) const fn as_str(self) -> &'static str {
        self.priced().as_str()
    }

    /// The same class as the price list knows it.
    pub(crate) const fn priced(self) -> crate::Fare {
        match self {
            Self::Economy => crate::Fare::Economy,
            Self::Comfort => crate::Fare::Comfort,
            Self::Business => crate::Fare::Business,
        }
    }

    /// The class of a text that the database's constraint holds to the three.
    pub(crate) fn of_column(text: &str) -> Self {
        match text {
            "Business" => Self::Business,
            "Comfort" => Self::Comfort,
            _ => Self::Economy,
        }
    }
}

/// What is wrong with a request so far.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    errors: Vec<FieldError>,
}

impl Fields {
    /// Keeps the value, or notes why there is none.
    pub(crate) fn take<T>(
        &mut self,
        field: impl Into<String>,
        value: Result<T, String>,
    ) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(reason) => {
                self.errors.push(FieldError { field: field.into(), reason });
                None
            }
        }
    }

    /// Notes that a field is wrong.
    pub(crate) fn wrong(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.errors.push(FieldError { field: field.into(), reason: reason.into() });
    }

    /// Refuses if anything is wrong.
    pub(crate) fn check(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }

    /// The value that was taken. It is missing only if something is wrong.
    pub(crate) fn all<T>(self, value: Option<T>) -> Result<T, Problem> {
        let nothing = || Problem::field("/", "is not complete");
        self.check().and_then(|()| value.ok_or_else(nothing))
    }
}

/// `SVO`: three capital letters or digits.
pub(crate) fn airport(text: &str) -> Result<String, String> {
    let upper = text.to_ascii_uppercase();
    let right = upper.len() == 3 && upper.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if right { Ok(upper) } else { Err("must be an IATA code of three letters".to_owned()) }
}

/// `2026-06-15`.
pub(crate) fn date(text: &str) -> Result<NaiveDate, String> {
    let parsed = NaiveDate::parse_from_str(text, "%Y-%m-%d");
    let within = parsed
        .ok()
        .filter(|date| text.len() == 10 && (1970..=9999).contains(&chrono::Datelike::year(date)));
    within.ok_or_else(|| "must be a date such as 2026-06-15".to_owned())
}

/// A flight's number in the database.
pub(crate) fn flight_id(text: &str) -> Result<i32, String> {
    let number = text.parse::<i32>().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "must be a whole number from 1 to 2147483647".to_owned())
}

/// An account's number in the database.
pub(crate) fn account_id(text: &str) -> Result<i64, String> {
    let number = text.parse::<i64>().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "must be a whole number greater than 0".to_owned())
}

/// A whole number within limits.
pub(crate) fn number(text: &str, least: i64, most: i64) -> Result<i64, String> {
    let number = text.parse::<i64>().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("must be a whole number from {least} to {most}"))
}

/// `Economy`, `Comfort` or `Business`.
pub(crate) fn fare(text: &str) -> Result<Fare, String> {
    match text {
        "Economy" => Ok(Fare::Economy),
        "Comfort" => Ok(Fare::Comfort),
        "Business" => Ok(Fare::Business),
        _ => Err("must be Economy, Comfort or Business".to_owned()),
    }
}

/// `0A1B2C`: six hexadecimal digits.
pub(crate) fn book_ref(text: &str) -> Result<String, String> {
    let upper = text.to_ascii_uppercase();
    let right = upper.len() == 6 && upper.bytes().all(|byte| byte.is_ascii_hexdigit());
    if right { Ok(upper) } else { Err("must have six hexadecimal digits".to_owned()) }
}

/// Thirteen digits.
pub(crate) fn ticket_no(text: &str) -> Result<String, String> {
    let right = text.len() == 13 && text.bytes().all(|byte| byte.is_ascii_digit());
    if right { Ok(text.to_owned()) } else { Err("must have thirteen digits".to_owned()) }
}

/// `0007000000001-42`: a ticket on a flight.
pub(crate) fn item_id(text: &str) -> Result<(String, i32), String> {
    let parts = text
        .split_once('-')
        .and_then(|(ticket, flight)| Some((ticket_no(ticket).ok()?, flight_id(flight).ok()?)));
    parts.ok_or_else(|| "must be a ticket number, a hyphen and a flight id".to_owned())
}

/// `12A`: a row and a letter.
pub(crate) fn seat_no(text: &str) -> Result<String, String> {
    let upper = text.to_ascii_uppercase();
    let (row, letter) = upper.split_at_checked(upper.len().saturating_sub(1)).unwrap_or_default();
    let right = (1..=3).contains(&row.len())
        && row.bytes().all(|byte| byte.is_ascii_digit())
        && letter.bytes().all(|byte| byte.is_ascii_uppercase());
    if right { Ok(upper) } else { Err("must be a row and a letter, such as 12A".to_owned()) }
}

/// A person's name: printable, one space between words.
pub(crate) fn name(text: &str) -> Result<String, String> {
    printable(text, 1, NAME_CHARS_MAX)
}

/// The title of an upload.
pub(crate) fn upload_title(text: &str) -> Result<String, String> {
    printable(text, 1, NAME_CHARS_MAX)
}

/// What is said of an upload, in lines.
pub(crate) fn upload_description(text: &str) -> Result<String, String> {
    if text.chars().any(|char| char.is_control() && !matches!(char, '\n' | '\r' | '\t')) {
        return Err("must not have control characters".to_owned());
    }
    let tidy = text.trim();
    if (1..=DESCRIPTION_CHARS_MAX).contains(&tidy.chars().count()) {
        Ok(tidy.to_owned())
    } else {
        Err(format!("must have 1 to {DESCRIPTION_CHARS_MAX} characters"))
    }
}

/// The number of an upload: a UUID, in lower case.
pub(crate) fn upload_id(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let mut parts = lower.split('-');
    let right = [8, 4, 4, 4, 12].into_iter().all(|length| {
        parts.next().is_some_and(|part| {
            part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    });
    if right && parts.next().is_none() { Ok(lower) } else { Err("must be a UUID".to_owned()) }
}

/// An identity document.
pub(crate) fn document(text: &str) -> Result<String, String> {
    printable(text, 3, DOCUMENT_CHARS_MAX)
}

/// Text without control characters, whose runs of white space become one space.
fn printable(text: &str, least: usize, most: usize) -> Result<String, String> {
    // PostgreSQL's text holds no NUL; what is not printable would hide in a list of passengers.
    if text.chars().any(char::is_control) {
        return Err("must not have control characters".to_owned());
    }
    let tidy = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if (least..=most).contains(&tidy.chars().count()) {
        Ok(tidy)
    } else {
        Err(format!("must have {least} to {most} characters"))
    }
}

/// An e-mail address in lower case. Whether it receives anything is not known.
pub(crate) fn email(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@')
    };
    let right = lower.len() <= EMAIL_BYTES_MAX
        && lower.rsplit_once('@').is_some_and(|(user, host)| {
            plain(user) && plain(host) && !host.starts_with('.') && !host.ends_with('.')
        });
    if right {
        Ok(lower)
    } else {
        Err("must be an e-mail address such as ann@example.org".to_owned())
    }
}

/// A telephone number with its country's code.
pub(crate) fn phone(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix('+').unwrap_or_default();
    let right =
        PHONE_DIGITS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if right { Ok(text.to_owned()) } else { Err("must be + and 5 to 15 digits".to_owned()) }
}

/// A password for a new account.
pub(crate) fn new_password(text: &str) -> Result<(), String> {
    let (least, most) = PASSWORD_CHARS.into_inner();
    let right = (least..=most).contains(&text.chars().count());
    if right { Ok(()) } else { Err(format!("must have {least} to {most} characters")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_in_any_case_and_kept_in_capitals() {
        assert_eq!(airport("svo").unwrap(), "SVO");
        assert_eq!(book_ref("0a1b2c").unwrap(), "0A1B2C");
        assert_eq!(seat_no("12a").unwrap(), "12A");
        assert_eq!(item_id("0007000000001-42").unwrap(), ("0007000000001".to_owned(), 42));
    }

    #[test]
    fn what_is_no_code_is_refused() {
        for text in ["", "S", "SVOX", "ЯКТ", "S O"] {
            assert!(airport(text).is_err(), "{text}");
        }
        for text in ["", "A", "12", "1234A", "12É", "é", "12AB", "\u{1F6EB}"] {
            assert!(seat_no(text).is_err(), "{text}");
        }
        for text in ["", "12345G", "1234567"] {
            assert!(book_ref(text).is_err(), "{text}");
        }
        for text in ["", "-", "0007000000001", "0007000000001-0", "0007000000001-+1x", "7-1"] {
            assert!(item_id(text).is_err(), "{text}");
        }
        for text in ["2026-6-15", "2026-02-30", "15.06.2026", "+2026-06-15", ""] {
            assert!(date(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_tidied_and_bounded() {
        assert_eq!(name("  ANNA   MARIA ").unwrap(), "ANNA MARIA");
        for text in ["", "   ", "A\0B", "A\nB", &"x".repeat(101)] {
            assert!(name(text).is_err(), "{text:?}");
        }
        assert!(name(&"я".repeat(100)).is_ok());
    }

    #[test]
    fn addresses_and_numbers_have_a_form() {
        assert_eq!(email("Ann@Example.ORG").unwrap(), "ann@example.org");
        for text in ["", "ann", "@example.org", "ann@", "a n@x.org", "ann@.org", "a@b@c"] {
            assert!(email(text).is_err(), "{text:?}");
        }
        assert!(phone("+79001234567").is_ok());
        for text in ["", "79001234567", "+", "+1234", "+1234567890123456", "+12 345"] {
            assert!(phone(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let mut fields = Fields::default();
        fields.take("from", airport("?"));
        fields.take("date", date("?"));
        let refusal = fields.check().unwrap_err();
        assert_eq!(
            refusal,
            Problem::invalid(vec![
                FieldError { field: "from".to_owned(), reason: airport("?").unwrap_err() },
                FieldError { field: "date".to_owned(), reason: date("?").unwrap_err() },
            ])
        );
    }
}
