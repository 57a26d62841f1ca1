//! Exact numbers as the database has them: money with two digits after the point, rates with three.
//!
//! In: whole cents and thousandths. Out: their text, and taxes that are rounded once, half away from zero, as
//! PostgreSQL's `round` does it.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Neg, Sub};

/// An amount of money, `numeric(18, 2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cents(pub i64);

/// A rate or a weight, `numeric(18, 3)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Thousandths(pub i64);

impl Cents {
    /// `rate` per cent of the amount.
    #[must_use]
    pub fn percent(self, rate: Thousandths) -> Self {
        let exact = self.0 * rate.0;
        let half = if exact < 0 { -50_000 } else { 50_000 };
        Self((exact + half) / 100_000)
    }
}

impl Add for Cents {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for Cents {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sub for Cents {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Neg for Cents {
    type Output = Self;

    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl Mul<i32> for Cents {
    type Output = Self;

    fn mul(self, count: i32) -> Self {
        Self(self.0 * i64::from(count))
    }
}

impl Sum for Cents {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self(0), Add::add)
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(out, "{sign}{}.{:02}", self.0.abs() / 100, self.0.abs() % 100)
    }
}

impl fmt::Display for Thousandths {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(out, "{sign}{}.{:03}", self.0.abs() / 1000, self.0.abs() % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cents, Thousandths};

    #[test]
    fn amounts_have_all_their_digits() {
        assert_eq!(Cents(-5).to_string(), "-0.05");
        assert_eq!(Cents(123_456).to_string(), "1234.56");
        assert_eq!(Thousandths(15_000).to_string(), "15.000");
        assert_eq!(Thousandths(-7).to_string(), "-0.007");
    }

    #[test]
    fn taxes_are_rounded_half_away_from_zero() {
        let fifteen = Thousandths(15_000);
        assert_eq!(Cents(1_00).percent(fifteen), Cents(15));
        assert_eq!(Cents(30).percent(fifteen), Cents(5)); // 4.5
        assert_eq!(Cents(-30).percent(fifteen), Cents(-5));
        assert_eq!(Cents(29).percent(fifteen), Cents(4)); // 4.35
    }
}
