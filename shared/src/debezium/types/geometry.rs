//! `point` as `io.debezium.data.geometry.Point`: the coordinates, and the same point as well-known binary.
//!
//! Well-known binary: OpenGIS Implementation Specification for Geographic information, 06-103r4, section 8.2.

use super::text::push_base64;
use super::{ValueError, double};

const BAD: ValueError = ValueError("point");

/// Appends the structure of a point that PostgreSQL printed as `(x,y)`.
///
/// # Errors
/// When the text is no point.
pub fn write_point(out: &mut Vec<u8>, text: &str) -> Result<(), ValueError> {
    let (x, y) = parse_point(text)?;
    out.extend_from_slice(b"{\"x\":");
    double::write_f64(out, x);
    out.extend_from_slice(b",\"y\":");
    double::write_f64(out, y);
    out.extend_from_slice(b",\"wkb\":\"");
    // Little-endian, type 1 (point), the two coordinates.
    let mut wkb = vec![1, 1, 0, 0, 0];
    wkb.extend_from_slice(&x.to_le_bytes());
    wkb.extend_from_slice(&y.to_le_bytes());
    push_base64(out, &wkb);
    out.extend_from_slice(b"\",\"srid\":null}");
    Ok(())
}

/// The coordinates of a point in PostgreSQL's text.
///
/// # Errors
/// When the text is no point.
pub fn parse_point(text: &str) -> Result<(f64, f64), ValueError> {
    let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).ok_or(BAD)?;
    let (x, y) = inner.split_once(',').ok_or(BAD)?;
    // PostgreSQL prints `NaN`, `Infinity` and `-Infinity` as Rust reads them. Every NaN has one form, as in Java.
    let number = |text: &str| match text.parse::<f64>() {
        Ok(number) if number.is_nan() => Ok(f64::from_bits(0x7FF8_0000_0000_0000)),
        Ok(number) => Ok(number),
        Err(_) => Err(BAD),
    };
    Ok((number(x)?, number(y)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_debeziums() {
        for (text, expected) in [
            ("(1.5,-2)", r#"{"x":1.5,"y":-2.0,"wkb":"AQEAAAAAAAAAAAD4PwAAAAAAAADA","srid":null}"#),
            (
                "(NaN,Infinity)",
                r#"{"x":"NaN","y":"Infinity","wkb":"AQEAAAAAAAAAAAD4fwAAAAAAAPB/","srid":null}"#,
            ),
        ] {
            let mut out = Vec::new();
            write_point(&mut out, text).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_point_is_refused() {
        for text in ["", "()", "(1)", "1,2", "(1,2", "(1,x)", "(1,2,3)"] {
            assert_eq!(parse_point(text), Err(BAD), "{text}");
        }
    }
}
