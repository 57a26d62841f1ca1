//! `point` as `io.debezium.data.geometry.Point`: the coordinates, and the same point as well-known binary. PostGIS's
//! `geometry` and `geography` as `Geometry` and `Geography`: their extended well-known binary, and the number of their
//! reference system, which is part of it.
//!
//! Well-known binary: OpenGIS Implementation Specification for Geographic information, 06-103r4, section 8.2. Extended:
//! PostGIS manual, section 4.1.2.

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

/// The flag in the type's number that says that a reference system follows.
const HAS_SRID: u32 = 0x2000_0000;

/// Appends the structure of a geometry or geography that PostGIS printed: extended well-known binary in hex digits.
///
/// # Errors
/// When the text is no such binary.
pub fn write_geometry(out: &mut Vec<u8>, text: &[u8]) -> Result<(), ValueError> {
    const BAD: ValueError = ValueError("geometry");
    let bytes = hex::decode(text).map_err(|_| BAD)?;
    // The order of bytes, the type, and what stands after them in every geometry: a number of parts or of a system.
    let (header, _) = bytes.split_first_chunk::<9>().ok_or(BAD)?;
    let number = |bytes: [u8; 4]| match header[0] {
        0 => u32::from_be_bytes(bytes),
        _ => u32::from_le_bytes(bytes),
    };
    let [_, kind @ .., a, b, c, d] = *header;
    let srid = (number(kind) & HAS_SRID != 0).then(|| number([a, b, c, d]));
    out.extend_from_slice(b"{\"wkb\":\"");
    push_base64(out, &bytes);
    out.extend_from_slice(b"\",\"srid\":");
    match srid {
        Some(srid) => {
            // Java's `int` has a sign.
            out.extend_from_slice(itoa::Buffer::new().format(srid.cast_signed()).as_bytes());
        }
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
    Ok(())
}

/// Appends what stands for an unchanged TOASTed geometry: the placeholder's bytes, which are no geometry.
pub fn write_unavailable_geometry(out: &mut Vec<u8>, placeholder: &str) {
    out.extend_from_slice(b"{\"wkb\":\"");
    push_base64(out, placeholder.as_bytes());
    out.extend_from_slice(b"\",\"srid\":null}");
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
    fn geometries_are_debeziums() {
        for (text, expected) in [
            // POINT(1 2) without a system, POINT(1 2) of 4326, an empty collection, POINT(1 2) of 4326 in big endian.
            (
                "0101000000000000000000F03F0000000000000040",
                r#"{"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAABA","srid":null}"#,
            ),
            (
                "0101000020E6100000000000000000F03F0000000000000040",
                r#"{"wkb":"AQEAACDmEAAAAAAAAAAA8D8AAAAAAAAAQA==","srid":4326}"#,
            ),
            ("010700000000000000", r#"{"wkb":"AQcAAAAAAAAA","srid":null}"#),
            (
                "0020000001000010E63FF00000000000004000000000000000",
                r#"{"wkb":"ACAAAAEAABDmP/AAAAAAAABAAAAAAAAAAA==","srid":4326}"#,
            ),
        ] {
            let mut out = Vec::new();
            write_geometry(&mut out, text.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        for text in ["", "01", "01070000000000000", "0107000000000000", "zz0700000000000000"] {
            assert!(write_geometry(&mut Vec::new(), text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_point_is_refused() {
        for text in ["", "()", "(1)", "1,2", "(1,2", "(1,x)", "(1,2,3)"] {
            assert_eq!(parse_point(text), Err(BAD), "{text}");
        }
    }
}
