//! Grids of small images.

use askama::Template;

use super::sheet::Sheet;
use crate::report::ReportError;
use crate::report::pixels::{MAX_SIDE, Pixels};

/// Transparent pixels between the images of a grid.
const GAP: usize = 2;

/// Titled grids of images, side by side.
#[derive(Clone, Debug, Default)]
pub struct ImageGrid {
    /// One grid each.
    pub panels: Vec<ImagePanel>,
}

/// One titled grid of images.
#[derive(Clone, Debug)]
pub struct ImagePanel {
    /// What the images are of, e.g. `normal teacher`.
    pub title: String,
    /// Images a row; 0 counts as 1.
    pub columns: usize,
    /// The images, row by row. They may differ in size: the largest sets the cell.
    pub images: Vec<Pixels>,
}

impl ImagePanel {
    /// The grid as one RGBA image, two transparent pixels between its cells.
    ///
    /// # Errors
    /// [`ReportError::Image`] if there is no image, one is malformed, or the grid is over 8192 pixels a side.
    pub fn pixels(&self) -> Result<Pixels, ReportError> {
        for image in &self.images {
            image.check()?;
        }
        let columns = self.columns.clamp(1, self.images.len().max(1));
        let rows = self.images.len().div_ceil(columns);
        let cell_width = self.images.iter().map(|image| image.width + GAP).max().unwrap_or(0);
        let cell_height = self.images.iter().map(|image| image.height + GAP).max().unwrap_or(0);
        let width = (columns * cell_width).saturating_sub(GAP);
        let height = (rows * cell_height).saturating_sub(GAP);
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            return Err(ReportError::Image { width, height, channels: 4, found: 0 });
        }
        let mut data = vec![0; width * height * 4];
        for (index, image) in self.images.iter().enumerate() {
            let (left, top) = (index % columns * cell_width, index / columns * cell_height);
            for y in 0..image.height {
                for x in 0..image.width {
                    let at = ((top + y) * width + left + x) * 4;
                    data[at..at + 4].copy_from_slice(&image.rgba(x, y));
                }
            }
        }
        Ok(Pixels { width, height, channels: 4, data })
    }
}

#[derive(Template)]
#[template(path = "images.html")]
struct GridView {
    panels: Vec<PanelView>,
}

struct PanelView {
    title: String,
    count: usize,
    /// Width on the page, CSS pixels.
    width: usize,
    uri: Option<String>,
}

impl ImageGrid {
    /// The grids for a file of their own.
    pub(crate) fn sheet(&self) -> Result<Sheet, ReportError> {
        let mut panels = Vec::new();
        for panel in self.panels.iter().filter(|panel| !panel.images.is_empty()) {
            let grid = panel.pixels()?;
            let factor = (370.0 / grid.width as f64).min(4.0);
            let size = (grid.width as f64 * factor, grid.height as f64 * factor);
            panels.push((panel.title.clone(), grid.data_uri()?, size));
        }
        Ok(Sheet::of_images(panels))
    }

    pub(crate) fn html(&self) -> Result<String, ReportError> {
        let panels = self.panels.iter().map(ImagePanel::view).collect::<Result<_, _>>()?;
        Ok(GridView { panels }.render()?)
    }
}

impl ImagePanel {
    fn view(&self) -> Result<PanelView, ReportError> {
        let (title, count) = (self.title.clone(), self.images.len());
        if count == 0 {
            return Ok(PanelView { title, count, width: 0, uri: None });
        }
        let grid = self.pixels()?;
        // Enlarged by a whole factor: every pixel of a small image stays a square.
        let factor = (440 / grid.width).clamp(1, 4);
        Ok(PanelView { title, count, width: grid.width * factor, uri: Some(grid.data_uri()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: usize, height: usize, value: u8) -> Pixels {
        Pixels { width, height, channels: 1, data: vec![value; width * height] }
    }

    #[test]
    fn grids_place_images_row_by_row() {
        let images = vec![grey(2, 2, 10), grey(1, 2, 20), grey(2, 1, 30)];
        let grid = ImagePanel { title: String::new(), columns: 2, images }.pixels().unwrap();
        assert_eq!((grid.width, grid.height, grid.channels), (6, 6, 4));
        assert_eq!(grid.rgba(0, 0), [10, 10, 10, 255]);
        assert_eq!(grid.rgba(4, 1), [20, 20, 20, 255]);
        assert_eq!(grid.rgba(5, 1), [0; 4], "the second image is one pixel narrower");
        assert_eq!(grid.rgba(1, 4), [30, 30, 30, 255]);
        assert_eq!(grid.rgba(2, 0), [0; 4], "gap");
    }

    #[test]
    fn grids_of_malformed_images_are_errors() {
        let malformed = Pixels { width: 2, height: 2, channels: 1, data: vec![0; 3] };
        for images in [vec![grey(2, 2, 10), malformed], vec![]] {
            let panel = ImagePanel { title: String::new(), columns: usize::MAX, images };
            assert!(matches!(panel.pixels(), Err(ReportError::Image { .. })));
        }
        let panel = ImagePanel { title: String::new(), columns: 0, images: vec![grey(2, 2, 10)] };
        assert_eq!(panel.pixels().unwrap().width, 2);
    }
}
