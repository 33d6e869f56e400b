//! What this machine can do, and what to do about what it cannot.

use std::{path::PathBuf, thread};

use serde::Serialize;

use crate::{
    library,
    provider::{self, Provider},
    wheels::VERSION,
};

/// The state of ONNX Runtime on this machine.
#[derive(Clone, Debug, Serialize)]
pub struct Doctor {
    /// The library.
    pub onnxruntime: OnnxRuntime,
    /// Where it can compute.
    pub providers: Vec<ProviderStatus>,
    /// The processor.
    pub cpu: Cpu,
}

/// The ONNX Runtime library, or why there is none.
#[derive(Clone, Debug, Serialize)]
pub struct OnnxRuntime {
    /// The file, where one was found, even if it cannot be loaded.
    pub library: Option<PathBuf>,
    /// Its release, where it could be loaded.
    pub version: Option<String>,
    /// The release that `genas runtime install` installs.
    pub pinned: &'static str,
    /// What is wrong.
    pub problem: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// A provider, and whether it works.
#[derive(Clone, Debug, Serialize)]
pub struct ProviderStatus {
    /// Its name, as `--provider` takes it.
    pub name: &'static str,
    /// Whether it works here.
    pub available: bool,
    /// What is wrong.
    pub problem: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// The processor.
#[derive(Clone, Debug, Serialize)]
pub struct Cpu {
    /// Its name, where the operating system tells it.
    pub model: Option<String>,
    /// Cores that this process may use.
    pub cores: usize,
    /// The instruction sets that matter to inference.
    pub features: Vec<&'static str>,
}

impl Doctor {
    /// Looks at the machine. Loads ONNX Runtime if it is there; installs nothing.
    pub fn examine() -> Self {
        let state = library::load();
        let (problem, remedy) = split(state.as_ref().err().map(|error| error.problem_and_remedy()));
        let onnxruntime = OnnxRuntime {
            library: state.as_ref().ok().map(|library| library.path().to_owned()).or_else(library::locate),
            version: state.as_ref().ok().map(|library| library.version().to_owned()),
            pinned: VERSION,
            problem,
            remedy,
        };
        let providers =
            [("cpu", Provider::Cpu), ("cuda", Provider::Cuda(0)), ("tensorrt", Provider::TensorRt)]
                .into_iter()
                .map(|(name, provider)| {
                    let failure = match &state {
                        Ok(_) => provider::check(provider).err().map(|error| error.problem_and_remedy()),
                        Err(_) => Some(("ONNX Runtime is not ready".to_owned(), onnxruntime.remedy.clone())),
                    };
                    let available = failure.is_none();
                    let (problem, remedy) = split(failure);
                    ProviderStatus { name, available, problem, remedy }
                })
                .collect();
        Self { onnxruntime, providers, cpu: Cpu::of_this_machine() }
    }
}

fn split(failure: Option<(String, Option<String>)>) -> (Option<String>, Option<String>) {
    failure.map_or((None, None), |(problem, remedy)| (Some(problem), remedy))
}

impl Cpu {
    fn of_this_machine() -> Self {
        let model = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| model_name(&text));
        Self { model, cores: thread::available_parallelism().map_or(1, usize::from), features: features() }
    }
}

fn model_name(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let known = [
        ("avx", std::arch::is_x86_feature_detected!("avx")),
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("f16c", std::arch::is_x86_feature_detected!("f16c")),
        ("avxvnni", std::arch::is_x86_feature_detected!("avxvnni")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ("avx512vnni", std::arch::is_x86_feature_detected!("avx512vnni")),
        ("avx512bf16", std::arch::is_x86_feature_detected!("avx512bf16")),
        ("avx512fp16", std::arch::is_x86_feature_detected!("avx512fp16")),
    ];
    #[cfg(target_arch = "aarch64")]
    let known = [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("fp16", std::arch::is_aarch64_feature_detected!("fp16")),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("bf16", std::arch::is_aarch64_feature_detected!("bf16")),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
        ("sve", std::arch::is_aarch64_feature_detected!("sve")),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let known: [(&str, bool); 0] = [];
    known.into_iter().filter_map(|(name, present)| present.then_some(name)).collect()
}
