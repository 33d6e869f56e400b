//! The binary in a directory of its own.

#![allow(dead_code, reason = "each test program uses a part")]

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use genas_net::{EvalNet, Network, NetworkKind, Weights, WeightsFile, write_weights};
use genas_space::{Streams, random_candidate};
use serde_json::Value;

/// A directory with `config.toml` and the data set `shapes`.
pub struct Place(pub tempfile::TempDir);

impl Place {
    pub fn new(config: &str) -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        fs::write(place.at("config.toml"), config).unwrap();
        place.succeeds(&["data", "shapes", "shapes", "--scale", "tiny"]);
        place
    }

    /// With an untrained backbone of either kind besides.
    pub fn with_backbones(config: &str) -> Self {
        let place = Self::new(config);
        let genotype = random_candidate(&mut Streams::new(3).rng("cell", 0)).genotype();
        for (name, kind) in [("backbone", NetworkKind::ImageNet), ("small", NetworkKind::Cifar)] {
            let genotype = genotype.clone();
            let net = EvalNet { kind, genotype, channels: 4, layers: 3, classes: 2, auxiliary: false };
            let weights = Weights::init(Arc::new(net.layout()), &Streams::new(5));
            let about = WeightsFile { network: Network::Eval(net), extra: serde_json::Map::new() };
            write_weights(&place.at(&format!("{name}.safetensors")), &weights, &about).unwrap();
        }
        place
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Relative paths, and so whatever a run writes down of its own place, are the same in every directory.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_genas"));
        command.current_dir(self.0.path()).args(["--json", "--device", "cpu"]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn succeeds(&self, args: &[&str]) -> Value {
        result(args, self.command(args).output().unwrap())
    }

    /// Fails with the code and one message that holds all parts.
    pub fn fails(&self, args: &[&str], code: i32, parts: &[&str]) {
        self.fails_with(&[], args, code, parts);
    }

    pub fn fails_with(&self, env: &[(&str, &str)], args: &[&str], code: i32, parts: &[&str]) {
        let output = self.command(args).envs(env.iter().copied()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert!(output.stdout.is_empty() && !error.contains("panicked"), "{args:?}: {error}");
        for part in parts {
            assert!(error.contains(part), "{args:?} should say {part:?}: {error}");
        }
    }

    /// Kills the verb after a while, again and again, until it ends; the whiles grow. Returns its result and
    /// the number of kills.
    pub fn survives(&self, args: &[&str], resume: &[&str]) -> (Value, u32) {
        let mut patience = Duration::from_millis(20);
        for kills in 0.. {
            let more = if kills == 0 { &[] } else { resume };
            let args = [args, more].concat();
            let child = self.command(&args).spawn().unwrap();
            match killed_after(child, patience) {
                Some(output) => return (result(&args, output), kills),
                None => patience = patience * 4 / 3,
            }
        }
        unreachable!()
    }
}

/// The JSON of a verb that succeeded.
pub fn result(args: &[&str], output: Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The output of a child that ends in time; `None` if it had to be killed (SIGKILL).
pub fn killed_after(mut child: Child, patience: Duration) -> Option<Output> {
    let start = Instant::now();
    while start.elapsed() < patience {
        if child.try_wait().unwrap().is_some() {
            return Some(child.wait_with_output().unwrap());
        }
        sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// The content of a file.
pub fn bytes(place: &Place, name: &str) -> Vec<u8> {
    fs::read(place.at(name)).unwrap()
}
