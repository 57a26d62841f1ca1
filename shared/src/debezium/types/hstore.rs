//! `hstore` as `io.debezium.data.Json`: a string that holds a JSON object of strings.
//!
//! In: PostgreSQL's text (`"a"=>"1", "b"=>NULL`). Out: the object. Its members stand in the order in which Java's
//! `HashMap` yields them, because Debezium keeps them in one: by bucket, and within a bucket in PostgreSQL's order.
//! Java orders a bucket of more than eight members in another way when the map has 64 buckets or more; such a bucket is
//! not imitated.
//!
//! Text form: PostgreSQL manual, section F.18, "hstore".

use super::ValueError;
use super::text::{write_json_string, write_json_string_for_writer};

const BAD: ValueError = ValueError("hstore");

/// Buckets of a new `HashMap`.
const BUCKETS_MIN: usize = 16;

/// A key and its value; no value is NULL.
type Pair = (String, Option<String>);

/// Appends the JSON string that holds the object.
///
/// # Errors
/// When the text is no hstore.
pub fn write_json(out: &mut Vec<u8>, text: &str) -> Result<(), ValueError> {
    write_json_string(out, &json(text)?);
    Ok(())
}

/// The object.
///
/// # Errors
/// When the text is no hstore.
pub fn json(text: &str) -> Result<String, ValueError> {
    String::from_utf8(object(pairs(text).ok_or(BAD)?)).map_err(|_| BAD)
}

/// Appends what stands for an unchanged TOASTed value: the placeholder as key and as value.
pub fn write_unavailable(out: &mut Vec<u8>, placeholder: &str) {
    let pair = (placeholder.to_owned(), Some(placeholder.to_owned()));
    write_json_string(out, &String::from_utf8_lossy(&object(vec![pair])));
}

fn object(mut pairs: Vec<Pair>) -> Vec<u8> {
    let mut buckets = BUCKETS_MIN;
    while pairs.len() > buckets / 4 * 3 {
        buckets *= 2;
    }
    pairs.sort_by_cached_key(|(key, _)| bucket(key, buckets));
    let mut json = vec![b'{'];
    for (index, (key, value)) in pairs.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        write_json_string_for_writer(&mut json, key);
        json.push(b':');
        match value {
            Some(value) => write_json_string_for_writer(&mut json, value),
            None => json.extend_from_slice(b"null"),
        }
    }
    json.push(b'}');
    json
}

/// The bucket of a key: `String.hashCode`, its upper half mixed into the lower one, as `HashMap` does.
fn bucket(key: &str, buckets: usize) -> usize {
    let hash = key
        .encode_utf16()
        .fold(0u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
    let mixed = hash ^ (hash >> 16);
    usize::try_from(mixed).unwrap_or(0) & (buckets - 1)
}

fn pairs(text: &str) -> Option<Vec<Pair>> {
    let mut pairs = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (key, after_key) = quoted(rest)?;
        let after_arrow = after_key.strip_prefix("=>")?;
        let (value, after_value) = match after_arrow.strip_prefix("NULL") {
            Some(after) => (None, after),
            None => quoted(after_arrow).map(|(value, after)| (Some(value), after))?,
        };
        pairs.push((key, value));
        rest = match after_value {
            "" => "",
            more => more.strip_prefix(", ").filter(|next| !next.is_empty())?,
        };
    }
    Some(pairs)
}

/// A string in quotation marks, and what comes after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut letters = inner.char_indices();
    while let Some((index, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &inner[index + 1..])),
            '\\' => value.push(letters.next()?.1),
            letter => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> Result<String, ValueError> {
        let mut out = Vec::new();
        write_json(&mut out, text).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn members_stand_in_the_order_of_javas_hash_map() {
        let text = r#""a"=>"1", "b"=>"2", "c"=>"", "q\""=>NULL"#;
        // As Debezium 3.6 wrote it.
        let expected = r#""{\"a\":\"1\",\"q\\\"\":null,\"b\":\"2\",\"c\":\"\"}""#;
        assert_eq!(written(text).as_deref(), Ok(expected));
        assert_eq!(written("").as_deref(), Ok("\"{}\""));
    }

    #[test]
    fn what_is_no_hstore_is_refused() {
        for text in ["a", "\"a\"", "\"a\"=>", "\"a\"=>1", "\"a\"=>\"1\",", "\"a\"=>\"1\", ", "\"a"]
        {
            assert_eq!(written(text), Err(BAD), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_pairs_come_back(pairs in proptest::collection::hash_map(".*", proptest::option::of(".*"), 0..40)) {
            let quote = |text: &String| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            let text: Vec<String> = pairs
                .iter()
                .map(|(key, value)| format!("{}=>{}", quote(key), value.as_ref().map_or("NULL".to_owned(), quote)))
                .collect();
            let outer: String = serde_json::from_str(&written(&text.join(", ")).unwrap()).unwrap();
            let inner: std::collections::HashMap<String, Option<String>> = serde_json::from_str(&outer).unwrap();
            prop_assert_eq!(inner, pairs);
        }
    }
}
