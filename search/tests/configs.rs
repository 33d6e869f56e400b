//! The presets in `configs/`.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::path::PathBuf;

use genas_search::{Config, Metric};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../configs")
}

fn preset(name: &str) -> Config {
    Config::read(&directory().join(name), &[]).unwrap()
}

#[test]
fn every_preset_is_read() {
    let files = std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    // Those of other verbs are read by the binary's tests (src/presets.rs): they are other settings.
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.ends_with(".toml")
            && !["coco-", "cityscapes-", "nb201-"].iter().any(|verb| name.starts_with(verb))
    };
    let presets: Vec<PathBuf> = files.filter(ours).collect();
    assert!(presets.len() >= 4, "{presets:?}");
    for path in presets {
        let config = Config::read(&path, &[]).unwrap();
        // What a run writes down is read back as the same run.
        assert_eq!(Config::parse(&config.to_toml(), &[]).unwrap(), config, "{}", path.display());
    }
}

/// Spec 02-2, 02-5 and 03: the published searches.
#[test]
fn the_papers_runs_are_the_papers() {
    for (name, sigmas) in
        [("darts-cifar10.toml", [1e-5, 5e-5, 1e-4]), ("darts-cifar100.toml", [1e-3, 3e-3, 6e-3])]
    {
        let config = preset(name);
        assert_eq!(config.metric.name, Metric::Flatness, "{name}");
        assert_eq!(config.metric.sigmas, sigmas, "{name}");
        assert_eq!((config.metric.recalibration_images, config.metric.validation_images), (850, 25_000));
        let s = &config.supernet;
        assert_eq!((s.channels, s.layers, s.epochs, s.batch_size), (16, 8, 250, 64), "{name}");
        let e = &config.evolution;
        assert_eq!((e.generations, e.population, e.parents), (20, 50, 10), "{name}");
        assert_eq!((e.mutations, e.crossovers), (25, 25), "{name}");
    }
}
