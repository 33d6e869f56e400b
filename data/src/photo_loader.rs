//! [`PhotoLoader`]: shuffled, augmented, prefetched training batches of photos that stay on disk.
//!
//! As in [`crate::TrainLoader`], everything random hangs on (stream, epoch, position in the epoch) and nothing on
//! threads, replicas or earlier batches.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use genas_space::Streams;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::photo::normalize;
use crate::prefetch::Last;
use crate::{Batch, DataError, Normalization, PhotoAugment, PhotoSource, Prefetch, Workers};

/// Names of skipped photos that are kept; more are counted only.
const NAMED: usize = 1000;
/// A batch of this many photos or more that are all broken is not bad luck: the disk is gone.
const TOO_MANY: usize = 8;
/// Batches of more bytes than this are prepared one ahead, not two.
const LARGE: usize = 256 << 20;

/// What happens when a training photo cannot be read or decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnBroken {
    /// The epoch ends with an error that names it.
    #[default]
    Fail,
    /// It is left out of its batch, which becomes smaller, and named in [`PhotoLoader::skipped`]. Where that would
    /// leave nothing of 8 photos or more, or of a replica's part, the epoch ends with an error all the same.
    Skip,
}

#[derive(Debug, Default)]
struct Skipped {
    /// Reasons by the photo's number.
    reasons: BTreeMap<usize, String>,
    /// Photos beyond [`NAMED`], every time they were met.
    more: usize,
}

/// Training batches of the photos of a source.
#[derive(Debug, Clone)]
pub struct PhotoLoader {
    source: Arc<PhotoSource>,
    augment: PhotoAugment,
    batch_size: usize,
    on_broken: OnBroken,
    streams: Streams,
    shuffle_stream: Arc<str>,
    augment_stream: Arc<str>,
    tables: Arc<[[f32; 256]; 3]>,
    /// Which of how many replicas this is.
    part: (usize, usize),
    skipped: Arc<Mutex<Skipped>>,
    workers: Workers,
}

impl PhotoLoader {
    /// A loader of all photos of a source. `stream_name` tells its random streams apart from those of other loaders
    /// of the run.
    pub fn new(
        source: Arc<PhotoSource>,
        augment: PhotoAugment,
        batch_size: usize,
        streams: Streams,
        stream_name: &str,
        on_broken: OnBroken,
    ) -> Result<Self, DataError> {
        augment.check()?;
        if batch_size == 0 {
            return Err(DataError::request("batch size 0", "give a batch size of 1 or more"));
        }
        if source.is_empty() {
            return Err(DataError::request("no photos to train on", "give a data set with images"));
        }
        Ok(Self {
            tables: Arc::new(augment.normalization().tables()),
            source,
            augment,
            batch_size,
            on_broken,
            streams,
            shuffle_stream: format!("{stream_name}/shuffle").into(),
            augment_stream: format!("{stream_name}/augment").into(),
            part: (0, 1),
            skipped: Arc::default(),
            workers: Workers::shared(),
        })
    }

    /// The same loader on other threads; its batches do not change.
    pub fn with_workers(self, workers: Workers) -> Self {
        Self { workers, ..self }
    }

    /// The same photos normalised in another way than the augmentation says.
    pub fn with_normalization(self, normalization: Normalization) -> Self {
        Self { tables: Arc::new(normalization.tables()), ..self }
    }

    /// The loader of replica `rank` of `world`: of every batch it hands out a contiguous part. `batch_size` stays the
    /// size of the whole batch. A last batch with fewer photos than replicas is left out, for all of them.
    pub fn with_part(self, rank: usize, world: usize) -> Result<Self, DataError> {
        if rank >= world || world > self.batch_size {
            return Err(DataError::request(
                format!("replica {rank} of {world} with batches of {}", self.batch_size),
                "give ranks from 0, and at least one photo to every replica",
            ));
        }
        let loader = Self { part: (rank, world), ..self };
        if loader.n_batches() == 0 {
            return Err(DataError::request(
                format!("{} photos for {world} replicas", loader.source.len()),
                "give fewer replicas or more photos",
            ));
        }
        Ok(loader)
    }

