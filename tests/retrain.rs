//! `genas retrain` from outside: what can go wrong, and what is left then.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod support;

use std::fs;
use std::process::{Command, Stdio};

use support::{Place, bytes};

/// Seconds on two cores.
const CONFIG: &str = r#"
seed = 3
[retrain]
channels = 4
layers = 3
epochs = 3
batch-size = 50
auxiliary = false
"#;

/// Small photos from disk.
const PHOTOS: &str = r#"
seed = 3
[retrain]
channels = 4
layers = 3
epochs = 2
batch-size = 20
auxiliary = false
drop-path = 0.1
[retrain.photos]
size = 48
"#;

const CELL: &str = "GENAS_FLATNESS_CIFAR100";

fn cifar<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args = ["retrain", "--network", "cifar", "--cell", CELL, "--config", "config.toml"];
    [&args[..], &["--data", "shapes/cifar10", "--out", out], more].concat()
}

#[test]
fn a_training_leaves_curves_and_its_best_weights() {
    let place = Place::new(CONFIG);
    let result = place.succeeds(&cifar("run", &["--set", "retrain.keep-every=2"]));
    let table = String::from_utf8(bytes(&place, "run/retrain/training.csv")).unwrap();
    let top1: Vec<f64> =
        table.lines().skip(1).map(|l| l.split(',').nth(3).unwrap().parse().unwrap()).collect();
    assert_eq!(top1.len(), 3);
    let best = top1.iter().copied().fold(0.0, f64::max);
    assert_eq!(result["best"]["top1"].as_f64(), Some(best));
    assert_eq!(result["best"]["epoch"].as_u64(), top1.iter().position(|&t| t == best).map(|n| n as u64 + 1));
    assert_eq!(result["top1"].as_f64(), top1.last().copied());
    for file in
        ["best.safetensors", "final.safetensors", "epoch_0.safetensors", "epoch_2.safetensors", "config.toml"]
    {
        assert!(place.at("run/retrain").join(file).is_file(), "{file}");
    }
    assert_eq!(fs::read_dir(place.at("run/retrain/tensorboard")).unwrap().count(), 1);

    // What is finished is not trained again, and says the same.
    let again = place.succeeds(
        &cifar("run", &["--resume"])[..]
            .iter()
            .filter(|a| !a.contains("config"))
            .copied()
            .collect::<Vec<_>>(),
    );
    for key in ["top1", "top5", "best"] {
        assert_eq!(again[key], result[key], "{key}");
    }
}

#[test]
fn a_loss_that_is_no_number_ends_the_training_and_says_what_is_left() {
    let place = Place::new(CONFIG);
    let args = cifar("run", &["--set", "retrain.learning-rate=1e30", "--set", "retrain.clip=inf"]);
    place.fails(
        &args,
        1,
        &["at step", "in epoch 1", "run/retrain/epoch_0.safetensors", "lower learning rate"],
    );
    assert!(!place.at("run/retrain/final.safetensors").exists());
}

/// A killed training with an average and with parts of batches ends as an undisturbed one.
#[test]
fn averages_and_parts_survive_kills() {
    let more =
        ["--set", "retrain.ema=0.99", "--set", "retrain.accumulate=3", "--set", "retrain.schedule=linear"];
    let (place, whole) = (Place::new(CONFIG), Place::new(CONFIG));
    let expected = whole.succeeds(&cifar("run", &more));
    let (found, kills) = place.survives(&cifar("run", &more), &["--resume"]);
    assert!(kills > 2, "killed only {kills} times");
    assert_eq!(found["best"], expected["best"]);
    for name in ["run/retrain/final.safetensors", "run/retrain/best.safetensors"] {
        assert!(bytes(&place, name) == bytes(&whole, name), "{name} differs");
    }
}

