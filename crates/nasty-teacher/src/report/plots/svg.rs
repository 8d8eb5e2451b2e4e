//! The few SVG elements that the plots use.

use std::fmt::{self, Display, Write};

use unicode_width::UnicodeWidthStr;

/// Colours in the palette of roles.
pub(super) const COLORS: usize = 8;
/// The palette of roles on white, as in the page's style sheet.
const LIGHT: [&str; COLORS] =
    ["#0072b2", "#d55e00", "#008f68", "#b0578f", "#a87500", "#2f8fc4", "#5c4b99", "#444b52"];
/// Colours of classes: more than of roles, and prime to the number of shapes.
pub(super) const CLASS_COLORS: usize = 12;
/// The palette of classes, in the light and in the dark.
const CLASSES: [&str; CLASS_COLORS] = [
    "#0072b2", "#d55e00", "#008f68", "#b0578f", "#a87500", "#5c4b99", "#2fa5d8", "#c92a4b", "#6a9a1f",
    "#7d5a3c", "#888f97", "#d18fd6",
];
/// Marker shapes.
const SHAPES: usize = 5;

/// A length in pixels, with one decimal place at most; 0 if it is not finite.
pub(super) struct Px(pub(super) f64);

impl Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0 * 10.0).round().clamp(-1e6, 1e6);
        match tenths as i64 {
            whole if whole % 10 == 0 => write!(f, "{}", whole / 10),
            _ => write!(f, "{:.1}", tenths / 10.0),
        }
    }
}

/// Text with markup escaped, for element content and attributes.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A drawing under way.
pub(super) struct Svg(String);

impl Svg {
    /// A drawing of `width` × `height` pixels with the class `class`. Title and description are for those who cannot
    /// see it; `id` is unique on the page.
    pub(super) fn new(
        id: &str,
        class: &str,
        (width, height): (f64, f64),
        title: &str,
        description: &str,
    ) -> Self {
        let (width, height) = (Px(width), Px(height));
        Self(format!(
            "<svg class=\"plot {class}\" role=\"img\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" aria-labelledby=\"{id}-t {id}-d\">\n<title id=\"{id}-t\">{}</title>\
             <desc id=\"{id}-d\">{}</desc>\n",
            Escaped(title),
            Escaped(description)
        ))
    }

    /// Adds a line of markup.
    pub(super) fn push(&mut self, markup: fmt::Arguments<'_>) {
        self.0.push_str(&markup.to_string());
        self.0.push('\n');
    }

    /// Adds text at (x, y), `class` saying how it looks and where it is anchored.
    pub(super) fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        self.push(format_args!(
            "<text class=\"{class}\" x=\"{}\" y=\"{}\">{}</text>",
            Px(x),
            Px(y),
            Escaped(text)
        ));
    }

    /// Adds a straight line.
    pub(super) fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let (x1, y1, x2, y2) = (Px(x1), Px(y1), Px(x2), Px(y2));
        self.push(format_args!("<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"));
    }

    pub(super) fn finish(self) -> String {
        self.0 + "</svg>"
    }
}

/// The style of a drawing that stands alone in a file, on white. Colours are spelt out: few programs but browsers know CSS
/// variables.
pub(super) fn style() -> String {
    let mut style = String::from(
        "text{font-family:Helvetica,Arial,'Liberation Sans',sans-serif;font-size:13px;fill:#1b1f24}\
         .title{font-size:16px;font-weight:bold}.tick,.label,.note{fill:#59636e}.mid{text-anchor:middle}\
         .end{text-anchor:end}.true,.panel-title{font-weight:bold}.grid{stroke:#e8ecef}.axis{stroke:#59636e}\
         .frame{fill:none;stroke:#d1d9e0}.whisker{stroke:#1b1f24;stroke-width:1.3}\
         .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}.dashed{stroke-dasharray:6 5}\
         .dotted{stroke-dasharray:1 5}.dashdot{stroke-dasharray:8 4 1 4}.band{opacity:.16}\
         .dot{stroke:#fff;stroke-width:1}.point{fill-opacity:.75}",
    );
    for (slot, color) in LIGHT.iter().enumerate() {
        style += &format!(".line.s{slot}{{stroke:{color}}}");
        style += &format!(".bar.s{slot},.dot.s{slot},.band.s{slot}{{fill:{color}}}");
    }
    for (slot, color) in CLASSES.iter().enumerate() {
        style += &format!(".point.k{slot}{{fill:{color}}}");
    }
    style
}

/// Path commands of marker number `index` (its shape repeats) around (x, y), about `size` pixels across.
pub(super) fn marker(index: usize, x: f64, y: f64, size: f64) -> String {
    let r = size / 2.0;
    match index % SHAPES {
        0 => format!("M{} {}a{r} {r} 0 1 0 {size} 0a{r} {r} 0 1 0-{size} 0z", Px(x - r), Px(y)),
        1 => format!("M{} {}h{size}v{size}h-{size}z", Px(x - r), Px(y - r)),
        2 => format!("M{} {}l{r} {size}h-{size}z", Px(x), Px(y - r)),
        3 => format!("M{} {}l{r} {r}l-{r} {r}l-{r}-{r}z", Px(x), Px(y - r)),
        _ => format!("M{} {}h{size}l-{r} {size}z", Px(x - r), Px(y - r)),
    }
}

/// About how wide `text` is at 13 pixels, the font being the reader's.
pub(super) fn text_width(text: &str) -> f64 {
    7.0 * text.width() as f64
}

/// `text`, cut with an ellipsis if it is likely to be wider than `room` pixels.
pub(super) fn fit(text: &str, room: f64) -> String {
    if text_width(text) <= room {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        if text_width(&short) + 14.0 > room {
            break;
        }
        short.push(c);
    }
    short.trim_end().to_owned() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_the_colours_of_the_page() {
        let css = include_str!("../../../templates/report.css");
        for (slot, color) in LIGHT.iter().enumerate() {
            assert!(css.contains(&format!("--s{slot}: {color};")), "s{slot}");
        }
        for (slot, color) in CLASSES.iter().enumerate() {
            assert!(css.contains(&format!(".k{slot} {{ --c: {color}; }}")), "k{slot}");
        }
    }
}
