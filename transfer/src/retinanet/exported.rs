//! The end-to-end form of an exported detector finds what [`detect`] finds in the numbers of the raw form.

use super::anchors::Anchors;
use super::boxes::Corners;
use super::coding::Deltas;
use super::config::{AnchorConfig, LossConfig, RetinaNetConfig, TestConfig};
use super::detections::{Found, Level, detect};
use super::recorded::assert_close;
use genas_export::{DetectorForm, DetectorInfo, Dim, GraphOptions, detector_model};
use genas_net::{EvalNet, NetworkKind, RetinaNet, Weights};
use genas_runtime::{Provider, Session, SessionOptions};
use genas_space::{Streams, random_candidate};
use std::sync::Arc;

const CLASSES: usize = 7;

fn network(anchors: &Anchors) -> RetinaNet {
    let genotype = random_candidate(&mut Streams::new(1).rng("cell", 0)).genotype();
    let backbone = EvalNet {
        kind: NetworkKind::ImageNet,
        genotype,
        channels: 8,
        layers: 3,
        classes: 2,
        auxiliary: false,
    };
    let anchors = anchors.cell(0).1.len();
    RetinaNet {
        backbone,
        relu_features: false,
        batch_norm: false,
        channels: 16,
        head_convolutions: 1,
        anchors,
        classes: CLASSES,
    }
}

fn about(config: &RetinaNetConfig) -> DetectorInfo {
    DetectorInfo {
        class_names: (0..CLASSES).map(|n| n.to_string()).collect(),
        category_ids: (0..CLASSES as i64).collect(),
        mean: [0.5; 3],
        std: [0.2; 3],
        detection: config.detection(),
        training_data: String::new(),
        source_run: String::new(),
    }
}

fn images(shape: [usize; 4]) -> Vec<f32> {
    // Sums of waves: places differ, as in photographs.
    let wave = |n: usize, k: f32| (n as f32 * k).sin();
    (0..shape.iter().product()).map(|n| wave(n, 0.37) + wave(n / 7, 1.3) + wave(n / 640, 2.1)).collect()
}

/// The heads' last weights times a factor each, and what the classes' biases are.
fn set_heads(weights: &mut Weights, factors: [f32; 2], bias: f32) {
    let layout = Arc::clone(weights.layout());
    for entry in layout.entries() {
        let values = weights.slice_mut(entry);
        match entry.name.as_str() {
            "head.classes.output.weight" => values.iter_mut().for_each(|v| *v *= factors[0]),
            "head.boxes.output.weight" => values.iter_mut().for_each(|v| *v *= factors[1]),
            "head.classes.output.bias" => values.fill(bias),
            _ => {}
        }
    }
}

fn open(
    net: &RetinaNet,
    weights: &Weights,
    about: &DetectorInfo,
    form: DetectorForm,
    graph: &GraphOptions,
) -> Session {
    let model = detector_model(net, weights, about, form, graph).unwrap();
    let options = SessionOptions { provider: Provider::Cpu, spinning: false, ..SessionOptions::default() };
    Session::from_bytes(&model, &options).unwrap()
}

/// Root mean square of the difference from the mean.
fn spread(values: &[f32]) -> f32 {
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / values.len() as f32).sqrt()
}

/// Objects of every image, from the raw form's numbers.
fn on_host(
    session: &mut Session,
    shape: [usize; 4],
    box_weights: [f32; 4],
    test: &TestConfig,
) -> Vec<Vec<Found>> {
    let outputs = session.run_f32(&images(shape), &shape).unwrap();
    let rows = |values: &[f32]| values.as_chunks::<4>().0.to_vec();
    let one = |image: usize| {
        let levels: Vec<(Vec<Corners>, &[f32], Vec<Deltas>)> = outputs
            .chunks_exact(3)
            .map(|level| {
                let part = |values| -> &[f32] {
                    let values: &Vec<f32> = values;
                    let len = values.len() / shape[0];
                    &values[image * len..(image + 1) * len]
                };
                (rows(&level[2].values), part(&level[0].values), rows(part(&level[1].values)))
            })
            .collect();
        let levels: Vec<Level> =
            levels.iter().map(|(anchors, logits, deltas)| Level { anchors, logits, deltas }).collect();
        let size = [shape[3], shape[2]];
        detect(&levels, CLASSES, box_weights, size, size, test)
    };
    (0..shape[0]).map(one).collect()
}

