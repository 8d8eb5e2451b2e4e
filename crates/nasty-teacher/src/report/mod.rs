//! Tables, plots and pages: turns plain data into one self-contained HTML page, and into tables in other formats.
//!
//! Except for `audit`, `networks` and `experiment`, nothing here knows about networks, recipes or the store.
//! Missing and non-finite numbers are part of the data (a student that could not be trained is a result): they are
//! shown as gaps and as `NaN`, and never cause a panic.

mod error;
mod number;
mod page;
mod page_markdown;
mod pixels;
mod plots;
mod table;

pub mod audit;
pub mod experiment;
pub mod networks;

pub use error::ReportError;
pub use page::{Block, Figure, Page, Plot, Section};
pub use pixels::Pixels;
pub use plots::axes::Axis;
pub use plots::bars::{BarGroup, BarPlot};
pub use plots::images::{ImageGrid, ImagePanel};
pub use plots::lines::{LinePanel, LinePlot, Series};
pub use plots::responses::Response;
pub use plots::scatter::{ScatterPanel, ScatterPlot};
pub use table::{Align, Cell, Column, Mark, Table, Tone};
