//! `evaluate.jsonl`: what `genas evaluate --out RUN` measured, a line for each model and set.

use serde::Serialize;
use serde_json::Value;

use super::Part;
use super::files::{Reader, number, string};

/// A model on a set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluated {
    /// The ONNX file, as it was given.
    pub model: String,
    /// The set, such as `imagenet-v2`.
    pub set: String,
    /// Where the set lies, as it was given.
    pub data: Option<String>,
    /// Top-1 accuracy, a fraction.
    pub top1: Option<f64>,
    /// Top-5 accuracy.
    pub top5: Option<f64>,
    /// Area under the precision-recall curve of strangers.
    pub aupr: Option<f64>,
    /// Area under their ROC curve.
    pub auroc: Option<f64>,
    /// False positives at 95 % of true positives.
    pub fpr95: Option<f64>,
    /// Images.
    pub n: u64,
    /// Images per second.
    pub images_per_second: Option<f64>,
    /// Where the model ran.
    pub provider: Option<String>,
}

impl Evaluated {
    fn new(value: &Value) -> Option<Self> {
        Some(Self {
            model: string(value, "model")?,
            set: string(value, "set")?,
            data: string(value, "data"),
            top1: number(value, "top1"),
            top5: number(value, "top5"),
            aupr: number(value, "aupr"),
            auroc: number(value, "auroc"),
            fpr95: number(value, "fpr95"),
            n: value.get("n")?.as_u64()?,
            images_per_second: number(value, "images_per_second"),
            provider: string(value, "provider"),
        })
    }

    /// Seconds that it took.
    pub fn seconds(&self) -> Option<f64> {
        self.images_per_second.filter(|speed| *speed > 0.0).map(|speed| self.n as f64 / speed)
    }
}

/// Reads the file. Of a model that was measured on a set several times, the last is kept.
pub fn read(files: &Reader) -> Part<Vec<Evaluated>> {
    let file = "evaluate.jsonl";
    files.lines::<Value>(file).map(|lines| {
        let mut kept: Vec<Evaluated> = Vec::new();
        for (n, line) in lines.iter().enumerate() {
            let Some(new) = Evaluated::new(line) else {
                files.fault(file, format!("result {} lacks `model`, `set` or `n` and is left out", n + 1));
                continue;
            };
            let key = |e: &Evaluated| (e.model.clone(), e.set.clone(), e.data.clone());
            kept.retain(|old| key(old) != key(&new));
            kept.push(new);
        }
        kept
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::files::tests::folder;

    #[test]
    fn the_last_result_counts() {
        let text = "{\"model\":\"a\",\"set\":\"s\",\"n\":5,\"top1\":0.5}\n{\"model\":\"b\",\"set\":\"s\",\"n\":5}\n{}\n\
                    {\"model\":\"a\",\"set\":\"s\",\"n\":8,\"top1\":0.25,\"images_per_second\":4}\n";
        let (_dir, files) = folder(&[("evaluate.jsonl", text.as_bytes())]);
        let results = read(&files);
        let models: Vec<(&str, u64)> =
            results.get().unwrap().iter().map(|e| (e.model.as_str(), e.n)).collect();
        assert_eq!(models, [("b", 5), ("a", 8)]);
        assert_eq!(results.get().unwrap()[1].seconds(), Some(2.0));
        assert!(files.faults()[0].reason.contains("result 3"));
    }
}