/// Replicas with synchronised BatchNorm compute what one does; killed replicas go on as if undisturbed.
#[test]
fn replicas_train_as_one() {
    let loss = |place: &Place| -> Vec<f64> {
        let table = String::from_utf8(bytes(place, "run/retrain/training.csv")).unwrap();
        table.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect()
    };
    let one = Place::new(CONFIG);
    // Replicas draw the branches that they drop by themselves.
    // At a usual rate twenty steps make a thousandth of a rounding error.
    let plain = ["--set", "retrain.drop-path=0", "--set", "retrain.learning-rate=1e-4"];
    one.succeeds(&cifar("run", &plain));
    let (two, killed) = (Place::new(CONFIG), Place::new(CONFIG));
    let more = [&plain[..], &["--replicas", "2", "--set", "retrain.batch-norm=synchronised"]].concat();
    let expected = two.succeeds(&cifar("run", &more));
    for (a, b) in loss(&one).into_iter().zip(loss(&two)) {
        assert!((a / b - 1.0).abs() < 1e-4, "{a} and {b}");
    }
    let (found, kills) = killed.survives(&cifar("run", &more), &["--resume"]);
    assert!(kills > 2, "killed only {kills} times");
    assert_eq!(found["best"], expected["best"]);
    let name = "run/retrain/final.safetensors";
    assert!(bytes(&killed, name) == bytes(&two, name), "{name} differs");
    one.fails(&cifar("other", &["--replicas", "60"]), 1, &["retrain.replicas is 60", "50"]);
}

/// A limit on the size of files stands in for a full disk: the weights fit, the state does not.
#[cfg(unix)]
#[test]
fn a_full_disk_loses_nothing() {
    let (place, whole) = (Place::new(CONFIG), Place::new(CONFIG));
    let expected = whole.succeeds(&cifar("run", &[]));
    let weights = fs::metadata(whole.at("run/retrain/final.safetensors")).unwrap().len();
    let args = cifar("run", &[]);
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", weights * 3 / 2 / 1024);
    let output = Command::new("bash")
        .current_dir(place.0.path())
        .args(["-c", &script, env!("CARGO_BIN_EXE_genas"), "--device", "cpu"])
        .args(&args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("state.safetensors") && error.contains("--resume"), "{error}");
    let left: Vec<_> = fs::read_dir(place.at("run/retrain/latest")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");

    let found = place.succeeds(&cifar("run", &["--resume"]));
    assert_eq!(found["top1"], expected["top1"]);
    let name = "run/retrain/final.safetensors";
    assert!(bytes(&place, name) == bytes(&whole, name), "{name} differs");
}

fn photos<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args = ["retrain", "--network", "imagenet", "--cell", CELL, "--config", "config.toml"];
    [&args[..], &["--data", "shapes/imagefolder", "--out", out], more].concat()
}

#[test]
fn photos_are_streamed_and_kills_survived() {
    let (place, whole) = (Place::new(PHOTOS), Place::new(PHOTOS));
    let expected = whole.succeeds(&photos("run", &[]));
    let (found, kills) = place.survives(&photos("run", &[]), &["--resume"]);
    assert!(kills > 2, "killed only {kills} times");
    assert_eq!(found["top1"], expected["top1"]);
    let name = "run/retrain/final.safetensors";
    assert!(bytes(&place, name) == bytes(&whole, name), "{name} differs");
    // Shown the same images, what is exported says the same.
    whole.succeeds(&["export", "--run", "run", "--onnx", "model.onnx"]);
    let evaluated =
        whole.succeeds(&["evaluate", "model.onnx", "--set", "folder", "--data", "shapes/imagefolder"]);
    assert_eq!(evaluated["top1"], expected["top1"]);
}

