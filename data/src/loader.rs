//! [`TrainLoader`]: shuffled, augmented, prefetched training batches.
//!
//! Everything random hangs on (stream, epoch, position in the epoch) and nothing on threads or on
//! earlier batches: a resumed run asks for the batch it stopped at and gets it at no cost.

use std::ops::Range;
use std::sync::Arc;

use genas_space::Streams;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use crate::prefetch::Last;
use crate::{AugmentConfig, DataError, ImageSet, Prefetch, Workers};

/// Images and labels of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// N x 3 x H x W, normalised.
    pub images: Vec<f32>,
    /// Class indices.
    pub labels: Vec<i64>,
    /// Number of images.
    pub n: usize,
}

/// Training batches of some images of a set.
#[derive(Debug, Clone)]
pub struct TrainLoader {
    set: Arc<ImageSet>,
    indices: Arc<Vec<usize>>,
    augment: AugmentConfig,
    batch_size: usize,
    streams: Streams,
    shuffle_stream: Arc<str>,
    augment_stream: Arc<str>,
    tables: Arc<[[f32; 256]; 3]>,
    /// Which of how many replicas this is.
    part: (usize, usize),
    workers: Workers,
}

impl TrainLoader {
    /// A loader of the images at `indices`. `stream_name` tells its random streams apart from those
    /// of other loaders of the run.
    pub fn new(
        set: Arc<ImageSet>,
        indices: Arc<Vec<usize>>,
        augment: AugmentConfig,
        batch_size: usize,
        streams: Streams,
        stream_name: &str,
    ) -> Result<Self, DataError> {
        if batch_size == 0 {
            return Err(DataError::request("batch size 0", "give a batch size of 1 or more"));
        }
        if indices.is_empty() {
            return Err(DataError::request(
                format!("{}: no images to train on", set.name),
                "give a data set or a split with images",
            ));
        }
        if let Some(i) = indices.iter().find(|&&i| i >= set.len()) {
            return Err(DataError::request(
                format!("{}: image {i} of {}", set.name, set.len()),
                "use a split made for this data set",
            ));
        }
        Ok(Self {
            tables: Arc::new(set.normalization.tables()),
            set,
            indices,
            augment,
            batch_size,
            streams,
            shuffle_stream: format!("{stream_name}/shuffle").into(),
            augment_stream: format!("{stream_name}/augment").into(),
            part: (0, 1),
            workers: Workers::shared(),
        })
    }

    /// The same loader on other threads; its batches do not change.
    pub fn with_workers(self, workers: Workers) -> Self {
        Self { workers, ..self }
    }

    /// The loader of replica `rank` of `world`: of every batch it hands out a contiguous part. `batch_size` stays the
    /// size of the whole batch. A last batch with fewer images than replicas is left out, for all of them.
    pub fn with_part(self, rank: usize, world: usize) -> Result<Self, DataError> {
        if rank >= world || world > self.batch_size || world > self.indices.len() {
            return Err(DataError::request(
                format!("replica {rank} of {world} with batches of {}", self.batch_size),
                "give ranks from 0, and at least one image to every replica",
            ));
        }
        Ok(Self { part: (rank, world), ..self })
    }

    /// Batches in an epoch; the last one may be smaller.
    pub fn n_batches(&self) -> usize {
        let rest = self.indices.len() % self.batch_size;
        self.indices.len() / self.batch_size + usize::from(rest >= self.part.1)
    }

    /// Images in an epoch, of all replicas together.
    pub fn n_images(&self) -> usize {
        self.indices.len().min(self.n_batches() * self.batch_size)
    }

    /// The batches of an epoch, without the first `skip_batches`.
    pub fn epoch(&self, epoch: u64, skip_batches: usize) -> Prefetch<Batch> {
        self.batches(epoch, skip_batches..self.n_batches())
    }

    /// Some batches of an epoch.
    pub fn batches(&self, epoch: u64, range: Range<usize>) -> Prefetch<Batch> {
        let range = range.start..range.end.min(self.n_batches());
        let loader = self.clone();
        let mut order = None;
        Prefetch::new(range, move |b| {
            let order = order.get_or_insert_with(|| loader.order(epoch));
            (loader.assemble(epoch, order, b), Last::No)
        })
    }

    /// The images of an epoch in order.
    fn order(&self, epoch: u64) -> Vec<usize> {
        let mut order = self.indices.to_vec();
        order.shuffle(&mut self.streams.rng(&self.shuffle_stream, epoch));
        order
    }

