//! Settings that are part of the binary, so that an installed genas needs no file beside it.

use std::path::Path;

use anyhow::{Result, bail};
use genas_search::Config;

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
        let names = PRESETS.map(|(name, _)| name).join(", ");
        bail!("{name}: no such file, nor a preset; the presets are {names}")
    }
    Ok(Config::read(config, overrides)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_has_a_name() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
        let mut files: Vec<String> = std::fs::read_dir(&directory)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
            .collect();
        files.sort();
        let mut names = PRESETS.map(|(name, _)| name);
        names.sort_unstable();
        assert_eq!(files, names);
        for name in names {
            let file = directory.join(format!("{name}.toml"));
            assert_eq!(read(Path::new(name), &[]).unwrap(), read(&file, &[]).unwrap());
        }
        let error = read(Path::new("nowhere.toml"), &[]).unwrap_err().to_string();
        assert!(error.contains("nowhere.toml") && error.contains("laptop-cifar10"), "{error}");
    }
}
