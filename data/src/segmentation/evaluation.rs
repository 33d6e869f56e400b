//! [`SegmentationTest`]: preparation of pictures for a trained segmenter, and the windows of sliding inference.

use super::resize::{fitting_size, scaled_size};
use super::transform::flip;
use crate::coco::write_planes;
use crate::photo::opencv;
use crate::{Normalization, Picture, Window};

/// How large a picture is when it is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TestScale {
    /// As it is.
    Original,
    /// As large as fits into this width and height, with its shape kept: MMCV's `Resize(keep_ratio=True)`.
    Within([usize; 2]),
    /// Its sides times this: one of the scales of a multi-scale test.
    Times(f64),
}

impl TestScale {
    /// Width and height of a picture of this size.
    pub fn of(self, size: [usize; 2]) -> [usize; 2] {
        match self {
            Self::Original => size,
            Self::Within(scale) => fitting_size(size, scale),
            Self::Times(factor) => scaled_size(size, factor),
        }
    }
}

/// Preparation of a picture for testing: resized as OpenCV does, mirrored if asked, normalised, filled up with 0.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentationTest {
    /// The size.
    pub scale: TestScale,
    /// Left becomes right; then logits must be turned back.
    pub flip: bool,
    /// Sides are filled up to a multiple of this; 1 for not at all.
    pub divisor: usize,
    /// Width and height that pictures are filled up to, where they are fixed.
    pub filled: [Option<usize>; 2],
    tables: [[f32; 256]; 3],
}

/// A picture as a segmenter takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmenterInput {
    /// 3 x height x width, normalised; 0 at the right and at the bottom where the picture is filled up.
    pub values: Vec<f32>,
    /// Width and height with filling.
    pub filled: [usize; 2],
    /// Width and height without.
    pub size: [usize; 2],
    /// Width and height of the original picture.
    pub original: [usize; 2],
}

impl SegmentationTest {
    /// Of whole pictures in their own size.
    pub fn new(normalization: &Normalization) -> Self {
        let tables = normalization.tables();
        Self { scale: TestScale::Original, flip: false, divisor: 1, filled: [None; 2], tables }
    }

    /// Prepares a picture.
    ///
    /// # Errors
    ///
    /// If it is larger than a fixed size.
    pub fn apply(&self, picture: &Picture) -> Result<SegmenterInput, String> {
        let original = [picture.width, picture.height];
        let size = self.scale.of(original);
        let filled = [0, 1].map(|n| self.filled[n].unwrap_or(size[n].next_multiple_of(self.divisor.max(1))));
        if size[0] > filled[0] || size[1] > filled[1] {
            return Err(format!(
                "it is {} x {} pixels, but the model takes {} x {} only; give a scale that fits, or export a model with \
                 `--dynamic batch,height,width`",
                size[0], size[1], filled[0], filled[1]
            ));
        }
        let mut changed = None;
        if size != original {
            let whole = Window { left: 0, top: 0, width: size[0], height: size[1] };
            changed = Some(opencv::resized_window(picture, original, size, whole));
        }
        if self.flip {
            flip(changed.get_or_insert_with(|| picture.clone()));
        }
        let mut values = vec![0.0; 3 * filled[0] * filled[1]];
        write_planes(&changed.as_ref().unwrap_or(picture).rgb, size[0], &self.tables, &mut values, filled);
        Ok(SegmenterInput { values, filled, size, original })
    }
}

impl SegmenterInput {
    /// A part of it, 3 x height x width.
    pub fn window(&self, window: Window) -> Vec<f32> {
        let [width, height] = self.filled;
        let (left, top) = (window.left as usize, window.top as usize);
        let rows = (0..3 * window.height).map(|n| n / window.height * height + top + n % window.height);
        rows.flat_map(|y| &self.values[y * width + left..][..window.width]).copied().collect()
    }
}

