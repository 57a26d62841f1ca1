//! Floating-point numbers as Java prints them.
//!
//! Java's `Double.toString`: plain digits from 10^-3 up to below 10^7, else computerised scientific notation with at
//! least one digit after the point (`1.0E10`). The digits are the shortest that read back to the same number. Java
//! prints them since release 19 (JDK-4511638), and earlier releases sometimes print one digit more. Java prints at
//! least two digits. One digit would tell the smallest subnormals apart. For these Java prints the nearest number with
//! two digits (`4.9E-324`).

/// Appends a double as a JSON value; not-a-number and the infinities are strings, as Jackson writes them.
pub fn write_f64(out: &mut Vec<u8>, value: f64) {
    write(out, value, value.is_subnormal());
}

/// Appends a float as a JSON value, with the digits of a float.
pub fn write_f32(out: &mut Vec<u8>, value: f32) {
    write(out, value, value.is_subnormal());
}

fn write<F: ryu::Float + Into<f64> + std::fmt::LowerExp>(
    out: &mut Vec<u8>,
    value: F,
    is_subnormal: bool,
) {
    let wide: f64 = value.into();
    if !wide.is_finite() {
        out.extend_from_slice(not_finite(wide.is_nan(), wide.is_sign_negative()));
        return;
    }
    let mut buffer = ryu::Buffer::new();
    let shortest = buffer.format_finite(value);
    if is_subnormal && has_one_digit(shortest) {
        write_finite(out, &format!("{value:.1e}"));
    } else {
        write_finite(out, shortest);
    }
}

/// Whether ryu printed `5e-324` and not `1.5e-323`.
fn has_one_digit(shortest: &str) -> bool {
    shortest.split('e').next().is_some_and(|digits| !digits.contains('.'))
}

fn not_finite(nan: bool, negative: bool) -> &'static [u8] {
    match (nan, negative) {
        (true, _) => b"\"NaN\"",
        (false, false) => b"\"Infinity\"",
        (false, true) => b"\"-Infinity\"",
    }
}

/// Rearranges ryu's digits into Java's notation.
fn write_finite(out: &mut Vec<u8>, shortest: &str) {
    let (negative, text) = match shortest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, shortest),
    };
    let (mantissa, exponent) = match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().unwrap_or(0)),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    // The number is 0.DIGITS times ten to the `point`.
    let mut point = i32::try_from(whole.len()).unwrap_or(0) + exponent;
    let leading = digits.iter().take_while(|&&d| d == b'0').count();
    digits.drain(..leading);
    point -= i32::try_from(leading).unwrap_or(0);
    while digits.last() == Some(&b'0') {
        digits.pop();
    }
    if negative {
        out.push(b'-');
    }
    if digits.is_empty() {
        out.extend_from_slice(b"0.0");
        return;
    }
    write_digits(out, &digits, point);
}

fn write_digits(out: &mut Vec<u8>, digits: &[u8], point: i32) {
    match usize::try_from(point) {
        // 1 <= value < 10^7
        Ok(point @ 1..=7) => {
            let whole = point.min(digits.len());
            out.extend_from_slice(&digits[..whole]);
            out.resize(out.len() + point - whole, b'0');
            out.push(b'.');
            push_or_zero(out, &digits[whole..]);
        }
        // 10^-3 <= value < 1
        _ if (-2..=0).contains(&point) => {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + usize::try_from(-point).unwrap_or(0), b'0');
            out.extend_from_slice(digits);
        }
        _ => {
            out.push(digits[0]);
            out.push(b'.');
            push_or_zero(out, &digits[1..]);
            out.push(b'E');
            out.extend_from_slice(itoa::Buffer::new().format(point - 1).as_bytes());
        }
    }
}

fn push_or_zero(out: &mut Vec<u8>, digits: &[u8]) {
    out.extend_from_slice(if digits.is_empty() { b"0" } else { digits });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn java(value: f64) -> String {
        let mut out = Vec::new();
        write_f64(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn notation_is_javas() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (100.0, "100.0"),
            (9_999_999.0, "9999999.0"),
            (10_000_000.0, "1.0E7"),
            (12_345_678.9, "1.23456789E7"),
            (0.001, "0.001"),
            (0.000_999, "9.99E-4"),
            (1.0e-7, "1.0E-7"),
            (1.0e10, "1.0E10"),
            (f64::MAX, "1.7976931348623157E308"),
            (129.770_004_272_460_94, "129.77000427246094"),
            (5e-324, "4.9E-324"),
            (-1e-323, "-9.9E-324"),
            (1.5e-323, "1.5E-323"),
            (2e-323, "2.0E-323"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            assert_eq!(java(value), expected);
        }
        let mut out = Vec::new();
        write_f32(&mut out, 0.1);
        assert_eq!(out, b"0.1");
        out.clear();
        write_f32(&mut out, 1e-45);
        assert_eq!(out, b"1.4E-45");
    }

    proptest! {
        #[test]
        fn any_double_reads_back_to_itself(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
            prop_assert_eq!(java(value).parse::<f64>().unwrap().to_bits(), value.to_bits());
        }
    }
}
