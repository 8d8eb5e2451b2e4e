//! Images as PNG, embedded as data URIs.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{ColorType, ImageEncoder, codecs::png::PngEncoder};

use super::ReportError;

/// Longest side of an image that is drawn.
pub(super) const MAX_SIDE: usize = 8192;

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

    pub(super) fn check(&self) -> Result<ColorType, ReportError> {
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

    pub(super) fn rgba(&self, x: usize, y: usize) -> [u8; 4] {
        let at = (y * self.width + x) * self.channels;
        match *self.data.get(at..at + self.channels).unwrap_or_default() {
            [grey] => [grey, grey, grey, 255],
            [red, green, blue] => [red, green, blue, 255],
            [red, green, blue, alpha] => [red, green, blue, alpha],
            _ => [0; 4],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn png_comes_back_as_it_was() {
        let data: Vec<u8> = (0..60).collect();
        let image = Pixels { width: 5, height: 4, channels: 3, data: data.clone() };
        let back = image::load_from_memory(&image.png().unwrap()).unwrap().into_rgb8();
        assert_eq!((back.width(), back.height(), back.into_raw()), (5, 4, data));
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
        }
    }
}
