//! Hash keys and hashdiffs: SHA-256 over an injective, typed canonical form.
//!
//! In: values. Out: 32 bytes that never depend on a database's locale, a session's settings or a text's spelling of a
//! number. Every part is self-delimiting, so two different inputs have two different forms:
//!
//! ```text
//! form     = version, kind, part…               a key's first part is the secret, if there is one
//! part     = 0                                  NULL
//!          | tag, u32 length (big endian), bytes
//! hashdiff = version, kind, (u32 length, column name, part)…   by name; NULL columns left out
//! ```
//!
//! A column's name is its name in the vault. A hub's key value is hashed in the type of the hub's key: a value of
//! another type is cast first (`vault/cast.rs`), so one key has one form, whatever the types of the sources' columns.
//!
//! Every value is exact. Only a hub's key column that the model folds is normalised (NFC, trimmed, upper case), so that
//! spellings by different people give one key. NFC is by the tables of the crate `unicode-normalization`, blanks and
//! upper case are by those of the toolchain in `rust-toolchain.toml`; a test holds the versions of both. A change of
//! any byte of the output needs a new [`HASH_VERSION`] and new hashes for the whole vault. Tests with fixed values
//! detect such a change. `docs/HASHING.md` specifies every form, and `migrations/0012_hashing.sql` makes the same in
//! SQL.

use std::fmt;

use sha2::{Digest, Sha256};
use shared::secret::Secret;
use unicode_normalization::UnicodeNormalization;

use super::json;
use crate::decode::Value;

/// Version of the canonical form, its first byte.
pub const HASH_VERSION: u8 = 2;

/// A hash key or hashdiff.
pub type Hash = [u8; 32];

/// Hash key of the row "unknown": an optional relationship that is not there.
pub const UNKNOWN: Hash = [0x00; 32];

/// Hash key of the row "error".
pub const ERROR: Hash = [0xFF; 32];

const KIND_HUB: u8 = 1;
const KIND_LINK: u8 = 2;
const KIND_DIFF: u8 = 3;
const KIND_FINGERPRINT: u8 = 4;

const TAG_NULL: u8 = 0;
const TAG_TEXT: u8 = 1;
const TAG_INTEGER: u8 = 2;
const TAG_NUMERIC: u8 = 3;
const TAG_TIMESTAMP: u8 = 4;
const TAG_DATE: u8 = 6;
const TAG_BOOLEAN: u8 = 7;
const TAG_JSON: u8 = 8;
const TAG_BYTES: u8 = 9;
const TAG_UUID: u8 = 10;
const TAG_DOUBLE: u8 = 11;
const TAG_TIME: u8 = 12;
const TAG_ARRAY: u8 = 13;
const TAG_POINT: u8 = 14;
const TAG_SECRET: u8 = 253;
const TAG_HASH: u8 = 254;
const TAG_SOURCE: u8 = 255;

/// Builds canonical forms in one reused buffer.
#[derive(Default)]
pub struct Hasher {
    buffer: Vec<u8>,
    secret: Option<Secret>,
}

/// Shows neither the secret nor a value.
impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").finish_non_exhaustive()
    }
}

/// What is known of a secret without the secret: it tells whether two secrets are the same one.
#[must_use]
pub fn fingerprint(secret: &Secret) -> Hash {
    let mut hasher = Hasher::default();
    hasher.begin(KIND_FINGERPRINT);
    hasher.part(TAG_SECRET, secret.expose().as_bytes());
    hasher.finish()
}

impl Hasher {
    /// A hasher whose hash keys of hubs and links nobody can make who lacks the secret.
    #[must_use]
    pub fn with_secret(secret: Option<Secret>) -> Self {
        Self { secret, ..Self::default() }
    }

    /// Begins a hub's key. `source` is the source's name when the key belongs to that source alone.
    pub fn hub(&mut self, source: Option<&str>) {
        self.begin_key(KIND_HUB);
        if let Some(source) = source {
            self.part(TAG_SOURCE, source.as_bytes());
        }
    }

    /// Begins a link's key: the hubs' hash keys first, then the dependent key values.
    pub fn link(&mut self) {
        self.begin_key(KIND_LINK);
    }

