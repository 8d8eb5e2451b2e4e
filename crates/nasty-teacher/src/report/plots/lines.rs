//! Line plots: learning curves, sweeps.

use askama::Template;

use super::super::ReportError;
use super::super::number::brief;
use super::axes::{self, Axis, Scale};
use super::svg::{COLORS, Escaped, Px, Svg, marker};

/// Series with more points than this get no markers.
const MARKED: usize = 40;

/// Curves over a common x.
#[derive(Clone, Debug, Default)]
pub struct LinePlot {
    /// What is known of each x, e.g. `epoch`.
    pub x: Axis,
    /// What was measured, e.g. `held-out accuracy (%)`.
    pub y: Axis,
    /// The curves. Beyond eight, colours repeat with dashes.
    pub series: Vec<Series>,
}

/// One curve.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Points (x, y), joined in this order; a point that is not finite leaves a gap.
    pub points: Vec<(f64, f64)>,
    /// Whether it is drawn dashed.
    pub dashed: bool,
    /// Spread around the curve as (x, low, high), e.g. over seeds; empty for none.
    pub band: Vec<(f64, f64, f64)>,
}

#[derive(Template)]
#[template(path = "lines.html")]
struct LinesView<'a> {
    /// One drawing for wide screens, one for phones.
    drawings: [String; 2],
    legend: Vec<Key<'a>>,
}

struct Key<'a> {
    style: String,
    color: usize,
    marker: String,
    name: &'a str,
}

impl LinePlot {
    pub(crate) fn html(&self, id: &str, title: &str) -> Result<String, ReportError> {
        let legend = self.series.iter().enumerate().map(|(index, series)| Key {
            style: style(index, series),
            color: index % COLORS,
            marker: if series.marked() { marker(index, 14.0, 7.0, 7.0) } else { String::new() },
            name: &series.name,
        });
        let drawings = [
            self.svg(&format!("{id}-w"), "wide", title, 760.0, 360.0),
            self.svg(&format!("{id}-n"), "narrow", title, 350.0, 280.0),
        ];
        Ok(LinesView { drawings, legend: legend.collect() }.render()?)
    }

    /// The plot as an SVG element of `width` × `height` pixels.
    fn svg(&self, id: &str, class: &str, title: &str, width: f64, height: f64) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let bands = || self.series.iter().flat_map(|series| &series.band);
        let xs = points().map(|point| point.0).chain(bands().map(|edge| edge.0));
        let ys = points().map(|point| point.1).chain(bands().flat_map(|edge| [edge.1, edge.2]));
        let (frame, x, y) = axes::frame(
            width,
            height,
            Scale::new(&self.x, xs, 0.0),
            Scale::new(&self.y, ys, 0.05),
            &self.y.label,
        );
        let place = |px: f64, py: f64| Some((x.at(px)?, y.at(py)?));

        let mut svg = Svg::new(id, class, (width, height), title, &self.describe());
        axes::draw(&mut svg, &frame, (&x, &self.x.label), (&y, &self.y.label));
        if !points().any(|&(px, py)| place(px, py).is_some()) {
            let (x, y) = ((frame.left + frame.right) / 2.0, (frame.top + frame.bottom) / 2.0);
            svg.text("label mid", x, y, "no data");
            return svg.finish();
        }
        axes::clip(&mut svg, &frame, 6.0);
        for (index, series) in self.series.iter().enumerate() {
            let path = band_path(&series.band, |edge| Some((x.at(edge.0)?, y.at(edge.1)?, y.at(edge.2)?)));
            if !path.is_empty() {
                svg.push(format_args!("<path class=\"band s{}\" d=\"{path}\"/>", index % COLORS));
            }
        }
        for (index, series) in self.series.iter().enumerate() {
            let path = line_path(series.points.iter().map(|&(px, py)| place(px, py)));
            if path.is_empty() {
                continue;
            }
            svg.push(format_args!("<path class=\"{}\" d=\"{path}\"/>", style(index, series)));
            if series.marked() {
                for &(px, py) in &series.points {
                    let Some((left, top)) = place(px, py) else { continue };
                    let said = format!("{}: {} at {}", series.name, brief(py), brief(px));
                    let path = marker(index, left, top, 7.0);
                    let color = index % COLORS;
                    let said = Escaped(&said);
                    svg.push(format_args!(
                        "<path class=\"dot s{color}\" d=\"{path}\"><title>{said}</title></path>"
                    ));
                }
            }
        }
        svg.push(format_args!("</svg>"));
        svg.finish()
    }

    /// The plot in words.
    fn describe(&self) -> String {
        let mut words = format!("Line plot of {} over {}.", or(&self.y.label, "y"), or(&self.x.label, "x"));
        for series in &self.series {
            let finite = || series.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
            let name = or(&series.name, "unnamed");
            match (finite().next(), finite().next_back()) {
                (Some(first), Some(last)) => {
                    let (count, from, to) = (finite().count(), brief(first.1), brief(last.1));
                    words += &format!(" {name}: {count} points, from {from} to {to}.");
                }
                _ => words += &format!(" {name}: no data."),
            }
        }
        words
    }
}

