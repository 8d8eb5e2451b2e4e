//! Line plots: learning curves, sweeps.

use askama::Template;

use super::super::ReportError;
use super::super::number::brief;
use super::axes::{self, Axis, Scale};
use super::sheet::{Key, Panel, Sheet};
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
    /// Curves in small plots of their own, side by side with common axes; in place of `series` if there are any.
    pub panels: Vec<LinePanel>,
}

/// One of several small plots with common axes.
#[derive(Clone, Debug, Default)]
pub struct LinePanel {
    /// What stands above it.
    pub title: String,
    /// Its curves; those of the same name in other panels have the same colour.
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
    /// Place in the palette, so that a role has one colour on all plots; by its place in the list if absent.
    pub color: Option<usize>,
}

/// Size of a whole plot on a wide screen and on a phone, and of a panel, pixels.
const SIZES: [(f64, f64); 3] = [(760.0, 360.0), (350.0, 280.0), (290.0, 225.0)];

#[derive(Template)]
#[template(path = "lines.html")]
struct LinesView<'a> {
    /// One drawing for wide screens, one for phones; none where there are panels.
    drawings: Vec<String>,
    panels: Vec<(&'a str, String)>,
    legend: Vec<LegendKey>,
}

struct LegendKey {
    mark: String,
    name: String,
}

impl LinePlot {
    pub(crate) fn html(&self, id: &str, title: &str) -> Result<String, ReportError> {
        let (mut drawings, mut panels) = (Vec::new(), Vec::new());
        if self.panels.is_empty() {
            drawings.push(self.svg(&format!("{id}-w"), "wide", title, SIZES[0], &self.series));
            drawings.push(self.svg(&format!("{id}-n"), "narrow", title, SIZES[1], &self.series));
        }
        for (nth, panel) in self.panels.iter().enumerate() {
            let title = format!("{title}: {}", panel.title);
            let drawing = self.svg(&format!("{id}-{nth}"), "panel-plot", &title, SIZES[2], &panel.series);
            panels.push((panel.title.as_str(), drawing));
        }
        let legend = self.keys().into_iter().map(|(mark, name)| LegendKey { mark, name }).collect();
        Ok(LinesView { drawings, panels, legend }.render()?)
    }

    /// The plot for a file of its own.
    pub(crate) fn sheet(&self, title: &str) -> Sheet {
        let panel = |title: String, size, series: &[Series]| Panel {
            drawing: self.svg("p", "", &title, size, series),
            title,
            size,
        };
        let mut panels: Vec<Panel> = Vec::new();
        if self.panels.is_empty() {
            let whole = panel(title.to_owned(), SIZES[0], &self.series);
            panels.push(Panel { title: String::new(), ..whole });
        }
        for (nth, of) in self.panels.iter().enumerate() {
            let drawing = self.svg(&format!("p{nth}"), "", &of.title, (240.0, 210.0), &of.series);
            panels.push(Panel { title: of.title.clone(), drawing, size: (240.0, 210.0) });
        }
        let legend = self.keys().into_iter().map(|(mark, name)| Key { mark, name }).collect();
        Sheet { legend, panels }
    }

    /// Every curve's points as CSV, with the band's edges where there are some.
    pub(crate) fn csv(&self) -> String {
        let mut out = super::csv_line(&[
            "panel",
            "curve",
            or(&self.x.label, "x"),
            or(&self.y.label, "y"),
            "low",
            "high",
        ]);
        let whole = LinePanel { title: String::new(), series: self.series.clone() };
        for panel in [&whole].into_iter().chain(&self.panels) {
            for series in &panel.series {
                for (x, y) in &series.points {
                    let band = series.band.iter().find(|edge| edge.0 == *x);
                    let [low, high] = band.map_or([String::new(), String::new()], |(_, low, high)| {
                        [low.to_string(), high.to_string()]
                    });
                    let (x, y) = (x.to_string(), y.to_string());
                    out += &super::csv_line(&[&panel.title, &series.name, &x, &y, &low, &high]);
                }
            }
        }
        out
    }

    /// All curves, in the order of the panels.
    fn all(&self) -> impl Iterator<Item = (usize, &Series)> {
        let own = if self.panels.is_empty() { &self.series[..] } else { &[] };
        let in_panels = self.panels.iter().flat_map(|panel| panel.series.iter().enumerate());
        own.iter().enumerate().chain(in_panels)
    }

