//! A segmenter of one convolution on generated pictures.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use genas_data::segmentation::{IGNORED, SegmentationClass, TestScale, sliding_windows};
use genas_export::{GraphOptions, Segmentation, SegmenterForm, SlidingWindow, segmenter_model};
use genas_net::{DeepLabV3, EvalNet, NetworkKind, Probability, Role, Weights};
use genas_space::{Streams, random_candidate};
use rand::RngExt;

use super::*;
use crate::segmentation::testing::{ANY, CLASSES, Planes, metadata, model};
use crate::segmentation::{WindowChoice, scores};

const SIZES: [[usize; 2]; 5] = [[24, 14], [31, 17], [9, 20], [24, 14], [16, 16]];
const WHOLE: &str = r#"{"within": null, "window": null, "divisor": 8}"#;
const ON: &dyn Fn(usize, usize) -> ControlFlow<()> = &|_, _| ControlFlow::Continue(());

/// A table of these names; label `3 n` is class `n`, and 1 and 255 are ignored.
fn table(names: &[&str]) -> ClassTable {
    let class = |(n, name): (usize, &&str)| SegmentationClass {
        name: (*name).to_owned(),
        labels: vec![3 * n as u8],
        color: [n as u8; 3],
    };
    ClassTable::new(names.iter().enumerate().map(class).collect(), vec![1, IGNORED]).unwrap()
}

/// Pictures without a pattern, and labels.
fn pairs(dir: &Path) -> Vec<SegmentationPair> {
    let pair = |(n, [width, height]): (usize, [usize; 2])| {
        let path = |kind: &str| dir.join(format!("{n}_{kind}.png"));
        let noise = |k: usize| ((k + 977 * n) as f64 * 12.9898).sin().abs() * 43_758.547;
        let rgb = (0..3 * width * height).map(|k| (noise(k).fract() * 256.0) as u8).collect();
        fs::write(path("image"), Picture { width, height, rgb }.png()).unwrap();
        let labels =
            (0..width * height).map(|k| [0, 1, 2, 3, IGNORED][(noise(k) * 7.0) as usize % 5]).collect();
        let truth = LabelMap { width, height, labels };
        fs::write(path("labels"), truth.label_png(&table(&CLASSES), IGNORED)).unwrap();
        SegmentationPair { name: n.to_string(), image: path("image"), labels: path("labels") }
    };
    SIZES.into_iter().enumerate().map(pair).collect()
}

fn opened(bytes: &[u8]) -> impl Fn(&SessionOptions) -> Result<Segmenter> + Sync + '_ {
    genas_runtime::ensure(&|_| {}).unwrap();
    |options: &SessionOptions| Segmenter::from_bytes("s.onnx", bytes, options)
}

fn session(threads: usize) -> SessionOptions {
    SessionOptions { provider: Provider::Cpu, intra_threads: threads, ..SessionOptions::default() }
}

/// What was counted, and the predictions in the order of the pairs.
fn run(
    bytes: &[u8],
    pairs: &[SegmentationPair],
    classes: &ClassTable,
    how: &SegmentOptions,
    threads: usize,
) -> Result<(ConfusionMatrix, Vec<LabelMap>)> {
    let seen = Mutex::new(Vec::new());
    let each = |pair: &SegmentationPair, picture: &Picture, predicted: &LabelMap| {
        assert_eq!((picture.width, picture.height), (predicted.width, predicted.height));
        seen.lock().unwrap().push((pair.name.clone(), predicted.clone()));
        Ok(())
    };
    let found = segment_split(opened(bytes), pairs, classes, how, &session(threads), &each, ON)?;
    assert_eq!((found.images, found.provider), (pairs.len(), Provider::Cpu));
    let mut seen = seen.into_inner().unwrap();
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    Ok((found.matrix, seen.into_iter().map(|(_, predicted)| predicted).collect()))
}