    /// Batches in an epoch; the last one may be smaller.
    pub fn n_batches(&self) -> usize {
        let (n, world) = (self.source.len(), self.part.1);
        let rest = n % self.batch_size;
        n / self.batch_size + usize::from(rest >= world && rest > 0)
    }

    /// Photos in an epoch, of all replicas together.
    pub fn n_images(&self) -> usize {
        self.source.len().min(self.n_batches() * self.batch_size)
    }

    /// The source of the photos.
    pub fn source(&self) -> &Arc<PhotoSource> {
        &self.source
    }

    /// Names and reasons of the photos that were left out so far, by every clone of this loader: at most 1,000 of
    /// them, each once, in their order in the source.
    pub fn skipped(&self) -> Vec<(String, String)> {
        self.lock().reasons.iter().map(|(&i, reason)| (self.source.name(i), reason.clone())).collect()
    }

    /// How many photos were left out; beyond 1,000, one that was met in two epochs counts twice.
    pub fn n_skipped(&self) -> usize {
        let skipped = self.lock();
        skipped.reasons.len() + skipped.more
    }

    fn lock(&self) -> MutexGuard<'_, Skipped> {
        // A thread that panicked while it held the lock has at most counted wrongly.
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The batches of an epoch, without the first `skip_batches`. A batch with no photo left is not handed out, but
    /// counts in `skip_batches`.
    pub fn epoch(&self, epoch: u64, skip_batches: usize) -> Prefetch<Result<Batch, DataError>> {
        self.batches(epoch, skip_batches..self.n_batches())
    }

    /// Some batches of an epoch.
    pub fn batches(&self, epoch: u64, range: Range<usize>) -> Prefetch<Result<Batch, DataError>> {
        let range = range.start..range.end.min(self.n_batches());
        let loader = self.clone();
        let bytes = self.batch_size / self.part.1 * self.augment.image_len() * size_of::<f32>();
        let mut order = None;
        Prefetch::sparse(range, if bytes > LARGE { 1 } else { 2 }, move |b| {
            let order = order.get_or_insert_with(|| loader.order(epoch));
            match loader.assemble(epoch, order, b) {
                Ok(batch) => batch.map(|batch| (Ok(batch), Last::No)),
                Err(e) => Some((Err(e), Last::Yes)),
            }
        })
    }

