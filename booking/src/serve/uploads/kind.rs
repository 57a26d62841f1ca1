//! The types of files that are taken, told by their first bytes.
//!
//! In: the beginning of a file. Out: its media type. Nothing behind the beginning is read, so a file may still be
//! broken or hold something else as well. Whoever gets it back gets it as this type, for saving, and in a sandbox.

/// A type that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MediaType {
    Jpeg,
    Png,
    Gif,
    Webp,
    Pdf,
}

impl MediaType {
    /// Bytes that tell the type.
    pub(crate) const HEAD_BYTES: usize = 12;
    /// All of them, for people.
    pub(crate) const LIST: &str = "image/jpeg, image/png, image/gif, image/webp, application/pdf";

    /// The type of a file that begins so.
    pub(crate) fn of_bytes(head: &[u8]) -> Option<Self> {
        match head {
            [0xFF, 0xD8, 0xFF, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(Self::Png),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::Webp),
            [b'%', b'P', b'D', b'F', b'-', ..] => Some(Self::Pdf),
            _ => None,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Pdf => "application/pdf",
        }
    }

    /// Whether a client's media type is this one; parameters say nothing.
    pub(crate) fn is_called(self, declared: &str) -> bool {
        let essence = declared.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_told_by_its_first_bytes_and_nothing_shorter() {
        for (head, kind) in [
            (b"\xFF\xD8\xFF\xE0".as_slice(), MediaType::Jpeg),
            (b"\x89PNG\r\n\x1A\n", MediaType::Png),
            (b"GIF87a", MediaType::Gif),
            (b"GIF89a", MediaType::Gif),
            (b"RIFF\0\0\0\0WEBP", MediaType::Webp),
            (b"%PDF-1.7", MediaType::Pdf),
        ] {
            assert_eq!(MediaType::of_bytes(head), Some(kind));
            assert!(head.len() <= MediaType::HEAD_BYTES);
            assert!(kind.is_called(&format!("{} ; charset=x", kind.as_str().to_uppercase())));
            assert!(MediaType::LIST.contains(kind.as_str()));
        }
        for head in
            [b"".as_slice(), b"RIFF\0\0\0\0WAVE", b"<svg xmlns", b"MZ", b"GIF88a", b" %PDF-"]
        {
            assert_eq!(MediaType::of_bytes(head), None);
        }
        assert!(!MediaType::Png.is_called("image/jpeg") && !MediaType::Png.is_called(""));
    }
}