/// What the options should give, in 64 bits: inputs as they are prepared for training and tests, then nothing shared with
/// what is tested.
fn plain(
    bytes: &[u8],
    pair: &SegmentationPair,
    how: &SegmentOptions,
    window: Option<&SlidingWindow>,
    align_corners: bool,
) -> Planes {
    let segmenter = opened(bytes)(&session(1)).unwrap();
    let picture = genas_data::decode_file(&pair.image).unwrap();
    let original = [picture.width, picture.height];
    let mut sums = Planes::zeros(original);
    let mut passes = Vec::new();
    for &scale in if how.scales.is_empty() { &[1.0][..] } else { &how.scales } {
        passes.push((scale, false));
        if how.flip {
            passes.push((scale, true));
        }
    }
    for &(scale, flip) in &passes {
        let mut test = segmenter.preparation().clone();
        test.scale = match test.scale {
            TestScale::Within([w, h]) => {
                TestScale::Within([(w as f64 * scale) as usize, (h as f64 * scale) as usize])
            }
            _ => TestScale::Times(scale),
        };
        test.flip = flip;
        let divisor = test.divisor;
        if window.is_some() {
            (test.divisor, test.filled) = (1, [None; 2]);
        }
        let input = test.apply(&picture).unwrap();
        let cut = |logits: Planes, size| Planes::of(size, |c, x, y| logits.at(c, x, y));
        let logits = match window {
            None => cut(Planes::logits(&input, [0; 2], input.filled), input.size),
            Some(SlidingWindow { crop, stride }) => {
                // Zeros around the window are what filling adds.
                assert_eq!(divisor, 8);
                let (mut sums, mut counts) = (Planes::zeros(input.size), Planes::zeros(input.size));
                for w in sliding_windows(input.size, *crop, *stride) {
                    let (left, top) = (w.left as usize, w.top as usize);
                    let part = Planes::logits(&input, [left, top], [w.width, w.height]);
                    let inside = |x: usize, y: usize| {
                        (left..left + w.width).contains(&x) && (top..top + w.height).contains(&y)
                    };
                    let placed = |c: usize, x: usize, y: usize| {
                        if inside(x, y) { part.at(c, x - left, y - top) } else { 0.0 }
                    };
                    sums.add(&Planes::of(input.size, placed));
                    counts.add(&Planes::of(input.size, |_, x, y| f64::from(u8::from(inside(x, y)))));
                }
                Planes::of(input.size, |c, x, y| sums.at(c, x, y) / counts.at(c, x, y))
            }
        };
        let logits = logits.resized(original, align_corners);
        let logits = if flip { logits.mirrored() } else { logits };
        sums.add(&if passes.len() > 1 { logits.softmax() } else { logits });
    }
    sums
}

/// Everything but pixels that 32 bits cannot tell apart, and few of these.
fn assert_labels(found: &LabelMap, want: &Planes, what: &str) {
    let want = want.labels();
    let known = want.iter().flatten().count();
    assert!(known * 100 >= want.len() * 97, "{what}: {known} of {} pixels", want.len());
    let wrong =
        found.labels.iter().zip(&want).filter(|(found, want)| want.is_some_and(|want| want != **found));
    assert_eq!(wrong.count(), 0, "{what}");
}

