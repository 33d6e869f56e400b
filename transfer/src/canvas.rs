//! [`Canvas`]: lines, areas and letters on a picture.

use std::path::Path;

use genas_data::Picture;
use image::{ColorType, ImageFormat};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use crate::error::{Result, TransferError};

/// Height of letters.
const LETTERS: RasterHeight = RasterHeight::Size16;

/// Red, green and blue.
pub(crate) type Colour = [u8; 3];

/// A picture to draw on. What lies outside of it is not drawn.
pub(crate) struct Canvas(pub Picture);

impl Canvas {
    /// Of one colour.
    pub fn plain(width: usize, height: usize, colour: Colour) -> Self {
        Self(Picture { width, height, rgb: colour.repeat(width * height) })
    }

    pub fn set(&mut self, x: i64, y: i64, colour: Colour) {
        let inside = |v: i64, side: usize| usize::try_from(v).ok().filter(|&v| v < side);
        if let (Some(x), Some(y)) = (inside(x, self.0.width), inside(y, self.0.height)) {
            let at = 3 * (y * self.0.width + x);
            self.0.rgb[at..at + 3].copy_from_slice(&colour);
        }
    }

    /// Fills left, top, width and height.
    pub fn fill(&mut self, [x, y, width, height]: [i64; 4], colour: Colour) {
        for row in y..y + height {
            for column in x..x + width {
                self.set(column, row, colour);
            }
        }
    }

    /// Another picture with its upper left corner here.
    pub fn paste(&mut self, picture: &Picture, left: usize, top: usize) {
        let width = picture.width.min(self.0.width.saturating_sub(left));
        if width == 0 {
            return;
        }
        let rows = picture.rgb.chunks_exact(3 * picture.width.max(1)).take(self.0.height.saturating_sub(top));
        for (y, row) in rows.enumerate() {
            let at = 3 * ((top + y) * self.0.width + left);
            self.0.rgb[at..at + 3 * width].copy_from_slice(&row[..3 * width]);
        }
    }

    /// Width and height that a text takes.
    pub fn text_size(text: &str) -> [i64; 2] {
        let letter = get_raster_width(FontWeight::Regular, LETTERS);
        [(letter * text.chars().count()) as i64, LETTERS.val() as i64]
    }

    /// Writes on a ground of one colour, black or white, whichever is seen better.
    pub fn text(&mut self, x: i64, y: i64, ground: Colour, text: &str) {
        let letter = get_raster_width(FontWeight::Regular, LETTERS) as i64;
        let [r, g, b] = ground.map(f64::from);
        // Luma of BT.601.
        let ink: Colour = if 0.299 * r + 0.587 * g + 0.114 * b > 140.0 { [0; 3] } else { [255; 3] };
        for (n, char) in text.chars().enumerate() {
            let raster = get_raster(char, FontWeight::Regular, LETTERS)
                .or_else(|| get_raster('?', FontWeight::Regular, LETTERS));
            let Some(raster) = raster else { continue };
            for (row, line) in raster.rows().enumerate() {
                for (column, &cover) in line.iter().enumerate() {
                    let mixed = [0, 1, 2].map(|c| {
                        let (from, to) = (u32::from(ground[c]), u32::from(ink[c]));
                        ((from * (255 - u32::from(cover)) + to * u32::from(cover)) / 255) as u8
                    });
                    self.set(x + n as i64 * letter + column as i64, y + row as i64, mixed);
                }
            }
        }
    }

    pub fn save(&self, path: &Path) -> Result<()> {
        let (width, height) = (self.0.width as u32, self.0.height as u32);
        image::save_buffer_with_format(path, &self.0.rgb, width, height, ColorType::Rgb8, ImageFormat::Png)
            .map_err(|error| {
                TransferError::Request(format!("{}: cannot write the picture: {error}", path.display()))
            })
    }
}
