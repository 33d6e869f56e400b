//! A plan's images through its model, in the order of the images.
//!
//! On a CPU every core reads a few images and runs them in a session of its own, so that nobody waits for anybody:
//! reading costs what the model costs or more, and cores that share one small run wait for each other at every
//! layer. On any other device one session takes whole batches, and the cores read ahead.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use genas_runtime::{Provider, SessionOptions};

use crate::error::Result;
use crate::model::Classifier;
use crate::plan::{Images, Plan};

/// Images that a core reads and runs at once: enough for the kernels, few enough for the caches.
const AT_ONCE: usize = 8;
/// Sessions side by side, at most: each holds the model's weights. With more cores, several share one.
const SESSIONS: usize = 16;

/// What the model says to some images.
pub(crate) struct Scores {
    /// Names and labels of the images.
    pub named: Vec<(String, usize)>,
    /// Logits, one row for each image.
    pub logits: Vec<f32>,
}

/// Hands the scores of all images to `take`. An image that cannot be read ends it, after those before it.
pub(crate) fn each(
    plan: &Plan,
    classifier: &mut Classifier,
    take: &mut dyn FnMut(Scores) -> Result<()>,
) -> Result<()> {
    match (&plan.images, classifier.session().provider_used()) {
        (_, Provider::Cpu) => side_by_side(plan, classifier, take),
        (Images::Resident(_), _) => {
            for start in (0..plan.len()).step_by(plan.batch) {
                take(scores(plan, classifier, start..plan.len().min(start + plan.batch))?)?;
            }
            Ok(())
        }
        (Images::Files(source), _) => {
            for batch in source.batches() {
                let batch = batch?;
                let logits = classifier.logits(&batch.images, batch.len(), plan.side)?;
                take(Scores { named: batch.names.into_iter().zip(batch.labels).collect(), logits })?;
            }
            Ok(())
        }
    }
}

/// Reads images on this thread and runs them.
fn scores(plan: &Plan, classifier: &mut Classifier, range: Range<usize>) -> Result<Scores> {
    let (named, images): (Vec<_>, Vec<f32>) = match &plan.images {
        Images::Resident(set) => {
            let indices: Vec<usize> = range.collect();
            let named = indices.iter().map(|&i| (i.to_string(), usize::from(set.labels[i]))).collect();
            (named, genas_data::normalized(set, &indices))
        }
        Images::Files(source) => {
            let batch = source.read_here(range)?;
            (batch.names.into_iter().zip(batch.labels).collect(), batch.images)
        }
    };
    let logits = classifier.logits(&images, named.len(), plan.side)?;
    Ok(Scores { named, logits })
}

fn side_by_side(
    plan: &Plan,
    classifier: &Classifier,
    take: &mut dyn FnMut(Scores) -> Result<()>,
) -> Result<()> {
    let at_once = classifier.fixed_batch().unwrap_or(plan.batch.min(AT_ONCE));
    let parts = plan.len().div_ceil(at_once);
    let cores = match classifier.threads() {
        0 => thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let sessions = cores.min(SESSIONS).min(parts.max(1));
    let options = SessionOptions {
        provider: Provider::Cpu,
        intra_threads: cores / sessions,
        spinning: false,
        ..SessionOptions::default()
    };
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (send, results) = mpsc::channel();
        for _ in 0..sessions {
            let (send, next, options) = (send.clone(), &next, &options);
            scope.spawn(move || {
                let mut own = None;
                loop {
                    let part = next.fetch_add(1, Ordering::Relaxed);
                    if part >= parts {
                        return;
                    }
                    let range = part * at_once..plan.len().min((part + 1) * at_once);
                    let found = match &mut own {
                        Some(own) => scores(plan, own, range),
                        None => {
                            classifier.again(options).and_then(|new| scores(plan, own.insert(new), range))
                        }
                    };
                    let failed = found.is_err();
                    // Nobody listens any more if a part before this one failed.
                    if send.send((part, found)).is_err() || failed {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut early = BTreeMap::new();
        let mut expected = 0;
        for (part, found) in results {
            early.insert(part, found);
            while let Some(found) = early.remove(&expected) {
                take(found?)?;
                expected += 1;
            }
        }
        Ok(())
    })
}
