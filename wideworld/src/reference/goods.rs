//! Kinds of goods, from which stock items are made.
//!
//! Out: for each kind its name, its variants, the groups it is in, and the range of its price.

/// A kind of goods.
pub(crate) struct Goods {
    pub(crate) name: &'static str,
    pub(crate) variants: &'static [&'static str],
    /// Whether each variant comes in colours.
    pub(crate) has_colors: bool,
    /// Groups, as places in `STOCK_GROUPS`.
    pub(crate) groups: &'static [usize],
    /// Package of a unit, as a place in `PACKAGE_TYPES`.
    pub(crate) package: usize,
    pub(crate) per_outer: i32,
    pub(crate) is_chilled: bool,
    /// Cents.
    pub(crate) price: i64,
    /// Thousandths of a kilogram.
    pub(crate) weight: i64,
}

const fn goods(
    name: &'static str,
    variants: &'static [&'static str],
    groups: &'static [usize],
    (package, per_outer): (usize, i32),
    (price, weight): (i64, i64),
) -> Goods {
    let (has_colors, is_chilled) = (false, false);
    Goods { name, variants, has_colors, groups, package, per_outer, is_chilled, price, weight }
}

const fn in_colors(goods: Goods) -> Goods {
    Goods { has_colors: true, ..goods }
}

const fn chilled(goods: Goods) -> Goods {
    Goods { is_chilled: true, ..goods }
}

/// Colours of goods that come in colours, as places in `COLORS`.
pub(crate) const SOLD_IN: [usize; 4] = [2, 3, 12, 14];

const SIZES: &[&str] = &["S", "M", "L", "XL"];
const ANIMALS: &[&str] = &["Cat", "Dragon", "Fox", "Owl", "Panda", "Shark"];
const WIDTHS: &[&str] = &["18mm", "24mm", "48mm", "75mm"];
const GIFT_SIZES: &[&str] = &["Small", "Medium", "Large"];
const JOKES: &[&str] = &["Null Pointer", "Off By One", "It Compiles", "Works Here", "Rollback"];
const FLAVOURS: &[&str] = &["Caramel", "Chilli", "Mint", "Nougat", "Orange", "Sea Salt"];

/// All kinds.
pub(crate) const GOODS: [Goods; 18] = [
    in_colors(goods("Developer Mug", JOKES, &[0, 2, 5], (5, 12), (13_00, 350))),
    in_colors(goods("Slogan T-Shirt", SIZES, &[1, 5], (5, 10), (18_00, 200))),
    in_colors(goods("Hooded Top", SIZES, &[1], (5, 6), (35_00, 600))),
    in_colors(goods("Animal Slippers", SIZES, &[1, 7], (7, 8), (26_00, 400))),
    goods("Night Light", ANIMALS, &[0, 3], (5, 12), (17_50, 250)),
    goods("Plush Toy", ANIMALS, &[0, 3], (5, 10), (15_00, 300)),
    goods("Money Box", ANIMALS, &[0, 3], (5, 12), (11_25, 450)),
    in_colors(goods("Ride-On Car", &["Coupe", "Truck"], &[3], (2, 1), (23_000, 9_000))),
    goods("Battery Robot", &["Walker", "Dancer", "Digger"], &[3, 0], (2, 6), (32_00, 800)),
    goods("Memory Stick", ANIMALS, &[0, 5], (6, 20), (24_00, 50)),
    goods("Packing Tape", WIDTHS, &[4], (8, 36), (2_70, 150)),
    goods("Bubble Wrap", &["10m", "20m", "50m"], &[4], (8, 10), (24_00, 1_200)),
    goods("Shipping Carton", GIFT_SIZES, &[4], (4, 25), (1_45, 300)),
    goods("Gift Wrap", GIFT_SIZES, &[4, 0], (8, 24), (3_20, 120)),
    goods("Desk Calendar", &["Weekly", "Monthly"], &[0, 5], (5, 15), (9_90, 220)),
    goods("Puzzle Cube", &["Classic", "Mirror", "Giant"], &[0, 3], (2, 12), (12_40, 180)),
    chilled(goods("Chocolate Bar", FLAVOURS, &[0, 6], (6, 48), (4_15, 100))),
    chilled(goods("Truffle Box", FLAVOURS, &[0, 6], (2, 24), (9_55, 250))),
];

#[cfg(test)]
mod tests {
    use super::super::lists::{COLORS, PACKAGE_TYPES, STOCK_GROUPS};
    use super::{GOODS, SOLD_IN};

    #[test]
    fn goods_name_groups_packages_and_colors_that_exist() {
        for goods in GOODS {
            assert!(goods.groups.iter().all(|group| *group < STOCK_GROUPS.len()), "{}", goods.name);
            assert!(goods.package < PACKAGE_TYPES.len(), "{}", goods.name);
        }
        assert!(SOLD_IN.iter().all(|color| *color < COLORS.len()));
    }
}
