//! Detections and objects on their images, drawn: to see with one's own eyes what an AP stands for.
//!
//! A detection is a box of two pixels in its class's colour, with the class and the score beside it; an object of
//! the annotations a thin dashed line.

use std::fs;
use std::path::{Path, PathBuf};

use genas_data::DataError;
use genas_data::coco::Annotations;

use super::results::CocoDetection;
use crate::canvas::{Canvas, Colour};
use crate::error::Result;

/// Pixels of a detection's line.
const LINE: i64 = 2;
/// Pixels of a dash; white and black take turns, so that it is seen on any ground.
const DASH: i64 = 4;
/// Pixels around a label's text.
const MARGIN: i64 = 2;

/// Which images are drawn, and what on them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DrawOptions {
    /// The first images, at most.
    pub images: usize,
    /// Detections with lower scores are left out.
    pub score_above: f64,
}

impl Default for DrawOptions {
    fn default() -> Self {
        Self { images: 12, score_above: 0.3 }
    }
}

/// Draws the first images of `annotations`, which lie in `folder`, into PNG files in `out`; their paths are given back.
///
/// # Errors
///
/// If an image cannot be read or a picture not be written.
pub fn draw_split(
    annotations: &Annotations,
    folder: &Path,
    detections: &[CocoDetection],
    out: &Path,
    options: &DrawOptions,
) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(out).map_err(|source| DataError::Io {
        action: "create",
        path: out.to_owned(),
        source,
    })?;
    let (_, classes) = annotations.positions();
    let mut written = Vec::new();
    for (n, image) in annotations.images.iter().take(options.images).enumerate() {
        let mut canvas = Canvas(image.read(folder)?);
        for object in annotations.objects.iter().filter(|object| object.image == n) {
            canvas.dashed(object.bbox);
        }
        let mut shown: Vec<&CocoDetection> = detections
            .iter()
            .filter(|found| found.image_id == image.id && found.score > options.score_above)
            .collect();
        // The best last, on top of the others.
        shown.sort_by(|a, b| a.score.total_cmp(&b.score));
        for found in shown {
            let Some(&class) = classes.get(&found.category_id) else { continue };
            let label = format!("{} {:.2}", annotations.classes[class].name, found.score);
            canvas.detection(found.bbox, colour(class), &label);
        }
        // A file name may have folders in it.
        let name = image.file_name.replace(['/', '\\'], "_");
        let path = out.join(Path::new(&name).with_extension("png"));
        canvas.save(&path)?;
        written.push(path);
    }
    Ok(written)
}

/// A class's colour: neighbours among the classes are far from each other on the wheel, and differ in brightness.
fn colour(class: usize) -> Colour {
    let hue = (class as f64 * 0.618_033_988_75).fract() * 6.0;
    let value = [1.0, 0.75, 0.9][class % 3];
    let saturation = [0.9, 0.9, 0.6][class % 3];
    [5.0, 3.0, 1.0].map(|n: f64| {
        let k = (n + hue) % 6.0;
        let part = k.min(4.0 - k).clamp(0.0, 1.0);
        (255.0 * value * (1.0 - saturation * part)).round() as u8
    })
}

impl Canvas {
    /// First and last column and row of a box (left, top, width, height), within the image.
    fn pixels(&self, [x, y, w, h]: [f64; 4]) -> [i64; 4] {
        let column = |v: f64| (v.round() as i64).clamp(0, self.0.width as i64 - 1);
        let row = |v: f64| (v.round() as i64).clamp(0, self.0.height as i64 - 1);
        [column(x), row(y), column(x + w - 1.0), row(y + h - 1.0)]
    }

    fn dashed(&mut self, bbox: [f64; 4]) {
        let [left, top, right, bottom] = self.pixels(bbox);
        let dash = |n: i64| if n / DASH % 2 == 0 { [255; 3] } else { [0; 3] };
        for x in left..=right {
            self.set(x, top, dash(x - left));
            self.set(x, bottom, dash(x - left));
        }
        for y in top..=bottom {
            self.set(left, y, dash(y - top));
            self.set(right, y, dash(y - top));
        }
    }

    fn detection(&mut self, bbox: [f64; 4], colour: Colour, label: &str) {
        let [left, top, right, bottom] = self.pixels(bbox);
        for d in 0..LINE {
            for x in left..=right {
                self.set(x, top + d, colour);
                self.set(x, bottom - d, colour);
            }
            for y in top..=bottom {
                self.set(left + d, y, colour);
                self.set(right - d, y, colour);
            }
        }
        let [width, height] = Canvas::text_size(label).map(|side| side + 2 * MARGIN);
        // Above the box, or in it where the image ends there; not beyond the right border if that can be.
        let y = if top >= height { top - height } else { top };
        let x = left.min(self.0.width as i64 - width).max(0);
        self.fill([x, y, width, height], colour);
        self.text(x + MARGIN, y + MARGIN, colour, label);
    }
}

#[cfg(test)]
mod tests {
    use genas_data::Picture;

    use super::*;

    #[test]
    fn boxes_labels_and_dashes_are_where_they_belong() {
        let mut canvas = Canvas(Picture { width: 120, height: 80, rgb: vec![60; 3 * 120 * 80] });
        let at = |canvas: &Canvas, x: usize, y: usize| {
            <[u8; 3]>::try_from(&canvas.0.rgb[3 * (y * 120 + x)..][..3]).unwrap()
        };
        canvas.dashed([5.0, 40.0, 20.0, 20.0]);
        assert_eq!(
            [(5, 40), (8, 40), (9, 40), (5, 44), (24, 59)].map(|(x, y)| at(&canvas, x, y)[0]),
            [255, 255, 0, 0, 255]
        );
        let red = [200, 0, 0];
        canvas.detection([30.0, 30.0, 40.0, 20.0], red, "a");
        for (x, y, inside) in
            [(30, 30, true), (31, 31, true), (32, 32, false), (69, 49, true), (70, 50, false)]
        {
            assert_eq!(at(&canvas, x, y) == red, inside, "{x} {y}");
        }
        // Letters on the label's ground, which begins above the box.
        assert_eq!(at(&canvas, 30, 29), red);
        let inked = (10..30).flat_map(|y| (30..45).map(move |x| (x, y)));
        assert!(inked.clone().any(|(x, y)| at(&canvas, x, y)[1] > 200));
        // Neither the borders nor numbers that are none stop it.
        canvas.detection([-9.0, -9.0, 500.0, 500.0], red, "far too long for this picture, \u{e9}");
        canvas.detection([f64::NAN, 1.0, f64::INFINITY, -3.0], red, "");
        assert_eq!(at(&canvas, 119, 79), red);
    }

    #[test]
    fn colours_differ() {
        let all: Vec<Colour> = (0..80).map(colour).collect();
        for (n, a) in all.iter().enumerate() {
            for b in &all[..n] {
                let distance: i32 = (0..3).map(|c| (i32::from(a[c]) - i32::from(b[c])).abs()).sum();
                assert!(distance > 8, "{a:?} {b:?}");
            }
        }
    }
}
