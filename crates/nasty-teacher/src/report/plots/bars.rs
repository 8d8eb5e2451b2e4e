//! Horizontal bar plots, so that names of any length are readable at any width.

use askama::Template;

use super::super::ReportError;
use super::super::number::fixed;
use super::axes::{Axis, Scale};
use super::sheet::{Key, Panel, Sheet};
use super::svg::{COLORS, Escaped, Px, Svg, fit, marker, text_width};

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
    /// Whether values are differences, with a sign before each.
    pub signed: bool,
    /// Whether each category has one bar, of the group that has a value for it.
    pub single: bool,
    /// Whether values are marks on an axis that fits them, in place of bars from zero.
    pub marks: bool,
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
    /// Place in the palette, so that a role has one colour on all plots; by its place in the list if absent.
    pub color: Option<usize>,
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
            self.groups.iter().enumerate().map(|(index, group)| (group.color(index), group.name.as_str()));
        Ok(BarsView { drawings, legend: legend.collect() }.render()?)
    }

    /// The plot for a file of its own.
    pub(crate) fn sheet(&self, title: &str) -> Sheet {
        let key = |(index, group): (usize, &BarGroup)| Key {
            mark: format!("<rect class=\"bar s{}\" x=\"7\" width=\"14\" height=\"14\"/>", group.color(index)),
            name: group.name.clone(),
        };
        let size = (760.0, self.height(760.0));
        let drawing = self.svg("p", "", title, size.0);
        Sheet {
            legend: self.groups.iter().enumerate().map(key).collect(),
            panels: vec![Panel { title: String::new(), drawing, size }],
        }
    }

    /// The values as CSV.
    pub(crate) fn csv(&self) -> String {
        let mut out = super::csv_line(&["category", "group", &self.axis.label, "spread"]);
        for (index, category) in self.categories.iter().enumerate() {
            for group in &self.groups {
                let Some(value) = group.values.get(index) else { continue };
                let spread = group.spread.get(index).map_or_else(String::new, f64::to_string);
                out += &super::csv_line(&[category, &group.name, &value.to_string(), &spread]);
            }
        }
        out
    }

    /// Whether names stand above their bars: on phones, and where they are long.
    fn above(&self, width: f64) -> bool {
        let longest = self.categories.iter().map(|name| text_width(name)).fold(0.0, f64::max);
        width < 500.0 || longest > width * 0.35
    }

    /// Height of a category, pixels.
    fn category(&self, width: f64) -> f64 {
        let above = if self.above(width) { 20.0 } else { 0.0 };
        let bars = if self.single { 1 } else { self.groups.len() };
        above + bars as f64 * PITCH + SPACE
    }

    fn height(&self, width: f64) -> f64 {
        8.0 + self.categories.len() as f64 * self.category(width) + 44.0
    }

    /// The plot as an SVG element, `width` pixels wide and as high as its bars need.
    fn svg(&self, id: &str, class: &str, title: &str, width: f64) -> String {
        let narrow = self.above(width);
        let spread =
            |group: &BarGroup, index: usize| group.spread.get(index).copied().filter(|s| s.is_finite());
        let ends = self.groups.iter().flat_map(|group| {
            group.values.iter().enumerate().flat_map(move |(index, value)| {
                let spread = spread(group, index).unwrap_or(0.0).abs();
                [value - spread, value + spread]
            })
        });
        let zero = Some(0.0).filter(|_| !self.axis.log && !self.marks);
        let scale = Scale::new(&self.axis, ends.chain(zero), if self.marks { 0.05 } else { 0.0 });

        // Names stand left of the bars or, where that leaves no room, above them.
        let names = self.categories.iter().map(|name| text_width(name)).fold(0.0, f64::max).min(width * 0.35);
        let left = if narrow { 4.0 } else { names + 12.0 };
        let values = self.groups.iter().flat_map(|group| &group.values);
        let value_room =
            values.map(|&value| text_width(&fixed(value, self.decimals, self.signed))).fold(0.0, f64::max);
        let scale = scale.between(left, width - value_room.min(width / 3.0) - 14.0);
        let above = if narrow { 20.0 } else { 0.0 };
        let category = self.category(width);
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
                if self.single && !value.is_finite() {
                    continue;
                }
                let y = top + above + if self.single { 0.0 } else { number as f64 * PITCH };
                svg.text("value end", width, y + 12.5, &fixed(value, self.decimals, self.signed));
                let Some(end) = scale.inside(value) else { continue };
                let said = self.said(group, index);
                let (x, length, color) = (Px(base.min(end)), Px((end - base).abs()), group.color(number));
                let whisker = spread(group, index).filter(|&spread| spread != 0.0);
                let whisker =
                    whisker.and_then(|s| Some((scale.inside(value - s)?, scale.inside(value + s)?)));
                if self.marks {
                    if let Some((low, high)) = whisker {
                        svg.line("whisker", (low, y + BAR / 2.0), (high, y + BAR / 2.0));
                    }
                    let path = marker(color, end, y + BAR / 2.0, 10.0);
                    svg.push(format_args!(
                        "<path class=\"dot s{color}\" d=\"{path}\"><title>{}</title></path>",
                        Escaped(&said)
                    ));
                    continue;
                }
                svg.push(format_args!(
                    "<rect class=\"bar s{color}\" x=\"{x}\" y=\"{}\" width=\"{length}\" height=\"{BAR}\">\
                     <title>{}</title></rect>",
                    Px(y),
                    Escaped(&said)
                ));
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
            group.values.get(index).map_or(String::new(), |&value| fixed(value, self.decimals, self.signed));
        let spread = group.spread.get(index).filter(|spread| spread.is_finite());
        let spread = spread.map(|&spread| format!(" ± {}", fixed(spread.abs(), self.decimals, false)));
        let group = if group.name.is_empty() { String::new() } else { format!(", {}", group.name) };
        format!("{category}{group}: {value}{}", spread.unwrap_or_default())
    }

    /// The plot in words.
    fn describe(&self) -> String {
        let mut words = format!("Bar plot of {}.", self.axis.label);
        for index in 0..self.categories.len() {
            let shown = |value: &f64| !self.single || value.is_finite();
            for group in self.groups.iter().filter(|group| group.values.get(index).is_some_and(shown)) {
                words += &format!(" {}.", self.said(group, index));
            }
        }
        words
    }
}

impl BarGroup {
    fn color(&self, index: usize) -> usize {
        self.color.unwrap_or(index) % COLORS
    }
}
