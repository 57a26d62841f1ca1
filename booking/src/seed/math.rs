//! Whole numbers from drawn fractions.
//!
//! In: a floating-point number. Out: an integer. A value out of range becomes the type's smallest or largest number.

/// The whole part.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the standard library has no checked conversion; saturating is what is wanted"
)]
pub(crate) const fn whole(value: f64) -> i64 {
    value as i64
}

/// The smallest count not below `value`, and not below one.
pub(crate) fn count_at_least(value: f64) -> u32 {
    u32::try_from(whole(value.ceil()).max(1)).unwrap_or(u32::MAX)
}
