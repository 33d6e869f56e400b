//! Evaluation of a small untrained model on generated images.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use genas_export::{
    Dim, ExportOptions, Features, GraphOptions, ModelInfo, ModelKind, Precision, classifier_model,
    export_classifier, export_model,
};
use genas_net::{EvalNet, NetworkKind, Weights};
use genas_space::{Streams, random_candidate};
use image::{ImageBuffer, Rgb};

use super::*;

const CLASSES: usize = 10;

fn network() -> (EvalNet, Weights) {
    let genotype = random_candidate(&mut Streams::new(1).rng("cell", 0)).genotype();
    let kind = NetworkKind::Cifar;
    let net = EvalNet { kind, genotype, channels: 4, layers: 3, classes: CLASSES, auxiliary: false };
    let weights = Weights::init(net.layout().into(), &Streams::new(2));
    (net, weights)
}

fn info(input_size: usize) -> ModelInfo {
    ModelInfo {
        class_names: (0..CLASSES).map(|n| format!("c{n}")).collect(),
        mean: [0.5; 3],
        std: [0.25; 3],
        input_size,
        training_data: "none".to_owned(),
        source_run: "none".to_owned(),
    }
}

/// A model of the CIFAR network with classes `c0` to `c9`.
fn model(dir: &Path, batch: Dim) -> PathBuf {
    let (net, weights) = network();
    let info = info(32);
    let path = dir.join("model.onnx");
    let options = GraphOptions { batch, ..GraphOptions::square(32) };
    export_classifier(&path, &net, &weights, &info, &options).unwrap();
    path
}

/// The same network in a file that says nothing about itself.
fn foreign(dir: &Path) -> PathBuf {
    let (net, weights) = network();
    let bytes = classifier_model(&net, &weights, &GraphOptions::square(32)).unwrap();
    let path = dir.join("foreign.onnx");
    fs::write(&path, bytes).unwrap();
    path
}

fn cifar(dir: &Path, n: usize) {
    let record = |i: usize| {
        let pixels = (0..3072).map(move |p| (p * (i + 3) / 7 + i * 31) as u8);
        std::iter::once((i % 10) as u8).chain(pixels)
    };
    fs::write(dir.join("test_batch.bin"), (0..n).flat_map(record).collect::<Vec<u8>>()).unwrap();
}

/// Class folders of two images each.
fn photos<S: AsRef<str>>(root: &Path, classes: impl IntoIterator<Item = S>) -> PathBuf {
    for (n, class) in classes.into_iter().enumerate() {
        let folder = root.join(class.as_ref());
        fs::create_dir_all(&folder).unwrap();
        for i in 0..2u32 {
            let k = 7 * n as u32 + 3 * i;
            let pixel = |x: u32, y: u32| Rgb([x * (k + 1), y * k + x, (x ^ y) * (k + 2)].map(|v| v as u8));
            ImageBuffer::from_fn(36, 33 + i, pixel).save(folder.join(format!("{i}.png"))).unwrap();
        }
    }
    root.to_owned()
}

fn names(prefix: &str, numbers: &[usize]) -> Vec<String> {
    numbers.iter().map(|n| format!("{prefix}{n}")).collect()
}

fn session() -> SessionOptions {
    SessionOptions { provider: Provider::Cpu, intra_threads: 1, ..SessionOptions::default() }
}

fn options(set: EvalSet, batch_size: usize) -> EvaluateOptions {
    EvaluateOptions { batch_size, ..EvaluateOptions::new(set) }
}

fn run(model: &Path, data: &Path, options: &EvaluateOptions) -> Result<Evaluation> {
    evaluate(model, data, options, &session(), &|_, _| ())
}

#[track_caller]
fn says<T: std::fmt::Debug>(result: Result<T>, parts: &[&str]) {
    let error = result.unwrap_err().to_string();
    for part in parts {
        assert!(error.contains(part), "{part:?} not in {error}");
    }
}

fn classes(e: &Evaluation) -> Vec<(Option<usize>, usize)> {
    e.predictions.iter().map(|p| (p.label, p.top1)).collect()
}

fn share_of_hits(e: &Evaluation) -> Option<f64> {
    let hits = classes(e).iter().filter(|(label, top1)| *label == Some(*top1)).count();
    Some(hits as f64 / e.n as f64)
}

