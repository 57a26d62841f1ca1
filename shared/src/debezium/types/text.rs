//! Strings in JSON, escaped as Jackson (the writer inside Kafka Connect's converter) escapes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const HEX: [u8; 16] = *b"0123456789ABCDEF";

/// Appends `text` as a JSON string with its quotes.
///
/// The quotation mark, the backslash and the control characters are escaped, and a character beyond U+FFFF is its two
/// surrogates, each escaped; everything else is written as it is, the slash and other characters beyond ASCII included.
/// Control characters without a short form are `\u00XX`. Hexadecimal digits are upper case.
pub fn write_json_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    write_json_fragment(out, text.as_bytes(), 0xF0);
    out.push(b'"');
}

/// Appends `text` as a JSON string inside a JSON string: Jackson's generator of characters, which Debezium uses there,
/// leaves characters beyond U+FFFF as they are.
pub fn write_json_string_for_writer(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    write_json_fragment(out, text.as_bytes(), u8::MAX);
    out.push(b'"');
}

/// Appends the escaped bytes of a UTF-8 string without quotes. Bytes from `surrogates_from` on begin a character that
/// is written as two surrogates; no byte of UTF-8 is 255.
fn write_json_fragment(out: &mut Vec<u8>, bytes: &[u8], surrogates_from: u8) {
    let mut clean_from = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if (0x20..surrogates_from).contains(&byte) && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[clean_from..index]);
        if byte >= surrogates_from {
            clean_from = (index + 4).min(bytes.len());
            write_surrogates(out, &bytes[index..clean_from]);
            continue;
        }
        clean_from = index + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0C => out.extend_from_slice(b"\\f"),
            control => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(control >> 4)]);
                out.push(HEX[usize::from(control & 0x0F)]);
            }
        }
    }
    out.extend_from_slice(&bytes[clean_from..]);
}

/// Appends a character of four bytes as Jackson's UTF-8 generator does unless it is told to combine surrogates.
fn write_surrogates(out: &mut Vec<u8>, character: &[u8]) {
    let text = std::str::from_utf8(character).unwrap_or("\u{FFFD}");
    for unit in text.encode_utf16() {
        out.extend_from_slice(b"\\u");
        for shift in [12, 8, 4, 0] {
            out.push(HEX[usize::from(unit >> shift & 0x0F)]);
        }
    }
}

/// Appends bytes in base64, as Kafka Connect's JSON converter writes them, without quotes.
pub fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut out = Vec::new();
        write_json_string(&mut out, text);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn escapes_are_jacksons() {
        check("", r#""""#);
        check("a/b é 漢 \u{2028}", "\"a/b é 漢 \u{2028}\"");
        check("x😀y🛫", r#""x\uD83D\uDE00y\uD83D\uDEEB""#);
        check("q\" b\\ n\n r\r t\t b\u{8} f\u{c}", r#""q\" b\\ n\n r\r t\t b\b f\f""#);
        check("\u{1}\u{1f}\u{7f}", "\"\\u0001\\u001F\u{7f}\"");
    }

    proptest! {
        #[test]
        fn any_string_survives_a_json_parser(text in ".*") {
            let mut out = Vec::new();
            write_json_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
