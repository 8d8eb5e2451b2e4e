//! A plot in its own file: title, legend, panels and caption as one SVG document.

use super::svg::{Escaped, Px, style, text_width};

/// Width of a sheet, pixels.
const WIDTH: f64 = 860.0;
/// Free space at its edges and between panels, pixels.
const EDGE: f64 = 20.0;
/// From one line of text to the next, pixels.
const LINE: f64 = 18.0;

/// What a plot gives for its file.
pub(crate) struct Sheet {
    /// What colours and marks mean.
    pub(super) legend: Vec<Key>,
    /// Drawings, in rows from left to right.
    pub(super) panels: Vec<Panel>,
}

/// A line of the legend.
pub(super) struct Key {
    /// Markup of 28 × 14 pixels.
    pub(super) mark: String,
    /// What it means.
    pub(super) name: String,
}

/// One drawing of a sheet.
pub(super) struct Panel {
    /// What stands above it; nothing if empty.
    pub(super) title: String,
    /// An `svg` element, or any markup.
    pub(super) drawing: String,
    /// Its width and height, pixels.
    pub(super) size: (f64, f64),
}

impl Sheet {
    /// Images by title, address and size.
    pub(crate) fn of_images(images: Vec<(String, String, (f64, f64))>) -> Self {
        let panel = |(title, address, size): (String, String, (f64, f64))| Panel {
            title,
            drawing: format!(
                "<image width=\"{}\" height=\"{}\" style=\"image-rendering:pixelated\" href=\"{address}\"/>",
                Px(size.0),
                Px(size.1)
            ),
            size,
        };
        Self { legend: Vec::new(), panels: images.into_iter().map(panel).collect() }
    }

    /// The document, with `title` above and `caption` below.
    pub(crate) fn document(&self, title: &str, caption: &str) -> String {
        let mut body = String::new();
        let mut y = EDGE + 16.0;
        for line in wrapped(title, WIDTH - 2.0 * EDGE, 1.25) {
            body += &text("title", EDGE, y, &line);
            y += LINE + 4.0;
        }
        y = self.draw_legend(&mut body, y);
        y = self.draw_panels(&mut body, y + 6.0);
        for line in wrapped(caption, WIDTH - 2.0 * EDGE, 1.0) {
            y += LINE;
            body += &text("note", EDGE, y, &line);
        }
        let (width, height) = (Px(WIDTH), Px(y + EDGE));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\">\n<style>{}</style>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
             {body}</svg>\n",
            style()
        )
    }

    fn draw_legend(&self, body: &mut String, top: f64) -> f64 {
        if self.legend.len() < 2 {
            return top;
        }
        let (mut x, mut y) = (EDGE, top);
        for key in &self.legend {
            let width = 28.0 + 8.0 + text_width(&key.name) + 18.0;
            if x > EDGE && x + width > WIDTH - EDGE {
                (x, y) = (EDGE, y + LINE + 2.0);
            }
            *body += &format!("<g transform=\"translate({} {})\">{}</g>\n", Px(x), Px(y - 12.0), key.mark);
            *body += &text("", x + 36.0, y, &key.name);
            x += width;
        }
        y + LINE
    }

    fn draw_panels(&self, body: &mut String, top: f64) -> f64 {
        let (mut x, mut y, mut bottom) = (EDGE, top, top);
        for panel in &self.panels {
            let (width, height) = panel.size;
            if x > EDGE && x + width > WIDTH - EDGE + 1.0 {
                (x, y) = (EDGE, bottom + EDGE);
            }
            let above = if panel.title.is_empty() { 0.0 } else { LINE + 2.0 };
            if above > 0.0 {
                *body += &text("panel-title", x, y + 12.0, &panel.title);
            }
            *body +=
                &format!("<g transform=\"translate({} {})\">{}</g>\n", Px(x), Px(y + above), panel.drawing);
            bottom = bottom.max(y + above + height);
            x += width + EDGE;
        }
        bottom
    }
}

fn text(class: &str, x: f64, y: f64, text: &str) -> String {
    format!("<text class=\"{class}\" x=\"{}\" y=\"{}\">{}</text>\n", Px(x), Px(y), Escaped(text))
}

/// `text` in lines of at most `room` pixels, at `scale` times the usual size.
fn wrapped(text: &str, room: f64, scale: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if text_width(line) * scale + text_width(word) * scale + 7.0 <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
