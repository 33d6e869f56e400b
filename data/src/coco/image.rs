//! One image as a detector takes it: read, compared with its annotation, resized, normalised and filled up.

use std::path::Path;

use super::annotations::CocoImage;
use super::transform::DetectionTransform;
use crate::{DataError, Normalization, Picture, decode_file};

impl CocoImage {
    /// Reads it from a split's folder.
    ///
    /// # Errors
    ///
    /// If it cannot be read or has not the size that the annotations say.
    pub fn read(&self, folder: &Path) -> Result<Picture, DataError> {
        let path = folder.join(&self.file_name);
        let picture = decode_file(&path)?;
        if (picture.width, picture.height) != (self.width, self.height) {
            return Err(DataError::broken(
                &path,
                format!(
                    "it is {} x {} pixels, but annotated as {} x {}",
                    picture.width, picture.height, self.width, self.height
                ),
                "give the images that the annotations were made for",
            ));
        }
        Ok(picture)
    }
}

/// Writes an image of `width` as normalised planes of `to` (width and height), which are at least as large; what it
/// does not cover keeps its value.
pub(crate) fn write_planes(
    rgb: &[u8],
    width: usize,
    tables: &[[f32; 256]; 3],
    out: &mut [f32],
    to: [usize; 2],
) {
    for (channel, plane) in out.chunks_exact_mut(to[0] * to[1]).enumerate() {
        for (line, row) in plane.chunks_exact_mut(to[0]).zip(rgb.chunks_exact(3 * width)) {
            for (value, pixel) in line.iter_mut().zip(row.chunks_exact(3)) {
                *value = tables[channel][usize::from(pixel[channel])];
            }
        }
    }
}

/// Preparation of a picture for testing, as Detectron2's: [`DetectionTransform::fixed`], normalised, filled up.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionTest {
    /// The shorter side in pixels.
    pub shorter_side: usize,
    /// The longer side in pixels, at most.
    pub longer_side: usize,
    /// Sides are filled up to a multiple of this.
    pub divisor: usize,
    /// Width and height that pictures are filled up to, where they are fixed.
    pub filled: [Option<usize>; 2],
    tables: [[f32; 256]; 3],
}

/// A picture as a detector takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectorInput {
    /// 3 x height x width, normalised; 0 at the right and at the bottom where the picture is filled up.
    pub values: Vec<f32>,
    /// Width and height with filling.
    pub filled: [usize; 2],
    /// Width and height without.
    pub size: [usize; 2],
    /// Width and height of the original picture.
    pub original: [usize; 2],
}

impl DetectionTest {
    /// For any size of input.
    pub fn new(
        shorter_side: usize,
        longer_side: usize,
        divisor: usize,
        normalization: &Normalization,
    ) -> Self {
        Self { shorter_side, longer_side, divisor, filled: [None; 2], tables: normalization.tables() }
    }

    /// Prepares a picture.
    ///
    /// # Errors
    ///
    /// If it cannot be resized, or is larger then than a fixed size.
    pub fn apply(&self, picture: &Picture) -> Result<DetectorInput, String> {
        let original = [picture.width, picture.height];
        let transform = DetectionTransform::fixed(original, self.shorter_side, self.longer_side);
        let size = transform.to;
        let filled = [0, 1].map(|n| self.filled[n].unwrap_or(size[n].next_multiple_of(self.divisor)));
        if size[0] > filled[0] || size[1] > filled[1] {
            return Err(format!(
                "it is {} x {} pixels after resizing, but the model takes {} x {} only; export a model with \
                 `--dynamic batch,height,width`",
                size[0], size[1], filled[0], filled[1]
            ));
        }
        let resized = transform.picture(picture)?;
        let mut values = vec![0.0; 3 * filled[0] * filled[1]];
        write_planes(&resized.rgb, size[0], &self.tables, &mut values, filled);
        Ok(DetectorInput { values, filled, size, original })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_resized_normalised_and_filled_up() {
        let normalization = Normalization { mean: [0.5; 3], std: [0.25, 0.5, 1.0] };
        let picture = Picture { width: 20, height: 10, rgb: [0, 255, 51].repeat(200) };
        let test = DetectionTest::new(20, 100, 32, &normalization);
        let input = test.apply(&picture).unwrap();
        assert_eq!((input.size, input.filled, input.original), ([40, 20], [64, 32], [20, 10]));
        for (channel, want) in [-2.0, 1.0, -0.3].into_iter().enumerate() {
            let value = |x: usize, y: usize| input.values[(channel * 32 + y) * 64 + x];
            for (x, y) in [(0, 0), (39, 19)] {
                assert!((value(x, y) - want).abs() < 1e-6, "{channel} {x} {y}");
            }
            assert_eq!([value(40, 0), value(0, 20), value(63, 31)], [0.0; 3]);
        }
        let fixed = DetectionTest { filled: [Some(96), None], ..test.clone() };
        assert_eq!(fixed.apply(&picture).unwrap().filled, [96, 32]);
        let small = DetectionTest { filled: [None, Some(16)], ..test };
        let error = small.apply(&picture).unwrap_err();
        assert!(error.contains("40 x 20 pixels") && error.contains("64 x 16 only"), "{error}");
    }
}
