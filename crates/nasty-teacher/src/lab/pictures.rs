//! `images.png` of a run: the images of an attack or an analysis, row by row, without gaps.

use super::run::Run;
use super::store_error::{StoreError, io_error};
use crate::data::ImageSet;
use crate::files::write_whole;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

/// Images a row, at most.
const COLUMNS: usize = 10;

impl Run {
    /// Writes `images` as one picture.
    pub(super) fn write_images(&self, images: &ImageSet) -> Result<(), StoreError> {
        let path = self.folder.join("images.png");
        let ImageSet { height, width, channels, .. } = *images;
        let columns = COLUMNS.min(images.len()).max(1);
        let rows = images.len().div_ceil(columns).max(1);
        let mut picture = vec![0; rows * height * columns * width * channels];
        for i in 0..images.len() {
            let (top, left) = (i / columns * height, i % columns * width);
            for (y, line) in images.image(i).chunks_exact(width * channels).enumerate() {
                picture[((top + y) * columns * width + left) * channels..][..width * channels]
                    .copy_from_slice(line);
            }
        }
        let color = if channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
        let mut file = Vec::new();
        PngEncoder::new(&mut file)
            .write_image(&picture, (columns * width) as u32, (rows * height) as u32, color)
            .map_err(|e| io_error(&path)(std::io::Error::other(e)))?;
        write_whole(&path, &file).map_err(io_error(&path))
    }

    /// The first `count` images that [`Self::write_images`] wrote, `width` pixels wide: rows, channels and pixels of each.
    pub fn images(
        &self,
        count: usize,
        [height, width]: [usize; 2],
    ) -> Result<Vec<(usize, Vec<u8>)>, StoreError> {
        let path = self.folder.join("images.png");
        let damaged = |found: String| StoreError::Damaged {
            path: path.clone(),
            expected: "a picture of images",
            found,
        };
        let bytes = std::fs::read(&path).map_err(io_error(&path))?;
        let picture = image::load_from_memory_with_format(&bytes, image::ImageFormat::Png)
            .map_err(|e| damaged(e.to_string()))?;
        let channels = usize::from(picture.color().channel_count());
        let (all, pixels) = ([picture.height() as usize, picture.width() as usize], picture.into_bytes());
        let columns = all[1].checked_div(width).unwrap_or(0).max(1);
        let rows = count.div_ceil(columns);
        if height * width == 0 || rows * height > all[0] || pixels.len() != all[0] * all[1] * channels {
            return Err(damaged(format!("{}×{} pixels", all[0], all[1])));
        }
        let one = |i: usize| {
            let (top, left) = (i / columns * height, i % columns * width);
            let line =
                |y: usize| pixels[((top + y) * all[1] + left) * channels..][..width * channels].to_vec();
            (channels, (0..height).flat_map(line).collect())
        };
        Ok((0..count).map(one).collect())
    }
}
