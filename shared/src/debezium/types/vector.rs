//! pgvector's types: `vector` and `halfvec` as arrays of numbers (`io.debezium.data.DoubleVector` and `FloatVector`),
//! `sparsevec` as `io.debezium.data.SparseDoubleVector`: its dimensions, and the elements that are not 0 as pairs of
//! index and number.
//!
//! In: pgvector's text (`[1,2.5]`, `{1:1.5,3:2}/5`). Out: JSON, and for `sparsevec` the way back. The pairs stand in
//! the order in which Java's `HashMap` yields them, because Debezium keeps them in one. Java orders a bucket of more
//! than eight members in another way when the map has 64 buckets or more; such a bucket is not imitated.
//!
//! Text forms: <https://github.com/pgvector/pgvector#reference>.

use std::fmt::Write as _;

use super::{ValueError, double};

const BAD: ValueError = ValueError("vector");
const BAD_SPARSE: ValueError = ValueError("sparse vector");

/// The most dimensions of a sparse vector in an event: Debezium counts them by a Java `short`.
const DIMENSIONS_MAX: i64 = 32_767;

/// A bucket of a `HashMap` that gets its ninth member makes the map grow, as long as the map has fewer buckets than
/// [`BUCKETS_OF_TREES`].
const BUCKET_MEMBERS_MAX: usize = 8;
const BUCKETS_OF_TREES: usize = 64;

/// An element of a sparse vector: its index, from 1 on, and its number.
pub type Element = (i64, f64);

/// Appends a `vector` as an array of doubles.
///
/// # Errors
/// When the text is no vector.
pub fn write_doubles(out: &mut Vec<u8>, text: &str) -> Result<(), ValueError> {
    write_each(out, text, |out, element| {
        double::write_f64(out, element.parse().map_err(|_| BAD)?);
        Ok(())
    })
}

/// Appends a `halfvec` as an array of floats.
///
/// # Errors
/// When the text is no vector.
pub fn write_floats(out: &mut Vec<u8>, text: &str) -> Result<(), ValueError> {
    write_each(out, text, |out, element| {
        double::write_f32(out, element.parse().map_err(|_| BAD)?);
        Ok(())
    })
}

fn write_each(
    out: &mut Vec<u8>,
    text: &str,
    write: fn(&mut Vec<u8>, &str) -> Result<(), ValueError>,
) -> Result<(), ValueError> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).ok_or(BAD)?;
    out.push(b'[');
    for (index, element) in inner.split(',').enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, element)?;
    }
    out.push(b']');
    Ok(())
}

/// Appends a `sparsevec`.
///
/// # Errors
/// When the text is no sparse vector, or has more dimensions than an event can hold.
pub fn write_sparse(out: &mut Vec<u8>, text: &str) -> Result<(), ValueError> {
    let (dimensions, elements) = parse_sparse(text)?;
    if dimensions > DIMENSIONS_MAX {
        return Err(BAD_SPARSE);
    }
    write_elements(out, dimensions, in_javas_order(elements));
    Ok(())
}

/// Whether a sparse vector has more dimensions than an event can hold.
#[must_use]
pub fn has_too_many_dimensions(text: &[u8]) -> bool {
    let dimensions = text.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let dimensions = std::str::from_utf8(dimensions).ok().and_then(|text| text.parse().ok());
    dimensions.is_some_and(|dimensions: i64| dimensions > DIMENSIONS_MAX)
}

/// Appends what stands for an unchanged TOASTed sparse vector: as many dimensions as the placeholder has bytes, and
/// these bytes as its elements.
pub fn write_unavailable_sparse(out: &mut Vec<u8>, placeholder: &str) {
    let (dimensions, elements) = unavailable(placeholder);
    write_elements(out, dimensions, elements);
}

/// Whether these are the elements that stand for an unchanged sparse vector.
#[must_use]
pub fn is_unavailable_sparse(dimensions: i64, elements: &[Element], placeholder: &str) -> bool {
    unavailable(placeholder) == (dimensions, elements.to_vec())
}

fn unavailable(placeholder: &str) -> (i64, Vec<Element>) {
    let elements: Vec<Element> =
        (1..).zip(placeholder.bytes()).map(|(index, byte)| (index, f64::from(byte))).collect();
    (i64::try_from(placeholder.len()).unwrap_or(DIMENSIONS_MAX), elements)
}

/// The text of a sparse vector, from its elements in any order.
#[must_use]
pub fn sparse_text(dimensions: i64, mut elements: Vec<Element>) -> String {
    elements.sort_by_key(|(index, _)| *index);
    let mut text = String::from("{");
    for (at, (index, number)) in elements.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let _ = write!(text, "{comma}{index}:{number}");
    }
    let _ = write!(text, "}}/{dimensions}");
    text
}

fn write_elements(out: &mut Vec<u8>, dimensions: i64, elements: Vec<Element>) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(b"{\"dimensions\":");
    out.extend_from_slice(digits.format(dimensions).as_bytes());
    out.extend_from_slice(b",\"vector\":[");
    for (at, (index, number)) in elements.into_iter().enumerate() {
        out.extend_from_slice(if at > 0 { b",[" } else { b"[" });
        out.extend_from_slice(digits.format(index).as_bytes());
        out.push(b',');
        double::write_f64(out, number);
        out.push(b']');
    }
    out.extend_from_slice(b"]}");
}

