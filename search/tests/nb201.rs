//! NAS-Bench-201 from images to measurements: a supernet is trained, interrupted and not, and its cells are measured.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use genas_data::{ImageSet, Normalization};
use genas_net::{Devices, Network, Supernet, Weights, WeightsFile, write_weights};
use genas_runtime::Provider;
use genas_search::config::{Noise, Position, ScorerKind};
use genas_search::noise::{Direction, NoiseScale};
use genas_search::rank::config::{MeasureConfig, Nb201Config, NoiseConfig};
use genas_search::rank::measure::{CellMeasurement, Measurer};
use genas_search::rank::supernet::{read, train};
use genas_search::supernet::Halves;
use genas_search::validation::Validation;
use genas_search::{Observer, SearchError};
use genas_space::Streams;
use genas_space::nb201::Nb201Cell;
use genas_train::fit::read_table;
use genas_train::observer::Silent;
use genas_train::{TrainError, settings};
use rand::RngExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const CLASSES: usize = 3;
const SIDE: usize = 16;

/// Images whose class is the colour that dims them least.
fn halves() -> Halves {
    let mut rng = Streams::new(5).rng("test/images", 0);
    let labels: Vec<u16> = (0..120).map(|n| n % CLASSES as u16).collect();
    let mut pixels = Vec::new();
    for label in &labels {
        for colour in 0..3 {
            let most = if colour == *label { 255 } else { 190 };
            pixels.extend((0..SIDE * SIDE).map(|_| rng.random_range(0..=most) as u8));
        }
    }
    let classes = (0..CLASSES).map(|n| format!("class {n}")).collect();
    let (height, width, normalization) = (SIDE, SIDE, Normalization::CIFAR10);
    let set = ImageSet { name: "colours".into(), classes, height, width, pixels, labels, normalization };
    Halves {
        set: Arc::new(set),
        train: Arc::new((0..72).collect()),
        valid: Arc::new((72..120).collect()),
        fingerprint: "colours".into(),
    }
}

fn config(set: &[&str]) -> Nb201Config {
    let text = "
        seed = 3
        [data]
        image-size = 16
        [supernet]
        channels = 4
        cells-per-stage = 1
        epochs = 4
        batch-size = 16
        learning-rate = 0.1
        [measure]
        common-random-numbers = true
        recalibration-images = 64
        validation-images = 48
        batch-size = 16
        scorer = 'burn'
    ";
    let set: Vec<String> = set.iter().map(|s| s.to_string()).collect();
    let config: Nb201Config = settings::parse(text, &set).unwrap();
    config.check().unwrap();
    config
}

/// Asks to stop at every `nth` chance.
struct Impatient {
    nth: usize,
    asked: AtomicUsize,
}

