//! Logit responses: an image beside the class probabilities from each network.

use askama::Template;

use super::super::number::{brief, fixed};
use super::super::{Pixels, ReportError};
use super::sheet::{Key, Panel, Sheet};
use super::svg::{COLORS, Escaped, Px, Svg, fit, text_width};

/// Classes named in a panel; the rest are summed up in one bar.
const NAMED: usize = 10;
/// Width of a panel, pixels.
const WIDTH: f64 = 300.0;
/// From one bar to the next, pixels.
const PITCH: f64 = 16.0;

/// An image and what networks make of it.
#[derive(Clone, Debug)]
pub struct Response {
    /// The image.
    pub image: Pixels,
    /// Its true class, as in `classes` if it is one of them.
    pub label: String,
    /// Each network's name and its probability for each class, in 0 … 1.
    pub panels: Vec<(String, Vec<f32>)>,
    /// Names of the classes, by index.
    pub classes: Vec<String>,
}

#[derive(Template)]
#[template(path = "responses.html")]
struct ResponsesView<'a> {
    rows: Vec<RowView<'a>>,
}

struct RowView<'a> {
    uri: String,
    width: usize,
    label: &'a str,
    panels: Vec<(&'a str, String)>,
}

/// All responses of a figure, one below the other. `id` is unique on the page.
pub(crate) fn html(responses: &[Response], id: &str) -> Result<String, ReportError> {
    let top = top(responses);
    let rows = responses.iter().enumerate().map(|(row, response)| {
        let shown = response.shown();
        let panel = |(index, (name, probabilities)): (usize, &'_ (String, Vec<f32>))| {
            response.svg(&format!("{id}-{row}-{index}"), (index, name), probabilities, &shown, top)
        };
        let drawings = response.panels.iter().enumerate().map(panel);
        let names = response.panels.iter().map(|(name, _)| name.as_str());
        Ok(RowView {
            uri: response.image.data_uri()?,
            width: (112 / response.image.width).max(1) * response.image.width,
            label: &response.label,
            panels: names.zip(drawings).collect(),
        })
    });
    Ok(ResponsesView { rows: rows.collect::<Result<_, ReportError>>()? }.render()?)
}

/// The end of the axis that all panels have: the least round number that no probability is above.
fn top(responses: &[Response]) -> f64 {
    let panels = responses.iter().flat_map(|response| &response.panels);
    let largest = panels.flat_map(|(_, p)| p.iter().copied()).filter(|p| p.is_finite()).fold(0.0, f32::max);
    [0.02, 0.05, 0.1, 0.2, 0.5].into_iter().find(|top| f64::from(largest) <= *top).unwrap_or(1.0)
}

