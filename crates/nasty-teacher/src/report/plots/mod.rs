//! Plots as SVG, one file per kind; shared code is in `axes` and `svg`.
//!
//! Colours are CSS classes (`s0` … `s7` for roles, `k0` … `k11` for classes of images) that the page's style sheet
//! defines for light and dark. Series are never distinguished by colour alone: lines differ in marker and dash, points
//! in shape.

pub(super) mod axes;
pub(super) mod bars;
pub(super) mod images;
pub(super) mod lines;
pub(super) mod responses;
pub(super) mod scatter;
pub(super) mod sheet;
mod svg;

/// A line of comma-separated values.
fn csv_line(fields: &[&str]) -> String {
    let field = |text: &&str| match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => (*text).to_owned(),
    };
    fields.iter().map(field).collect::<Vec<_>>().join(",") + "\n"
}
