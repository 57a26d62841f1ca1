//! `${env:NAME}` and `${file:/path:key}`, as Kafka Connect's configuration providers resolve them.
//!
//! In: a property's text. Out: the text to use. What a variable holds never appears in an error.

use std::path::Path;

/// Where variables come from.
pub trait Variables {
    /// The value of an environment variable, if it is set.
    fn environment(&self, name: &str) -> Option<String>;

    /// The text of a file in Java's properties form.
    ///
    /// # Errors
    /// When it cannot be read.
    fn file(&self, path: &Path) -> std::io::Result<String>;
}

/// The variables of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessVariables;

impl Variables for ProcessVariables {
    fn environment(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &Path) -> std::io::Result<String> {
        std::fs::read_to_string(path)
    }
}

/// Whether a value is one reference and nothing else. Such a value can be shown as written, because it shows no secret.
pub(super) fn is_reference(value: &str) -> bool {
    value
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|inner| inner.contains(':') && !inner.contains(['{', '}']))
}

/// The value with every reference replaced. An error says what is missing. The caller adds the property's name.
///
/// A `${…}` without a colon is no reference, as in Kafka Connect.
pub(crate) fn resolve(value: &str, variables: &dyn Variables) -> Result<String, String> {
    let mut resolved = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find("${") {
        let (before, opened) = rest.split_at(start);
        resolved.push_str(before);
        let Some(end) = opened.find('}') else {
            rest = opened;
            break;
        };
        match opened[2..end].split_once(':') {
            Some((provider, path)) => resolved.push_str(&provided(provider, path, variables)?),
            None => resolved.push_str(&opened[..=end]),
        }
        rest = &opened[end + 1..];
    }
    resolved.push_str(rest);
    Ok(resolved)
}

fn provided(provider: &str, path: &str, variables: &dyn Variables) -> Result<String, String> {
    match provider {
        "env" => variables
            .environment(path)
            .ok_or_else(|| format!("environment variable {path} is not set")),
        "file" => {
            let (file, key) = path
                .rsplit_once(':')
                .ok_or_else(|| "a file reference is written ${file:/path:key}".to_owned())?;
            let text = variables
                .file(Path::new(file))
                .map_err(|error| format!("cannot read {file}: {error}"))?;
            java_property(&text, key).ok_or_else(|| format!("{file} has no key {key:?}"))
        }
        other => Err(format!("no configuration provider {other:?}, there are env and file")),
    }
}

/// The value of a key in a Java properties file. When the key stands there several times, the last one counts, as in
/// Java.
fn java_property(text: &str, wanted: &str) -> Option<String> {
    let mut found = None;
    let mut lines = text.lines();
    while let Some(first) = lines.next() {
        let mut line = first.trim_start().to_owned();
        if line.starts_with(['#', '!']) {
            continue;
        }
        // An odd number of backslashes at the end continues the line.
        while line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1 {
            line.pop();
            line.push_str(lines.next().unwrap_or_default().trim_start());
        }
        let (key, value) = split_property(&line);
        if unescape(key) == wanted {
            found = Some(unescape(value));
        }
    }
    found
}

/// Splits at the first `=`, `:` or blank that no backslash precedes.
fn split_property(line: &str) -> (&str, &str) {
    let mut escaped = false;
    for (index, letter) in line.char_indices() {
        if !escaped && (matches!(letter, '=' | ':') || letter.is_ascii_whitespace()) {
            let rest = line[index..].trim_start();
            let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
            return (&line[..index], value.trim_start());
        }
        escaped = !escaped && letter == '\\';
    }
    (line, "")
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => {
                let code: String = letters.by_ref().take(4).collect();
                let point = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
                plain.push(point.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Variables for Fixed {
        fn environment(&self, name: &str) -> Option<String> {
            (name == "HOST").then(|| "db".to_owned())
        }

        fn file(&self, path: &Path) -> std::io::Result<String> {
            if path != Path::new("/etc/a.properties") {
                return Err(std::io::ErrorKind::NotFound.into());
            }
            Ok("# comment\nuser = reader\npass\\:word: a\\=b\\u0041\nlong=one \\\n   two\nuser=last\n"
                .to_owned())
        }
    }

    #[track_caller]
    fn check(value: &str, expected: Result<&str, &str>) {
        let resolved = resolve(value, &Fixed);
        assert_eq!(resolved.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn references_are_replaced_and_the_rest_is_kept() {
        check("plain", Ok("plain"));
        check("a ${env:HOST}.b ${env:HOST}", Ok("a db.b db"));
        check("${file:/etc/a.properties:user}", Ok("last"));
        check("${file:/etc/a.properties:long}", Ok("one two"));
        check("${routedByValue} ${unclosed", Ok("${routedByValue} ${unclosed"));
    }

    #[test]
    fn what_is_missing_is_named() {
        check("${env:PORT}", Err("environment variable PORT is not set"));
        check("${vault:a}", Err("no configuration provider \"vault\", there are env and file"));
        check("${file:/etc/a.properties:none}", Err("/etc/a.properties has no key \"none\""));
        check("${file:x}", Err("a file reference is written ${file:/path:key}"));
        assert!(resolve("${file:/none:a}", &Fixed).is_err_and(|line| line.contains("/none")));
    }

    #[test]
    fn escapes_in_properties_files_are_java_s() {
        let text = Fixed.file(Path::new("/etc/a.properties")).unwrap();
        assert_eq!(java_property(&text, "pass:word").as_deref(), Some("a=bA"));
    }

    #[test]
    fn only_a_whole_reference_may_be_shown() {
        assert!(is_reference("${env:PASSWORD}"));
        assert!(!is_reference("x${env:PASSWORD}"));
        assert!(!is_reference("hunter2"));
        assert!(!is_reference("${env:A}hunter2${env:B}"));
    }
}