    /// The photos of an epoch in order.
    fn order(&self, epoch: u64) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.source.len() as u32).collect();
        order.shuffle(&mut self.streams.rng(&self.shuffle_stream, epoch));
        order
    }

    /// This replica's part of batch `b`, as positions in the epoch.
    fn positions(&self, b: usize) -> Range<usize> {
        let start = b * self.batch_size;
        let n = self.batch_size.min(self.source.len() - start);
        let (rank, world) = self.part;
        start + rank * n / world..start + (rank + 1) * n / world
    }

    /// `None`: every photo was broken and left out.
    fn assemble(&self, epoch: u64, order: &[u32], b: usize) -> Result<Option<Batch>, DataError> {
        let positions = self.positions(b);
        let chosen = &order[positions.clone()];
        let len = self.augment.image_len();
        let mut images = vec![0.0; chosen.len() * len];
        // In the order of the batch, so that the first error is the same whichever thread finds one first.
        let errors: Vec<Option<DataError>> = self.workers.run(|| {
            let photos = images.par_chunks_mut(len).zip(chosen).enumerate().with_max_len(1);
            photos
                .map(|(k, (out, &i))| self.write(epoch, positions.start + k, i as usize, out).err())
                .collect()
        });
        let mut labels = Vec::with_capacity(chosen.len());
        let mut last = None;
        for (k, (error, &i)) in errors.into_iter().zip(chosen).enumerate() {
            match error {
                None => {
                    if labels.len() < k {
                        images.copy_within(k * len..(k + 1) * len, labels.len() * len);
                    }
                    labels.push(i64::from(self.source.label(i as usize)));
                }
                Some(error) if self.on_broken == OnBroken::Fail => return Err(error),
                Some(error) => {
                    self.note(i as usize, &error);
                    last = Some(error);
                }
            }
        }
        if let (true, Some(error)) = (labels.is_empty(), last) {
            // Replicas must take the same steps: one of them alone cannot pass over a batch.
            return if chosen.len() >= TOO_MANY || self.part.1 > 1 { Err(error) } else { Ok(None) };
        }
        images.truncate(labels.len() * len);
        Ok(Some(Batch { images, n: labels.len(), labels }))
    }

    fn note(&self, i: usize, error: &DataError) {
        let mut skipped = self.lock();
        if skipped.reasons.len() < NAMED {
            skipped.reasons.entry(i).or_insert_with(|| error.to_string());
        } else if !skipped.reasons.contains_key(&i) {
            skipped.more += 1;
        }
    }

    /// Reads, decodes, augments and normalises photo `i`, which is at `position` of the epoch.
    fn write(&self, epoch: u64, position: usize, i: usize, out: &mut [f32]) -> Result<(), DataError> {
        let photo = self.source.picture(i)?;
        let mut rng = self.streams.rng(&self.augment_stream, (epoch << 32) + position as u64);
        let change = self.augment.draw(photo.width, photo.height, &mut rng);
        let planes =
            self.augment.apply(&change, &photo).map_err(|e| DataError::decode(&self.source.path(i), e))?;
        normalize(&planes, &self.tables, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Split;
    use crate::photo_source::tests::folder;
    use std::fs;

    fn loader(dir: &std::path::Path, batch: usize, on_broken: OnBroken) -> PhotoLoader {
        let source = Arc::new(PhotoSource::open(dir, Split::Train).unwrap());
        let (augment, streams) = (PhotoAugment::darts(12), Streams::new(7));
        PhotoLoader::new(source, augment, batch, streams, "retrain", on_broken).unwrap()
    }

    fn all(batches: Prefetch<Result<Batch, DataError>>) -> Vec<Batch> {
        batches.map(Result::unwrap).collect()
    }

    #[test]
    fn an_epoch_is_every_photo_once_in_another_order_each_time() {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path(), 23);
        let loader = loader(dir.path(), 5, OnBroken::Fail);
        assert_eq!((loader.n_batches(), loader.n_images()), (5, 23));
        let labels = |epoch| -> Vec<i64> {
            let batches = all(loader.epoch(epoch, 0));
            assert_eq!(batches.iter().map(|b| b.n).collect::<Vec<_>>(), [5, 5, 5, 5, 3]);
            assert!(batches.iter().all(|b| b.images.len() == b.n * 432 && b.labels.len() == b.n));
            batches.into_iter().flat_map(|b| b.labels).collect()
        };
        let (first, second) = (labels(0), labels(1));
        assert_ne!(first, second);
        for class in 0..3 {
            let n = |labels: &[i64]| labels.iter().filter(|&&l| l == class).count();
            assert_eq!((n(&first), n(&second)), ([11, 11, 1][class as usize], [11, 11, 1][class as usize]));
        }
    }

    #[test]
    fn batches_do_not_depend_on_threads_skipping_or_replicas() {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path(), 23);
        let one = loader(dir.path(), 6, OnBroken::Fail).with_workers(Workers::new(1));
        let three = one.clone().with_workers(Workers::new(3));
        for epoch in [0, 3] {
            let whole = all(one.epoch(epoch, 0));
            assert_eq!(whole, all(three.epoch(epoch, 0)));
            assert_eq!(whole[2..], all(three.epoch(epoch, 2)));
            assert_eq!(whole[1..3], all(one.batches(epoch, 1..3)));
            assert_eq!(one.epoch(epoch, 9).count(), 0);
            for world in [1, 2, 3, 4, 5] {
                let parts: Vec<Vec<Batch>> = (0..world)
                    .map(|r| all(one.clone().with_part(r, world).unwrap().epoch(epoch, 0)))
                    .collect();
                for (b, batch) in whole.iter().enumerate() {
                    let join = |part: fn(&Batch) -> Vec<f32>| -> Vec<f32> {
                        parts.iter().flat_map(|p| part(&p[b])).collect()
                    };
                    assert_eq!(join(|b| b.images.clone()), batch.images, "{world} replicas");
                    assert_eq!(join(|b| b.labels.iter().map(|&l| l as f32).collect()).len(), batch.n);
                }
            }
        }
        // 23 = 3 x 6 + 5: a batch of 5 is too small for 6 replicas.
        let six = one.clone().with_part(0, 6).unwrap();
        assert_eq!((six.n_batches(), six.n_images(), one.n_batches()), (3, 18, 4));
    }

    #[test]
    fn broken_photos_fail_or_are_left_out_and_named() {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path(), 23);
        let whole = all(loader(dir.path(), 6, OnBroken::Fail).epoch(2, 0));
        for name in ["train/c0/004.jpg", "train/c1/007.jpg"] {
            fs::write(dir.path().join(name), "just text").unwrap();
        }
        let mut results: Vec<_> = loader(dir.path(), 6, OnBroken::Fail).epoch(2, 0).collect();
        let e = results.pop().unwrap().unwrap_err().to_string();
        assert!(e.contains(".jpg") && e.contains("not a JPEG") && e.contains("remove"), "{e}");
        assert!(results.into_iter().all(|r| r.is_ok()));

        let skipping = loader(dir.path(), 6, OnBroken::Skip);
        let batches = all(skipping.epoch(2, 0));
        assert_eq!(batches.iter().map(|b| b.n).sum::<usize>(), 21);
        // What is left is what it was, in its order.
        for (batch, before) in batches.iter().zip(&whole) {
            let mut photos = before.images.chunks(432).zip(&before.labels);
            for (photo, label) in batch.images.chunks(432).zip(&batch.labels) {
                assert!(photos.any(|(p, l)| p == photo && l == label));
            }
        }
        all(skipping.epoch(3, 0));
        let skipped = skipping.skipped();
        let names: Vec<&str> = skipped.iter().map(|s| s.0.as_str()).collect();
        assert_eq!((names, skipping.n_skipped()), (vec!["c0/004.jpg", "c1/007.jpg"], 2));
        assert!(skipped[0].1.contains("not a JPEG"), "{skipped:?}");
    }

    #[test]
    fn a_batch_with_no_photo_left_is_not_handed_out() {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path(), 23);
        fs::write(dir.path().join("train/one/022.jpg"), "").unwrap();
        let single = loader(dir.path(), 1, OnBroken::Skip);
        assert_eq!((single.n_batches(), single.epoch(0, 0).count()), (23, 22));
        // Replicas would fall out of step.
        let pair = |rank| loader(dir.path(), 2, OnBroken::Skip).with_part(rank, 2).unwrap();
        assert_eq!([0, 1].into_iter().filter(|&r| pair(r).epoch(0, 0).any(|b| b.is_err())).count(), 1);
        // Nothing left of a large batch: the disk, not a photo.
        let gone = loader(dir.path(), 8, OnBroken::Skip);
        fs::remove_dir_all(dir.path().join("train")).unwrap();
        let results: Vec<_> = gone.epoch(0, 0).collect();
        assert!(results.len() == 1 && results[0].as_ref().unwrap_err().to_string().contains("cannot read"));
    }

    #[test]
    fn impossible_requests_say_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path(), 5);
        let source = Arc::new(PhotoSource::open(dir.path(), Split::Train).unwrap());
        let make = |augment, batch| {
            PhotoLoader::new(source.clone(), augment, batch, Streams::new(0), "t", OnBroken::Fail)
        };
        let good = PhotoAugment::darts(8);
        let part = |rank, world, batch| make(good, batch).unwrap().with_part(rank, world);
        for (result, says) in [
            (make(good, 0), "batch size"),
            (make(PhotoAugment { size: 0, ..good }, 4), "size 0"),
            (part(2, 2, 4), "replica 2 of 2"),
            (part(0, 5, 4), "replica 0 of 5"),
            (part(0, 6, 9), "5 photos for 6 replicas"),
        ] {
            assert!(result.unwrap_err().to_string().contains(says));
        }
    }
}
