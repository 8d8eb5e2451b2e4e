//! One self-contained HTML page: no scripts, no network access, light and dark, phone and desktop.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use askama::Template;

use super::plots::{self, bars::BarPlot, lines::LinePlot, responses::Response, scatter::ScatterPlot};
use super::{ImageGrid, ReportError, Table};
use crate::files::write_whole;

/// A report page.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The page's heading and window title.
    pub title: String,
    /// What stands under the heading: machine, date, command; one line each.
    pub subtitle: String,
    /// What the page shows, from top to bottom.
    pub sections: Vec<Section>,
}

/// A part of a page with a heading of its own.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Anchor for links, e.g. `logit-response`; what cannot stand in one is replaced, and duplicates are numbered.
    pub id: String,
    /// The heading.
    pub title: String,
    /// What the section shows, from top to bottom.
    pub blocks: Vec<Block>,
}

/// A paragraph, table, figure, … of a section. All text is plain text: it is escaped on the page.
#[derive(Clone, Debug)]
pub enum Block {
    /// What was found, in a sentence or two: it comes first.
    Finding(String),
    /// A heading below the section's.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// A remark to stand out.
    Callout {
        /// Its first words, e.g. `What this does not show`.
        title: String,
        /// The remark.
        text: String,
    },
    /// A table.
    Table(Table),
    /// A figure.
    Figure(Figure),
    /// A command to type, shown as code.
    Command(String),
    /// Names and values, e.g. of a recipe.
    Facts(Vec<(String, String)>),
}

/// A plot with its title and caption.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What is shown, above the plot.
    pub title: String,
    /// What to see in it, below the plot.
    pub caption: String,
    /// The plot.
    pub plot: Plot,
    /// Name of its files in `figures/`, without an extension; no files if empty.
    pub name: String,
}

/// The kinds of plots.
#[derive(Clone, Debug)]
pub enum Plot {
    /// Curves, e.g. learning curves.
    Lines(LinePlot),
    /// Grouped bars, e.g. accuracies.
    Bars(BarPlot),
    /// Points coloured by class, e.g. a t-SNE embedding.
    Scatter(ScatterPlot),
    /// Images beside the class probabilities that networks give them.
    Responses(Vec<Response>),
    /// Grids of images, e.g. of an inversion attack.
    Images(ImageGrid),
}

#[derive(Template)]
#[template(path = "page.html")]
struct PageView<'a> {
    title: &'a str,
    subtitle: Vec<&'a str>,
    style: &'static str,
    sections: Vec<SectionView<'a>>,
    version: &'static str,
}

struct SectionView<'a> {
    id: String,
    title: &'a str,
    blocks: Vec<BlockView<'a>>,
}

