//! What does not change: places, names, goods and the short lists.

pub(crate) mod goods;
pub(crate) mod lists;
pub(crate) mod names;
pub(crate) mod places;
