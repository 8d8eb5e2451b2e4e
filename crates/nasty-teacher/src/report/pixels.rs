//! Small images on a page: PNG, embedded as data URIs.

use std::io::Cursor;

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{ColorType, ImageEncoder, codecs::png::PngEncoder};

use super::ReportError;
use super::plots::sheet::Sheet;

/// Longest side of an image that is drawn.
const MAX_SIDE: usize = 8192;
/// Transparent pixels between the images of a grid.
const GAP: usize = 2;

/// An image of 8-bit pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Pixels {
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 (grey), 3 (RGB) or 4 (RGBA).
    pub channels: usize,
    /// `[height, width, channels]`, row by row.
    pub data: Vec<u8>,
}

impl Pixels {
    /// The image as a PNG file's bytes.
    ///
    /// # Errors
    /// [`ReportError::Image`] if size, channels and data do not fit together.
    pub fn png(&self) -> Result<Vec<u8>, ReportError> {
        let color = self.check()?;
        let mut file = Cursor::new(Vec::new());
        PngEncoder::new(&mut file).write_image(
            &self.data,
            self.width as u32,
            self.height as u32,
            color.into(),
        )?;
        Ok(file.into_inner())
    }

    fn check(&self) -> Result<ColorType, ReportError> {
        let Self { width, height, channels, data } = self;
        let color = match channels {
            1 => Some(ColorType::L8),
            3 => Some(ColorType::Rgb8),
            4 => Some(ColorType::Rgba8),
            _ => None,
        };
        let sides = 1..=MAX_SIDE;
        // The sides are bounded first, so the product cannot overflow.
        color
            .filter(|_| {
                sides.contains(width) && sides.contains(height) && width * height * channels == data.len()
            })
            .ok_or(ReportError::Image {
                width: *width,
                height: *height,
                channels: *channels,
                found: data.len(),
            })
    }

    pub(crate) fn data_uri(&self) -> Result<String, ReportError> {
        Ok(format!("data:image/png;base64,{}", STANDARD.encode(self.png()?)))
    }

    fn rgba(&self, x: usize, y: usize) -> [u8; 4] {
        let at = (y * self.width + x) * self.channels;
        match *self.data.get(at..at + self.channels).unwrap_or_default() {
            [grey] => [grey, grey, grey, 255],
            [red, green, blue] => [red, green, blue, 255],
            [red, green, blue, alpha] => [red, green, blue, alpha],
            _ => [0; 4],
        }
    }
}

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
    fn png_comes_back_as_it_was() {
        let data: Vec<u8> = (0..60).collect();
        let image = Pixels { width: 5, height: 4, channels: 3, data: data.clone() };
        let back = image::load_from_memory(&image.png().unwrap()).unwrap().into_rgb8();
        assert_eq!((back.width(), back.height(), back.into_raw()), (5, 4, data));
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
    fn malformed_images_are_errors() {
        let bad = [
            Pixels { width: 2, height: 2, channels: 2, data: vec![0; 8] },
            Pixels { width: 0, height: 2, channels: 1, data: vec![] },
            Pixels { width: 2, height: 2, channels: 1, data: vec![0; 3] },
            Pixels { width: usize::MAX, height: usize::MAX, channels: 1, data: vec![0] },
        ];
        for image in bad {
            assert!(matches!(image.png(), Err(ReportError::Image { .. })), "{image:?}");
            let panel = ImagePanel { title: String::new(), columns: 0, images: vec![image] };
            assert!(matches!(panel.pixels(), Err(ReportError::Image { .. })));
        }
        let none = ImagePanel { title: String::new(), columns: usize::MAX, images: vec![] };
        assert!(matches!(none.pixels(), Err(ReportError::Image { .. })));
    }
}
