//! Times training steps of RetinaNet on the ImageNet network, as Detectron2 trains it (spec 06-3): `detector.py` runs it in
//! turns with PyTorch.
//!
//! `CHANNELS LAYERS HEIGHT WIDTH BATCH STEPS` as arguments; prints a JSON object: milliseconds of each step, threads, the
//! multiply-accumulates of a forward pass of one image, and the most memory that the process ever held, in MiB (Linux).

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use genas_net::{
    AnchorLabels, Cost, Devices, EvalNet, Feature, Freeze, Mode, NetworkKind, RetinaNet, SgdConfig, Trainer,
    UnsampledOps, Weights, sigmoid_focal_loss, smooth_l1_at,
};
use genas_space::{Streams, zoo};

#[global_allocator]
static ALLOCATOR: genas_kernels::memory::Recycling = genas_kernels::memory::Recycling;

fn main() -> Result<()> {
    let args: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let [channels, layers, height, width, batch, steps] = args[..] else {
        eprintln!("usage: detector CHANNELS LAYERS HEIGHT WIDTH BATCH STEPS; see benches/README.md");
        return Ok(());
    };
    let cell = zoo::find("GENAS_FLATNESS_CIFAR100").context("the zoo has no such cell")?;
    let (kind, genotype) = (NetworkKind::ImageNet, cell.genotype());
    let backbone = EvalNet { kind, genotype, channels, layers, classes: 1000, auxiliary: false };
    let net = RetinaNet {
        backbone,
        relu_features: false,
        batch_norm: false,
        channels: 256,
        head_convolutions: 4,
        anchors: 9,
        classes: 80,
    };
    let device = Devices::cpu().recording();
    let sgd = SgdConfig {
        momentum: 0.9,
        nesterov: false,
        weight_decay: 1e-4,
        norm_weight_decay: 0.0,
        clip: None,
        unsampled: UnsampledOps::ZeroFilled,
    };
    let freeze =
        Freeze { parameters: vec!["backbone.stem0.".to_owned()], batch_norm: vec!["backbone.".to_owned()] };
    let shape = [batch, 3, height, width];
    // Values with the spread of a normalised image; what they are does not change the time.
    let images: Vec<f32> = (0..shape.iter().product::<usize>())
        .map(|i| ((i * 2_654_435_761) % 4096) as f32 / 1024.0 - 2.0)
        .collect();
    // One anchor in a hundred is an object, one in fifty is ignored.
    let label = |n: usize| match n % 100 {
        0 => (n / 100 % 80) as i32,
        1 | 2 => AnchorLabels::IGNORED,
        _ => AnchorLabels::BACKGROUND,
    };
    let levels: Vec<_> = RetinaNet::level_sizes([height, width])
        .into_iter()
        .map(|[h, w]| {
            let labels = AnchorLabels { labels: (0..batch * 9 * h * w).map(label).collect(), classes: 80 };
            let places: Vec<i64> = (0..(batch * 36 * h * w) as i64).step_by(100).collect();
            let targets = vec![0.1; places.len()];
            (labels, places, targets)
        })
        .collect();
    let streams = Streams::new(0);
    let mut trainer = Trainer::new(Weights::init(Arc::new(net.layout()), &streams)).with_freeze(freeze);
    let mut times = Vec::new();
    for step in 0..steps as u64 {
        let start = Instant::now();
        let mode = Mode::Train { drop_path: 0.0, rng: Box::new(streams.rng("drop-path", step)) };
        trainer.step(&sgd, 1e-6, &device, mode, |i| {
            let x = Feature::from_values(images.clone(), shape, i.device());
            let maps = net.forward(i, &x).into_iter().zip(&levels);
            let losses = maps.map(|(maps, (labels, places, targets))| {
                sigmoid_focal_loss(maps.logits.tensor(), labels, 0.25, 2.0)
                    + smooth_l1_at(maps.deltas.tensor(), places, targets, 0.0)
            });
            losses.reduce(|sum, loss| sum + loss).expect("five levels").mul_scalar(0.01)
        })?;
        times.push(1e3 * start.elapsed().as_secs_f64());
    }
    let cost = Cost::of([3, height, width], |i, x| {
        net.forward(i, x);
    });
    let threads = rayon::current_num_threads();
    let result =
        serde_json::json!({ "ms": times, "threads": threads, "macs": cost.macs, "peak_mib": peak_mib() });
    println!("{result}");
    Ok(())
}

fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}