    /// Begins a hashdiff.
    pub fn diff(&mut self) {
        self.begin(KIND_DIFF);
    }

    /// Adds a hub's hash key.
    pub fn add_hash(&mut self, hash: &Hash) {
        self.part(TAG_HASH, hash);
    }

    /// Adds a value of a hub's key column that is folded.
    pub fn add_folded(&mut self, value: &Value<'_>) {
        match value {
            Value::Text(text) => self.folded(text),
            other => self.add(other),
        }
    }

    /// Adds a value exactly.
    ///
    /// # Panics
    /// On a value that is absent or unchanged. Projection and fold replace such values before.
    pub fn add(&mut self, value: &Value<'_>) {
        match value {
            Value::Null => self.buffer.push(TAG_NULL),
            Value::Int(value) => self.part(TAG_INTEGER, value.to_string().as_bytes()),
            Value::Bool(value) => self.part(TAG_BOOLEAN, &[u8::from(*value)]),
            Value::Real(value) => self.double(f64::from(*value)),
            Value::Double(value) => self.double(*value),
            Value::Numeric(text) => self.part(TAG_NUMERIC, plain_decimal(text).as_bytes()),
            Value::Text(text) => self.part(TAG_TEXT, text.as_bytes()),
            Value::Json(text) => {
                let at = self.open(TAG_JSON);
                json::canonical(text, &mut self.buffer);
                self.close(at);
            }
            Value::Date(days) => self.part(TAG_DATE, &days.to_be_bytes()),
            Value::Time(micros) => self.part(TAG_TIME, &micros.to_be_bytes()),
            Value::Timestamp(micros) => self.part(TAG_TIMESTAMP, &micros.to_be_bytes()),
            Value::Uuid(bytes) => self.part(TAG_UUID, bytes),
            Value::Bytes(bytes) => self.part(TAG_BYTES, bytes),
            Value::Point(x, y) => {
                let at = self.open(TAG_POINT);
                self.double(*x);
                self.double(*y);
                self.close(at);
            }
            Value::Array(array) => {
                let at = self.open(TAG_ARRAY);
                for dimension in &array.dimensions {
                    self.part(TAG_INTEGER, dimension.to_string().as_bytes());
                }
                // The lengths of the dimensions and the elements are told apart by an element that no array has.
                self.part(TAG_HASH, &[]);
                for element in &array.elements {
                    self.add(element);
                }
                self.close(at);
            }
            Value::Absent | Value::Unchanged => {
                unreachable!("absent and unchanged values are resolved before hashing")
            }
        }
    }

    /// Adds a satellite's column. NULL adds nothing, so a new column that is NULL everywhere changes no hashdiff.
    pub fn add_column(&mut self, name: &str, value: &Value<'_>) {
        if *value != Value::Null {
            let length = length(name.len());
            self.buffer.extend_from_slice(&length);
            self.buffer.extend_from_slice(name.as_bytes());
            self.add(value);
        }
    }

    /// The hash of what was added since the beginning.
    #[must_use]
    pub fn finish(&self) -> Hash {
        Sha256::digest(&self.buffer).into()
    }

    /// What was added, as it is hashed.
    #[cfg(test)]
    pub(super) fn form(&self) -> &[u8] {
        &self.buffer
    }

    fn begin(&mut self, kind: u8) {
        self.buffer.clear();
        self.buffer.extend_from_slice(&[HASH_VERSION, kind]);
    }

    fn begin_key(&mut self, kind: u8) {
        self.begin(kind);
        if let Some(secret) = self.secret.take() {
            self.part(TAG_SECRET, secret.expose().as_bytes());
            self.secret = Some(secret);
        }
    }

    fn part(&mut self, tag: u8, bytes: &[u8]) {
        self.buffer.push(tag);
        self.buffer.extend_from_slice(&length(bytes.len()));
        self.buffer.extend_from_slice(bytes);
    }

    fn open(&mut self, tag: u8) -> usize {
        self.buffer.push(tag);
        self.buffer.extend_from_slice(&[0; 4]);
        self.buffer.len()
    }

