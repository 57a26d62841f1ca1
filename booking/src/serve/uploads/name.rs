//! Names of files: what a client calls one, and what a browser saves it as.
//!
//! In: a name as it came. Out: a name without folders and control characters, and the header with which it is given
//! back. Pure. A name is a text that is shown; the path in the store has nothing of it.

/// Characters of a name at most: what the column holds.
const NAME_CHARS_MAX: usize = 255;
/// What a file is called that has no name.
const NAMELESS: &str = "file";

/// The last part of what may be a path of any system.
pub(super) fn of_client(text: &str) -> String {
    let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last.chars().filter(|char| !is_hidden(*char)).take(NAME_CHARS_MAX).collect();
    let kept = kept.trim();
    if matches!(kept, "" | "." | "..") { NAMELESS.to_owned() } else { kept.to_owned() }
}

/// Characters that show nothing, or that turn the direction of what follows: they make a name look like another one.
fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

/// The header `Content-Disposition`: a file to be saved. Clients that know RFC 6266 read the second name.
pub(crate) fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|char| {
            let is_safe = char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_' | ' ');
            if is_safe { char } else { '_' }
        })
        .collect();
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_folder_and_no_hidden_character_is_left_of_a_name() {
        for (came, kept) in [
            ("cat.png", "cat.png"),
            ("../../etc/passwd", "passwd"),
            (r"C:\Users\ann\cat.png", "cat.png"),
            ("a/..", NAMELESS),
            ("", NAMELESS),
            ("\0\r\n", NAMELESS),
            ("pass\u{202E}gnp.exe", "passgnp.exe"),
            ("Кот и пёс.pdf", "Кот и пёс.pdf"),
        ] {
            assert_eq!(of_client(came), kept, "{came:?}");
        }
        assert_eq!(of_client(&"й".repeat(300)).chars().count(), 255);
    }

    #[test]
    fn a_name_cannot_end_its_header() {
        let header = disposition("a\"; x=\r\n.кот");
        let expected = "attachment; filename=\"a__ x___.___\"; filename*=UTF-8''a%22%3B%20x%3D%0D%0A.%D0%BA%D0%BE%D1%82";
        assert_eq!(header, expected);
    }
}
