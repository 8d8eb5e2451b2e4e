//! Scatter plots: panels of points coloured and shaped by class.

use askama::Template;

use super::super::ReportError;
use super::axes::{self, Axis, Scale};
use super::sheet::{Key, Panel, Sheet};
use super::svg::{CLASS_COLORS, Svg, marker};

/// Points drawn in a panel: more would make a page of many megabytes and add nothing to see.
const DRAWN: usize = 4000;
/// Classes named in the legend.
const NAMED: usize = 24;
/// Width and height of a panel, pixels.
const SIZE: (f64, f64) = (400.0, 380.0);

/// Panels side by side, e.g. t-SNE embeddings of the normal and of the nasty teacher.
#[derive(Clone, Debug, Default)]
pub struct ScatterPlot {
    /// Names of the classes, by index.
    pub classes: Vec<String>,
    /// The panels, each with its own range.
    pub panels: Vec<ScatterPanel>,
}

/// One panel of points.
#[derive(Clone, Debug, Default)]
pub struct ScatterPanel {
    /// What is shown, e.g. `normal teacher, features`.
    pub title: String,
    /// Horizontal axis; without a label and ticks if its label is empty, as for t-SNE, whose axes mean nothing.
    pub x: Axis,
    /// Vertical axis, likewise.
    pub y: Axis,
    /// Points (x, y, class); those that are not finite are left out. A panel of more than 4000 shows an even selection
    /// and says so.
    pub points: Vec<(f64, f64, usize)>,
}

#[derive(Template)]
#[template(path = "scatter.html")]
struct ScatterView<'a> {
    panels: Vec<PanelView<'a>>,
    legend: Vec<LegendKey<'a>>,
    /// Classes that the legend leaves out.
    more: usize,
}

struct PanelView<'a> {
    title: &'a str,
    drawing: String,
    note: Option<String>,
}

struct LegendKey<'a> {
    color: usize,
    marker: String,
    name: &'a str,
}

impl ScatterPlot {
    pub(crate) fn html(&self, id: &str) -> Result<String, ReportError> {
        let legend = self.classes.iter().enumerate().take(NAMED).map(|(index, name)| LegendKey {
            color: index % CLASS_COLORS,
            marker: marker(shape(index), 7.0, 7.0, 9.0),
            name,
        });
        let panels = self.panels.iter().enumerate().map(|(index, panel)| PanelView {
            title: &panel.title,
            drawing: panel.svg(&format!("{id}-{index}")),
            note: (panel.points.len() > DRAWN)
                .then(|| format!("{} of {} points shown", panel.drawn().count(), panel.points.len())),
        });
        let more = self.classes.len().saturating_sub(NAMED);
        Ok(ScatterView { panels: panels.collect(), legend: legend.collect(), more }.render()?)
    }

    /// The plot for a file of its own.
    pub(crate) fn sheet(&self) -> Sheet {
        let key = |(index, name): (usize, &String)| Key {
            mark: format!(
                "<path class=\"point k{}\" d=\"{}\"/>",
                index % CLASS_COLORS,
                marker(shape(index), 14.0, 7.0, 9.0)
            ),
            name: name.clone(),
        };
        let panel = |(index, panel): (usize, &ScatterPanel)| Panel {
            title: panel.title.clone(),
            drawing: panel.svg(&format!("p{index}")),
            size: SIZE,
        };
        Sheet {
            legend: self.classes.iter().enumerate().take(NAMED).map(key).collect(),
            panels: self.panels.iter().enumerate().map(panel).collect(),
        }
    }

    /// The points as CSV.
    pub(crate) fn csv(&self) -> String {
        let mut out = "panel,x,y,class\n".to_owned();
        for panel in &self.panels {
            for (x, y, class) in &panel.points {
                let name = self.classes.get(*class).map_or("", String::as_str);
                out += &super::csv_line(&[&panel.title, &x.to_string(), &y.to_string(), name]);
            }
        }
        out
    }
}

/// Marker of a class: with twelve colours and five shapes, sixty classes differ.
fn shape(class: usize) -> usize {
    class % 5
}

impl ScatterPanel {
    /// At most [`DRAWN`] points, evenly chosen.
    fn drawn(&self) -> impl Iterator<Item = &(f64, f64, usize)> {
        self.points.iter().step_by(self.points.len().div_ceil(DRAWN).max(1))
    }

    fn svg(&self, id: &str) -> String {
        let (width, height) = SIZE;
        let x = Scale::new(&self.x, self.points.iter().map(|point| point.0), 0.03);
        let y = Scale::new(&self.y, self.points.iter().map(|point| point.1), 0.03);
        let description = format!("Scatter plot of {} points by class.", self.points.len());
        let mut svg = Svg::new(id, "panel-plot", SIZE, &self.title, &description);
        let bare = self.x.label.is_empty() && self.y.label.is_empty();
        let (frame, x, y) = if bare {
            let frame = axes::Frame { left: 1.0, top: 1.0, right: width - 1.0, bottom: height - 1.0 };
            let (x, y) = (x.between(8.0, width - 8.0), y.between(height - 8.0, 8.0));
            svg.push(format_args!(
                "<rect class=\"frame\" x=\"1\" y=\"1\" width=\"{}\" height=\"{}\"/>",
                width - 2.0,
                height - 2.0
            ));
            (frame, x, y)
        } else {
            let (frame, x, y) = axes::frame(width, height, x, y, &self.y.label);
            axes::draw(&mut svg, &frame, (&x, &self.x.label), (&y, &self.y.label));
            (frame, x, y)
        };
        let mut paths = std::collections::BTreeMap::<usize, String>::new();
        for &(px, py, class) in self.drawn() {
            if let (Some(px), Some(py)) = (x.at(px), y.at(py)) {
                paths.entry(class).or_default().push_str(&marker(shape(class), px, py, 5.0));
            }
        }
        if paths.is_empty() {
            svg.text(
                "label mid",
                (frame.left + frame.right) / 2.0,
                (frame.top + frame.bottom) / 2.0,
                "no data",
            );
        }
        axes::clip(&mut svg, &frame, 0.0);
        for (class, path) in paths {
            svg.push(format_args!("<path class=\"point k{}\" d=\"{path}\"/>", class % CLASS_COLORS));
        }
        svg.push(format_args!("</svg>"));
        svg.finish()
    }
}
