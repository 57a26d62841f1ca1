//! The digest of a set of rows: the sum of the SHA-256 of each row, modulo 2^256. Pure.
//!
//! In: the bytes of rows, in any order. Out: 32 bytes. A sum does not depend on the order of its terms, and each row
//! counts as often as it stands there. Whoever chooses rows on purpose could find two sets with one sum; faults and
//! edits do not.

use sha2::{Digest as _, Sha256};

/// A sum of hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    /// the least significant part first
    parts: [u64; 4],
    /// how many rows were added
    pub(super) rows: u64,
}

impl Sum {
    /// Adds a row.
    pub(super) fn add(&mut self, row: &[u8]) {
        let hash: [u8; 32] = Sha256::digest(row).into();
        let mut carry = false;
        for (part, bytes) in self.parts.iter_mut().zip(hash.rchunks_exact(8)) {
            let mut term = [0; 8];
            term.copy_from_slice(bytes);
            let (sum, over) = part.overflowing_add(u64::from_be_bytes(term));
            let (sum, over_again) = sum.overflowing_add(u64::from(carry));
            (*part, carry) = (sum, over || over_again);
        }
        self.rows += 1;
    }

    /// The sum in hexadecimal digits.
    pub(super) fn hex(&self) -> String {
        self.parts.iter().rev().map(|part| format!("{part:016x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[&[u8]]) -> Sum {
        let mut sum = Sum::default();
        rows.iter().for_each(|row| sum.add(row));
        sum
    }

    #[test]
    fn one_row_has_its_own_hash() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sum(&[b""]).hex(), empty);
        assert_eq!(sum(&[]).hex(), "0".repeat(64));
    }

    #[test]
    fn the_sum_carries_beyond_each_part() {
        // 256 times a number is the number moved by two hexadecimal digits, modulo 2^256.
        let sum = sum(&[b"".as_slice(); 256]);
        assert_eq!(sum.hex(), "b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85500");
        assert_eq!(sum.rows, 256);
    }

    #[test]
    fn order_does_not_count_and_number_does() {
        assert_eq!(sum(&[b"a", b"b", b"c"]), sum(&[b"c", b"a", b"b"]));
        assert_ne!(sum(&[b"a", b"b"]).hex(), sum(&[b"a", b"b", b"b"]).hex());
        assert_ne!(sum(&[b"a", b"b"]).hex(), sum(&[b"ab"]).hex());
    }
}