#[test]
fn cifar_through_onnx_runtime_whatever_the_batch() {
    let dir = tempfile::tempdir().unwrap();
    cifar(dir.path(), 21);
    let free = model(dir.path(), Dim::dynamic("batch"));
    let seen = Mutex::new(Vec::new());
    let progress = |done, total| seen.lock().unwrap().push((done, total));
    let whole = run(&free, dir.path(), &options(EvalSet::Cifar10, 64)).unwrap();
    let parts = evaluate(&free, dir.path(), &options(EvalSet::Cifar10, 8), &session(), &progress).unwrap();
    assert_eq!(*seen.lock().unwrap(), [(0, 21), (8, 21), (16, 21), (21, 21)]);
    let fixed = model(dir.path(), Dim::Fixed(4));
    let fixed = run(&fixed, dir.path(), &options(EvalSet::Cifar10, 64)).unwrap();
    assert_eq!(classes(&whole), classes(&parts));
    assert_eq!(classes(&whole), classes(&fixed));
    assert_eq!((whole.n, whole.matching), (21, Matching::ByOrder));
    assert_eq!(whole.top1(), share_of_hits(&whole));
    assert!(whole.top5() >= whole.top1() && whole.images_per_second > 0.0 && whole.detection().is_none());
    let keys = serde_json::to_value(&whole).unwrap();
    let keys: Vec<&String> = keys.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["top1", "top5", "n", "images_per_second", "provider", "matching"]);
}

#[test]
fn other_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    cifar(dir.path(), 3);
    let model = model(dir.path(), Dim::dynamic("batch"));
    says(run(&model, dir.path(), &options(EvalSet::Folder, 4)), &["--set cifar10"]);
    let ignored = EvaluateOptions { ignore_labels: true, ..options(EvalSet::Cifar10, 4) };
    let evaluation = run(&model, dir.path(), &ignored).unwrap();
    assert_eq!((evaluation.top1(), evaluation.predictions[1].label), (None, Some(1)));
    let ten = photos(&dir.path().join("ten"), names("c", &(0..10).collect::<Vec<_>>()));
    says(run(&model, &ten, &options(EvalSet::ImageNet, 4)), &["10 class folders", "1000", "--set folder"]);
    let wnid = photos(&dir.path().join("wnid"), ["n01443537"]);
    says(run(&model, &wnid, &options(EvalSet::ImageNet, 4)), &["n01440764 is missing"]);
    let v2 = EvaluateOptions { ignore_labels: true, ..options(EvalSet::ImageNetV2, 4) };
    says(run(&model, &ten, &v2), &["imagenet-v2", "--set folder"]);
    fs::write(ten.join("c3/1.png"), &fs::read(ten.join("c3/1.png")).unwrap()[..200]).unwrap();
    says(run(&model, &ten, &options(EvalSet::Folder, 4)), &["c3/1.png", "cannot decode"]);
}

