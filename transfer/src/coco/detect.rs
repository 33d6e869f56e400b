//! [`detect_split`]: a detector on all images of a split.
//!
//! On a CPU every core reads images and runs them in a session of its own with one thread, so that nobody waits for
//! anybody and a number does not depend on how many cores there are. On any other device one session runs, and the
//! cores read ahead.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use genas_data::DataError;
use genas_data::coco::{Annotations, CocoImage, DetectionTest, DetectorInput};
use genas_export::DetectorInfo;
use genas_runtime::{Provider, SessionOptions};

use super::results::CocoDetection;
use crate::detector::Detector;
use crate::error::{Result, TransferError};
use crate::retinanet::Found;
use crate::retinanet::boxes::to_xywh;

/// Sessions or readers side by side, at most: a session's maps of an image of 800 x 1333 take hundreds of megabytes.
const SIDE_BY_SIDE: usize = 32;
/// Images that a reader holds ready.
const READY: usize = 2;
/// How often whoever watches is asked whether to go on, while there is nothing new to report.
const PATIENCE: Duration = Duration::from_millis(200);
/// Classes that a message names.
const NAMED: usize = 5;

/// What a detector found on a split.
#[derive(Clone, Debug)]
pub struct Detections {
    /// In the order of the images, each image's best first.
    pub detections: Vec<CocoDetection>,
    /// Images.
    pub images: usize,
    /// Seconds from the first file to the last object.
    pub seconds: f64,
    /// Where the model ran.
    pub provider: Provider,
}

impl Detections {
    /// Images per second, from file to objects.
    pub fn images_per_second(&self) -> f64 {
        self.images as f64 / self.seconds.max(1e-9)
    }
}

/// Runs a detector on all images of `annotations`, which lie in `folder`. `open` opens it, once or for each core;
/// `options` say where and on how many threads in all (0 for all cores). `progress` is told the images done and in
/// all, and may stop it.
///
/// ONNX Runtime must be installed ([`genas_runtime::ensure`]).
///
/// # Errors
///
/// If the detector's classes are not those of the annotations, an image cannot be read, the model fails, or
/// `progress` breaks ([`TransferError::Interrupted`]).
pub fn detect_split(
    open: impl Fn(&SessionOptions) -> Result<Detector> + Sync,
    annotations: &Annotations,
    folder: &Path,
    options: &SessionOptions,
    progress: &dyn Fn(usize, usize) -> ControlFlow<()>,
) -> Result<Detections> {
    let cores = match options.intra_threads {
        0 => thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let images = &annotations.images;
    let n = cores.min(SIDE_BY_SIDE).min(images.len()).max(1);
    let options = SessionOptions { intra_threads: 1, spinning: false, ..options.clone() };
    let first = open(&options)?;
    let (provider, ids) = (first.provider(), category_ids(first.info(), annotations)?);
    let mut all = Collected { ids: &ids, images, detections: Vec::new(), done: 0, progress };
    all.go_on()?;
    let started = Instant::now();
    if provider == Provider::Cpu {
        // The sessions that follow must not try anything else than the first took.
        let options = SessionOptions { provider, ..options };
        side_by_side(first, &|| open(&options), folder, n, &mut all)?;
    } else {
        read_ahead(first, folder, n, &mut all)?;
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok(Detections { detections: all.detections, images: images.len(), seconds, provider })
}

/// The id in `annotations` of each of the detector's classes: that of the class of the same name; or its own ids
/// where the annotations have exactly these under other names.
///
/// # Errors
///
/// If neither fits.
pub fn category_ids(info: &DetectorInfo, annotations: &Annotations) -> Result<Vec<i64>> {
    let by_name: HashMap<&str, i64> = annotations.classes.iter().map(|c| (c.name.as_str(), c.id)).collect();
    let named: Option<Vec<i64>> =
        info.class_names.iter().map(|name| by_name.get(name.as_str()).copied()).collect();
    if let Some(ids) = named
        && by_name.len() == annotations.classes.len()
    {
        return Ok(ids);
    }
    let mut own = info.category_ids.clone();
    own.sort_unstable();
    if annotations.classes.iter().map(|c| c.id).eq(own) {
        return Ok(info.category_ids.clone());
    }
    let theirs = list(annotations.classes.iter().map(|c| (c.id, c.name.as_str())));
    let ours = list(info.category_ids.iter().copied().zip(info.class_names.iter().map(String::as_str)));
    Err(TransferError::Request(format!(
        "the detector's classes ({ours}) are not those of {} ({theirs}): neither the names nor the ids are the same; \
         give the data that the detector was trained for ({})",
        annotations.path.display(),
        info.training_data
    )))
}

fn list<'a>(classes: impl ExactSizeIterator<Item = (i64, &'a str)>) -> String {
    let n = classes.len();
    let mut text: Vec<String> = classes.take(NAMED).map(|(id, name)| format!("{id} {name}")).collect();
    if n > NAMED {
        text.push(format!("and {} more", n - NAMED));
    }
    text.join(", ")
}

