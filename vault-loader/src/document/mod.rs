//! The documentation of a model: a page of Markdown and a picture of its tables.
//!
//! In: a compiled model. Out: texts, the same bytes for the same model. `figure` says what stands in each box of the
//! picture, `order` decides which box stands above which, `layout` gives the boxes their places, `wires` leads the
//! lines between hubs and links, and `svg` writes. All of it is pure.

mod figure;
mod layout;
mod markdown;
mod order;
mod svg;
#[cfg(test)]
mod tests;
mod wires;

use crate::model::Plan;

/// Name of the page's file.
pub const PAGE: &str = "DWH_SCHEMA.md";

/// Name of the picture's file; the page refers to it.
pub const PICTURE: &str = "dwh_schema.svg";

/// The page about a model, as Markdown.
#[must_use]
pub fn page(plan: &Plan) -> String {
    markdown::write(plan)
}

/// The picture of a model's tables, as SVG.
#[must_use]
pub fn picture(plan: &Plan) -> String {
    let figure = figure::of(plan);
    svg::write(&figure, &layout::place(&figure))
}
