//! Weights and training states on disk, and steps that must not happen.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::path::PathBuf;
use std::sync::Arc;

use genas_net::{
    Devices, EvalNet, Feature, Mode, Network, NetworkKind, Path, SgdConfig, StepReport, Supernet, Trainer,
    UnsampledOps, Weights, WeightsFile, cross_entropy, read_weights, write_weights,
};
use genas_net::{Layout, NetError};
use genas_space::{Streams, path_for_step};
use rand::RngExt;
use serde_json::json;

const NET: Supernet = Supernet { channels: 2, layers: 3, classes: 4 };
const STREAMS_SEED: u64 = 11;
const SGD: SgdConfig = SgdConfig {
    momentum: 0.9,
    nesterov: false,
    weight_decay: 3e-4,
    norm_weight_decay: 3e-4,
    clip: Some(5.0),
    unsampled: UnsampledOps::ZeroFilled,
};

/// A file of this test in an own folder.
fn file(test: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("training").join(test);
    let _ = std::fs::remove_dir_all(&dir);
    dir.join("file.safetensors")
}

fn streams() -> Streams {
    Streams::new(STREAMS_SEED)
}

fn layout() -> Arc<Layout> {
    Arc::new(NET.layout())
}

fn about() -> WeightsFile {
    let mut extra = serde_json::Map::new();
    extra.insert("classes".into(), json!(["a", "b", "c", "d"]));
    WeightsFile { network: Network::Supernet(NET), extra }
}

/// A step on images that are `scale` times a random batch; data and path follow from the step's number.
fn step(trainer: &mut Trainer, scale: f32) -> Result<StepReport, NetError> {
    let number = trainer.state.step;
    let path = path_for_step(&streams(), number);
    let mut rng = streams().rng("test/images", number);
    let pixels: Vec<f32> = (0..4 * 3 * 16 * 16).map(|_| scale * rng.random_range(-1.0f32..1.0)).collect();
    let mode = Mode::Train { drop_path: 0.0, rng: Box::new(rng) };
    trainer.step(&SGD, 0.025, &Devices::cpu().recording(), mode, |i| {
        let x = Feature::from_values(pixels, [4, 3, 16, 16], i.device());
        cross_entropy(NET.forward(i, Path::Candidate(&path), &x).tensor(), &[0, 1, 2, 3], 0.0)
    })
}

fn trained(steps: usize) -> Trainer {
    let mut trainer = Trainer::new(Weights::init(layout(), &streams()));
    for _ in 0..steps {
        step(&mut trainer, 1.0).unwrap();
    }
    trainer
}

/// All parameters and buffers, bit by bit.
fn bits(weights: &Weights) -> Vec<u32> {
    weights.layout().entries().iter().flat_map(|e| weights.slice(e)).map(|v| v.to_bits()).collect()
}

#[test]
fn weights_come_back_with_their_network() {
    let path = file("round-trip");
    let genotype = genas_space::find("GENAS_FLATNESS_CIFAR10").unwrap().genotype();
    let kind = NetworkKind::ImageNet;
    let net = EvalNet { kind, genotype, channels: 4, layers: 3, classes: 7, auxiliary: true };
    for network in [Network::Eval(net), Network::Supernet(NET)] {
        let mut weights = Weights::init(Arc::new(network.layout()), &streams());
        for (n, entry) in weights.layout().clone().entries().iter().enumerate() {
            weights.slice_mut(entry)[0] += n as f32;
        }
        let about = WeightsFile { network, ..about() };
        write_weights(&path, &weights, &about).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let (read, what) = read_weights(&path).unwrap();
        assert_eq!(bits(&read), bits(&weights));
        assert_eq!(read.layout().entries(), weights.layout().entries());
        assert_eq!((&what.network, &what.extra), (&about.network, &about.extra));
        write_weights(&path, &read, &what).unwrap();
        assert!(std::fs::read(&path).unwrap() == bytes, "the same content is the same bytes");
    }
    let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "no temporary file is left: {left:?}");
}

#[test]
fn damaged_files_are_named() {
    let path = file("damaged");
    write_weights(&path, &Weights::neutral(layout()), &about()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for len in [0, 5, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..len]).unwrap();
        let error = read_weights(&path).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()) && error.contains("damaged"), "{len} bytes: {error}");
        let error = Trainer::load(&path, layout(), "run").unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{len} bytes: {error}");
    }
    std::fs::remove_file(&path).unwrap();
    let error = read_weights(&path).unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()) && error.contains("read"), "{error}");
}