impl Series {
    fn marked(&self) -> bool {
        self.points.len() <= MARKED
    }
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

fn style(index: usize, series: &Series) -> String {
    let dash = match (series.dashed, index / COLORS) {
        (true, _) => " dashed",
        (false, 0) => "",
        (false, turn) if turn % 2 == 1 => " dotted",
        _ => " dashdot",
    };
    format!("line s{}{dash}", index % COLORS)
}

/// Whether two places fall into the same half pixel of x, where more points than a few add nothing to see.
fn same_column(a: f64, b: f64) -> bool {
    (a * 2.0).floor() == (b * 2.0).floor()
}

/// A path through `points`, broken at gaps.
fn line_path(points: impl Iterator<Item = Option<(f64, f64)>>) -> String {
    let points: Vec<_> = points.collect();
    let mut path = String::new();
    for run in points.split(Option::is_none) {
        let run: Vec<(f64, f64)> = run.iter().flatten().copied().collect();
        let kept = thinned(&run);
        for (index, &(x, y)) in kept.iter().enumerate() {
            path += &format!("{}{} {}", if index == 0 { 'M' } else { 'L' }, Px(x), Px(y));
        }
        if kept.len() == 1 {
            // A lone point between gaps: round caps make a line of no length a dot.
            path += "h0";
        }
    }
    path
}

/// The points, of those in one column only the first, the lowest, the highest and the last.
fn thinned(run: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut kept = Vec::new();
    for column in run.chunk_by(|a, b| same_column(a.0, b.0)) {
        let by_height = |a: &usize, b: &usize| column[*a].1.total_cmp(&column[*b].1);
        let low = (0..column.len()).min_by(by_height).unwrap_or(0);
        let high = (0..column.len()).max_by(by_height).unwrap_or(0);
        let mut indices = [0, low, high, column.len() - 1];
        indices.sort_unstable();
        let distinct = indices.chunk_by(|a, b| a == b).map(|same| column[same[0]]);
        kept.extend(distinct);
    }
    kept
}

/// A closed shape around each unbroken run of the band, whose edges `place` brings to (x, low, high) in pixels.
fn band_path(
    band: &[(f64, f64, f64)],
    place: impl Fn(&(f64, f64, f64)) -> Option<(f64, f64, f64)>,
) -> String {
    let edges: Vec<_> = band.iter().map(place).collect();
    let mut path = String::new();
    for run in edges.split(Option::is_none) {
        let run: Vec<(f64, f64, f64)> = run.iter().flatten().copied().collect();
        let columns = run.chunk_by(|a, b| same_column(a.0, b.0)).map(|column| {
            let widest = |(x, low, high): (f64, f64, f64), edge: &(f64, f64, f64)| {
                (x, low.max(edge.1), high.min(edge.2))
            };
            column.iter().fold((column[0].0, f64::NEG_INFINITY, f64::INFINITY), widest)
        });
        let columns: Vec<_> = columns.collect();
        let there = columns.iter().map(|&(x, _, high)| (x, high));
        let back = columns.iter().rev().map(|&(x, low, _)| (x, low));
        for (index, (x, y)) in there.chain(back).enumerate() {
            path += &format!("{}{} {}", if index == 0 { 'M' } else { 'L' }, Px(x), Px(y));
        }
        if !columns.is_empty() {
            path.push('z');
        }
    }
    path
}
