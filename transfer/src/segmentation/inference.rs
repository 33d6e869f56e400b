//! [`Inference`]: how a picture goes through a segmenter, as MMSegmentation's whole and sliding modes
//! (`models/segmentors/encoder_decoder.py`) and its test-time augmentation (`models/segmentors/seg_tta.py`).
//!
//! One pass gives the labels of the largest logits. Several give those of the largest mean of probabilities, each
//! brought to the picture's own size before.

use genas_data::segmentation::{LabelMap, SegmentationTest, SegmenterInput, TestScale, sliding_windows};
use genas_export::{SegmenterForm, SlidingWindow};

use super::logits::{LogitMap, Placement, most_probable};
use crate::error::Result;
use crate::segmenter::{Seen, Segmenter};

/// Whether a picture is cut into windows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WindowChoice {
    /// As the model says.
    #[default]
    Own,
    /// No windows.
    Whole,
    /// These.
    Sliding(SlidingWindow),
}

/// How pictures are segmented; the default is the way that the model was made for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SegmentOptions {
    /// Factors of the size that the model takes pictures at (their own, or what fits into its `within`), whose
    /// probabilities are averaged; none for 1 alone.
    pub scales: Vec<f64>,
    /// Each scale mirrored, too.
    pub flip: bool,
    /// Whole, or in windows.
    pub window: WindowChoice,
}

/// Why windows cannot cover a picture, if they cannot.
pub(crate) fn window_problem(window: &SlidingWindow) -> Option<String> {
    let SlidingWindow { crop, stride } = window;
    let sound = (0..2).all(|axis| crop[axis] > 0 && (1..=crop[axis]).contains(&stride[axis]));
    (!sound).then(|| {
        format!(
            "windows of {} x {} pixels every {} x {} leave some out; a stride is at least 1 and not more than the window",
            crop[0], crop[1], stride[0], stride[1]
        )
    })
}

/// The passes of each picture through a segmenter.
#[derive(Clone, Debug)]
pub(crate) struct Inference {
    passes: Vec<SegmentationTest>,
    window: Option<SlidingWindow>,
    /// What windows are filled up to.
    window_filled: [Option<usize>; 2],
    window_divisor: usize,
    align_corners: bool,
}

impl Inference {
    /// # Errors
    ///
    /// If the options are unsound or are not for the model.
    pub fn new(segmenter: &Segmenter, options: &SegmentOptions) -> Result<Self> {
        let window = match &options.window {
            WindowChoice::Own => segmenter.info().segmentation.window.clone(),
            WindowChoice::Whole => None,
            WindowChoice::Sliding(window) => Some(window.clone()),
        };
        if let Some(problem) = window.as_ref().and_then(window_problem) {
            return Err(segmenter.refuse(&problem));
        }
        if let Some(scale) = options.scales.iter().find(|scale| !(0.01..=100.0).contains(*scale)) {
            return Err(
                segmenter.refuse(&format!("a scale of {scale} was asked for; give factors such as 0.75"))
            );
        }
        let scales = if options.scales.is_empty() { &[1.0][..] } else { &options.scales };
        let whole = window.is_none() && !options.flip && scales == [1.0];
        if segmenter.form() == SegmenterForm::Labels && !whole {
            return Err(segmenter.refuse(
                "it gives labels, which cannot be averaged over windows, scales or mirrored pictures; export it with \
                 `--form logits`, or segment whole pictures once",
            ));
        }
        let own = segmenter.preparation();
        let pass = |&factor: &f64, flip: bool| {
            let scale = match own.scale {
                scale if factor == 1.0 => scale,
                // As MMCV scales its `img_scale`.
                TestScale::Within(size) => {
                    TestScale::Within(size.map(|side| ((side as f64 * factor) as usize).max(1)))
                }
                _ => TestScale::Times(factor),
            };
            let mut pass = own.clone();
            (pass.scale, pass.flip) = (scale, flip);
            if window.is_some() {
                // The windows are filled up, each of them.
                (pass.divisor, pass.filled) = (1, [None; 2]);
            }
            pass
        };
        let flips = if options.flip { &[false, true][..] } else { &[false] };
        let passes = scales.iter().flat_map(|scale| flips.iter().map(move |&flip| (scale, flip)));
        Ok(Self {
            passes: passes.map(|(scale, flip)| pass(scale, flip)).collect(),
            window,
            window_filled: own.filled,
            window_divisor: own.divisor,
            align_corners: segmenter.align_corners(),
        })
    }

    /// The preparation of each pass; there is at least one.
    pub fn passes(&self) -> &[SegmentationTest] {
        &self.passes
    }