#[test]
fn every_way_of_inference_gives_what_a_plain_computation_gives() {
    let dir = tempfile::tempdir().unwrap();
    let (pairs, classes) = (pairs(dir.path()), table(&CLASSES));
    let sliding = |crop, stride| WindowChoice::Sliding(SlidingWindow { crop, stride });
    let own = r#"{"within": [40, 24], "window": {"crop": [13, 9], "stride": [7, 5]}, "divisor": 8}"#;
    let within = r#"{"within": [40, 24], "window": null, "divisor": 8}"#;
    let mut different = Vec::new();
    for (segmentation, scales, flip, window) in [
        (WHOLE, &[][..], false, WindowChoice::Own),
        (WHOLE, &[0.5], false, WindowChoice::Own),
        (WHOLE, &[1.75], false, WindowChoice::Whole),
        (WHOLE, &[], true, WindowChoice::Own),
        (WHOLE, &[0.75, 1.0, 1.5], true, WindowChoice::Own),
        (WHOLE, &[0.75, 1.25], false, sliding([11, 8], [6, 8])),
        (WHOLE, &[], false, sliding([8, 8], [3, 5])),
        (WHOLE, &[], false, sliding([100, 100], [50, 50])),
        (within, &[], false, WindowChoice::Own),
        (within, &[0.5, 1.0], true, WindowChoice::Own),
        (own, &[], false, WindowChoice::Own),
        (own, &[0.75, 1.0], true, WindowChoice::Own),
        (own, &[], false, WindowChoice::Whole),
    ] {
        for align_corners in [false, true] {
            let bytes = model(false, ANY, &metadata(segmentation, align_corners));
            let how = SegmentOptions { scales: scales.to_vec(), flip, window: window.clone() };
            let what = format!("{segmentation} {how:?} {align_corners}");
            let windows = match &window {
                WindowChoice::Own if segmentation == own => {
                    Some(SlidingWindow { crop: [13, 9], stride: [7, 5] })
                }
                WindowChoice::Sliding(window) => Some(window.clone()),
                _ => None,
            };
            let (matrix, seen) = run(&bytes, &pairs, &classes, &how, 1).unwrap();
            let mut want = ConfusionMatrix::new(CLASSES.len());
            for (pair, seen) in pairs.iter().zip(&seen) {
                assert_labels(seen, &plain(&bytes, pair, &how, windows.as_ref(), align_corners), &what);
                want.add(&pair.train_ids(&classes).unwrap(), seen);
            }
            assert_eq!(matrix, want, "{what}");
            assert!(matrix.ignored() > 0 && matrix.images() == SIZES.len());
            different.push(seen);
            // Any number of sessions.
            for threads in [2, 5] {
                assert_eq!(run(&bytes, &pairs, &classes, &how, threads).unwrap().0, matrix, "{what}");
            }
        }
    }
    // The ways are not all the same, or nothing was tested. Windows as large as all pictures, and resizing to their own
    // size, are.
    different.sort_by(|a, b| a.iter().map(|map| &map.labels).cmp(b.iter().map(|map| &map.labels)));
    different.dedup();
    assert!(different.len() >= 18, "{}", different.len());
}

#[test]
fn labels_are_those_of_the_logits() {
    let dir = tempfile::tempdir().unwrap();
    let (pairs, classes) = (pairs(dir.path()), table(&CLASSES));
    let how = SegmentOptions::default();
    let fixed = [Some(1), Some(3), Some(24), Some(32)];
    let mut found = Vec::new();
    for (labels, input) in [(false, ANY), (true, ANY), (false, fixed), (true, fixed)] {
        let bytes = model(labels, input, &metadata(WHOLE, false));
        found.push(run(&bytes, &pairs, &classes, &how, 2).unwrap());
        let one = SegmentOptions { scales: vec![1.0], window: WindowChoice::Whole, ..how.clone() };
        assert_eq!(&run(&bytes, &pairs, &classes, &one, 1).unwrap(), &found[0]);
    }
    assert!(found.iter().all(|other| other == &found[0]));

    // At another size: of the pixel in which a pixel's corner lies.
    let within = metadata(r#"{"within": [48, 48], "window": null, "divisor": 8}"#, false);
    let bytes = model(true, ANY, &within);
    let (_, seen) = run(&bytes, &pairs[..1], &classes, &how, 1).unwrap();
    let segmenter = opened(&bytes)(&session(1)).unwrap();
    let input = segmenter.preparation().apply(&genas_data::decode_file(&pairs[0].image).unwrap()).unwrap();
    assert_eq!(input.size, [48, 28]);
    let logits = Planes::logits(&input, [0; 2], input.filled);
    assert_labels(&seen[0], &Planes::of([24, 14], |c, x, y| logits.at(c, 2 * x, 2 * y)), "nearest");

    for how in [
        SegmentOptions { scales: vec![0.5], ..how.clone() },
        SegmentOptions { flip: true, ..how.clone() },
        SegmentOptions {
            window: WindowChoice::Sliding(SlidingWindow { crop: [8, 8], stride: [4, 4] }),
            ..how.clone()
        },
    ] {
        let said = run(&bytes, &pairs, &classes, &how, 1).unwrap_err().to_string();
        assert!(said.starts_with("s.onnx: ") && said.contains("export it with `--form logits`"), "{said}");
    }
}

#[test]
fn classes_are_matched_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let pairs = pairs(dir.path());
    let bytes = model(false, ANY, &metadata(WHOLE, false));
    let how = SegmentOptions::default();
    let (matrix, seen) = run(&bytes, &pairs, &table(&CLASSES), &how, 2).unwrap();
    // The label files now mean other classes: what was road is tree.
    let turned: Vec<&str> = CLASSES.into_iter().rev().collect();
    let (other, also_seen) = run(&bytes, &pairs, &table(&turned), &how, 2).unwrap();
    for (a, b) in seen.iter().zip(&also_seen) {
        assert!(a.labels.iter().zip(&b.labels).all(|(a, b)| a + b == 3));
    }
    assert!((0..4).all(|t| (0..4).all(|p| other.count(t, p) == matrix.count(t, 3 - p))));
    let names: Vec<String> = CLASSES.map(str::to_owned).to_vec();
    assert!(scores(&matrix, &names).miou > 0.05);
    for names in [
        &["road", "car", "sky"][..],
        &["road", "car", "sky", "sea"],
        &["road", "car", "sky", "tree", "sea", "x"],
    ] {
        let said = run(&bytes, &pairs, &table(names), &how, 1).unwrap_err().to_string();
        let data = names.iter().take(5).copied().collect::<Vec<_>>().join(", ");
        for part in ["(road, car, sky, tree)", &data, "some streets"] {
            assert!(said.contains(part), "{said}");
        }
    }
}

