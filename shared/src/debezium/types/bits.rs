//! Bit strings as `io.debezium.data.Bits`: bytes from the lowest bit on, without zero bytes at the upper end.
//!
//! The bytes do not hold the length of the string. A consumer knows the length from the column's type (`bit(n)`), and
//! does not know it for `varbit`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ValueError;
use super::text::push_base64;

const BAD: ValueError = ValueError("bit string");

/// The bits of a byte, the highest first: what stands for an unchanged array of booleans is made of the placeholder's.
pub fn of_byte(byte: u8) -> impl Iterator<Item = bool> {
    (0..8).rev().map(move |bit| byte >> bit & 1 == 1)
}

/// Appends PostgreSQL's text (`10110`) as base64, without quotes.
///
/// # Errors
/// When the text holds anything but zeros and ones.
pub fn write_base64(out: &mut Vec<u8>, text: &[u8]) -> Result<(), ValueError> {
    let mut bytes = vec![0u8; text.len().div_ceil(8)];
    for (place, &digit) in text.iter().rev().enumerate() {
        match digit {
            b'1' => bytes[place / 8] |= 1 << (place % 8),
            b'0' => {}
            _ => return Err(BAD),
        }
    }
    let significant = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    push_base64(out, &bytes[..significant]);
    Ok(())
}

/// The bits of a `bit(length)` as PostgreSQL prints them.
///
/// # Errors
/// When the text is no base64, or more bits are set than there are.
pub fn text_from_base64(base64: &str, length: usize) -> Result<String, ValueError> {
    let bytes = STANDARD.decode(base64).map_err(|_| BAD)?;
    let is_set =
        |place: usize| bytes.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1);
    if (length..bytes.len() * 8).any(is_set) {
        return Err(BAD);
    }
    Ok((0..length).rev().map(|place| if is_set(place) { '1' } else { '0' }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(text: &str) -> Result<String, ValueError> {
        let mut out = Vec::new();
        write_base64(&mut out, text.as_bytes()).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn bits_count_from_the_lowest_byte() {
        for (text, base64) in
            [("", ""), ("0000", ""), ("101", "BQ=="), ("100000001", "AQE="), ("0000000010", "Ag==")]
        {
            assert_eq!(encode(text).unwrap(), base64, "{text}");
        }
        assert_eq!(text_from_base64("BQ==", 5).unwrap(), "00101");
        assert_eq!(text_from_base64("", 3).unwrap(), "000");
    }

    #[test]
    fn what_is_no_bit_string_is_refused() {
        assert_eq!(encode("102"), Err(BAD));
        assert_eq!(text_from_base64("BQ==", 2), Err(BAD));
        assert_eq!(text_from_base64("*", 8), Err(BAD));
    }

    proptest! {
        #[test]
        fn any_bits_come_back(text in "[01]{0,90}") {
            prop_assert_eq!(text_from_base64(&encode(&text).unwrap(), text.len()).unwrap(), text);
        }
    }
}
