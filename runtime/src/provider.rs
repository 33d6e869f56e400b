//! Execution providers: where ONNX Runtime computes.
//!
//! Left to itself, `ort` falls back to the CPU without a word when a provider does not work. Here a provider
//! that was asked for works or is an error; only [`Provider::Auto`] may choose, and it says what it took.

use std::{fmt, str::FromStr, sync::OnceLock};

use ort::{
    ep::{self, ExecutionProvider, ExecutionProviderDispatch},
    session::{Session, builder::SessionBuilder},
};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Result, RuntimeError},
    library::{self, Library},
    platform::Platform,
    wheels::VERSION,
};

/// Where ONNX Runtime is to compute. Reads and prints as `auto`, `cpu`, `cuda:N` or `tensorrt`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Provider {
    /// CUDA if it works here, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this index.
    Cuda(u32),
    /// TensorRT on the first CUDA device; what it cannot run, CUDA runs.
    TensorRt,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Cpu => f.pad("cpu"),
            Self::Cuda(index) => f.pad(&format!("cuda:{index}")),
            Self::TensorRt => f.pad("tensorrt"),
        }
    }
}

impl FromStr for Provider {
    type Err = RuntimeError;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || RuntimeError::ProviderName { given: text.to_owned() };
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "tensorrt" => Ok(Self::TensorRt),
            other => {
                match other.strip_prefix("cuda:").filter(|n| n.bytes().all(|byte| byte.is_ascii_digit())) {
                    Some(index) => index.parse().map(Self::Cuda).map_err(|_| unknown()),
                    None => Err(unknown()),
                }
            }
        }
    }
}

impl TryFrom<String> for Provider {
    type Error = RuntimeError;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Provider> for String {
    fn from(provider: Provider) -> Self {
        provider.to_string()
    }
}

/// Says whether a provider works on this machine, and if not why and what to do.
///
/// Loads ONNX Runtime if it is installed; never installs it. `auto` works wherever ONNX Runtime does.
pub fn check(provider: Provider) -> Result<()> {
    let library = library::load()?;
    let builder =
        Session::builder(library.environment()).map_err(|error| unavailable(provider, &error.to_string()))?;
    match provider {
        Provider::Auto | Provider::Cpu => Ok(()),
        Provider::Cuda(_) | Provider::TensorRt => {
            register(builder, provider, library, &ProviderOptions::default()).map(|_| ())
        }
    }
}

/// Settings that the providers understand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProviderOptions {
    pub(crate) tf32: bool,
}

/// Puts a provider (not `auto`) into a session that is being built.
pub(crate) fn register(
    builder: SessionBuilder,
    provider: Provider,
    library: &Library,
    options: &ProviderOptions,
) -> Result<SessionBuilder> {
    let cuda = |index: u32| -> ExecutionProviderDispatch {
        let index = i32::try_from(index).unwrap_or(i32::MAX);
        ep::CUDA::default().with_device_id(index).with_tf32(options.tf32).build().error_on_failure()
    };
    let providers = match provider {
        Provider::Auto | Provider::Cpu => return Ok(builder),
        Provider::Cuda(index) => {
            preflight(provider, library)?;
            vec![cuda(index)]
        }
        Provider::TensorRt => {
            preflight(provider, library)?;
            vec![ep::TensorRT::default().build().error_on_failure(), cuda(0)]
        }
    };
    builder.with_execution_providers(providers).map_err(|error| unavailable(provider, &error.to_string()))
}

/// What can be said before ONNX Runtime is asked, in clearer words than it would use.
fn preflight(provider: Provider, library: &Library) -> Result<()> {
    if let Err(reason) = cuda_driver() {
        return Err(RuntimeError::Provider {
            provider: provider.to_string(),
            reason: format!("this machine has no CUDA driver ({reason})"),
            remedy: "install the NVIDIA driver (in a container, start it with GPU access), or use `--provider cpu`"
                .to_owned(),
        });
    }
    let built_in = match provider {
        Provider::TensorRt => ep::TensorRT::is_available(),
        _ => ep::CUDA::is_available(),
    };
    if built_in.unwrap_or(false) {
        return Ok(());
    }
    // genas's own build for Linux aarch64 is one of these.
    if provider == Provider::TensorRt && ep::CUDA::is_available().unwrap_or(false) {
        return Err(RuntimeError::Provider {
            provider: provider.to_string(),
            reason: format!("the ONNX Runtime at {} was built without TensorRT", library.path().display()),
            remedy: "use `--provider cuda`, or set ORT_DYLIB_PATH to a library that was built with TensorRT"
                .to_owned(),
        });
    }
    Err(RuntimeError::Provider {
        provider: provider.to_string(),
        reason: format!("the ONNX Runtime at {} was built without CUDA", library.path().display()),
        remedy: "run `genas runtime install --cuda` (and unset ORT_DYLIB_PATH), or use `--provider cpu`"
            .to_owned(),
    })
}

