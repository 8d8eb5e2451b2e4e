//! A table of results. HTML is rendered here, other formats in `formats`.

mod formats;

pub(super) use formats::markdown;

use askama::Template;

use super::ReportError;
use super::number::fixed;

/// A table of results.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Shown above the table, its caption.
    pub title: String,
    /// Headings, from left to right.
    pub columns: Vec<Column>,
    /// Cells, row by row. A short row ends in empty cells; what a row has beyond the columns is not shown.
    pub rows: Vec<Vec<Cell>>,
    /// A remark below the table: seeds, what a spread is, the paper's conditions.
    pub note: Option<String>,
    /// Rows and cells to point out.
    pub marks: Vec<Mark>,
    /// What LaTeX refers to it by, such as `tab:students`; none if empty.
    pub label: String,
}

/// A column's heading.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// What the column holds.
    pub name: String,
    /// Its unit, e.g. `%`, `s`.
    pub unit: Option<String>,
    /// Where its cells stand.
    pub align: Align,
}

/// Where a column's cells stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Align {
    /// For words.
    #[default]
    Left,
    /// For numbers.
    Right,
    /// For marks.
    Center,
}

/// A table's cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A measured number. Non-finite numbers are shown as `NaN` and `∞`.
    Number {
        /// The value, in the column's unit.
        value: f64,
        /// Its spread, in the same unit, e.g. the standard deviation over seeds; not shown if not finite.
        spread: Option<f64>,
        /// Decimal places shown.
        decimals: usize,
        /// Whether a plus is shown before what is above zero (differences).
        signed: bool,
    },
    /// Nothing.
    #[default]
    Empty,
}

/// How a row or a cell is pointed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As hoped: bold in Markdown and LaTeX.
    Good,
    /// Not as hoped: italic in Markdown and LaTeX.
    Bad,
}

/// A row or a cell that is pointed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Index of the row.
    pub row: usize,
    /// Index of the column; none for the whole row.
    pub column: Option<usize>,
    /// How it is meant.
    pub tone: Tone,
}

impl Column {
    /// A column of words.
    pub fn text(name: impl Into<String>) -> Self {
        Self { name: name.into(), unit: None, align: Align::Left }
    }

    /// A column of numbers, in `unit` (none if it is empty).
    pub fn number(name: impl Into<String>, unit: &str) -> Self {
        let unit = Some(unit.to_owned()).filter(|unit| !unit.is_empty());
        Self { name: name.into(), unit, align: Align::Right }
    }

    /// The name with the unit in parentheses.
    pub(crate) fn heading(&self) -> String {
        match &self.unit {
            Some(unit) => format!("{} ({unit})", self.name),
            None => self.name.clone(),
        }
    }
}

impl Cell {
    /// Words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A number with `decimals` places.
    pub fn number(value: f64, decimals: usize) -> Self {
        Self::Number { value, spread: None, decimals, signed: false }
    }

    /// A number with its spread, both with `decimals` places.
    pub fn spread(value: f64, spread: f64, decimals: usize) -> Self {
        Self::Number { value, spread: Some(spread), decimals, signed: false }
    }

    /// A difference: a number that shows its sign.
    pub fn difference(value: f64, decimals: usize) -> Self {
        Self::Number { value, spread: None, decimals, signed: true }
    }

    /// What is shown: the words or the value, and the spread with its sign (empty if there is none).
    pub(crate) fn parts(&self) -> (String, String) {
        match self {
            Self::Text(text) => (text.clone(), String::new()),
            Self::Empty => Default::default(),
            Self::Number { value, spread, decimals, signed } => {
                let spread = spread.filter(|spread| spread.is_finite());
                let spread = spread.map(|spread| format!("± {}", fixed(spread.abs(), *decimals, false)));
                (fixed(*value, *decimals, *signed), spread.unwrap_or_default())
            }
        }
    }
}

impl Table {
    pub(crate) fn cell(&self, row: usize, column: usize) -> &Cell {
        self.rows.get(row).and_then(|cells| cells.get(column)).unwrap_or(&Cell::Empty)
    }

    /// How a cell is pointed out: its own mark before its row's, the last one given wins.
    pub(crate) fn tone(&self, row: usize, column: usize) -> Option<Tone> {
        let find = |wanted| self.marks.iter().rev().find(|mark| mark.row == row && mark.column == wanted);
        find(Some(column)).or_else(|| find(None)).map(|mark| mark.tone)
    }

    /// The table as an HTML fragment, styled by the page's style sheet.
    ///
    /// # Errors
    /// [`ReportError::Template`] if the template cannot be filled in.
    pub fn to_html(&self) -> Result<String, ReportError> {
        Ok(TableView::new(self).render()?)
    }
}

/// Tables with more columns than this are cards on a phone.
const CARDS: usize = 3;

#[derive(Template)]
#[template(path = "table.html")]
struct TableView<'a> {
    title: &'a str,
    /// Whether rows become cards on a phone, where so many columns have no room.
    cards: bool,
    headings: Vec<CellView>,
    rows: Vec<Vec<CellView>>,
    note: Option<&'a str>,
}

#[derive(Default)]
struct CellView {
    text: String,
    /// The column's heading, for cards.
    heading: String,
    unit: String,
    spread: String,
    /// Width kept for spreads in this column, in characters, so that values stay aligned; 0 where none has one.
    spread_width: usize,
    class: &'static str,
    /// Said to a screen reader, which does not see the colour.
    spoken: &'static str,
    heads_row: bool,
}

impl<'a> TableView<'a> {
    fn new(table: &'a Table) -> Self {
        let heading = |column: &Column| CellView {
            text: column.name.clone(),
            unit: column.unit.clone().unwrap_or_default(),
            class: class(column.align, None),
            ..CellView::default()
        };
        let spread_widths: Vec<usize> = (0..table.columns.len())
            .map(|column| {
                let spreads = (0..table.rows.len()).map(|row| table.cell(row, column).parts().1);
                spreads.map(|spread| spread.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let view = |row: usize, column: usize| {
            let (text, spread) = table.cell(row, column).parts();
            let tone = table.tone(row, column);
            CellView {
                heads_row: column == 0 && matches!(table.cell(row, 0), Cell::Text(_)),
                spread_width: if text.is_empty() { 0 } else { spread_widths[column] },
                class: class(table.columns[column].align, tone),
                spoken: tone.map_or("", |tone| if tone == Tone::Good { " (good)" } else { " (bad)" }),
                unit: String::new(),
                heading: table.columns[column].heading(),
                text,
                spread,
            }
        };
        let row = |row| (0..table.columns.len()).map(|column| view(row, column)).collect();
        Self {
            title: &table.title,
            cards: table.columns.len() > CARDS,
            headings: table.columns.iter().map(heading).collect(),
            rows: (0..table.rows.len()).map(row).collect(),
            note: table.note.as_deref(),
        }
    }
}

fn class(align: Align, tone: Option<Tone>) -> &'static str {
    match (align, tone) {
        (Align::Left, None) => "l",
        (Align::Right, None) => "r",
        (Align::Center, None) => "c",
        (Align::Left, Some(Tone::Good)) => "l good",
        (Align::Right, Some(Tone::Good)) => "r good",
        (Align::Center, Some(Tone::Good)) => "c good",
        (Align::Left, Some(Tone::Bad)) => "l bad",
        (Align::Right, Some(Tone::Bad)) => "r bad",
        (Align::Center, Some(Tone::Bad)) => "c bad",
    }
}