/// The responses for a file of their own.
pub(crate) fn sheet(responses: &[Response]) -> Result<Sheet, ReportError> {
    let mut panels = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    let top = top(responses);
    for (row, response) in responses.iter().enumerate() {
        let shown = response.shown();
        let image = format!(
            "<image width=\"84\" height=\"84\" style=\"image-rendering:pixelated\" href=\"{}\"/>",
            response.image.data_uri()?
        );
        panels.push(Panel { title: response.label.clone(), drawing: image, size: (100.0, 90.0) });
        for (index, (name, probabilities)) in response.panels.iter().enumerate() {
            let drawing = response.svg(&format!("p{row}-{index}"), (index, name), probabilities, &shown, top);
            let bars = shown.len() + usize::from(probabilities.len() > shown.len());
            panels.push(Panel {
                title: name.clone(),
                drawing,
                size: (WIDTH, bars.max(1) as f64 * PITCH + 20.0),
            });
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    let key = |(index, name): (usize, &&str)| Key {
        mark: format!("<rect class=\"bar s{}\" x=\"7\" width=\"14\" height=\"14\"/>", index % COLORS),
        name: (*name).to_owned(),
    };
    Ok(Sheet { legend: names.iter().enumerate().map(key).collect(), panels })
}

/// The probabilities as CSV.
pub(crate) fn csv(responses: &[Response]) -> String {
    let mut out = super::csv_line(&["image", "true class", "network", "class", "probability"]);
    for (nth, response) in responses.iter().enumerate() {
        for (name, probabilities) in &response.panels {
            for (class, probability) in probabilities.iter().enumerate() {
                let (nth, class) = ((nth + 1).to_string(), response.name(class));
                out += &super::csv_line(&[&nth, &response.label, name, &class, &probability.to_string()]);
            }
        }
    }
    out
}

impl Response {
    fn name(&self, class: usize) -> String {
        self.classes.get(class).cloned().unwrap_or_else(|| format!("class {class}"))
    }

    /// The classes to name, in order: all of them, or those that some network holds likeliest and the true one.
    fn shown(&self) -> Vec<usize> {
        let count = self.panels.iter().map(|(_, probabilities)| probabilities.len()).max().unwrap_or(0);
        let mut classes: Vec<usize> = (0..count).collect();
        if count > NAMED {
            let weight = |&class: &usize| {
                let given =
                    self.panels.iter().filter_map(|(_, probabilities)| probabilities.get(class).copied());
                let true_class = self.classes.get(class) == Some(&self.label);
                if true_class { f32::INFINITY } else { given.filter(|p| !p.is_nan()).fold(0.0, f32::max) }
            };
            classes.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
            classes.truncate(NAMED - 1);
            classes.sort_unstable();
        }
        classes
    }

    fn svg(
        &self,
        id: &str,
        (index, network): (usize, &str),
        probabilities: &[f32],
        shown: &[usize],
        top: f64,
    ) -> String {
        let mut bars: Vec<(String, f64)> = shown
            .iter()
            .map(|&class| (self.name(class), probabilities.get(class).map_or(f64::NAN, |&p| f64::from(p))))
            .collect();
        let rest: Vec<f64> = probabilities
            .iter()
            .enumerate()
            .filter(|(class, _)| !shown.contains(class))
            .map(|(_, &probability)| f64::from(probability))
            .collect();
        if !rest.is_empty() {
            bars.push((format!("{} others", rest.len()), rest.iter().sum()));
        }

        let room = bars.iter().map(|(name, _)| text_width(name)).fold(0.0, f64::max).min(130.0);
        let (left, right) = (room + 8.0, WIDTH - 40.0);
        let height = bars.len().max(1) as f64 * PITCH + 20.0;
        let words = bars.iter().map(|(name, value)| format!("{name} {}", fixed(*value, 3, false)));
        let words = format!("Class probabilities: {}.", words.collect::<Vec<_>>().join(", "));
        let title = format!("{network}, image of {}", self.label);
        let mut svg = Svg::new(id, "panel-plot", (WIDTH, height), &title, &words);
        let bottom = height - 18.0;
        for share in [0.0, 0.5, 1.0] {
            let x = left + share * (right - left);
            svg.line("grid", (x, 0.0), (x, bottom));
            svg.text("tick mid", x, height - 4.0, &brief(share * top));
        }
        for (row, (name, value)) in bars.iter().enumerate() {
            let y = row as f64 * PITCH;
            let class = if *name == self.label { "name end true" } else { "name end" };
            svg.text(class, left - 6.0, y + 12.0, &fit(name, room + 2.0));
            let length = if value.is_nan() { 0.0 } else { (value / top).clamp(0.0, 1.0) * (right - left) };
            svg.push(format_args!(
                "<rect class=\"bar s{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}</title></rect>",
                index % COLORS,
                Px(left),
                Px(y + 2.0),
                Px(length),
                Px(PITCH - 4.0),
                Escaped(&format!("{name}: {}", fixed(*value, 4, false)))
            ));
            svg.text("value end", WIDTH, y + 12.0, &fixed(*value, 2, false));
        }
        svg.line("axis", (left, 0.0), (left, bottom));
        svg.finish()
    }
}
