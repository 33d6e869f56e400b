//! `retrain/`: the winner trained from scratch, or a model fine-tuned.

use genas_net::EvalNet;
use serde::Serialize;
use serde_json::Value;

use super::Part;
use super::curves::Curves;
use super::files::{Reader, number, string};
use super::settings::Settings;

/// The training of a network.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Retrained {
    /// `retrain/training.csv`.
    pub curves: Part<Curves>,
    /// `retrain/result.json`.
    pub result: Part<Accuracy>,
    /// `retrain/config.toml`.
    pub settings: Part<Settings>,
    /// Whether its weights are final.
    pub finished: bool,
}

/// What the trained network does on the test images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Accuracy {
    /// Top-1 accuracy, a fraction.
    pub top1: Option<f64>,
    /// Top-5 accuracy.
    pub top5: Option<f64>,
    /// Accuracy of guessing.
    pub chance: Option<f64>,
    /// Epochs.
    pub epochs: Option<u64>,
    /// Best epoch, from 1, and its top-1 accuracy.
    pub best: Option<(u64, f64)>,
    /// The data set.
    pub data: Option<String>,
    /// Side of the images.
    pub image_size: Option<u64>,
    /// The network.
    #[serde(skip)]
    pub network: Option<EvalNet>,
    /// Its parameters.
    pub params: Option<u64>,
    /// Its multiply-accumulates for one image.
    pub macs: Option<u64>,
    /// The same by the paper's count.
    pub paper_flops: Option<u64>,
}

impl Accuracy {
    fn new(value: &Value) -> Self {
        let count = |key: &str| value.get(key).and_then(Value::as_u64);
        let best = value.get("best").filter(|best| best.is_object());
        Self {
            top1: number(value, "top1"),
            top5: number(value, "top5"),
            chance: number(value, "chance"),
            epochs: count("epochs"),
            best: best.and_then(|best| Some((best.get("epoch")?.as_u64()?, number(best, "top1")?))),
            data: string(value, "data"),
            image_size: count("image_size"),
            network: value.get("network").and_then(|net| serde_json::from_value(net.clone()).ok()),
            params: count("params"),
            macs: count("macs"),
            paper_flops: count("paper_flops"),
        }
    }
}

impl Retrained {
    /// Reads the files.
    pub fn read(files: &Reader) -> Self {
        if !files.has("retrain") {
            return Self::default();
        }
        Self {
            curves: Curves::read(files, "retrain/training.csv"),
            result: files.json::<Value>("retrain/result.json").map(|value| Accuracy::new(&value)),
            settings: Settings::read(files, "retrain/config.toml"),
            finished: files.has("retrain/final.safetensors"),
        }
    }

    /// Top-1 accuracy on the test images after the last epoch: of the result, or of the curves.
    pub fn top1(&self) -> Option<f64> {
        self.result.get().and_then(|r| r.top1).or_else(|| self.curves.get()?.last("top1"))
    }

    /// Top-5 accuracy, likewise.
    pub fn top5(&self) -> Option<f64> {
        self.result.get().and_then(|r| r.top5).or_else(|| self.curves.get()?.last("top5"))
    }
}
