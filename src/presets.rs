//! Settings that are part of the binary, so that an installed genas needs no file beside it.

use std::path::Path;

use anyhow::{Result, bail};
use genas_search::Config;
use genas_search::rank::config::Nb201Config;
use genas_train::settings;
use genas_transfer::deeplab::DeepLabConfig;
use genas_transfer::retinanet::RetinaNetConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Name and text of every preset.
pub const PRESETS: [(&str, &str); 7] = [
    ("quickstart", include_str!("../configs/quickstart.toml")),
    ("laptop-cifar10", include_str!("../configs/laptop-cifar10.toml")),
    ("darts-cifar10", include_str!("../configs/darts-cifar10.toml")),
    ("darts-cifar100", include_str!("../configs/darts-cifar100.toml")),
    ("imagenet", include_str!("../configs/imagenet.toml")),
    ("imagenet-genas", include_str!("../configs/imagenet-genas.toml")),
    ("fine-tune", include_str!("../configs/fine-tune.toml")),
];

/// Name and text of every preset of a detector's fine-tuning.
pub const COCO_PRESETS: [(&str, &str); 3] = [
    ("coco-retinanet-1x", include_str!("../configs/coco-retinanet-1x.toml")),
    ("coco-retinanet-3x", include_str!("../configs/coco-retinanet-3x.toml")),
    ("coco-shapes", include_str!("../configs/coco-shapes.toml")),
];

/// Name and text of every preset of a segmenter's fine-tuning.
pub const CITYSCAPES_PRESETS: [(&str, &str); 4] = [
    ("cityscapes-deeplabv3-40k", include_str!("../configs/cityscapes-deeplabv3-40k.toml")),
    ("cityscapes-deeplabv3-80k", include_str!("../configs/cityscapes-deeplabv3-80k.toml")),
    ("cityscapes-deeplabv3-769", include_str!("../configs/cityscapes-deeplabv3-769.toml")),
    ("cityscapes-camvid", include_str!("../configs/cityscapes-camvid.toml")),
];

/// Name and text of every preset of `genas rank`.
pub const NB201_PRESETS: [(&str, &str); 4] = [
    ("nb201-laptop", include_str!("../configs/nb201-laptop.toml")),
    ("nb201-cifar10", include_str!("../configs/nb201-cifar10.toml")),
    ("nb201-ablations", include_str!("../configs/nb201-ablations.toml")),
    ("nb201-ablations-cifar10", include_str!("../configs/nb201-ablations-cifar10.toml")),
];

/// Settings of `genas rank`, from a file or from a preset by its name, with `overrides` applied.
pub fn read_nb201(config: &Path, overrides: &[String]) -> Result<Nb201Config> {
    read_named(config, overrides, &NB201_PRESETS, Nb201Config::check)
}

/// Settings of a detector's fine-tuning, from a file or from a preset by its name, with `overrides` applied.
pub fn read_coco(config: &Path, overrides: &[String]) -> Result<RetinaNetConfig> {
    read_named(config, overrides, &COCO_PRESETS, RetinaNetConfig::check)
}

/// Settings of a segmenter's fine-tuning, likewise.
pub fn read_cityscapes(config: &Path, overrides: &[String]) -> Result<DeepLabConfig> {
    read_named(config, overrides, &CITYSCAPES_PRESETS, DeepLabConfig::check)
}

fn read_named<C: Serialize + DeserializeOwned>(
    config: &Path,
    overrides: &[String],
    presets: &[(&str, &str)],
    check: impl Fn(&C) -> Result<(), String>,
) -> Result<C> {
    let name = config.to_string_lossy();
    let preset = presets.iter().find(|(preset, _)| !config.is_file() && *preset == name);
    let settings = match preset {
        Some((_, text)) => settings::parse(text, overrides).map_err(anyhow::Error::msg)?,
        None if !config.exists() => bail!(no_such(&name, presets)),
        None => settings::read(config, overrides)?,
    };
    check(&settings).map_err(|problem| anyhow::anyhow!("{name}: {problem}"))?;
    Ok(settings)
}

fn no_such(name: &str, presets: &[(&str, &str)]) -> String {
    let names: Vec<&str> = presets.iter().map(|(name, _)| *name).collect();
    format!("{name}: no such file, nor a preset; the presets are {}", names.join(", "))
}

/// A preset by its name, with `overrides` applied; `None` if there is none of this name.
pub fn preset(name: &str, overrides: &[String]) -> Option<Result<Config>> {
    let (_, text) = PRESETS.iter().find(|(preset, _)| *preset == name)?;
    Some(Config::parse(text, overrides).map_err(anyhow::Error::msg))
}

