//! Whole numbers from drawn fractions.
//!
//! A floating-point number comes in, an integer goes out; values out of range stop at the type's ends.

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
