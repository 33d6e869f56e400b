//! `coco/` and `cityscapes/`: a detector or a segmenter trained on the backbone, and what it is worth.

use serde::Serialize;
use serde_json::Value;

use super::Part;
use super::curves::Curves;
use super::files::Reader;
use super::settings::Settings;

/// A model trained for another task.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Transferred {
    /// The folder, in the run's; empty if there is none.
    pub folder: String,
    /// `training.csv`.
    pub curves: Part<Curves>,
    /// `result.json`, as it is.
    pub result: Part<Value>,
    /// `config.toml`.
    pub settings: Part<Settings>,
    /// Pictures, in the run's folder.
    pub pictures: Vec<String>,
    /// Drawings as SVG, in the run's folder.
    pub drawings: Vec<String>,
    /// Whether its weights are final.
    pub finished: bool,
}

impl Transferred {
    /// The detector.
    pub fn coco(files: &Reader) -> Self {
        Self::read(files, "coco", |files| files.list("coco/pictures", ".png"))
    }

    /// The segmenter.
    pub fn cityscapes(files: &Reader) -> Self {
        Self::read(files, "cityscapes", |files| files.list("cityscapes", ".png"))
    }

    fn read(files: &Reader, folder: &str, pictures: impl Fn(&Reader) -> Vec<String>) -> Self {
        if !files.has(folder) {
            return Self::default();
        }
        let at = |name: &str| format!("{folder}/{name}");
        let result = match files.json::<Value>(&at("result.json")) {
            Part::Present(value) if !value.is_object() => {
                Part::Damaged(files.fault(&at("result.json"), "is no object"))
            }
            other => other,
        };
        Self {
            folder: folder.to_owned(),
            curves: Curves::read(files, &at("training.csv")),
            result,
            settings: Settings::read(files, &at("config.toml")),
            pictures: pictures(files),
            drawings: files.list(folder, ".svg"),
            finished: files.has(&at("final.safetensors")),
        }
    }

    /// Whether there is anything.
    pub fn is_there(&self) -> bool {
        !self.folder.is_empty()
    }

    /// A number of the result. -1, which stands for an average over nothing, is none.
    pub fn number(&self, key: &str) -> Option<f64> {
        super::files::number(self.result.get()?, key).filter(|number| *number >= 0.0)
    }
}