enum BlockView<'a> {
    Finding(&'a str),
    Heading(&'a str),
    Text(&'a str),
    Callout { title: &'a str, text: &'a str },
    Command(&'a str),
    Facts(&'a [(String, String)]),
    Table(String),
    Figure { title: &'a str, caption: &'a str, plot: String, name: &'a str, numbers: bool },
}

impl Page {
    /// The page as one HTML document. It is well-formed XML too.
    ///
    /// # Errors
    /// [`ReportError::Image`] if an image's data does not fit its size.
    pub fn to_html(&self) -> Result<String, ReportError> {
        let mut ids = HashSet::new();
        let sections = self.sections.iter().map(|section| {
            let id = anchor(&section.id, &mut ids);
            let blocks =
                section.blocks.iter().enumerate().map(|(index, block)| block.view(&format!("{id}_{index}")));
            let blocks = blocks.collect::<Result<_, _>>()?;
            Ok(SectionView { id, title: &section.title, blocks })
        });
        let view = PageView {
            title: &self.title,
            subtitle: self.subtitle.lines().collect(),
            style: include_str!("../../templates/report.css"),
            sections: sections.collect::<Result<_, ReportError>>()?,
            version: env!("CARGO_PKG_VERSION"),
        };
        Ok(view.render()?.chars().map(legal).collect())
    }

    /// Writes the page to `folder/index.html` and returns that path, and the files of its figures to `folder/figures`. The
    /// folder is made if it is absent; each file is there whole or, after an error, as it was before.
    ///
    /// # Errors
    /// [`ReportError::Io`] if the folder or a file cannot be written; otherwise as [`Page::to_html`].
    pub fn write(&self, folder: &Path) -> Result<PathBuf, ReportError> {
        let html = self.to_html()?;
        let path = folder.join("index.html");
        std::fs::create_dir_all(folder).map_err(ReportError::io("create", folder))?;
        let figures =
            self.sections.iter().flat_map(|section| &section.blocks).filter_map(|block| match block {
                Block::Figure(figure) if !figure.name.is_empty() => Some(figure),
                _ => None,
            });
        for figure in figures {
            figure.write(&folder.join("figures"))?;
        }
        write_whole(&path, html.as_bytes()).map_err(ReportError::io("write", &path))?;
        Ok(path)
    }
}

impl Figure {
    /// Writes the figure as SVG and its numbers as CSV.
    fn write(&self, folder: &Path) -> Result<(), ReportError> {
        std::fs::create_dir_all(folder).map_err(ReportError::io("create", folder))?;
        let sheet = match &self.plot {
            Plot::Lines(plot) => plot.sheet(&self.title),
            Plot::Bars(plot) => plot.sheet(&self.title),
            Plot::Scatter(plot) => plot.sheet(),
            Plot::Responses(responses) => plots::responses::sheet(responses)?,
            Plot::Images(grid) => grid.sheet()?,
        };
        let csv = match &self.plot {
            Plot::Lines(plot) => plot.csv(),
            Plot::Bars(plot) => plot.csv(),
            Plot::Scatter(plot) => plot.csv(),
            Plot::Responses(responses) => plots::responses::csv(responses),
            Plot::Images(_) => String::new(),
        };
        let svg: String = sheet.document(&self.title, &self.caption).chars().map(legal).collect();
        for (extension, text) in [("svg", svg), ("csv", csv)] {
            let path = folder.join(format!("{}.{extension}", self.name));
            if !text.is_empty() {
                write_whole(&path, text.as_bytes()).map_err(ReportError::io("write", &path))?;
            }
        }
        Ok(())
    }
}

impl Block {
    fn view(&self, id: &str) -> Result<BlockView<'_>, ReportError> {
        Ok(match self {
            Self::Finding(text) => BlockView::Finding(text),
            Self::Heading(text) => BlockView::Heading(text),
            Self::Text(text) => BlockView::Text(text),
            Self::Callout { title, text } => BlockView::Callout { title, text },
            Self::Command(command) => BlockView::Command(command),
            Self::Facts(facts) => BlockView::Facts(facts),
            Self::Table(table) => BlockView::Table(table.to_html()?),
            Self::Figure(Figure { title, caption, plot, name }) => BlockView::Figure {
                title,
                caption,
                name,
                numbers: !matches!(plot, Plot::Images(_)),
                plot: match plot {
                    Plot::Lines(plot) => plot.html(id, title)?,
                    Plot::Bars(plot) => plot.html(id, title)?,
                    Plot::Scatter(plot) => plot.html(id)?,
                    Plot::Responses(responses) => plots::responses::html(responses, id)?,
                    Plot::Images(grid) => grid.html()?,
                },
            },
        })
    }
}

/// `wanted` as an anchor that is not in `taken` yet.
fn anchor(wanted: &str, taken: &mut HashSet<String>) -> String {
    let clean: String = wanted
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let clean = match clean.trim_matches('-') {
        "" => "section".to_owned(),
        // An XML name does not start with a digit.
        clean if clean.starts_with(|c: char| c.is_ascii_digit()) => format!("s{clean}"),
        clean => clean.to_owned(),
    };
    let numbered = (2..).map(|number| format!("{clean}-n{number}"));
    let free = std::iter::once(clean.clone()).chain(numbered).find(|name| !taken.contains(name));
    let id = free.unwrap_or(clean);
    taken.insert(id.clone());
    id
}

/// Replaces what neither HTML nor XML allows in a document, such as NUL and escape characters.
pub(super) fn legal(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' => c,
        c if c.is_control() || matches!(c as u32 & 0xFFFF, 0xFFFE | 0xFFFF) => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}