/// Reads a file, or a preset by its name, with `overrides` applied. A file of a preset's name is read; a
/// directory of that name, such as a run's, is not in the way.
pub fn read(config: &Path, overrides: &[String]) -> Result<Config> {
    let name = config.to_string_lossy();
    if !config.is_file()
        && let Some(preset) = preset(&name, overrides)
    {
        return preset;
    }
    if !config.exists() {
        bail!(no_such(&name, &PRESETS))
    }
    Ok(Config::read(config, overrides)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use genas_transfer::retinanet::config::SolverConfig;

    #[test]
    fn every_preset_has_a_name() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
        let mut files: Vec<String> = std::fs::read_dir(&directory)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
            .collect();
        files.sort();
        let mut names: Vec<&str> = PRESETS
            .iter()
            .chain(&COCO_PRESETS)
            .chain(&CITYSCAPES_PRESETS)
            .chain(&NB201_PRESETS)
            .map(|(name, _)| *name)
            .collect();
        names.sort_unstable();
        assert_eq!(files, names);
        for (name, _) in PRESETS {
            let file = directory.join(format!("{name}.toml"));
            assert_eq!(read(Path::new(name), &[]).unwrap(), read(&file, &[]).unwrap());
        }
        let error = read(Path::new("nowhere.toml"), &[]).unwrap_err().to_string();
        assert!(error.contains("nowhere.toml") && error.contains("laptop-cifar10"), "{error}");
    }

    #[test]
    fn the_full_laboratory_is_the_published_one() {
        let mut full = read_nb201(Path::new("nb201-cifar10"), &[]).unwrap();
        full.seed = None;
        full.measure.noises[0].name = "noise".to_owned();
        assert_eq!(full, Nb201Config::default());
        let laptop = read_nb201(Path::new("nb201-laptop"), &[]).unwrap();
        assert_eq!(laptop.measure.noises.len(), 2);
        // The ablations use the same supernets, and measure the same things at both sizes.
        let ablations = |name: &str| read_nb201(Path::new(name), &[]).unwrap();
        let (small, large) = (ablations("nb201-ablations"), ablations("nb201-ablations-cifar10"));
        assert_eq!((&small.supernet, small.seed), (&laptop.supernet, laptop.seed));
        assert_eq!(large.supernet, full.supernet);
        let names = |config: &Nb201Config| -> Vec<String> {
            config.measure.noises.iter().map(|noise| noise.name.clone()).collect()
        };
        assert_eq!(names(&small), names(&large));
        assert_eq!(small.metrics.len(), large.metrics.len());
    }

    #[test]
    fn the_cityscapes_presets_are_mmsegmentations() {
        for (name, text) in CITYSCAPES_PRESETS {
            assert_eq!(read_cityscapes(Path::new(name), &[]).unwrap(), settings::parse(text, &[]).unwrap());
        }
        let read = |name: &str| read_cityscapes(Path::new(name), &[]).unwrap();
        let default = DeepLabConfig::default();
        assert_eq!(read("cityscapes-deeplabv3-40k"), default);
        let mut long = default.clone();
        (long.solver.iterations, long.solver.evaluate_every) = (80_000, 8_000);
        assert_eq!(read("cityscapes-deeplabv3-80k"), long);
        let sliding = read("cityscapes-deeplabv3-769");
        assert_eq!(sliding.test.window.as_ref().unwrap().stride, [513, 513]);
        assert!(sliding.model.align_corners && sliding.data.crop_width == 769);
    }

    #[test]
    fn the_coco_presets_are_detectron2s() {
        for (name, text) in COCO_PRESETS {
            let read = read_coco(Path::new(name), &[]).unwrap();
            assert_eq!(read, settings::parse(text, &[]).unwrap());
        }
        let read = |name: &str| read_coco(Path::new(name), &[]).unwrap();
        let one = RetinaNetConfig::default();
        assert_eq!(read("coco-retinanet-1x"), one);
        let three = RetinaNetConfig { solver: SolverConfig::three_times(), ..one };
        assert_eq!(read("coco-retinanet-3x"), three);
        let seven = read_coco(Path::new("coco-shapes"), &["solver.evaluate-every=7".into()]);
        let error = seven.unwrap_err().to_string();
        assert!(error.contains("coco-shapes") && error.contains("evaluate-every must divide"), "{error}");
        let error = read_coco(Path::new("nowhere"), &[]).unwrap_err().to_string();
        assert!(error.contains("nowhere") && error.contains("coco-retinanet-1x"), "{error}");
    }
}