    fn close(&mut self, at: usize) {
        let length = length(self.buffer.len() - at);
        self.buffer[at - 4..at].copy_from_slice(&length);
    }

    fn folded(&mut self, text: &str) {
        let at = self.open(TAG_TEXT);
        if text.is_ascii() {
            self.buffer.extend(text.trim().bytes().map(|byte| byte.to_ascii_uppercase()));
        } else {
            let composed: String = text.nfc().collect();
            // Upper case can decompose a letter again (ΐ has no capital), so the text is composed a second time.
            let upper: String = composed.trim().to_uppercase().nfc().collect();
            self.buffer.extend_from_slice(upper.as_bytes());
        }
        self.close(at);
    }

    /// -0 is 0, and every NaN is one NaN: PostgreSQL compares them so.
    fn double(&mut self, value: f64) {
        let value = if value == 0.0 { 0.0 } else { value };
        let value = if value.is_nan() { f64::NAN } else { value };
        self.part(TAG_DOUBLE, &value.to_bits().to_be_bytes());
    }
}

/// One message is at most 1 GB, so a length always fits.
fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).expect("a value is shorter than 4 GiB").to_be_bytes()
}

/// Without trailing zeros behind the point, and without a signed zero.
fn plain_decimal(text: &str) -> &str {
    let trimmed =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    if trimmed == "-0" { "0" } else { trimmed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::ArrayValue;
    use proptest::prelude::*;

    fn key(values: &[Value<'_>]) -> Hash {
        let mut hasher = Hasher::default();
        hasher.hub(None);
        values.iter().for_each(|value| hasher.add(value));
        hasher.finish()
    }

    fn folded_key(value: &str) -> Hash {
        let mut hasher = Hasher::default();
        hasher.hub(None);
        hasher.add_folded(&text(value));
        hasher.finish()
    }

    fn diff(columns: &[(&str, Value<'_>)]) -> Hash {
        let mut hasher = Hasher::default();
        hasher.diff();
        columns.iter().for_each(|(name, value)| hasher.add_column(name, value));
        hasher.finish()
    }

    fn text(text: &str) -> Value<'_> {
        Value::Text(text.into())
    }

    #[track_caller]
    fn golden(hash: Hash, expected: &str) {
        assert_eq!(hex::encode(hash), expected);
    }

    /// The expected values are `sha256sum` of the forms written out by hand with `printf`.
    #[test]
    fn hash_keys_never_change() {
        golden(
            key(&[text("SVO")]), // \002\001 \001\000\000\000\003SVO
            "d33f9027002f0a0b76cb291999ac2f501222ee7af3d00fc067af61302939a335",
        );
        golden(
            key(&[Value::Int(42)]), // \002\001 \002\000\000\000\00242
            "ce462d2a18a92f3560c54d9f89d432dcdfc06633aef32ea982a31e2b8fb6b83c",
        );
        golden(
            diff(&[("city", text("Omsk"))]), // \002\003 \000\000\000\004city \001\000\000\000\004Omsk
            "c0e2ecdf3f201febe7aefedbc15b86d9503cdc79cf812c06f7817e812f84a4d1",
        );
    }

    #[test]
    fn a_key_is_exact_unless_its_column_is_folded() {
        for (one, other) in
            [(" svo\t", "SVO"), ("ёж", "ЁЖ"), ("e\u{301}", "É"), ("straße", "STRASSE")]
        {
            assert_eq!(folded_key(one), folded_key(other), "{one}");
            assert_ne!(key(&[text(one)]), key(&[text(other)]), "{one}");
        }
        assert_eq!(folded_key("SVO"), key(&[text("SVO")]));
        assert_ne!(diff(&[("a", text("x"))]), diff(&[("a", text("X"))]));
        assert_ne!(diff(&[("a", text("x"))]), diff(&[("a", text("x "))]));
    }

    #[test]
    fn a_null_column_leaves_no_trace_in_a_hashdiff() {
        let before = diff(&[("a", Value::Int(1))]);
        assert_eq!(diff(&[("a", Value::Int(1)), ("b", Value::Null)]), before);
        assert_ne!(diff(&[("a", Value::Null), ("b", Value::Int(1))]), before);
    }

    #[test]
    fn spellings_of_one_value_hash_alike() {
        let numeric = |text: &str| diff(&[("a", Value::Numeric(text.to_owned()))]);
        assert_eq!(numeric("1.50"), numeric("1.5"));
        assert_eq!(numeric("-0.00"), numeric("0"));
        assert_ne!(numeric("100"), numeric("1"));
        let double = |value: f64| diff(&[("a", Value::Double(value))]);
        assert_eq!(double(-0.0), double(0.0));
        assert_eq!(double(f64::NAN), double(-f64::NAN));
        let json = |text: &'static str| diff(&[("a", Value::Json(text.into()))]);
        assert_eq!(json(r#"{"b": 1.0, "a": [1e2]}"#), json(r#"{"a":[100],"b":1}"#));
        assert_ne!(json(r#"{"a":"1"}"#), json(r#"{"a":1}"#));
    }

    #[test]
    fn arrays_of_other_shapes_hash_otherwise() {
        let array = |dimensions: &[usize], elements: &[Value<'static>]| {
            let (dimensions, elements) = (dimensions.to_vec(), elements.to_vec());
            diff(&[("a", Value::Array(Box::new(ArrayValue { dimensions, elements })))])
        };
        let four: Vec<Value<'static>> = (1..=4).map(Value::Int).collect();
        let hashes = [
            array(&[4], &four),
            array(&[2, 2], &four),
            array(&[1, 4], &four),
            array(&[3], &four[..3]),
            array(&[4], &[Value::Int(1), Value::Int(2), Value::Int(3), Value::Null]),
            array(&[], &[]),
            diff(&[("a", Value::Int(1))]),
        ];
        for (index, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..index].contains(hash), "{index}");
        }
        assert_eq!(diff(&[("a", Value::Point(0.0, 1.0))]), diff(&[("a", Value::Point(-0.0, 1.0))]));
        assert_ne!(diff(&[("a", Value::Point(0.0, 1.0))]), diff(&[("a", Value::Point(1.0, 0.0))]));
    }

    #[test]
    fn a_secret_changes_keys_and_no_hashdiff_and_is_not_shown() {
        let mut hashers = [None, Some("one"), Some("two")]
            .map(|secret| Hasher::with_secret(secret.map(Secret::new)));
        let mut hashes = |begin: fn(&mut Hasher)| {
            let mut made = hashers.iter_mut().map(|hasher| {
                begin(hasher);
                hasher.add(&Value::Int(42));
                assert!(!format!("{hasher:?}").contains("one"));
                hasher.finish()
            });
            [made.next().unwrap(), made.next().unwrap(), made.next().unwrap()]
        };
        for begin in [|hasher: &mut Hasher| hasher.hub(None), Hasher::link] {
            let [none, one, two] = hashes(begin);
            assert!(none != one && none != two && one != two);
            assert_eq!(hashes(begin), [none, one, two], "the secret stays");
        }
        assert_eq!(hashes(|hasher| hasher.hub(None))[0], key(&[Value::Int(42)]));
        let [none, one, two] = hashes(Hasher::diff);
        assert!(none == one && none == two);
        assert_ne!(fingerprint(&Secret::new("one")), fingerprint(&Secret::new("two")));
    }

    #[test]
    fn a_scoped_key_differs_from_a_shared_one() {
        let mut hasher = Hasher::default();
        hasher.hub(Some("airline"));
        hasher.add(&Value::Int(42));
        assert_ne!(hasher.finish(), key(&[Value::Int(42)]));
    }

    proptest! {
        #[test]
        fn different_composite_keys_never_share_a_form(
            a in proptest::collection::vec("[A-Z|^]{0,4}", 1..4),
            b in proptest::collection::vec("[A-Z|^]{0,4}", 1..4),
        ) {
            let hash = |parts: &[String]| key(&parts.iter().map(|part| text(part)).collect::<Vec<_>>());
            prop_assert_eq!(a == b, hash(&a) == hash(&b));
        }
    }
}