#[test]
fn broken_data_unsound_options_and_interruptions_end_it() {
    let dir = tempfile::tempdir().unwrap();
    let (pairs, classes) = (pairs(dir.path()), table(&CLASSES));
    let bytes = model(false, ANY, &metadata(WHOLE, false));
    let window = |crop, stride| SegmentOptions {
        window: WindowChoice::Sliding(SlidingWindow { crop, stride }),
        ..SegmentOptions::default()
    };
    let scale = |scale| SegmentOptions { scales: vec![1.0, scale], ..SegmentOptions::default() };
    for (how, part) in [
        (window([8, 0], [4, 4]), "8 x 0 pixels"),
        (window([8, 8], [4, 9]), "every 4 x 9"),
        (window([8, 8], [0, 4]), "every 0 x 4"),
        (scale(0.0), "a scale of 0"),
        (scale(f64::NAN), "a scale of NaN"),
        (scale(-1.0), "a scale of -1"),
    ] {
        let said = run(&bytes, &pairs, &classes, &how, 1).unwrap_err().to_string();
        assert!(said.starts_with("s.onnx: ") && said.contains(part), "{said}");
    }
    let how = SegmentOptions::default();
    let small = model(false, [None, Some(3), Some(16), Some(24)], &metadata(WHOLE, false));
    let said = run(&small, &pairs, &classes, &how, 2).unwrap_err().to_string();
    assert!(said.contains("1_image.png: ") && said.contains("31 x 17 pixels"), "{said}");
    let said = run(&small, &pairs, &classes, &window([25, 8], [4, 4]), 1).unwrap_err().to_string();
    assert!(said.contains("windows are 25 x 8") && said.contains("--dynamic"), "{said}");

    for threads in [1, 3] {
        for stop_at in [0, 2] {
            let stop = |done: usize, _: usize| {
                if done < stop_at { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            };
            let each = |_: &SegmentationPair, _: &Picture, _: &LabelMap| Ok(());
            let stopped =
                segment_split(opened(&bytes), &pairs, &classes, &how, &session(threads), &each, &stop);
            assert!(matches!(stopped, Err(TransferError::Interrupted)));
        }
        let each = |pair: &SegmentationPair, _: &Picture, _: &LabelMap| match pair.name.as_str() {
            "2" => Err(TransferError::Request("the disk is full".to_owned())),
            _ => Ok(()),
        };
        let failed = segment_split(opened(&bytes), &pairs, &classes, &how, &session(threads), &each, ON);
        assert_eq!(failed.unwrap_err().to_string(), "the disk is full");
    }

    let label = |n: usize| pairs[n].labels.clone();
    let good: Vec<Vec<u8>> = (0..5).map(|n| fs::read(label(n)).unwrap()).collect();
    let other_size = LabelMap { width: 5, height: 5, labels: vec![0; 25] }.label_png(&classes, 0);
    // A value that stands in no table, by way of one that does.
    let unknown = LabelMap { width: 24, height: 14, labels: vec![IGNORED; 336] }.label_png(&classes, 77);
    for (n, bad, parts) in [
        (0, Some(other_size), ["0_labels.png: ", "5 x 5 pixels"]),
        (3, Some(unknown), ["3_labels.png: ", "77"]),
        (4, None, ["4_labels.png", "cannot read"]),
    ] {
        match bad {
            Some(bad) => fs::write(label(n), bad).unwrap(),
            None => fs::remove_file(label(n)).unwrap(),
        }
        for threads in [1, 4] {
            let said = run(&bytes, &pairs, &classes, &how, threads).unwrap_err().to_string();
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        }
        fs::write(label(n), &good[n]).unwrap();
    }
}

/// Both forms of a network as it is exported, with logits that it makes larger inside.
#[test]
fn exported_networks_run() {
    let backbone = EvalNet {
        kind: NetworkKind::ImageNet,
        genotype: random_candidate(&mut Streams::new(1).rng("cell", 0)).genotype(),
        channels: 4,
        layers: 5,
        classes: 5,
        auxiliary: false,
    };
    let net = DeepLabV3 {
        backbone,
        output_stride: 8,
        exact_dilation: true,
        relu_features: false,
        channels: 6,
        rates: vec![2, 4],
        classes: CLASSES.len(),
        auxiliary: None,
        dropout: Probability::new(0.1).unwrap(),
        align_corners: true,
    };
    let mut weights = Weights::init(Arc::new(net.layout()), &Streams::new(3));
    // Statistics as of a trained network; without them all pixels look the same.
    for entry in weights.layout().clone().entries() {
        let range = match entry.role {
            Role::Gamma => 0.5..1.5,
            Role::Beta | Role::RunningMean => -0.3..0.3,
            Role::RunningVar => 0.05..0.5,
            _ => continue,
        };
        let mut rng = Streams::new(3).rng(&entry.name, 1);
        weights.slice_mut(entry).fill_with(|| rng.random_range(range.clone()));
    }
    let info = SegmenterInfo {
        class_names: CLASSES.map(str::to_owned).to_vec(),
        label_ids: vec![0, 3, 6, 9],
        colors: vec![[1, 2, 3]; 4],
        class_table: String::new(),
        mean: [0.5; 3],
        std: [0.25; 3],
        segmentation: Segmentation { within: None, window: None, divisor: 32 },
        training_data: "none".to_owned(),
        source_run: "none".to_owned(),
    };
    let dir = tempfile::tempdir().unwrap();
    let (pairs, classes) = (pairs(dir.path()), table(&CLASSES));
    let options = GraphOptions::any_size();
    let [logits, labels] = [SegmenterForm::Logits, SegmenterForm::Labels].map(|form| {
        let bytes = segmenter_model(&net, &weights, &info, form, &options).unwrap();
        let segmenter = opened(&bytes)(&session(1)).unwrap();
        assert_eq!((segmenter.form(), segmenter.align_corners(), segmenter.info()), (form, true, &info));
        bytes
    });
    let whole = run(&logits, &pairs, &classes, &SegmentOptions::default(), 2).unwrap();
    assert!(run(&labels, &pairs, &classes, &SegmentOptions::default(), 1).unwrap() == whole);
    let seen = (0..4).filter(|&class| (0..4).any(|truth| whole.0.count(truth, class) > 0));
    assert!(seen.count() > 1, "all pixels look the same");
    // All of it and more is one window.
    let window = |crop| SegmentOptions {
        window: WindowChoice::Sliding(SlidingWindow { crop, stride: [20, 10] }),
        ..SegmentOptions::default()
    };
    assert!(run(&logits, &pairs, &classes, &window([40, 40]), 1).unwrap() == whole);
    assert!(run(&logits, &pairs, &classes, &window([20, 10]), 1).unwrap() != whole);
}
