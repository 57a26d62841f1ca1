//! Positions in a PostgreSQL server's write-ahead log.

use std::fmt;
use std::str::FromStr;

/// A byte position in the write-ahead log (log sequence number).
///
/// As text it has PostgreSQL's form `X/X` (two hexadecimal halves). On the wire and in Debezium's events it is a plain
/// integer. Manual: <https://www.postgresql.org/docs/current/datatype-pg-lsn.html>.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The position that no record has; PostgreSQL's `InvalidXLogRecPtr`.
    pub const INVALID: Self = Self(0);

    /// How many bytes `self` lies behind `other`; 0 when it does not.
    #[must_use]
    pub fn bytes_behind(self, other: Self) -> u64 {
        other.0.saturating_sub(self.0)
    }

    /// The position as the signed integer that JSON and `bigint` columns carry.
    ///
    /// PostgreSQL's own positions stay far below 2^63: the WAL would have to be eight exabytes long.
    #[must_use]
    pub fn as_i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a WAL position of the form X/X")]
pub struct ParseLsnError;

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (high, low) = text.split_once('/').ok_or(ParseLsnError)?;
        let half = |digits: &str| {
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(ParseLsnError);
            }
            u32::from_str_radix(digits, 16).map_err(|_| ParseLsnError)
        };
        Ok(Self(u64::from(half(high)?) << 32 | u64::from(half(low)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_postgresqls() {
        let lsn = Lsn(0x0000_0016_B374_D848);
        assert_eq!(lsn.to_string(), "16/B374D848");
        assert_eq!("16/B374D848".parse(), Ok(lsn));
        assert_eq!("0/0".parse(), Ok(Lsn::INVALID));
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in ["", "/", "1", "1/", "/1", "1/G", "+1/1", "1/123456789", "1/1/1"] {
            assert_eq!(text.parse::<Lsn>(), Err(ParseLsnError), "{text:?}");
        }
    }

    #[test]
    fn distance_never_wraps() {
        assert_eq!(Lsn(10).bytes_behind(Lsn(25)), 15);
        assert_eq!(Lsn(25).bytes_behind(Lsn(10)), 0);
    }
}