impl Observer for Impatient {
    fn interrupted(&self) -> bool {
        (self.asked.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(self.nth)
    }
}

#[test]
fn training_learns_and_survives_interruptions() {
    let (whole, parts, shared) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (halves, devices) = (halves(), Devices::cpu());
    let fit = |directory: &Path, config: &Nb201Config, observer: &dyn Observer| {
        train(directory, config, &halves, &devices, true, observer)
    };
    fit(whole.path(), &config(&[]), &Silent).unwrap();
    let mut interruptions = 0;
    loop {
        let observer = Impatient { nth: 3, asked: AtomicUsize::new(0) };
        match fit(parts.path(), &config(&[]), &observer) {
            Err(SearchError::Train(TrainError::Interrupted)) => interruptions += 1,
            result => break result.unwrap(),
        }
        assert!(interruptions < 50);
    }
    assert!(interruptions > 3, "interrupted {interruptions} times");
    fit(shared.path(), &config(&["supernet.paths=shared"]), &Silent).unwrap();
    let bytes = |directory: &Path, name: &str| std::fs::read(directory.join(name)).unwrap();
    for name in ["epoch_0.safetensors", "final.safetensors"] {
        assert!(bytes(whole.path(), name) == bytes(parts.path(), name), "{name} differs");
    }
    assert!(bytes(whole.path(), "final.safetensors") != bytes(shared.path(), "final.safetensors"));
    let rows = read_table::<Validation>(&whole.path().join("training.csv")).unwrap();
    assert_eq!(rows.len(), 4);
    assert!(rows[3].loss < 0.9 * rows[0].loss, "{} to {}", rows[0].loss, rows[3].loss);
    // The unshifted cosine: the first epoch has the full rate.
    assert_eq!(rows[0].learning_rate, 0.1);
    // Finished weights of other settings are refused.
    let other = fit(whole.path(), &config(&["supernet.weight-decay=0.1"]), &Silent).unwrap_err().to_string();
    assert!(other.contains("final.safetensors") && other.contains("other settings"), "{other}");
}

fn noise(name: &str) -> NoiseConfig {
    NoiseConfig { name: name.to_owned(), sigmas: vec![2e-2, 1e-1], ..Default::default() }
}

#[test]
fn cells_are_measured_under_every_noise() {
    let (directory, halves, devices) = (tempfile::tempdir().unwrap(), halves(), Devices::cpu());
    train(directory.path(), &config(&[]), &halves, &devices, false, &Silent).unwrap();
    let noises = vec![
        NoiseConfig { draws: 2, ..noise("two") },
        noise("one"),
        NoiseConfig { recalibrate: true, ..noise("recalibrated") },
        NoiseConfig { position: Position::Cells, ..noise("cells") },
        NoiseConfig { scale: NoiseScale::Filter, noise: Noise::CommonDirection, ..noise("filter") },
    ];
    let measure = |cell: &str, measure: MeasureConfig| -> CellMeasurement {
        let config = Nb201Config { measure, ..config(&[]) };
        let supernet = read(directory.path()).unwrap();
        let measurer = Measurer::new(supernet, &halves, &config, &devices, Provider::Cpu).unwrap();
        measurer.measure(&cell.parse::<Nb201Cell>().unwrap()).unwrap()
    };
    let about = MeasureConfig { noises, ..config(&[]).measure };
    let text = "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|";
    let found = measure(text, about.clone());
    assert_eq!(found, measure(text, about.clone()), "measured twice");
    assert!(found.accuracy > 0.5, "{}", found.accuracy);
    assert!(found.angle.radians > 0.0 && found.params > 70_000 && found.flops > 1_000_000);

    let losses = |n: usize| &found.noises[n].losses;
    for noise in &found.noises {
        assert_eq!((noise.losses.len(), noise.accuracies.len()), (2, 2), "{}", noise.name);
        let draws = if noise.name == "two" { 2 } else { 1 };
        assert!(noise.losses.iter().chain(&noise.accuracies).all(|level| level.len() == draws));
        assert!((noise.losses[0][0] - found.loss).abs() > 1e-7, "{}: noise changes the loss", noise.name);
    }
    // Draws differ, and a smaller number of them is the beginning of a larger one.
    assert_ne!(losses(0)[1][0], losses(0)[1][1]);
    assert_eq!(losses(0)[1][0], losses(1)[1][0]);
    for other in 2..5 {
        assert_ne!(losses(1)[1][0], losses(other)[1][0], "{}", found.noises[other].name);
    }

    // ONNX Runtime and burn agree.
    genas_runtime::ensure(&|_| ()).unwrap();
    let ort = measure(text, MeasureConfig { scorer: ScorerKind::Ort, ..about.clone() });
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-4 * b.abs().max(1.0), "{a} {b}");
    close(ort.loss, found.loss);
    assert_eq!((ort.cell, ort.angle, ort.params), (found.cell, found.angle, found.params));
    for (ort, burn) in ort.noises.iter().zip(&found.noises) {
        for (ort, burn) in ort.losses.iter().flatten().zip(burn.losses.iter().flatten()) {
            close(*ort, *burn);
        }
    }

    // Cells of zeros know nothing of the image, whatever the noise.
    let zeros = measure("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", about.clone());
    assert_eq!(zeros.angle.radians, 0.0);
    assert!(zeros.accuracy < 0.5);

    // Without shared draws every cell has noise of its own.
    let own = measure(text, MeasureConfig { common_random_numbers: false, ..about });
    assert_ne!(own.noises[1].losses, found.noises[1].losses);

    let json = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<CellMeasurement>(&json).unwrap(), found);
}