/// The windows of sliding inference over `size`, row by row: MMSegmentation's `slide_inference`. The last of a row or
/// column is moved back to the border, so that all are whole; where `size` is smaller than `crop`, there is one, which
/// is cut off. All are width and height; a stride of 0 counts as 1.
pub fn sliding_windows(size: [usize; 2], crop: [usize; 2], stride: [usize; 2]) -> Vec<Window> {
    let starts = |axis: usize| {
        let (side, crop, stride) = (size[axis], crop[axis], stride[axis].max(1));
        let n = side.saturating_sub(crop).div_ceil(stride) + 1;
        (0..n).map(move |k| (k * stride).min(side.saturating_sub(crop)))
    };
    let (width, height) = (crop[0].min(size[0]), crop[1].min(size[1]));
    starts(1)
        .flat_map(|top| {
            starts(0).map(move |left| Window { left: left as i64, top: top as i64, width, height })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_resized_normalised_and_filled_up() {
        let normalization = Normalization { mean: [0.5; 3], std: [0.25, 0.5, 1.0] };
        let rgb = (0..200).flat_map(|k| if k % 20 < 10 { [0, 255, 51] } else { [255, 0, 51] }).collect();
        let picture = Picture { width: 20, height: 10, rgb };
        let whole = SegmentationTest::new(&normalization);
        let input = whole.apply(&picture).unwrap();
        assert_eq!((input.size, input.filled, input.original), ([20, 10], [20, 10], [20, 10]));
        let twice = SegmentationTest { scale: TestScale::Times(2.0), divisor: 32, ..whole.clone() };
        let input = twice.apply(&picture).unwrap();
        assert_eq!((input.size, input.filled, input.original), ([40, 20], [64, 32], [20, 10]));
        let value = |input: &SegmenterInput, channel: usize, x: usize, y: usize| {
            input.values[(channel * input.filled[1] + y) * input.filled[0] + x]
        };
        for (channel, want) in [[-2.0, 2.0], [1.0, -1.0], [-0.3, -0.3]].into_iter().enumerate() {
            for (x, want) in [(0, want[0]), (39, want[1])] {
                assert!((value(&input, channel, x, 19) - want).abs() < 1e-6, "{channel} {x}");
            }
            assert_eq!([(40, 0), (0, 20), (63, 31)].map(|(x, y)| value(&input, channel, x, y)), [0.0; 3]);
        }
        let flipped = SegmentationTest { flip: true, ..twice.clone() }.apply(&picture).unwrap();
        for (x, y) in [(0, 0), (12, 7), (39, 19)] {
            assert_eq!(value(&flipped, 0, x, y), value(&input, 0, 39 - x, y));
        }
        let within = SegmentationTest { scale: TestScale::Within([100, 30]), ..whole.clone() };
        assert_eq!(within.apply(&picture).unwrap().size, [60, 30]);
        let fixed = SegmentationTest { filled: [Some(24), Some(10)], ..whole.clone() };
        assert_eq!(fixed.apply(&picture).unwrap().filled, [24, 10]);
        let small = SegmentationTest { filled: [None, Some(8)], ..whole };
        let error = small.apply(&picture).unwrap_err();
        assert!(error.contains("20 x 10 pixels") && error.contains("20 x 8 only"), "{error}");
    }

    #[test]
    fn windows_slide_as_in_mmsegmentation() {
        // side, crop, stride: where they begin (encoder_decoder.py, slide_inference).
        for (side, crop, stride, want) in [
            (2049, 769, 513, &[0, 513, 1026, 1280][..]),
            (1025, 769, 513, &[0, 256]),
            (769, 769, 513, &[0]),
            (770, 769, 513, &[0, 1]),
            (100, 40, 20, &[0, 20, 40, 60]),
            (30, 40, 20, &[0]),
        ] {
            let windows = sliding_windows([side, 5], [crop, 9], [stride, 3]);
            assert_eq!(windows.iter().map(|w| w.left).collect::<Vec<_>>(), want, "{side}");
            assert!(windows.iter().all(|w| (w.top, w.height, w.width) == (0, 5, crop.min(side))));
        }
        let windows = sliding_windows([5, 4], [3, 3], [2, 2]);
        assert_eq!(
            windows.iter().map(|w| (w.left, w.top)).collect::<Vec<_>>(),
            [(0, 0), (2, 0), (0, 1), (2, 1)]
        );
        let input = SegmenterInput {
            values: (0..60).map(|v| v as f32).collect(),
            filled: [5, 4],
            size: [5, 4],
            original: [5, 4],
        };
        let part = input.window(windows[3]);
        assert_eq!((part.len(), part[0], part[3], part[9], part[26]), (27, 7.0, 12.0, 27.0, 59.0));
    }
}
