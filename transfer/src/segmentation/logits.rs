//! [`LogitMap`]: a segmenter's logits, brought to a picture's size row by row. A whole copy at that size, 160 MB for
//! Cityscapes, is made of probabilities only, and only where several are averaged.

use genas_data::segmentation::LabelMap;
use genas_kernels::resize::{Mix, mixes};

/// Logits of one picture or of a part of it.
#[derive(Clone, Debug)]
pub(crate) struct LogitMap {
    /// `[classes, height, width]` of `filled`.
    pub values: Vec<f32>,
    pub classes: usize,
    /// Width and height with filling at the right and at the bottom.
    pub filled: [usize; 2],
    /// Width and height without.
    pub size: [usize; 2],
}

/// How logits become those of a picture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placement {
    /// Width and height of the picture.
    pub to: [usize; 2],
    /// How the corners lie when sizes differ.
    pub align_corners: bool,
    /// Whether the picture was mirrored.
    pub flip: bool,
}

impl LogitMap {
    /// One row of one class, without filling.
    pub fn row(&self, class: usize, y: usize) -> &[f32] {
        let [width, height] = self.filled;
        &self.values[(class * height + y) * width..][..self.size[0]]
    }

    /// The class of the largest logit of each pixel; of equal ones the first.
    pub fn labels(&self, placement: &Placement) -> LabelMap {
        let [width, height] = placement.to;
        let mut labels = vec![0; width * height];
        let mut best = vec![0.0; width];
        self.each_row(placement, |y, row| largest(row, &mut best, &mut labels[y * width..][..width]));
        LabelMap { width, height, labels }
    }

    /// Adds the classes' probabilities (softmax) to `sums`, `[height, classes, width]` of the picture.
    pub fn add_probabilities(&self, placement: &Placement, sums: &mut [f32]) {
        let width = placement.to[0];
        let (mut max, mut sum) = (vec![0.0f32; width], vec![0.0f32; width]);
        self.each_row(placement, |y, row| {
            max.copy_from_slice(&row[..width]);
            for class in row.chunks_exact(width).skip(1) {
                max.iter_mut().zip(class).for_each(|(max, &logit)| *max = max.max(logit));
            }
            sum.fill(0.0);
            for class in row.chunks_exact_mut(width) {
                for ((logit, max), sum) in class.iter_mut().zip(&max).zip(&mut sum) {
                    *logit = (*logit - max).exp();
                    *sum += *logit;
                }
            }
            let sums = &mut sums[y * row.len()..][..row.len()];
            for (class, sums) in row.chunks_exact(width).zip(sums.chunks_exact_mut(width)) {
                for ((total, exp), sum) in sums.iter_mut().zip(class).zip(&sum) {
                    *total += exp / sum;
                }
            }
        });
    }

    /// Gives each row of the picture: `[classes, width]`, which may be changed.
    fn each_row(&self, placement: &Placement, mut take: impl FnMut(usize, &mut [f32])) {
        let Placement { to: [width, height], align_corners, flip } = *placement;
        let same = self.size == placement.to;
        let axis =
            |n: usize| if same { Vec::new() } else { mixes(self.size[n], placement.to[n], align_corners) };
        let (columns, rows) = (axis(0), axis(1));
        let mut row = vec![0.0; self.classes * width];
        let mut mixed = vec![0.0; self.size[0]];
        for y in 0..height {
            for (class, out) in row.chunks_exact_mut(width).enumerate() {
                // Where sizes are the same there are no mixtures.
                match rows.get(y) {
                    None => out.copy_from_slice(self.row(class, y)),
                    Some(&rows) => {
                        self.mix(class, rows, &mut mixed);
                        for (out, mix) in out.iter_mut().zip(&columns) {
                            *out = mixed[mix.first] + mix.share * (mixed[mix.second] - mixed[mix.first]);
                        }
                    }
                }
                if flip {
                    out.reverse();
                }
            }
            take(y, &mut row);
        }
    }

    /// The mixture of two rows.
    fn mix(&self, class: usize, mix: Mix, out: &mut [f32]) {
        let rows = self.row(class, mix.first).iter().zip(self.row(class, mix.second));
        for (out, (first, second)) in out.iter_mut().zip(rows) {
            *out = first + mix.share * (second - first);
        }
    }
}

/// The labels of the largest of sums that [`LogitMap::add_probabilities`] made, for a picture of this width and height.
pub(crate) fn most_probable(sums: &[f32], classes: usize, [width, height]: [usize; 2]) -> LabelMap {
    let mut labels = vec![0; width * height];
    let mut best = vec![0.0; width];
    for (row, labels) in sums.chunks_exact(classes * width).zip(labels.chunks_exact_mut(width)) {
        largest(row, &mut best, labels);
    }
    LabelMap { width, height, labels }
}

/// The class of the largest value of each pixel of a row `[classes, width]`. `best` is scratch.
fn largest(row: &[f32], best: &mut [f32], labels: &mut [u8]) {
    let width = best.len();
    best.copy_from_slice(&row[..width]);
    labels.fill(0);
    // A segmenter has at most 255 classes.
    for (class, values) in (1u8..).zip(row.chunks_exact(width).skip(1)) {
        for ((label, best), &value) in labels.iter_mut().zip(&mut *best).zip(values) {
            let better = value > *best;
            *best = if better { value } else { *best };
            *label = if better { class } else { *label };
        }
    }
}
