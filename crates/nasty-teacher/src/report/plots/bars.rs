//! Bar plots: horizontal, so that names of any length can be read at any width.

use askama::Template;

use super::super::ReportError;
use super::super::number::fixed;
use super::axes::{Axis, Scale};
use super::svg::{COLORS, Escaped, Px, Svg, fit, text_width};

/// Thickness of a bar, pixels.
const BAR: f64 = 16.0;
/// From one bar of a category to the next, pixels.
const PITCH: f64 = 19.0;
/// Between categories, pixels.
const SPACE: f64 = 12.0;

/// Bars of one or more groups, side by side in each category.
#[derive(Clone, Debug, Default)]
pub struct BarPlot {
    /// What stands beside the bars, from top to bottom, e.g. students.
    pub categories: Vec<String>,
    /// The groups, e.g. from the normal and from the nasty teacher.
    pub groups: Vec<BarGroup>,
    /// What was measured, with the unit. Bars start at zero unless its range says otherwise.
    pub axis: Axis,
    /// Decimal places of the values beside the bars.
    pub decimals: usize,
}

/// One bar for every category, in one colour.
#[derive(Clone, Debug, Default)]
pub struct BarGroup {
    /// Its name in the legend.
    pub name: String,
    /// A value for each category; what is missing is left empty, what is not finite has its name but no bar.
    pub values: Vec<f64>,
    /// A spread for each category, drawn to both sides of the value; empty for none.
    pub spread: Vec<f64>,
}

#[derive(Template)]
#[template(path = "bars.html")]
struct BarsView<'a> {
    /// One drawing for wide screens, one for phones.
    drawings: [String; 2],
    /// Colours and names.
    legend: Vec<(usize, &'a str)>,
}

impl BarPlot {
    pub(crate) fn html(&self, id: &str, title: &str) -> Result<String, ReportError> {
        let drawings = [
            self.svg(&format!("{id}-w"), "wide", title, 760.0),
            self.svg(&format!("{id}-n"), "narrow", title, 350.0),
        ];
        let legend =
            self.groups.iter().enumerate().map(|(index, group)| (index % COLORS, group.name.as_str()));
        Ok(BarsView { drawings, legend: legend.collect() }.render()?)
    }

    /// The plot as an SVG element, `width` pixels wide and as high as its bars need.
    fn svg(&self, id: &str, class: &str, title: &str, width: f64) -> String {
        let narrow = width < 500.0;
        let spread =
            |group: &BarGroup, index: usize| group.spread.get(index).copied().filter(|s| s.is_finite());
        let ends = self.groups.iter().flat_map(|group| {
            group.values.iter().enumerate().flat_map(move |(index, value)| {
                let spread = spread(group, index).unwrap_or(0.0).abs();
                [value - spread, value + spread]
            })
        });
        let zero = Some(0.0).filter(|_| !self.axis.log);
        let scale = Scale::new(&self.axis, ends.chain(zero), 0.0);

        // Names stand left of the bars or, where that leaves no room, above them.
        let names = self.categories.iter().map(|name| text_width(name)).fold(0.0, f64::max).min(width * 0.35);
        let left = if narrow { 4.0 } else { names + 12.0 };
        let values = self.groups.iter().flat_map(|group| &group.values);
        let value_room =
            values.map(|&value| text_width(&fixed(value, self.decimals, false))).fold(0.0, f64::max);
        let scale = scale.between(left, width - value_room.min(width / 3.0) - 14.0);
        let above = if narrow { 20.0 } else { 0.0 };
        let category = above + self.groups.len() as f64 * PITCH + SPACE;
        let bottom = 8.0 + self.categories.len() as f64 * category;

        let mut svg = Svg::new(id, class, (width, bottom + 44.0), title, &self.describe());
        for tick in scale.ticks(64.0) {
            svg.line("grid", (tick.at, 4.0), (tick.at, bottom));
            svg.text("tick mid", tick.at, bottom + 16.0, &tick.label);
        }
        svg.text("label end", width, bottom + 36.0, &self.axis.label);
        if self.categories.is_empty() || self.groups.is_empty() {
            svg.text("label mid", width / 2.0, bottom - 2.0, "no data");
            return svg.finish();
        }
        let base = scale.base();
        for (index, name) in self.categories.iter().enumerate() {
            let top = 8.0 + SPACE / 2.0 + index as f64 * category;
            if narrow {
                svg.text("name", left, top + 13.0, &fit(name, width - left));
            } else {
                let middle = top + (category - SPACE) / 2.0;
                svg.text("name end", left - 8.0, middle + 3.5, &fit(name, names));
            }
            for (number, group) in self.groups.iter().enumerate() {
                let Some(&value) = group.values.get(index) else { continue };
                let y = top + above + number as f64 * PITCH;
                svg.text("value end", width, y + 12.5, &fixed(value, self.decimals, false));
                let Some(end) = scale.inside(value) else { continue };
                let said = self.said(group, index);
                let (x, length, color) = (Px(base.min(end)), Px((end - base).abs()), number % COLORS);
                svg.push(format_args!(
                    "<rect class=\"bar s{color}\" x=\"{x}\" y=\"{}\" width=\"{length}\" height=\"{BAR}\">\
                     <title>{}</title></rect>",
                    Px(y),
                    Escaped(&said)
                ));
                let whisker = spread(group, index).filter(|&spread| spread != 0.0);
                let whisker =
                    whisker.and_then(|s| Some((scale.inside(value - s)?, scale.inside(value + s)?)));
                if let Some((low, high)) = whisker {
                    let middle = y + BAR / 2.0;
                    svg.line("whisker", (low, middle), (high, middle));
                    svg.line("whisker", (low, middle - 4.0), (low, middle + 4.0));
                    svg.line("whisker", (high, middle - 4.0), (high, middle + 4.0));
                }
            }
        }
        svg.line("axis", (base, 4.0), (base, bottom));
        svg.finish()
    }

    /// One bar in words.
    fn said(&self, group: &BarGroup, index: usize) -> String {
        let category = self.categories.get(index).map_or("", String::as_str);
        let value =
            group.values.get(index).map_or(String::new(), |&value| fixed(value, self.decimals, false));
        let spread = group.spread.get(index).filter(|spread| spread.is_finite());
        let spread = spread.map(|&spread| format!(" ± {}", fixed(spread.abs(), self.decimals, false)));
        let group = if group.name.is_empty() { String::new() } else { format!(", {}", group.name) };
        format!("{category}{group}: {value}{}", spread.unwrap_or_default())
    }

    /// The plot in words.
    fn describe(&self) -> String {
        let mut words = format!("Bar plot of {}.", self.axis.label);
        for index in 0..self.categories.len() {
            for group in self.groups.iter().filter(|group| index < group.values.len()) {
                words += &format!(" {}.", self.said(group, index));
            }
        }
        words
    }
}