#[test]
fn a_broken_photo_is_named_and_left_out_by_choice() {
    let place = Place::new(PHOTOS);
    let broken = fs::read_dir(place.at("shapes/imagefolder/train/ring")).unwrap().next().unwrap().unwrap();
    let whole = fs::read(broken.path()).unwrap();
    fs::write(broken.path(), &whole[..whole.len() / 2]).unwrap();
    let name = broken.file_name().into_string().unwrap();
    place.fails(&photos("run", &[]), 1, &[&name, "truncated"]);
    let result = place.succeeds(&photos("other", &["--set", "retrain.on-broken=skip"]));
    assert_eq!(result["skipped_images"], 1);
    assert!(result["skipped"][0][1].as_str().unwrap().contains(&name), "{result}");

    // A broken validation photo costs nothing but the time to mend it.
    let shown = place.succeeds(&photos("whole", &["--set", "retrain.on-broken=skip"]));
    let seen = fs::read_dir(place.at("shapes/imagefolder/val/ring")).unwrap().next().unwrap().unwrap();
    let photo = fs::read(seen.path()).unwrap();
    fs::write(seen.path(), &photo[..photo.len() / 2]).unwrap();
    let args = photos("mended", &["--set", "retrain.on-broken=skip"]);
    place.fails(&args, 1, &[&seen.file_name().into_string().unwrap(), "truncated"]);
    let state = bytes(&place, "mended/retrain/latest/state.safetensors");
    assert!(
        String::from_utf8_lossy(&state).contains("\\\"step_in_epoch\\\":10"),
        "the epoch's steps are not there"
    );
    fs::write(seen.path(), photo).unwrap();
    let mended = place.succeeds(&[&args[..], &["--resume"]].concat());
    assert_eq!(mended["loss"], shown["loss"]);

    // A class may have one image.
    for (n, file) in fs::read_dir(place.at("shapes/imagefolder/train/star")).unwrap().enumerate() {
        if n > 0 {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
    place.succeeds(&photos("one", &["--set", "retrain.on-broken=skip", "--set", "retrain.epochs=1"]));
    fs::rename(place.at("shapes/imagefolder/val/star"), place.at("shapes/imagefolder/val/stir")).unwrap();
    place.fails(&photos("names", &[]), 1, &["shapes/imagefolder", "classes"]);
}

#[test]
fn a_model_is_fine_tuned_on_other_classes() {
    let place = Place::new(PHOTOS);
    place.succeeds(&photos("run", &["--set", "retrain.photos.normalize=false"]));
    place.succeeds(&["export", "--run", "run", "--onnx", "model.onnx"]);
    for split in ["train", "val"] {
        for class in ["ring", "cross", "star"] {
            let (from, to) = (place.at("shapes/imagefolder").join(split), place.at("mine").join(split));
            fs::create_dir_all(&to).unwrap();
            let status = Command::new("cp").arg("-r").arg(from.join(class)).arg(to.join(class)).status();
            assert!(status.unwrap().success());
        }
    }
    let tune = |model: &'static str, out: &'static str, data: &'static str| {
        ["retrain", "--fine-tune", model, "--data", data, "--out", out, "--set", "retrain.epochs=1"]
    };
    let result = place.succeeds(&tune("model.onnx", "mine-run", "mine"));
    assert!((result["chance"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-9);
    // The model's image size and normalisation went with it.
    place.succeeds(&["export", "--run", "mine-run", "--onnx", "mine.onnx"]);
    let evaluated = place.succeeds(&["evaluate", "mine.onnx", "--set", "folder", "--data", "mine"]);
    assert_eq!(evaluated["top1"], result["top1"]);
    let about: serde_json::Value = serde_json::from_slice(&bytes(&place, "mine.json")).unwrap();
    let text = about.to_string();
    assert!(text.contains("48") && text.contains("[0.0,0.0,0.0]"), "{text}");
    // The same classes: at a rate of almost nothing it stays as good as it was.
    let before =
        place.succeeds(&["evaluate", "model.onnx", "--set", "folder", "--data", "shapes/imagefolder"]);
    let same = tune("model.onnx", "same", "shapes/imagefolder");
    let still = ["--set", "retrain.learning-rate=1e-12", "--set", "retrain.weight-decay=0"];
    let after = place.succeeds(&[&same[..], &still].concat());
    let (a, b) = (before["top1"].as_f64().unwrap(), after["top1"].as_f64().unwrap());
    assert!(b >= a - 0.1, "{a} before, {b} after");

    place.fails(&tune("nowhere.onnx", "x", "mine"), 1, &["nowhere.onnx"]);
    place.succeeds(&["export", "--run", "run", "--onnx", "folded.onnx", "--fold-bn"]);
    place.fails(&tune("folded.onnx", "x", "mine"), 1, &["folded.onnx", "BatchNorm"]);
}