/// The same from the end-to-end form.
fn in_graph(session: &mut Session, shape: [usize; 4]) -> Vec<Vec<Found>> {
    let outputs = session.run_typed(&images(shape), &shape).unwrap();
    let [boxes, scores, labels, image] = &outputs[..] else { panic!("{outputs:?}") };
    let boxes = boxes.values.f32().unwrap().as_chunks::<4>().0;
    let (scores, labels) = (scores.values.f32().unwrap(), labels.values.i64().unwrap());
    let image = image.values.i64().unwrap();
    assert!(image.is_sorted());
    let mut found = vec![Vec::new(); shape[0]];
    for (n, &corners) in boxes.iter().enumerate() {
        let class = labels[n] as usize;
        found[image[n] as usize].push(Found { corners, class, score: scores[n] });
    }
    found
}

#[test]
fn the_graph_finds_what_the_host_finds() {
    genas_runtime::ensure(&|_| ()).unwrap();
    let full = TestConfig::default();
    let few = TestConfig { top_per_level: 60, max_detections: 25, score_above: 0.3, ..full.clone() };
    // Offset, weights of the box numbers, limits, and the classes' bias; the last finds nothing.
    let cases = [
        (0.0, [1.0; 4], &full, -2.0),
        (0.5, [10.0, 10.0, 5.0, 5.0], &few, -1.0),
        (0.0, [1.0; 4], &full, -60.0),
    ];
    for (offset, box_weights, test, bias) in cases {
        let config = RetinaNetConfig {
            anchors: AnchorConfig { offset, ..AnchorConfig::default() },
            loss: LossConfig { box_weights, ..LossConfig::default() },
            test: test.clone(),
            ..RetinaNetConfig::default()
        };
        let net = network(&Anchors::new(&config.anchors));
        let about = about(&config);
        let mut weights = Weights::init(Arc::new(net.layout()), &Streams::new(2));
        // Logits that spread, and boxes that move, by how much they would not.
        let shape = [1, 3, 96, 160];
        let any = GraphOptions::any_size();
        let mut raw = open(&net, &weights, &about, DetectorForm::Raw, &any);
        let found = raw.run_f32(&images(shape), &shape).unwrap();
        let moved = box_weights[0] * 0.4;
        let factors = [2.0 / spread(&found[0].values), moved / spread(&found[1].values)];
        set_heads(&mut weights, factors, bias);

        let fixed = GraphOptions {
            opset: 13,
            fold_bn: true,
            batch: Dim::Fixed(2),
            height: Dim::Fixed(96),
            width: Dim::Fixed(160),
            ..any.clone()
        };
        let newest = GraphOptions { opset: 21, ..any };
        for (shape, options) in [
            ([2, 3, 64, 64], &newest),
            ([2, 3, 96, 160], &newest),
            ([1, 3, 160, 96], &newest),
            ([2, 3, 96, 160], &fixed),
        ] {
            // Folded weights differ in their last bits, and so might the order of two objects.
            let [mut raw, mut end_to_end] = [DetectorForm::Raw, DetectorForm::EndToEnd]
                .map(|form| open(&net, &weights, &about, form, options));
            let want = on_host(&mut raw, shape, box_weights, test);
            let got = in_graph(&mut end_to_end, shape);
            let unsuppressed = TestConfig { nms_iou: 1.0, ..test.clone() };
            assert_eq!(on_host(&mut raw, shape, box_weights, &unsuppressed) == want, bias < -50.0);
            for (image, (got, want)) in got.iter().zip(&want).enumerate() {
                let what =
                    format!("offset {offset} bias {bias} {shape:?} opset {} image {image}", options.opset);
                let labels = |found: &[Found]| found.iter().map(|f| f.class).collect::<Vec<_>>();
                assert_eq!(labels(got), labels(want), "{what}");
                let enough = if bias < -50.0 { 0..1 } else { 20..101 };
                assert!(enough.contains(&want.len()), "{what}: {} objects", want.len());
                for (got, want) in got.iter().zip(want) {
                    assert_close(&got.corners, &want.corners, 1e-4, &what);
                    assert_close(&[got.score], &[want.score], 1e-6, &what);
                }
            }
        }
    }
}
