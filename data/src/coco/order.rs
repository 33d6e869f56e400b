//! [`BatchOrder`]: which images make which step, wide and tall ones apart: Detectron2's `TrainingSampler` with
//! `AspectRatioGroupedDataset`.

use genas_space::Streams;
use rand::seq::SliceRandom;

/// An endless order of batches. Epochs follow each other without a seam: an image that waits for its group's batch to
/// fill waits into the next epoch, so that every batch is full and no image is lost.
///
/// The shuffle is a function of (stream, epoch) alone. To resume, the order is walked again from its start; an epoch
/// of COCO takes milliseconds.
#[derive(Clone, Debug)]
pub struct BatchOrder {
    /// Of each image, whether it is wider than high; all the same without grouping.
    wide: Vec<bool>,
    batch_size: usize,
    streams: Streams,
    stream: String,
    epoch: u64,
    /// What is left of the epoch, last first.
    left: Vec<usize>,
    groups: [Vec<usize>; 2],
}

impl BatchOrder {
    /// Of images with these widths and heights. Both `sizes` and `batch_size` must be more than none.
    pub fn new(
        sizes: &[[usize; 2]],
        batch_size: usize,
        grouping: bool,
        streams: Streams,
        stream: &str,
    ) -> Self {
        assert!(!sizes.is_empty() && batch_size > 0, "an order of {} images in {batch_size}s", sizes.len());
        Self {
            wide: sizes.iter().map(|[width, height]| grouping && width > height).collect(),
            batch_size,
            streams,
            stream: stream.to_owned(),
            epoch: 0,
            left: Vec::new(),
            groups: [Vec::new(), Vec::new()],
        }
    }

    /// The order after its first `batches`.
    pub fn starting_at(mut self, batches: usize) -> Self {
        for _ in 0..batches {
            self.batch();
        }
        self
    }

    /// The next batch, as positions in `sizes`.
    pub fn batch(&mut self) -> Vec<usize> {
        loop {
            let image = match self.left.pop() {
                Some(image) => image,
                None => {
                    self.left = (0..self.wide.len()).collect();
                    self.left.shuffle(&mut self.streams.rng(&self.stream, self.epoch));
                    self.epoch += 1;
                    continue;
                }
            };
            let group = &mut self.groups[usize::from(self.wide[image])];
            group.push(image);
            if group.len() == self.batch_size {
                return std::mem::take(group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_pure_and_every_image_comes_equally_often() {
        let sizes: Vec<[usize; 2]> =
            (0..31).map(|n| if n % 3 == 0 { [4, 3] } else { [3, 3 + n % 2] }).collect();
        let order = |seed, grouping| BatchOrder::new(&sizes, 4, grouping, Streams::new(seed), "t");
        let mut seen = vec![0usize; sizes.len()];
        let mut walked = order(1, true);
        // 10 epochs are 310 images; up to 6 wait at any time.
        let batches: Vec<Vec<usize>> = (0..77).map(|_| walked.batch()).collect();
        for batch in &batches {
            assert_eq!(batch.len(), 4);
            assert!(batch.iter().all(|&n| (n % 3 == 0) == (batch[0] % 3 == 0)), "{batch:?}");
            batch.iter().for_each(|&n| seen[n] += 1);
        }
        assert!(seen.iter().all(|n| (9..=11).contains(n)), "{seen:?}");
        for position in [0, 1, 33, 76] {
            assert_eq!(order(1, true).starting_at(position).batch(), batches[position]);
        }
        assert_ne!(order(2, true).batch(), batches[0]);
        let mut mixed = order(1, false);
        assert!((0..9).any(|_| {
            let b = mixed.batch();
            b.iter().any(|n| n % 3 == 0) && b.iter().any(|n| n % 3 != 0)
        }));
    }

    #[test]
    fn one_image_fills_a_batch() {
        let mut order = BatchOrder::new(&[[4, 3]], 3, true, Streams::new(1), "t");
        assert_eq!(order.batch(), [0, 0, 0]);
    }
}