#[test]
fn v2_folders_are_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let model = model(dir.path(), Dim::dynamic("batch"));
    let v2 = photos(&dir.path().join("v2"), names("", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    let named = photos(&dir.path().join("named"), names("c", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    let by_number = run(&model, &v2, &options(EvalSet::ImageNetV2, 4)).unwrap();
    let by_name = run(&model, &named, &options(EvalSet::Folder, 64)).unwrap();
    assert_eq!(by_number.matching, Matching::ByNumber);
    assert_eq!((classes(&by_number), by_number.top1()), (classes(&by_name), by_name.top1()));
    says(run(&model, &named, &options(EvalSet::ImageNetV2, 4)), &["model.onnx", "named", "\"c0\""]);
    fs::remove_dir_all(v2.join("7")).unwrap();
    says(run(&model, &v2, &options(EvalSet::ImageNetV2, 4)), &["class folder 7 is missing"]);
}

#[test]
fn only_the_classes_of_a_count() {
    let dir = tempfile::tempdir().unwrap();
    let model = model(dir.path(), Dim::dynamic("batch"));
    let present = [1, 4, 8];
    let a = photos(&dir.path().join("a"), names("c", &present));
    let masked = run(&model, &a, &options(EvalSet::ImageNetA, 4)).unwrap();
    assert_eq!((masked.n, masked.top1(), masked.top5()), (6, share_of_hits(&masked), Some(1.0)));
    assert!(masked.predictions.iter().all(|p| present.contains(&p.top1)));
    assert!(masked.predictions.iter().all(|p| p.label
        == Some(
            present[usize::from(p.file.as_bytes()[1] > b'1') + usize::from(p.file.as_bytes()[1] > b'4')]
        )));
    // Against the scores of all classes, from the model itself.
    let whole = run(&model, &a, &options(EvalSet::Folder, 4)).unwrap();
    for (masked, whole) in masked.predictions.iter().zip(&whole.predictions) {
        assert!(masked.top1 == whole.top1 || !present.contains(&whole.top1), "{masked:?} {whole:?}");
        assert!(masked.score > whole.score, "{masked:?} {whole:?}");
    }
    photos(&a, ["cat"]);
    says(run(&model, &a, &options(EvalSet::ImageNetA, 4)), &["\"cat\"", "c0"]);
}

#[test]
fn strange_images_are_told_from_known_ones() {
    let dir = tempfile::tempdir().unwrap();
    let model = model(dir.path(), Dim::dynamic("batch"));
    let strange = photos(&dir.path().join("strange"), names("c", &[2, 5]));
    let known = photos(&dir.path().join("known"), names("c", &[0, 2, 4, 5, 6]));
    says(run(&model, &strange, &options(EvalSet::ImageNetO, 4)), &["--in-distribution"]);
    let with = EvaluateOptions { in_distribution: Some(known.clone()), ..options(EvalSet::ImageNetO, 3) };
    let evaluation = run(&model, &strange, &with).unwrap();
    assert_eq!((evaluation.n, evaluation.top1()), (8, None));
    let labels: Vec<Option<usize>> = evaluation.predictions.iter().map(|p| p.label).collect();
    assert_eq!(labels, [Some(2), Some(2), Some(5), Some(5), None, None, None, None]);
    assert!(evaluation.predictions.iter().all(|p| [2, 5].contains(&p.top1)));
    let scores: Vec<f64> = evaluation.predictions.iter().map(|p| -f64::from(p.score)).collect();
    let expected = Detection::new(&scores[4..], &scores[..4]).unwrap();
    assert_eq!(evaluation.detection(), Some(expected));
    let json = serde_json::to_value(&evaluation).unwrap();
    assert!(["aupr", "auroc", "fpr95", "n", "n_out"].iter().all(|key| json[key].is_number()), "{json}");
    fs::remove_dir_all(known.join("c5")).unwrap();
    says(run(&model, &strange, &with), &["known", "c5 is missing"]);
}

#[test]
fn a_model_of_another_program_must_be_described() {
    let dir = tempfile::tempdir().unwrap();
    let data = photos(&dir.path().join("data"), names("c", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    let (ours, theirs) = (model(dir.path(), Dim::dynamic("batch")), foreign(dir.path()));
    let options = options(EvalSet::Folder, 4);
    let hint = ["foreign.onnx", "--mean", "--std", "--size"];
    says(run(&theirs, &data, &options), &hint);
    let whole = Preprocessing { mean: Some([0.5; 3]), std: Some([0.25; 3]), size: Some(32) };
    says(Classifier::open(&theirs, &Preprocessing { std: None, ..whole }, &session()), &hint);
    let wrong = Preprocessing { size: Some(48), ..whole };
    says(Classifier::open(&theirs, &wrong, &session()), &["32 pixels", "not 48"]);
    let wrong = Preprocessing { std: Some([0.0; 3]), ..whole };
    says(Classifier::open(&theirs, &wrong, &session()), &["std", "above zero"]);
    let mut classifier = Classifier::open(&theirs, &whole, &session()).unwrap();
    assert_eq!(classifier.info().class_names, names("", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    let plan = Plan::new(&classifier, &data, &options).unwrap();
    let theirs = plan.run(&mut classifier, &|_, _| ()).unwrap();
    let ours = run(&ours, &data, &options).unwrap();
    assert_eq!((theirs.matching, classes(&theirs)), (Matching::ByOrder, classes(&ours)));
}

#[test]
fn latency_rows() {
    let dir = tempfile::tempdir().unwrap();
    let foreign = foreign(dir.path());
    let options =
        crate::BenchOptions { batches: vec![1, 3], seconds: 0.0, session: session(), ..Default::default() };
    let report = crate::bench(&model(dir.path(), Dim::dynamic("batch")), &options, &|_, _| ()).unwrap();
    assert_eq!(report.rows.iter().map(|r| r.batch).collect::<Vec<_>>(), [1, 3]);
    assert!(report.rows.iter().all(|r| r.median_ms > 0.0 && r.p95_ms >= r.median_ms));
    says(crate::bench(&foreign, &options, &|_, _| ()), &["foreign.onnx", "--size"]);
    let sized = crate::BenchOptions { batches: vec![1], size: Some(32), ..options };
    assert_eq!(crate::bench(&foreign, &sized, &|_, _| ()).unwrap().image, 32);
}

#[test]
fn a_backbone_is_timed_but_not_asked_for_classes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("backbone.onnx");
    let net = EvalNet { kind: NetworkKind::ImageNet, ..network().0 };
    let weights = Weights::init(net.layout().into(), &Streams::new(2));
    let kind = ModelKind::Backbone(Features::Raw);
    let options = ExportOptions::new(kind, Precision::Fp32, GraphOptions::square(64));
    export_model(&path, &net, &weights, &info(64), &options).unwrap();
    let opened = Classifier::open(&path, &Preprocessing::default(), &session());
    says(opened, &["backbone.onnx", "no scores of classes", "c2, c3, c4, c5", "--kind classifier"]);
    let options =
        crate::BenchOptions { batches: vec![2], seconds: 0.0, session: session(), ..Default::default() };
    let report = crate::bench(&path, &options, &|_, _| ()).unwrap();
    assert_eq!((report.image, report.rows[0].batch), (64, 2));
}