/// What was found so far, in order.
struct Collected<'a> {
    ids: &'a [i64],
    images: &'a [CocoImage],
    detections: Vec<CocoDetection>,
    done: usize,
    progress: &'a dyn Fn(usize, usize) -> ControlFlow<()>,
}

impl Collected<'_> {
    fn go_on(&self) -> Result<()> {
        match (self.progress)(self.done, self.images.len()) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(TransferError::Interrupted),
        }
    }

    /// Takes the objects of the next image.
    fn add(&mut self, found: &[Found]) -> Result<()> {
        let image_id = self.images[self.done].id;
        self.detections.extend(found.iter().map(|found| CocoDetection {
            image_id,
            category_id: self.ids[found.class],
            bbox: to_xywh(found.corners),
            score: f64::from(found.score),
        }));
        self.done += 1;
        self.go_on()
    }

    /// The next message; `None` if there will be none.
    fn wait<T>(&self, messages: &Receiver<T>) -> Result<Option<T>> {
        loop {
            match messages.recv_timeout(PATIENCE) {
                Ok(message) => return Ok(Some(message)),
                Err(RecvTimeoutError::Timeout) => self.go_on()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }
}

fn read(image: &CocoImage, folder: &Path, preparation: &DetectionTest) -> Result<DetectorInput> {
    let picture = image.read(folder)?;
    preparation
        .apply(&picture)
        .map_err(|reason| DataError::Decode { path: folder.join(&image.file_name), reason }.into())
}

fn side_by_side(
    first: Detector,
    open: &(dyn Fn() -> Result<Detector> + Sync),
    folder: &Path,
    n: usize,
    all: &mut Collected<'_>,
) -> Result<()> {
    let images = all.images;
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut first = Some(first);
    thread::scope(|scope| {
        let (send, results) = mpsc::channel();
        for _ in 0..n {
            let (send, next, stop, mut own) = (send.clone(), &next, &stop, first.take());
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(image) = images.get(i) else { return };
                    let mut detect = || -> Result<Vec<Found>> {
                        let detector = match &mut own {
                            Some(own) => own,
                            None => own.insert(open()?),
                        };
                        let input = read(image, folder, detector.preparation())?;
                        detector.detect_in(&input)
                    };
                    let found = detect();
                    let failed = found.is_err();
                    // Nobody listens any more if an image before this one failed.
                    if send.send((i, found)).is_err() || failed {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut early = BTreeMap::new();
        let mut collect = || -> Result<()> {
            while let Some((i, found)) = all.wait(&results)? {
                early.insert(i, found);
                while let Some(found) = early.remove(&all.done) {
                    all.add(&found?)?;
                }
            }
            Ok(())
        };
        let result = collect();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

fn read_ahead(mut detector: Detector, folder: &Path, n: usize, all: &mut Collected<'_>) -> Result<()> {
    let images = all.images;
    let preparation = detector.preparation().clone();
    thread::scope(|scope| {
        // Reader r has the images r, r + n, ...: what waits is bounded, and comes in order.
        let readers: Vec<Receiver<Result<DetectorInput>>> = (0..n)
            .map(|r| {
                let (send, ready) = mpsc::sync_channel(READY);
                let preparation = &preparation;
                scope.spawn(move || {
                    for image in images.iter().skip(r).step_by(n) {
                        let input = read(image, folder, preparation);
                        let failed = input.is_err();
                        if send.send(input).is_err() || failed {
                            return;
                        }
                    }
                });
                ready
            })
            .collect();
        while all.done < images.len() {
            let Some(input) = all.wait(&readers[all.done % n])? else { break };
            let found = detector.detect_in(&input?)?;
            all.add(&found)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests;
