//! [`LandscapeRun`]: the losses of all subjects at all places.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use genas_space::Streams;
use genas_train::directory::fingerprint;
use genas_train::observer::Observer;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::places::{Place, directions};
use super::subject::{Loss, Subject};
use crate::config::Position;
use crate::error::SearchError;
use crate::lines::Lines;
use crate::noise::{NoiseScale, direction};

/// A line for each loss that was measured.
pub const JOURNAL: &str = "landscape.jsonl";

/// Measurements, all of them decided.
pub struct LandscapeRun<'a> {
    /// Where the journal is.
    pub directory: &'a Path,
    /// The networks.
    pub subjects: &'a [Subject],
    /// Where each is measured.
    pub places: &'a [Place],
    /// What steps are measured in.
    pub scale: NoiseScale,
    /// What directions are drawn from: the same for all networks.
    pub streams: &'a Streams,
    /// Take what the journal holds.
    pub resume: bool,
    /// Progress.
    pub observer: &'a dyn Observer,
}

/// A loss, as the journal has it. A line says what it depends on, so that curves and surfaces of any networks share a
/// journal, and what was measured is never measured again.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    /// The network, for people.
    network: String,
    place: Place,
    #[serde(flatten)]
    loss: Loss,
    /// Wall time of one core.
    seconds: f64,
    /// What the loss depends on, beside the place (a hash).
    settings: String,
}

type Known = HashMap<(String, Vec<(u64, u64)>), Loss>;

impl LandscapeRun<'_> {
    /// Measures what the journal does not hold: the losses of each subject, in the order of the places.
    ///
    /// # Errors
    ///
    /// If something was measured before, and is not to be taken; or if the user stops.
    pub fn run(&self) -> Result<Vec<Vec<Loss>>, SearchError> {
        std::fs::create_dir_all(self.directory).map_err(SearchError::io(self.directory, "create"))?;
        let path = self.directory.join(JOURNAL);
        let (lines, held) = Lines::open::<Line>(&path)?;
        let mut known: Known =
            held.into_iter().map(|line| ((line.settings, line.place.key()), line.loss)).collect();
        let (subjects, places) = (self.subjects, self.places);
        let settings: Vec<String> = subjects.iter().map(|subject| self.settings(subject)).collect();
        let found = |known: &Known, settings: &str, place: &Place| {
            known.get(&(settings.to_owned(), place.key())).copied()
        };
        let missing: Vec<Vec<&Place>> = settings
            .iter()
            .map(|settings| places.iter().filter(|place| found(&known, settings, place).is_none()).collect())
            .collect();
        let total = (subjects.len() * places.len()) as u64;
        let done = total - missing.iter().map(Vec::len).sum::<usize>() as u64;
        if done > 0 && !self.resume {
            return Err(SearchError::format(
                &path,
                "holds some of these losses already; take them with --resume, or use another --out",
            ));
        }
        if done < total {
            self.observer.begin("landscape", total, done);
        }
        let progress = Mutex::new(done);
        // One network after the other: its directions are as large as its weights.
        for ((subject, settings), missing) in subjects.iter().zip(&settings).zip(missing) {
            known.extend(self.measure(subject, settings, &missing, &lines, &progress)?);
        }
        self.observer.end();
        let losses = settings.iter().map(|settings| {
            places.iter().map(|place| {
                found(&known, settings, place)
                    .ok_or_else(|| SearchError::format(&path, "lost a loss; use --resume"))
            })
        });
        losses.map(Iterator::collect).collect()
    }

    fn settings(&self, subject: &Subject) -> String {
        fingerprint(&("landscape", &subject.identity, self.scale, self.streams.seed()))
    }

    fn measure(
        &self,
        subject: &Subject,
        settings: &str,
        places: &[&Place],
        lines: &Lines,
        progress: &Mutex<u64>,
    ) -> Result<Known, SearchError> {
        let stop = || if self.observer.interrupted() { Err(SearchError::Interrupted) } else { Ok(()) };
        if places.is_empty() {
            return Ok(Known::new());
        }
        stop()?;
        let trained = subject.weights();
        let steps: HashMap<u64, Vec<f32>> = directions(places.iter().copied())
            .into_iter()
            .map(|n| (n, direction(&trained, self.scale, Position::All, self.streams, n)))
            .collect();
        let one = |place: &&Place| {
            stop()?;
            let clock = Instant::now();
            let loss = subject.loss(place.weights(&trained, |n| &steps[&n]))?;
            let line = Line {
                network: subject.name.clone(),
                place: (*place).clone(),
                loss,
                seconds: clock.elapsed().as_secs_f64(),
                settings: settings.to_owned(),
            };
            lines.append(&[line])?;
            let mut progress = progress.lock().unwrap_or_else(|e| e.into_inner());
            *progress += 1;
            let shown = loss.loss.map_or_else(|| "no number".to_owned(), |loss| format!("{loss:.4}"));
            self.observer.advance(*progress, &format!("{}: loss {shown}", subject.label));
            Ok(((settings.to_owned(), place.key()), loss))
        };
        // One place per core: measuring uses one thread where it counts.
        places.par_iter().with_max_len(1).map(one).collect()
    }
}