#[test]
fn cells_are_measured_along_the_hessian() {
    let (directory, halves, devices) = (tempfile::tempdir().unwrap(), halves(), Devices::cpu());
    train(directory.path(), &config(&[]), &halves, &devices, false, &Silent).unwrap();
    let hessian = |name: &str| NoiseConfig {
        direction: Direction::Hessian,
        scale: NoiseScale::Norm,
        hessian_images: Some(48),
        hessian_iterations: Some(60),
        // As far as the losses below are from each other.
        hessian_step: Some(4e-3),
        sigmas: vec![1e-2, 3e-2],
        ..noise(name)
    };
    let noises = vec![
        hessian("first"),
        NoiseConfig { position: Position::Cells, ..hessian("cells") },
        NoiseConfig { scale: NoiseScale::Absolute, sigmas: vec![1e-4, 1e-3], ..hessian("absolute") },
        NoiseConfig {
            scale: NoiseScale::Norm,
            position: Position::Cells,
            sigmas: vec![1e-2, 3e-2],
            ..noise("random")
        },
    ];
    let fewer_images = vec![16, 32];
    let about = MeasureConfig { noises, fewer_images, ..config(&[]).measure };
    let measure = |cell: &str, threads: usize| -> CellMeasurement {
        let config = Nb201Config { measure: about.clone(), ..config(&[]) };
        let supernet = read(directory.path()).unwrap();
        let measurer = Measurer::new(supernet, &halves, &config, &devices, Provider::Cpu).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| measurer.measure(&cell.parse::<Nb201Cell>().unwrap()).unwrap())
    };
    let text = "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|";
    let found = measure(text, 1);
    assert_eq!(found, measure(text, 3), "threads change something");
    let curvature = |n: usize| found.noises[n].curvature;
    let cells = curvature(1).unwrap();
    assert!(cells.iterations <= 60 && cells.eigenvalue > 0.0, "{cells:?}");
    assert_eq!((curvature(0), curvature(3)), (curvature(2), None));
    assert_ne!(found.noises[0].losses, found.noises[1].losses);
    // The losses along the direction curve by the eigenvalue: second divided differences from the loss without noise on.
    let curves = |n: usize| {
        let [a, b] = [0, 1].map(|level| {
            let noise = &found.noises[n];
            (noise.losses[level][0] - found.loss) / noise.sigmas[level]
        });
        2.0 * (b - a) / (found.noises[n].sigmas[1] - found.noises[n].sigmas[0])
    };
    let off = (curves(1) / cells.eigenvalue - 1.0).abs();
    assert!(off < 0.3, "{} along a direction of eigenvalue {}", curves(1), cells.eigenvalue);
    // A random direction of the same length curves less.
    assert!(curves(3).abs() < 0.5 * cells.eigenvalue.abs(), "{} {}", curves(3), cells.eigenvalue);

    // Fewer images are the beginning of all of them.
    let images = |fewer: &[usize]| {
        let noises = vec![about.noises[3].clone()];
        let measure =
            MeasureConfig { validation_images: fewer[0], fewer_images: Vec::new(), noises, ..about.clone() };
        let config = Nb201Config { measure, ..config(&[]) };
        let supernet = read(directory.path()).unwrap();
        let measurer = Measurer::new(supernet, &halves, &config, &devices, Provider::Cpu).unwrap();
        measurer.measure(&text.parse::<Nb201Cell>().unwrap()).unwrap()
    };
    let few = images(&[32]);
    let fewer = &found.fewer[1];
    assert_eq!((fewer.images, fewer.loss, fewer.accuracy), (32, few.loss, few.accuracy));
    let fewer = &found.noises[3].fewer[1];
    assert_eq!((&fewer.loss, &fewer.accuracy), (&few.noises[0].losses, &few.noises[0].accuracies));
    assert_eq!(found.noises[3].fewer[0].images, 16);

    // Cells without parameters have nothing that could be moved.
    let bare = measure("|skip_connect~0|+|skip_connect~0|none~1|+|skip_connect~0|none~1|none~2|", 1);
    assert_eq!(bare.noises[1].losses, [[bare.loss], [bare.loss]]);
    let json = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<CellMeasurement>(&json).unwrap(), found);
}

#[test]
fn what_does_not_fit_is_named() {
    let (directory, halves, devices) = (tempfile::tempdir().unwrap(), halves(), Devices::cpu());
    let one_epoch = config(&["supernet.epochs=1"]);
    train(directory.path(), &one_epoch, &halves, &devices, false, &Silent).unwrap();
    let error = |config: &Nb201Config, halves: &Halves| {
        let supernet = read(directory.path()).unwrap();
        Measurer::new(supernet, halves, config, &devices, Provider::Cpu).unwrap_err().to_string()
    };
    let many = config(&["measure.validation-images=49"]);
    assert!(error(&many, &halves).contains("--set measure.validation-images=48"));
    let mut set = (*halves.set).clone();
    set.classes.push("more".into());
    let other = Halves { set: Arc::new(set), ..halves };
    assert!(error(&one_epoch, &other).contains("the supernet has 3 classes, the data 4"));

    let net = Supernet { channels: 4, layers: 3, classes: 3 };
    let weights = Weights::init(Arc::new(net.layout()), &Streams::new(1));
    let about = WeightsFile { network: Network::Supernet(net), extra: Default::default() };
    write_weights(&directory.path().join("final.safetensors"), &weights, &about).unwrap();
    let error = read(directory.path()).unwrap_err().to_string();
    assert!(error.contains("final.safetensors") && error.contains("no NAS-Bench-201 supernet"), "{error}");
}