#[test]
fn a_saved_run_continues_bit_by_bit() {
    let path = file("continue");
    let mut straight = trained(3);
    (straight.state.epoch, straight.state.step_in_epoch) = (1, 1);
    straight.save(&path, &about(), "run", &json!({ "correct": 5 })).unwrap();
    let (mut loaded, extra) = Trainer::load(&path, layout(), "run").unwrap();
    assert_eq!(extra, json!({ "correct": 5 }));
    assert_eq!(loaded.state, straight.state);
    assert_eq!(bits(&loaded.weights), bits(&straight.weights));
    for _ in 0..2 {
        assert_eq!(step(&mut straight, 1.0).unwrap(), step(&mut loaded, 1.0).unwrap());
    }
    assert_eq!(bits(&loaded.weights), bits(&straight.weights));
    // Momentum, and which operations have been used, are part of the state: the files agree too.
    let second = path.with_file_name("second.safetensors");
    straight.save(&path, &about(), "run", &json!(null)).unwrap();
    loaded.save(&second, &about(), "run", &json!(null)).unwrap();
    assert!(std::fs::read(&path).unwrap() == std::fs::read(&second).unwrap());
    // And they matter: without them the next step is another one.
    let mut forgetful = Trainer::new(loaded.weights.clone());
    forgetful.state = loaded.state;
    step(&mut forgetful, 1.0).unwrap();
    step(&mut loaded, 1.0).unwrap();
    assert_ne!(bits(&forgetful.weights), bits(&loaded.weights));
}

#[test]
fn a_state_of_another_run_is_refused() {
    let path = file("refused");
    trained(1).save(&path, &about(), "run a", &json!(null)).unwrap();
    let error = Trainer::load(&path, layout(), "run b").unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()) && error.contains("other settings"), "{error}");
    let wider = Supernet { channels: 4, ..NET }.layout();
    let error = Trainer::load(&path, Arc::new(wider), "run a").unwrap_err().to_string();
    assert!(error.contains("stem.conv.weight"), "{error}");
    // Weights alone are not a state.
    write_weights(&path, &Weights::neutral(layout()), &about()).unwrap();
    let error = Trainer::load(&path, layout(), "run a").unwrap_err().to_string();
    assert!(error.contains("not the state of a training run"), "{error}");
}

#[test]
fn a_loss_that_is_not_finite_changes_nothing() {
    let path = file("not-finite");
    let mut trainer = trained(2);
    trainer.save(&path, &about(), "run", &json!(null)).unwrap();
    let before = std::fs::read(&path).unwrap();
    for scale in [f32::NAN, f32::INFINITY] {
        let error = step(&mut trainer, scale).unwrap_err();
        assert!(matches!(error, NetError::NotFinite { what: "loss", step: 2, .. }), "{error:?}");
        assert!(error.to_string().contains("step 2"), "{error}");
    }
    trainer.save(&path, &about(), "run", &json!(null)).unwrap();
    assert!(
        std::fs::read(&path).unwrap() == before,
        "weights, statistics, momentum and counters are as before"
    );
    assert_eq!(trainer.weights.first_not_finite(), None);
    // The run can go on with a good batch.
    let mut other = trained(2);
    assert_eq!(step(&mut trainer, 1.0).unwrap(), step(&mut other, 1.0).unwrap());
    assert_eq!(bits(&trainer.weights), bits(&other.weights));
}

/// Spec 02-2: under zero-filled gradients an operation that was used once keeps moving.
#[test]
fn operations_off_the_path_move_as_configured() {
    let name = |step: u64| {
        let path = path_for_step(&streams(), step);
        let layout = NET.candidate_layout(&path);
        move |name: &str| layout.get(name).is_some()
    };
    let (first, second) = (name(0), name(1));
    let (mut moved, mut kept) = (0, 0);
    for unsampled in [UnsampledOps::ZeroFilled, UnsampledOps::SkipUnused] {
        let mut trainer = trained(1);
        let before = trainer.weights.clone();
        let path = path_for_step(&streams(), 1);
        let mode = Mode::Train { drop_path: 0.0, rng: Box::new(streams().rng("test/images", 1)) };
        trainer
            .step(&SgdConfig { unsampled, ..SGD }, 0.025, &Devices::cpu().recording(), mode, |i| {
                let x = Feature::from_values(vec![0.5; 4 * 3 * 16 * 16], [4, 3, 16, 16], i.device());
                cross_entropy(NET.forward(i, Path::Candidate(&path), &x).tensor(), &[0, 1, 2, 3], 0.0)
            })
            .unwrap();
        for entry in before.layout().entries().iter().filter(|e| e.role.is_parameter() && !second(&e.name)) {
            let same = before.slice(entry) == trainer.weights.slice(entry);
            let moves = first(&entry.name) && unsampled == UnsampledOps::ZeroFilled;
            assert_eq!(same, !moves, "{} under {unsampled:?}", entry.name);
            if moves { moved += 1 } else { kept += 1 }
        }
    }
    assert!(moved > 10 && kept > 100, "{moved} moved, {kept} kept");
}
