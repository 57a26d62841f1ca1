//! Certificates and keys as they are written in properties, and what kind of file a store is.
//!
//! In: the value of a property, or the first bytes of a file. Out: PEM as OpenSSL reads it, or the kind of the file.
//! Java's clients take PEM whose lines were joined by blanks, because a properties file holds a value in one line.
//! Text that stands between two blocks is dropped.

/// Base64 letters in a line of PEM.
const LINE: usize = 64;

/// What a file of certificates or keys is, by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreKind {
    Pem,
    Pkcs12,
    Jks,
}

/// The kind of a store. `None` when the content is none of them.
pub(super) fn kind(content: &[u8]) -> Option<StoreKind> {
    match content {
        [0xfe, 0xed, 0xfe, 0xed, ..] => Some(StoreKind::Jks),
        // A sequence in DER: PKCS#12 has no other beginning.
        [0x30, ..] => Some(StoreKind::Pkcs12),
        _ if std::str::from_utf8(content).is_ok_and(|text| text.contains("-----BEGIN ")) => {
            Some(StoreKind::Pem)
        }
        _ => None,
    }
}

/// One block, for example a certificate.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) label: String,
    /// The block as OpenSSL reads it.
    pub(super) text: String,
}

impl Block {
    pub(super) fn is_certificate(&self) -> bool {
        matches!(self.label.as_str(), "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE")
    }

    pub(super) fn is_key(&self) -> bool {
        self.label.ends_with("PRIVATE KEY")
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.label.starts_with("ENCRYPTED") || self.text.contains("Proc-Type")
    }
}

/// The blocks of a text in their order.
pub(super) fn blocks(text: &str) -> Vec<Block> {
    // A variable of the environment may hold the two letters \n in the place of each new line.
    let text = text.replace("\\n", "\n");
    let mut blocks = Vec::new();
    let mut rest = text.as_str();
    while let Some((label, body, after)) = next_block(rest) {
        blocks.push(Block { label: label.to_owned(), text: written(label, body) });
        rest = after;
    }
    blocks
}

/// The label and the body of the first block, and what follows it.
fn next_block(text: &str) -> Option<(&str, &str, &str)> {
    let (_, opened) = text.split_once("-----BEGIN ")?;
    let (label, opened) = opened.split_once("-----")?;
    let (body, after) = opened.split_once(&format!("-----END {label}-----"))?;
    Some((label, body, after))
}

fn written(label: &str, body: &str) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    if body.contains(':') {
        // Headers of an encrypted key in the old form. Their lines have a meaning.
        text.push_str(body.trim());
        text.push('\n');
    } else {
        let letters: Vec<char> = body.chars().filter(|letter| !letter.is_whitespace()).collect();
        for line in letters.chunks(LINE) {
            text.extend(line);
            text.push('\n');
        }
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_lines_become_lines_again() {
        let body = "QUJD".repeat(40);
        let joined = format!(
            "-----BEGIN CERTIFICATE----- {} {} -----END CERTIFICATE-----",
            &body[..80],
            &body[80..]
        );
        let found = blocks(&joined);
        assert_eq!(found.len(), 1);
        assert!(found[0].is_certificate() && !found[0].is_key());
        let lines: Vec<&str> = found[0].text.lines().collect();
        assert_eq!(lines.len(), 5);
        assert!(lines[1..4].iter().all(|line| line.len() <= LINE));
        assert_eq!(lines[1..4].concat(), body);
        let escaped =
            joined.replace(' ', "\\n").replace("BEGIN\\n", "BEGIN ").replace("END\\n", "END ");
        assert!(blocks(&escaped) == found);
    }

    #[test]
    fn keys_and_certificates_of_one_file_are_told_apart() {
        let text = "subject=x\n-----BEGIN ENCRYPTED PRIVATE KEY-----\nQQ==\n-----END ENCRYPTED PRIVATE KEY-----\n\
                    -----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n";
        let found = blocks(text);
        assert_eq!(found.len(), 2);
        assert!(found[0].is_key() && found[0].is_encrypted());
        assert!(found[1].is_certificate() && !found[1].is_encrypted());
        assert!(blocks("hunter2").is_empty());
    }

    #[test]
    fn a_store_is_known_by_its_content() {
        assert_eq!(kind(b"\xfe\xed\xfe\xed\0\0\0\x02"), Some(StoreKind::Jks));
        assert_eq!(kind(b"\x30\x82\x01"), Some(StoreKind::Pkcs12));
        assert_eq!(kind(b"Bag\n-----BEGIN CERTIFICATE-----"), Some(StoreKind::Pem));
        assert_eq!(kind(b"hello"), None);
    }
}