    /// Mark and name of each different curve.
    fn keys(&self) -> Vec<(String, String)> {
        let mut keys: Vec<(String, String)> = Vec::new();
        for (index, series) in self.all() {
            if keys.iter().any(|(_, name)| *name == series.name) {
                continue;
            }
            let color = series.color(index);
            let mut mark = format!("<path class=\"{}\" d=\"M2 7h24\"/>", style(index, series));
            if series.marked() {
                mark += &format!(
                    "<path class=\"dot s{color}\" d=\"{}\"/>",
                    marker(series.shape(index), 14.0, 7.0, 7.0)
                );
            }
            keys.push((mark, series.name.clone()));
        }
        keys
    }

    /// `shown` of the plot's curves as an SVG element of `width` × `height` pixels, on axes that fit all of them.
    fn svg(
        &self,
        id: &str,
        class: &str,
        title: &str,
        (width, height): (f64, f64),
        shown: &[Series],
    ) -> String {
        let points = || self.all().flat_map(|(_, series)| &series.points);
        let bands = || self.all().flat_map(|(_, series)| &series.band);
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

        let mut svg = Svg::new(id, class, (width, height), title, &self.describe(shown));
        axes::draw(&mut svg, &frame, (&x, &self.x.label), (&y, &self.y.label));
        if !points().any(|&(px, py)| place(px, py).is_some()) {
            let (x, y) = ((frame.left + frame.right) / 2.0, (frame.top + frame.bottom) / 2.0);
            svg.text("label mid", x, y, "no data");
            return svg.finish();
        }
        axes::clip(&mut svg, &frame, 6.0);
        for (index, series) in shown.iter().enumerate() {
            let path = band_path(&series.band, |edge| Some((x.at(edge.0)?, y.at(edge.1)?, y.at(edge.2)?)));
            if !path.is_empty() {
                svg.push(format_args!("<path class=\"band s{}\" d=\"{path}\"/>", series.color(index)));
            }
        }
        for (index, series) in shown.iter().enumerate() {
            let path = line_path(series.points.iter().map(|&(px, py)| place(px, py)));
            if path.is_empty() {
                continue;
            }
            svg.push(format_args!("<path class=\"{}\" d=\"{path}\"/>", style(index, series)));
            if series.marked() {
                for &(px, py) in &series.points {
                    let Some((left, top)) = place(px, py) else { continue };
                    let said = format!("{}: {} at {}", series.name, brief(py), brief(px));
                    let color = series.color(index);
                    let path = marker(series.shape(index), left, top, 7.0);
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
    fn describe(&self, shown: &[Series]) -> String {
        let mut words = format!("Line plot of {} over {}.", or(&self.y.label, "y"), or(&self.x.label, "x"));
        for series in shown {
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
    /// Whether every point is marked: those of few, and not of a dashed line, which is drawn for comparison.
    fn marked(&self) -> bool {
        self.points.len() <= MARKED && !self.dashed
    }

    fn color(&self, index: usize) -> usize {
        self.color.unwrap_or(index) % COLORS
    }

    /// That of its colour, and another one where colours come again.
    fn shape(&self, index: usize) -> usize {
        let place = self.color.unwrap_or(index);
        place % COLORS + place / COLORS
    }
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

fn style(index: usize, series: &Series) -> String {
    let dash = match (series.dashed, index / COLORS) {
        (true, _) => " dashed",
        _ if series.color.is_some() => "",
        (false, 0) => "",
        (false, turn) if turn % 2 == 1 => " dotted",
        _ => " dashdot",
    };
    format!("line s{}{dash}", series.color(index))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_of_one_colour_have_different_marks() {
        let mark = |place: usize| {
            let series = Series { color: Some(place), ..Series::default() };
            (series.color(0), marker(series.shape(0), 0.0, 0.0, 7.0))
        };
        for (a, b) in [(0, COLORS), (3, 3 + COLORS), (1, 1 + 2 * COLORS)] {
            assert_eq!(mark(a).0, mark(b).0);
            assert_ne!(mark(a).1, mark(b).1);
        }
        assert_eq!(
            mark(COLORS - 1).1,
            marker(COLORS - 1, 0.0, 0.0, 7.0),
            "that of its colour, the first time"
        );
    }
}
