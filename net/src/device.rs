//! Where burn computes: chosen at run time from what was compiled in.

use crate::error::NetError;
use burn::tensor::Device;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// A device as a user names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceSpec {
    /// CUDA if it is compiled in and there, else the CPU.
    #[default]
    Auto,
    /// The CPU (burn's flex backend with this project's kernels).
    Cpu,
    /// An NVIDIA GPU by its index.
    Cuda(usize),
}

impl FromStr for DeviceSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|n| n.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| format!("{text:?} is not a device: auto, cpu, cuda or cuda:N")),
        }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

/// A device that is there.
#[derive(Clone, Debug)]
pub struct Devices {
    device: Device,
    spec: DeviceSpec,
}

impl Devices {
    /// Resolves a user's choice; an explicit device that is not there is an error.
    pub fn resolve(spec: DeviceSpec) -> Result<Self, NetError> {
        match spec {
            DeviceSpec::Cpu => Ok(Self::cpu()),
            DeviceSpec::Cuda(index) => {
                cuda(index).map_err(|e| NetError::Device(format!("--device {spec}: {e}")))
            }
            DeviceSpec::Auto => Ok(cuda(0).unwrap_or_else(|_| Self::cpu())),
        }
    }

    /// The CPU.
    pub fn cpu() -> Self {
        Self { device: Device::flex(), spec: DeviceSpec::Cpu }
    }

    /// `n` devices for as many replicas, for training: the CPU as often, or the GPUs from number 0 on, all of which must be
    /// there.
    pub fn several(&self, n: usize) -> Result<Vec<Device>, NetError> {
        let one = |index| match self.spec {
            DeviceSpec::Cuda(_) => Self::resolve(DeviceSpec::Cuda(index)).map(|d| d.recording()),
            _ => Ok(self.recording()),
        };
        (0..n).map(one).collect()
    }

    /// What was taken: never `Auto`.
    pub fn spec(&self) -> DeviceSpec {
        self.spec
    }

    /// For inference.
    pub fn plain(&self) -> Device {
        self.device.clone()
    }

    /// For training: records gradients.
    pub fn recording(&self) -> Device {
        self.device.clone().autodiff()
    }

    /// Why CUDA cannot be used, or `None` if it can.
    pub fn cuda_problem() -> Option<String> {
        cuda(0).err()
    }
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<Devices, String> {
    // burn panics in a worker thread without a driver, so its presence is checked first.
    if !driver_present() {
        return Err("no NVIDIA driver (libcuda.so.1) was found; install it, or use --device cpu".into());
    }
    if !Path::new(&format!("/dev/nvidia{index}")).exists() && !Path::new("/dev/dxg").exists() {
        return Err(format!("there is no GPU number {index} (/dev/nvidia{index})"));
    }
    Ok(Devices { device: Device::cuda(index), spec: DeviceSpec::Cuda(index) })
}

#[cfg(not(feature = "cuda"))]
fn cuda(_: usize) -> Result<Devices, String> {
    Err("this binary was built without CUDA; build it with `--features cuda`, or use --device cpu".into())
}

/// Looks for the driver library where the loader would.
#[cfg_attr(not(feature = "cuda"), allow(dead_code))]
fn driver_present() -> bool {
    let from_env = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
    let usual = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/usr/lib/wsl/lib",
    ];
    let usual = usual.iter().chain(&["/usr/local/nvidia/lib64", "/usr/local/cuda/compat"]);
    from_env
        .split(':')
        .chain(usual.copied())
        .any(|d| !d.is_empty() && Path::new(d).join("libcuda.so.1").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for text in ["auto", "cpu", "cuda:3"] {
            assert_eq!(text.parse::<DeviceSpec>().map(|s| s.to_string()), Ok(text.to_owned()));
        }
        assert!("gpu".parse::<DeviceSpec>().is_err());
    }
}