/// Whether the CUDA driver's library can be loaded; the loader's reason if not.
fn cuda_driver() -> Result<(), &'static str> {
    static DRIVER: OnceLock<Result<(), String>> = OnceLock::new();
    let name = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };
    let driver = DRIVER.get_or_init(|| {
        ort::util::preload_dylib(name).map_err(|error| {
            std::error::Error::source(&error).map_or_else(|| format!("{name}: {error}"), ToString::to_string)
        })
    });
    driver.as_ref().copied().map_err(String::as_str)
}

/// Turns ONNX Runtime's reason for refusing a provider into an error with a remedy.
pub(crate) fn unavailable(provider: Provider, reason: &str) -> RuntimeError {
    let reason = tidy(reason);
    // The last is what ONNX Runtime says on Windows.
    let missing_library = ["cannot open shared object file", "Failed to load", "Error loading"]
        .iter()
        .any(|sign| reason.contains(sign));
    let path = Platform::HERE.library_path_variable();
    let remedy = match (provider, missing_library) {
        (Provider::TensorRt, true) => format!(
            "install TensorRT 10 with CUDA 13 and cuDNN 9 and put their libraries on {path}, or use `--provider cuda`"
        ),
        (_, true) => format!(
            "install CUDA 13 and cuDNN 9 (for instance `pip install 'onnxruntime-gpu[cuda,cudnn]=={VERSION}'`) and put \
             their libraries on {path}, or use `--provider cpu`"
        ),
        (_, false) => {
            "see `nvidia-smi` for the devices and their free memory, or use `--provider cpu`".to_owned()
        }
    };
    RuntimeError::Provider { provider: provider.to_string(), reason, remedy }
}

/// ONNX Runtime's messages on one line, without the place in its source where they were made.
pub(crate) fn tidy(message: &str) -> String {
    let words = message.split_whitespace().collect::<Vec<_>>().join(" ");
    // "/onnxruntime_src/onnxruntime/core/session/x.cc:123 Status onnxruntime::f(...) [ONNXRuntimeError] : 1 : FAIL : why"
    match words.rfind("[ONNXRuntimeError] : ") {
        Some(at) => {
            let rest = &words[at + "[ONNXRuntimeError] : ".len()..];
            rest.splitn(3, " : ").nth(2).unwrap_or(rest).to_owned()
        }
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_and_print() {
        for (text, provider, printed) in [
            ("auto", Provider::Auto, "auto"),
            ("CPU", Provider::Cpu, "cpu"),
            ("cuda", Provider::Cuda(0), "cuda:0"),
            ("cuda:3", Provider::Cuda(3), "cuda:3"),
            ("TensorRT", Provider::TensorRt, "tensorrt"),
        ] {
            assert_eq!(text.parse::<Provider>().unwrap(), provider);
            assert_eq!(provider.to_string(), printed);
            assert_eq!(printed.parse::<Provider>().unwrap(), provider);
        }
    }

    #[test]
    fn other_names_are_refused_with_the_choice() {
        for text in ["", "gpu", "cuda:", "cuda:-1", "cuda:+1", "cuda:99999999999", "cpu:1"] {
            let message = text.parse::<Provider>().unwrap_err().to_string();
            assert!(message.contains(&format!("`{text}`")) && message.contains("cuda:N"), "{message}");
        }
    }

    #[test]
    fn a_missing_cuda_library_is_named_with_what_to_install() {
        let error = unavailable(
            Provider::Cuda(0),
            "/onnxruntime_src/core/provider_bridge_ort.cc:2195 onnxruntime::Provider& Get() [ONNXRuntimeError] : 1 : \
             FAIL : Failed to load library libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open \
             shared object file: No such file or directory\n",
        );
        assert_eq!(
            error.to_string(),
            "provider cuda:0 is not available: Failed to load library libonnxruntime_providers_cuda.so with error: \
             libcublasLt.so.13: cannot open shared object file: No such file or directory: install CUDA 13 and cuDNN 9 \
             (for instance `pip install 'onnxruntime-gpu[cuda,cudnn]==1.31.1'`) and put their libraries on \
             LD_LIBRARY_PATH, or use `--provider cpu`"
                .replace("LD_LIBRARY_PATH", Platform::HERE.library_path_variable())
        );
    }

    #[test]
    fn a_missing_library_is_recognised_on_every_system() {
        let windows = r#"Error loading "C:\genas\onnxruntime_providers_cuda.dll" which depends on "cublasLt64_13.dll" which is missing."#;
        for (reason, missing) in [
            (windows, true),
            ("libcudnn.so.9: cannot open shared object file", true),
            ("CUDA failure 100: no CUDA-capable device is detected", false),
        ] {
            for provider in [Provider::Cuda(0), Provider::TensorRt] {
                let message = unavailable(provider, reason).to_string();
                assert_eq!(message.contains(Platform::HERE.library_path_variable()), missing, "{message}");
            }
        }
    }
}