    fn assemble(&self, epoch: u64, order: &[usize], b: usize) -> Batch {
        let n = self.batch_size.min(order.len() - b * self.batch_size);
        let (rank, world) = self.part;
        let start = b * self.batch_size + rank * n / world;
        let chosen = &order[start..b * self.batch_size + (rank + 1) * n / world];
        let (set, len) = (&*self.set, self.set.image_len());
        let mut images = vec![0.0; chosen.len() * len];
        let one = |(k, (out, &i)): (usize, (&mut [f32], &usize))| {
            let counter = (epoch << 32) + (start + k) as u64;
            let mut rng = self.streams.rng(&self.augment_stream, counter);
            self.augment.draw(set.height, set.width, &mut rng).apply(
                set.image(i),
                set.width,
                &self.tables,
                out,
            );
        };
        self.workers.run(|| {
            // At least some ten microseconds of work per task.
            let least = (20_000 / len).max(1);
            images.par_chunks_mut(len).zip(chosen).enumerate().with_min_len(least).for_each(one);
        });
        Batch { images, labels: set.labels_at(chosen), n: chosen.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Normalization;

    fn set(n: usize) -> Arc<ImageSet> {
        Arc::new(ImageSet {
            name: "test".into(),
            classes: (0..10).map(|c| c.to_string()).collect(),
            height: 8,
            width: 8,
            // Image i is filled with i, so that a batch shows which images it holds.
            pixels: (0..n).flat_map(|i| vec![i as u8; 192]).collect(),
            labels: (0..n).map(|i| (i % 10) as u16).collect(),
            normalization: Normalization::NONE,
        })
    }

    fn loader(augment: AugmentConfig) -> TrainLoader {
        let indices = Arc::new((0..100).collect());
        TrainLoader::new(set(120), indices, augment, 16, Streams::new(7), "supernet").unwrap()
    }

    #[test]
    fn the_parts_of_replicas_are_the_batch() {
        let whole = loader(AugmentConfig { flip: true, crop_padding: 2, cutout: None });
        let parts: Vec<Vec<Batch>> =
            (0..3).map(|rank| whole.clone().with_part(rank, 3).unwrap().epoch(2, 0).collect()).collect();
        for (b, batch) in whole.epoch(2, 0).enumerate() {
            let images: Vec<f32> = parts.iter().flat_map(|p| p[b].images.clone()).collect();
            let labels: Vec<i64> = parts.iter().flat_map(|p| p[b].labels.clone()).collect();
            assert_eq!((images, labels), (batch.images, batch.labels));
        }
        // The last batch has four images.
        assert_eq!(whole.clone().with_part(0, 5).unwrap().n_batches(), 6);
        assert!(whole.with_part(3, 3).is_err());
    }

    #[test]
    fn an_epoch_is_every_image_once_in_another_order_each_time() {
        let loader = loader(AugmentConfig::default());
        assert_eq!((loader.n_batches(), loader.n_images()), (7, 100));
        let ids = |epoch| -> Vec<usize> {
            let batches: Vec<Batch> = loader.epoch(epoch, 0).collect();
            assert_eq!(batches.last().unwrap().n, 4);
            batches
                .iter()
                .flat_map(|b| {
                    b.images.chunks(192).zip(&b.labels).map(|(image, &label)| {
                        let id = (image[0] * 255.0).round() as usize;
                        assert_eq!(label, (id % 10) as i64);
                        id
                    })
                })
                .collect()
        };
        let (first, second) = (ids(0), ids(1));
        assert_ne!(first, second);
        let mut sorted = first;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..100));
    }

    #[test]
    fn batches_do_not_depend_on_threads_or_on_skipping() {
        let one = loader(AugmentConfig::retrain(8)).with_workers(Workers::new(1));
        let four = one.clone().with_workers(Workers::new(4));
        for epoch in [0, 3] {
            let all: Vec<Batch> = one.epoch(epoch, 0).collect();
            assert_eq!(all, four.epoch(epoch, 0).collect::<Vec<_>>());
            assert_eq!(all[5..], four.epoch(epoch, 5).collect::<Vec<_>>());
            assert_eq!(all[2..4], one.batches(epoch, 2..4).collect::<Vec<_>>());
            assert_eq!(one.epoch(epoch, 9).count(), 0);
        }
        let again = one.epoch(0, 0).next();
        drop(four.epoch(0, 0));
        assert_eq!(again, one.epoch(0, 0).next());
    }

    #[test]
    fn impossible_requests_say_what_to_do() {
        let make = |indices: Vec<usize>, batch| {
            let (set, augment) = (set(5), AugmentConfig::default());
            TrainLoader::new(set, Arc::new(indices), augment, batch, Streams::new(0), "t")
        };
        for (indices, batch, says) in
            [(vec![0], 0, "batch size"), (vec![], 4, "no images"), (vec![5], 4, "image 5 of 5")]
        {
            assert!(make(indices, batch).unwrap_err().to_string().contains(says));
        }
    }
}
