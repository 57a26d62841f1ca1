//! `numeric` between PostgreSQL's text and Kafka Connect's Decimal (`org.apache.kafka.connect.data.Decimal`): the
//! unscaled integer in two's complement, big-endian, in the fewest bytes that hold it, as base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use num_bigint::{BigInt, BigUint, Sign};

use super::ValueError;
use super::text::push_base64;

const BAD: ValueError = ValueError("decimal number");

/// The digits that PostgreSQL prints at most after the point.
pub const SCALE_MAX: usize = 16_383;

/// The digits PostgreSQL can print: 131072 before the point, the rest after it.
const DIGITS_MAX: usize = 131_072 + SCALE_MAX;

/// This many bytes always hold that many digits: five bytes hold twelve digits, and one more byte holds the sign.
const BYTES_MAX: usize = DIGITS_MAX / 12 * 5 + 6;

/// An `i128` always holds this many decimal digits.
const I128_DIGITS: usize = 38;

/// Appends the base64 of the unscaled value of `text` at `scale`, without quotes.
///
/// # Errors
/// When `text` is no finite decimal number, or has more digits after the point than `scale`.
pub fn write_base64(out: &mut Vec<u8>, text: &str, scale: usize) -> Result<(), ValueError> {
    let (negative, mut digits) = unscaled_digits(text, scale)?;
    if digits.len() <= I128_DIGITS {
        let mut magnitude: i128 = 0;
        for digit in &digits {
            magnitude = magnitude * 10 + i128::from(digit - b'0');
        }
        let bytes = (if negative { -magnitude } else { magnitude }).to_be_bytes();
        push_base64(out, minimal(&bytes));
    } else {
        digits.iter_mut().for_each(|digit| *digit -= b'0');
        let magnitude = BigUint::from_radix_be(&digits, 10).ok_or(BAD)?;
        let sign = if negative { Sign::Minus } else { Sign::Plus };
        push_base64(out, &BigInt::from_biguint(sign, magnitude).to_signed_bytes_be());
    }
    Ok(())
}

/// The decimal text of base64 unscaled bytes at `scale`, as PostgreSQL prints a `numeric` of that scale.
///
/// # Errors
/// When `base64` is no base64, is empty, or it or `scale` is longer than any number PostgreSQL can hold.
pub fn text_from_base64(base64: &str, scale: usize) -> Result<String, ValueError> {
    // Checked first, because an event decides how much memory is allocated here.
    if scale > SCALE_MAX || base64.len() > BYTES_MAX.div_ceil(3) * 4 {
        return Err(BAD);
    }
    let bytes = STANDARD.decode(base64).map_err(|_| BAD)?;
    if bytes.is_empty() {
        return Err(BAD);
    }
    let negative = bytes[0] & 0x80 != 0;
    let mut digits = if bytes.len() <= 16 {
        let mut wide = [if negative { 0xFF } else { 0 }; 16];
        wide[16 - bytes.len()..].copy_from_slice(&bytes);
        i128::from_be_bytes(wide).unsigned_abs().to_string().into_bytes()
    } else {
        BigInt::from_signed_bytes_be(&bytes).magnitude().to_string().into_bytes()
    };
    if digits.len() <= scale {
        let mut padded = vec![b'0'; scale + 1 - digits.len()];
        padded.append(&mut digits);
        digits = padded;
    }
    let zero = digits.iter().all(|&d| d == b'0');
    let mut text = String::with_capacity(digits.len() + 2);
    if negative && !zero {
        text.push('-');
    }
    let point = digits.len() - scale;
    text.extend(digits[..point].iter().map(|&d| char::from(d)));
    if scale > 0 {
        text.push('.');
        text.extend(digits[point..].iter().map(|&d| char::from(d)));
    }
    Ok(text)
}

/// The sign and the digits of the unscaled value, leading zeros removed.
fn unscaled_digits(text: &str, scale: usize) -> Result<(bool, Vec<u8>), ValueError> {
    let (negative, rest) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (whole, fraction): (&[u8], &[u8]) = match rest.iter().position(|&b| b == b'.') {
        Some(point) => (&rest[..point], &rest[point + 1..]),
        None => (rest, &[]),
    };
    if whole.len() + fraction.len() == 0
        || fraction.len() > scale
        || whole.len() + scale > DIGITS_MAX
        || !whole.iter().chain(fraction).all(u8::is_ascii_digit)
    {
        return Err(BAD);
    }
    let mut digits = Vec::with_capacity(whole.len() + scale);
    digits.extend(whole.iter().skip_while(|&&d| d == b'0'));
    digits.extend_from_slice(fraction);
    digits.resize(digits.len() + scale - fraction.len(), b'0');
    Ok((negative, digits))
}

/// The bytes of a number in two's complement, without the leading bytes that only repeat the sign.
fn minimal(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, second, ..] = rest {
        let redundant =
            (*first == 0 && second & 0x80 == 0) || (*first == 0xFF && second & 0x80 != 0);
        if !redundant {
            break;
        }
        rest = &rest[1..];
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(text: &str, scale: usize) -> Result<String, ValueError> {
        let mut out = Vec::new();
        write_base64(&mut out, text, scale).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn bytes_are_debeziums() {
        // 12.34 and -3.50 at scale 2, zero: as Debezium wrote them.
        for (text, base64) in
            [("12.34", "BNI="), ("-3.50", "/qI="), ("0.00", "AA=="), ("10.50", "BBo=")]
        {
            assert_eq!(encode(text, 2).unwrap(), base64);
            assert_eq!(text_from_base64(base64, 2).unwrap(), text);
        }
        assert_eq!(encode("1.28", 2).unwrap(), "AIA=");
        assert_eq!(encode("-1.28", 2).unwrap(), "gA==");
        assert_eq!(encode("5", 2).unwrap(), encode("5.00", 2).unwrap());
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        for text in ["", "-", ".", "NaN", "Infinity", "1e5", "1.234", "1..2", "é"] {
            assert_eq!(encode(text, 2), Err(BAD), "{text:?}");
        }
        for base64 in ["", "*", "AA"] {
            assert_eq!(text_from_base64(base64, 2), Err(BAD), "{base64:?}");
        }
    }

    #[test]
    fn the_longest_number_comes_back_and_a_longer_one_is_refused() {
        let longest = format!("-{}.{}", "9".repeat(DIGITS_MAX - SCALE_MAX), "9".repeat(SCALE_MAX));
        let base64 = encode(&longest, SCALE_MAX).unwrap();
        assert_eq!(text_from_base64(&base64, SCALE_MAX).unwrap(), longest);
        assert_eq!(text_from_base64("AA==", SCALE_MAX).unwrap().len(), SCALE_MAX + 2);
        for scale in [SCALE_MAX + 1, usize::MAX] {
            assert_eq!(text_from_base64("AA==", scale), Err(BAD));
            assert_eq!(text_from_base64(&base64, scale), Err(BAD));
        }
        assert_eq!(text_from_base64(&"AAAA".repeat(BYTES_MAX), 0), Err(BAD));
    }

    proptest! {
        #[test]
        fn any_number_comes_back(negative: bool, whole in "[1-9][0-9]{0,80}|0", fraction in "[0-9]{0,40}") {
            let zero = whole == "0" && fraction.bytes().all(|b| b == b'0');
            let sign = if negative && !zero { "-" } else { "" };
            let point = if fraction.is_empty() { "" } else { "." };
            let text = format!("{sign}{whole}{point}{fraction}");
            let base64 = encode(&text, fraction.len()).unwrap();
            prop_assert_eq!(text_from_base64(&base64, fraction.len()).unwrap(), text);
        }
    }
}
