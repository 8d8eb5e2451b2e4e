//! Plots as SVG, one file a kind; what they share is in `axes` and `svg`.
//!
//! Colours are classes (`s0` … `s7`) that the page's style sheet sets for light and dark. No plot tells series apart
//! by colour alone: lines differ in marker and dash, points in shape.

pub(super) mod axes;
pub(super) mod bars;
pub(super) mod lines;
pub(super) mod responses;
pub(super) mod scatter;
mod svg;
