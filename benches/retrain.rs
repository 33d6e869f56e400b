//! Times training steps of the CIFAR network that is retrained (spec 04-6): `retrain.py` runs it in turns with PyTorch.
//!
//! `CHANNELS LAYERS BATCH STEPS` as arguments; prints a JSON object: milliseconds of each step, threads, and the most
//! memory that the process ever held, in MiB (Linux).

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use genas_net::{
    Devices, EvalNet, Feature, Mode, NetworkKind, SgdConfig, Trainer, UnsampledOps, Weights, cross_entropy,
};
use genas_space::{Streams, zoo};

#[global_allocator]
static ALLOCATOR: genas_kernels::memory::Recycling = genas_kernels::memory::Recycling;

fn main() -> Result<()> {
    let args: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let [channels, layers, batch, steps] = args[..] else {
        eprintln!("usage: retrain CHANNELS LAYERS BATCH STEPS; see benches/README.md");
        return Ok(());
    };
    let cell = zoo::find("GENAS_FLATNESS_CIFAR100").context("the zoo has no such cell")?;
    let (kind, genotype) = (NetworkKind::Cifar, cell.genotype());
    let net = EvalNet { kind, genotype, channels, layers, classes: 10, auxiliary: true };
    let device = Devices::cpu().recording();
    let sgd = SgdConfig {
        momentum: 0.9,
        nesterov: false,
        weight_decay: 3e-4,
        norm_weight_decay: 3e-4,
        clip: Some(5.0),
        unsampled: UnsampledOps::ZeroFilled,
    };
    let shape = [batch, 3, 32, 32];
    // Values with the spread of a normalised image; what they are does not change the time.
    let images: Vec<f32> =
        (0..batch * 3 * 32 * 32).map(|i| ((i * 2_654_435_761) % 4096) as f32 / 1024.0 - 2.0).collect();
    let labels: Vec<i64> = (0..batch).map(|i| (i * 7 % 10) as i64).collect();
    let streams = Streams::new(0);
    let mut trainer = Trainer::new(Weights::init(Arc::new(net.layout()), &streams));
    let mut times = Vec::new();
    for step in 0..steps as u64 {
        let start = Instant::now();
        let mode = Mode::Train { drop_path: 0.1, rng: Box::new(streams.rng("drop-path", step)) };
        trainer.step(&sgd, 0.025, &device, mode, |i| {
            let x = Feature::from_values(images.clone(), shape, i.device());
            let (logits, auxiliary) = net.forward_with_auxiliary(i, &x);
            let loss = cross_entropy(logits.tensor(), &labels, 0.0);
            match auxiliary {
                Some(a) => loss + cross_entropy(a.tensor(), &labels, 0.0).mul_scalar(0.4f32),
                None => loss,
            }
        })?;
        times.push(1e3 * start.elapsed().as_secs_f64());
    }
    let threads = rayon::current_num_threads();
    println!("{}", serde_json::json!({ "ms": times, "threads": threads, "peak_mib": peak_mib() }));
    Ok(())
}

fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}