    /// The class of each pixel of a picture of this width and height, whose inputs `prepared` makes, pass by pass.
    ///
    /// # Errors
    ///
    /// If that, or the model, fails.
    pub fn segment(
        &self,
        segmenter: &mut Segmenter,
        original: [usize; 2],
        prepared: &mut dyn FnMut(&SegmentationTest) -> Result<SegmenterInput>,
    ) -> Result<LabelMap> {
        let placement = |flip| Placement { to: original, align_corners: self.align_corners, flip };
        if let [pass] = &self.passes[..] {
            let input = prepared(pass)?;
            return Ok(match self.see(segmenter, &input)? {
                Seen::Logits(logits) => logits.labels(&placement(pass.flip)),
                Seen::Labels(labels) => nearest(labels, input.size, original),
            });
        }
        let classes = segmenter.info().class_names.len();
        let mut sums = vec![0.0; classes * original[0] * original[1]];
        for pass in &self.passes {
            // Of labels there is one pass.
            if let Seen::Logits(logits) = self.see(segmenter, &prepared(pass)?)? {
                logits.add_probabilities(&placement(pass.flip), &mut sums);
            }
        }
        Ok(most_probable(&sums, classes, original))
    }

    fn see(&self, segmenter: &mut Segmenter, input: &SegmenterInput) -> Result<Seen> {
        match &self.window {
            None => segmenter.see(&input.values, input.filled, input.size),
            Some(window) => self.slide(segmenter, input, window).map(Seen::Logits),
        }
    }

    /// The mean of overlapping windows' logits.
    fn slide(
        &self,
        segmenter: &mut Segmenter,
        input: &SegmenterInput,
        window: &SlidingWindow,
    ) -> Result<LogitMap> {
        let (classes, [width, height]) = (segmenter.info().class_names.len(), input.size);
        let mut sums = vec![0.0; classes * width * height];
        let mut counts = vec![0.0; width * height];
        for window in sliding_windows(input.size, window.crop, window.stride) {
            let size = [window.width, window.height];
            let filled = self.filled(size).map_err(|problem| segmenter.refuse(&problem))?;
            let values = fill_up(input.window(window), size, filled);
            // Windows of labels were refused.
            let Seen::Logits(logits) = segmenter.see(&values, filled, size)? else { continue };
            let (left, top) = (window.left as usize, window.top as usize);
            for y in 0..window.height {
                let at = (top + y) * width + left;
                counts[at..][..window.width].iter_mut().for_each(|count| *count += 1.0);
                for class in 0..classes {
                    let sums = &mut sums[class * width * height + at..][..window.width];
                    sums.iter_mut().zip(logits.row(class, y)).for_each(|(sum, logit)| *sum += logit);
                }
            }
        }
        for sums in sums.chunks_exact_mut(width * height) {
            sums.iter_mut().zip(&counts).for_each(|(sum, count)| *sum /= count);
        }
        Ok(LogitMap { values: sums, classes, filled: input.size, size: input.size })
    }

    /// Width and height of a window as the model takes it.
    fn filled(&self, size: [usize; 2]) -> Result<[usize; 2], String> {
        let filled = [0, 1].map(|n| {
            self.window_filled[n].unwrap_or_else(|| size[n].next_multiple_of(self.window_divisor.max(1)))
        });
        if size[0] > filled[0] || size[1] > filled[1] {
            return Err(format!(
                "windows are {} x {} pixels, but it takes {} x {} only; give smaller windows, or export it with \
                 `--dynamic batch,height,width`",
                size[0], size[1], filled[0], filled[1]
            ));
        }
        Ok(filled)
    }
}

/// Three planes with zeros at the right and at the bottom.
fn fill_up(values: Vec<f32>, size: [usize; 2], filled: [usize; 2]) -> Vec<f32> {
    if size == filled {
        return values;
    }
    let mut all = vec![0.0; 3 * filled[0] * filled[1]];
    for (n, row) in values.chunks_exact(size[0]).enumerate() {
        let (plane, y) = (n / size[1], n % size[1]);
        all[(plane * filled[1] + y) * filled[0]..][..size[0]].copy_from_slice(row);
    }
    all
}

/// Labels at another size: each pixel has that of the pixel in which its upper left corner lies, PyTorch's `nearest`.
fn nearest(labels: Vec<u8>, from: [usize; 2], [width, height]: [usize; 2]) -> LabelMap {
    if from == [width, height] {
        return LabelMap { width, height, labels };
    }
    let row = |y: usize| &labels[y * from[1] / height * from[0]..][..from[0]];
    let labels = (0..height).flat_map(|y| (0..width).map(move |x| row(y)[x * from[0] / width])).collect();
    LabelMap { width, height, labels }
}