/// The dimensions and the elements of a `sparsevec`.
///
/// # Errors
/// When the text is no sparse vector.
pub fn parse_sparse(text: &str) -> Result<(i64, Vec<Element>), ValueError> {
    let (elements, dimensions) = text.rsplit_once('/').ok_or(BAD_SPARSE)?;
    let dimensions = dimensions.parse().map_err(|_| BAD_SPARSE)?;
    let inner = elements.strip_prefix('{').and_then(|inner| inner.strip_suffix('}'));
    let inner = inner.ok_or(BAD_SPARSE)?;
    if inner.is_empty() {
        return Ok((dimensions, Vec::new()));
    }
    let element = |element: &str| {
        let (index, number) = element.split_once(':')?;
        Some((index.parse().ok()?, number.parse().ok()?))
    };
    let elements: Option<Vec<Element>> = inner.split(',').map(element).collect();
    Ok((dimensions, elements.ok_or(BAD_SPARSE)?))
}

/// The elements by bucket, and within a bucket in pgvector's order.
fn in_javas_order(mut elements: Vec<Element>) -> Vec<Element> {
    let buckets = buckets(&elements);
    elements.sort_by_key(|(index, _)| bucket(*index, buckets));
    elements
}

/// A `Short` is its own hash code.
fn bucket(index: i64, buckets: usize) -> usize {
    usize::try_from(index).unwrap_or(0) & (buckets - 1)
}

/// How many buckets a `HashMap` has that was made for so many elements and got them one by one.
fn buckets(elements: &[Element]) -> usize {
    let mut buckets = elements.len().next_power_of_two();
    let mut members = vec![0usize; buckets];
    for (at, (index, _)) in elements.iter().enumerate() {
        let full = std::mem::replace(&mut members[bucket(*index, buckets)], 0);
        members[bucket(*index, buckets)] = full + 1;
        let grows_by_bucket = full >= BUCKET_MEMBERS_MAX && buckets < BUCKETS_OF_TREES;
        let grows_by_size = |buckets: usize| at + 1 > buckets / 4 * 3 + buckets % 4 * 3 / 4;
        for grows in [grows_by_bucket, grows_by_size(buckets << usize::from(grows_by_bucket))] {
            if grows {
                buckets *= 2;
                members = vec![0; buckets];
                for (index, _) in &elements[..=at] {
                    members[bucket(*index, buckets)] += 1;
                }
            }
        }
    }
    buckets
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Write = fn(&mut Vec<u8>, &str) -> Result<(), ValueError>;

    fn written(write: Write, text: &str) -> Result<String, ValueError> {
        let mut out = Vec::new();
        write(&mut out, text).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn vectors_are_arrays_of_numbers() {
        assert_eq!(
            written(write_doubles, "[1,-2.5,1e+10,0.1]").as_deref(),
            Ok("[1.0,-2.5,1.0E10,0.1]")
        );
        assert_eq!(written(write_floats, "[0.099975586]").as_deref(), Ok("[0.099975586]"));
    }

    #[test]
    fn a_sparse_vector_is_its_dimensions_and_pairs() {
        for (text, expected) in [
            ("{}/3", r#"{"dimensions":3,"vector":[]}"#),
            ("{1:1.5,3:-2}/5", r#"{"dimensions":5,"vector":[[1,1.5],[3,-2.0]]}"#),
            // Two elements in four buckets.
            ("{3:1,4:2}/5", r#"{"dimensions":5,"vector":[[4,2.0],[3,1.0]]}"#),
        ] {
            assert_eq!(written(write_sparse, text).as_deref(), Ok(expected), "{text}");
        }
        assert!(has_too_many_dimensions(b"{}/32768") && !has_too_many_dimensions(b"{}/32767"));
    }

    #[test]
    fn a_map_grows_with_its_size_and_with_a_bucket() {
        let count = |indexes: &[i64]| {
            buckets(&indexes.iter().map(|index| (*index, 1.0)).collect::<Vec<_>>())
        };
        assert_eq!(count(&[1]), 2);
        assert_eq!(count(&[1, 2, 3]), 4);
        assert_eq!(count(&[1, 2, 3, 4]), 8);
        let multiples: Vec<i64> = (1..=20).map(|n| n * 16).collect();
        assert_eq!(count(&multiples), 64);
    }

    #[test]
    fn what_is_no_vector_is_refused() {
        for text in ["", "[", "1,2", "[1,]", "[]", "[a]", "{1:2}"] {
            assert_eq!(written(write_doubles, text), Err(BAD), "{text}");
        }
        for text in ["", "{}", "{1}/2", "{1:a}/2", "1:2/2", "{1:2}/x", "{1:2}/40000"] {
            assert_eq!(written(write_sparse, text), Err(BAD_SPARSE), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_sparse_vector_comes_back(
            elements in proptest::collection::btree_map(1..=DIMENSIONS_MAX, -1e6..1e6f64, 0..60),
        ) {
            let elements: Vec<Element> = elements.into_iter().collect();
            let text = sparse_text(DIMENSIONS_MAX, elements.clone());
            let json: serde_json::Value = serde_json::from_str(&written(write_sparse, &text).unwrap()).unwrap();
            let mut pairs: Vec<Element> = serde_json::from_value(json["vector"].clone()).unwrap();
            pairs.sort_by_key(|(index, _)| *index);
            prop_assert_eq!(pairs, elements);
        }
    }
}
