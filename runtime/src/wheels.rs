//! The pinned wheels of ONNX Runtime: which there are, which one a platform takes, what is taken from it.
//!
//! To move to another release: change [`VERSION`], fetch every wheel with the command that
//! [`Wheel::download_command`] gives, enter `sha256sum` of each, and run this crate's tests with
//! `GENAS_TEST_WHEELS` set to the folder of the wheels.

use std::fmt;

use crate::{
    error::{Result, RuntimeError},
    platform::Platform,
};

/// The ONNX Runtime release that genas installs.
pub const VERSION: &str = "1.31.1";

/// Every wheel is the one for CPython 3.12; the libraries inside do not depend on Python.
const PYTHON: &str = "3.12";
const ABI: &str = "cp312";

/// One wheel that may be installed.
#[derive(Debug)]
pub(crate) struct Wheel {
    pub(crate) platform: Platform,
    pub(crate) cuda: bool,
    /// The platform in the wheel's file name, which pip understands.
    pub(crate) tag: &'static str,
    pub(crate) megabytes: u32,
    pub(crate) sha256: &'static str,
}

/// Every platform for which PyPI has [`VERSION`], with the hashes of the files that it serves.
pub(crate) const WHEELS: &[Wheel] = &[
    Wheel {
        platform: Platform::LINUX_X86_64,
        cuda: false,
        tag: "manylinux_2_28_x86_64",
        megabytes: 24,
        sha256: "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536",
    },
    Wheel {
        platform: Platform::LINUX_X86_64,
        cuda: true,
        tag: "manylinux_2_28_x86_64",
        megabytes: 256,
        sha256: "05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7",
    },
    Wheel {
        platform: Platform::LINUX_AARCH64,
        cuda: false,
        tag: "manylinux_2_28_aarch64",
        megabytes: 21,
        sha256: "0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc",
    },
    // Without the TensorRT provider.
    Wheel {
        platform: Platform::LINUX_AARCH64,
        cuda: true,
        tag: "manylinux_2_34_aarch64",
        megabytes: 212,
        sha256: "a0f1725c5a6d1ef82d63498b5ebc25e2c90c9560e91dc76db9be4a49162d4d33",
    },
    Wheel {
        platform: Platform::MACOS_ARM64,
        cuda: false,
        tag: "macosx_14_0_arm64",
        megabytes: 21,
        sha256: "96dd2564b10ea7153ad9c207e7cd8e5917cb3ba521e0e0a62ac03486fdc8d56c",
    },
    Wheel {
        platform: Platform::WINDOWS_X86_64,
        cuda: false,
        tag: "win_amd64",
        megabytes: 15,
        sha256: "ae8a9a351efda685cc59a66226cdefaa37a126c1d66872ca23a2de9425326130",
    },
    Wheel {
        platform: Platform::WINDOWS_X86_64,
        cuda: true,
        tag: "win_amd64",
        megabytes: 168,
        sha256: "2bb1e9373baba88f6415257f5b6a589d23e23c16004f7d89adf4344eada5749e",
    },
    Wheel {
        platform: Platform::WINDOWS_ARM64,
        cuda: false,
        tag: "win_arm64",
        megabytes: 15,
        sha256: "fe8b9ac1ae8e894e12c47ee82e4f6dfc1835768133687257866469fda80d0bf1",
    },
];

impl Wheel {
    /// The wheel for a platform, or why there is none and what to do instead.
    pub(crate) fn find(platform: Platform, cuda: bool) -> Result<&'static Self> {
        let pinned = |cuda| WHEELS.iter().find(move |wheel| wheel.platform == platform && wheel.cuda == cuda);
        if let Some(wheel) = pinned(cuda) {
            return Ok(wheel);
        }
        let (reason, remedy) = if cuda && pinned(false).is_some() {
            let with_cuda: Vec<_> =
                WHEELS.iter().filter(|wheel| wheel.cuda).map(|wheel| wheel.platform.to_string()).collect();
            (
                format!("there is no CUDA build for {platform}, only for {}", with_cuda.join(", ")),
                "leave out --cuda, and use `--provider cpu`".to_owned(),
            )
        } else {
            let releases = "https://github.com/microsoft/onnxruntime/releases";
            let remedy = if platform == Platform::MACOS_X86_64 {
                format!(
                    "get ONNX Runtime 1.23.2, the last release for Macs with Intel processors, from \
                     {releases}/tag/v1.23.2 and set ORT_DYLIB_PATH to its library"
                )
            } else {
                format!(
                    "get a release (1.23 or later) from {releases}, or build it, and set ORT_DYLIB_PATH to its \
                     library"
                )
            };
            (format!("there is no build for {platform}"), remedy)
        };
        Err(RuntimeError::Install { reason, remedy })
    }

    /// The wheel of any platform that has this SHA-256.
    pub(crate) fn with_hash(sha256: &str) -> Option<&'static Self> {
        WHEELS.iter().find(|wheel| wheel.sha256 == sha256)
    }

    fn package(&self) -> &'static str {
        if self.cuda { "onnxruntime-gpu" } else { "onnxruntime" }
    }

    pub(crate) fn file_name(&self) -> String {
        format!("{}-{VERSION}-{ABI}-{ABI}-{}.whl", self.package().replace('-', "_"), self.tag)
    }

    pub(crate) fn requirement(&self) -> String {
        format!("{}=={VERSION}", self.package())
    }

    pub(crate) fn pip_arguments(&self) -> Vec<String> {
        let options = [
            "--no-deps",
            "--only-binary=:all:",
            "--implementation=cp",
            &format!("--python-version={PYTHON}"),
            &format!("--abi={ABI}"),
            &format!("--platform={}", self.tag),
        ]
        .map(str::to_owned);
        ["download".to_owned()].into_iter().chain(options).chain([self.requirement()]).collect()
    }

    /// The command that a user can type, on this machine or a connected one, to fetch the wheel.
    pub(crate) fn download_command(&self) -> String {
        format!("{} -m pip {}", self.platform.pythons()[0], self.pip_arguments().join(" "))
    }

    pub(crate) fn install_command(&self) -> &'static str {
        if self.cuda { "genas runtime install --cuda" } else { "genas runtime install" }
    }
}

impl fmt::Display for Wheel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.platform, if self.cuda { " with CUDA" } else { "" })
    }
}

/// The file name under which an entry of a wheel is kept, if it is kept: the libraries and the licences.
pub(crate) fn wanted_file(entry: &str) -> Option<&str> {
    let path = entry.strip_prefix("onnxruntime/")?;
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let is_licence = folder.is_empty() && LICENCES.contains(&name);
    let is_library = folder == "capi"
        && (name.starts_with("libonnxruntime") || name.starts_with("onnxruntime"))
        && !name.contains("pybind11")
        && [".so", ".dylib", ".dll"]
            .iter()
            .any(|kind| name.ends_with(kind) || name.contains(&format!("{kind}.")));
    (is_licence || is_library).then_some(name)
}

const LICENCES: [&str; 2] = ["LICENSE", "ThirdPartyNotices.txt"];

/// What the wheels hold, as `unzip -l` lists it.
#[cfg(test)]
pub(crate) mod contents {
    use super::*;

    /// The library to load, the libraries that it loads, and Python's part, which genas leaves.
    pub(crate) struct Contents {
        pub(crate) main: &'static str,
        pub(crate) providers: &'static [&'static str],
        pub(crate) python: &'static str,
    }

    pub(crate) fn of(wheel: &Wheel) -> Contents {
        match (wheel.platform.os, wheel.platform.arch, wheel.cuda) {
            ("linux", "x86_64", false) => Contents {
                main: "libonnxruntime.so.1.31.1",
                providers: &["libonnxruntime_providers_shared.so"],
                python: "onnxruntime_pybind11_state.cpython-312-x86_64-linux-gnu.so",
            },
            ("linux", "x86_64", true) => Contents {
                main: "libonnxruntime.so.1.31.1",
                providers: &[
                    "libonnxruntime_providers_cuda.so",
                    "libonnxruntime_providers_shared.so",
                    "libonnxruntime_providers_tensorrt.so",
                ],
                python: "onnxruntime_pybind11_state.cpython-312-x86_64-linux-gnu.so",
            },
            ("linux", "aarch64", false) => Contents {
                main: "libonnxruntime.so.1.31.1",
                providers: &["libonnxruntime_providers_shared.so"],
                python: "onnxruntime_pybind11_state.cpython-312-aarch64-linux-gnu.so",
            },
            ("linux", "aarch64", true) => Contents {
                main: "libonnxruntime.so.1.31.1",
                providers: &["libonnxruntime_providers_cuda.so", "libonnxruntime_providers_shared.so"],
                python: "onnxruntime_pybind11_state.cpython-312-aarch64-linux-gnu.so",
            },
            ("macos", "aarch64", false) => Contents {
                main: "libonnxruntime.1.31.1.dylib",
                providers: &[],
                python: "onnxruntime_pybind11_state.so",
            },
            ("windows", _, false) => Contents {
                main: "onnxruntime.dll",
                providers: &["onnxruntime_providers_shared.dll"],
                python: "onnxruntime_pybind11_state.pyd",
            },
            ("windows", "x86_64", true) => Contents {
                main: "onnxruntime.dll",
                providers: &[
                    "onnxruntime_providers_cuda.dll",
                    "onnxruntime_providers_shared.dll",
                    "onnxruntime_providers_tensorrt.dll",
                ],
                python: "onnxruntime_pybind11_state.pyd",
            },
            other => panic!("the contents of the wheel for {other:?} are not recorded"),
        }
    }

    impl Contents {
        /// The names of all files that an installation has, sorted.
        pub(crate) fn kept(&self) -> Vec<&'static str> {
            let mut names: Vec<_> =
                [self.main].iter().chain(self.providers).chain(&LICENCES).copied().collect();
            names.sort_unstable();
            names
        }

        /// The wheel's entries but for most of its Python files.
        pub(crate) fn entries(&self) -> Vec<String> {
            let capi = [self.main, self.python, "_pybind_state.py", "onnxruntime_inference_collection.py"];
            let capi = capi.iter().chain(self.providers).map(|name| format!("onnxruntime/capi/{name}"));
            let others = [
                "onnxruntime/LICENSE",
                "onnxruntime/Privacy.md",
                "onnxruntime/ThirdPartyNotices.txt",
                "onnxruntime/__init__.py",
                "onnxruntime/capi/",
                "onnxruntime-1.31.1.dist-info/METADATA",
                "onnxruntime-1.31.1.dist-info/RECORD",
            ];
            capi.chain(others.map(str::to_owned)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_whole_and_different() {
        for (index, wheel) in WHEELS.iter().enumerate() {
            let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            assert!(wheel.sha256.len() == 64 && wheel.sha256.bytes().all(is_hex), "{wheel}");
            for other in &WHEELS[..index] {
                assert_ne!(wheel.sha256, other.sha256, "{wheel} and {other}");
                assert_ne!(wheel.file_name(), other.file_name());
                assert!(wheel.platform != other.platform || wheel.cuda != other.cuda, "{wheel} twice");
            }
        }
    }

    #[test]
    fn every_platform_gets_its_wheel_or_a_reason_and_a_remedy() {
        let intel_mac = ["no build for macOS x86-64", "1.23.2", "ORT_DYLIB_PATH"];
        let no_cuda =
            |platform| [platform, "Linux x86-64, Linux aarch64, Windows x86-64", "leave out --cuda"];
        let riscv = Platform { os: "linux", arch: "riscv64" };
        let bsd = Platform { os: "freebsd", arch: "x86_64" };
        for (platform, cuda, wanted) in [
            (Platform::LINUX_X86_64, false, Ok("onnxruntime-1.31.1-cp312-cp312-manylinux_2_28_x86_64.whl")),
            (
                Platform::LINUX_X86_64,
                true,
                Ok("onnxruntime_gpu-1.31.1-cp312-cp312-manylinux_2_28_x86_64.whl"),
            ),
            (Platform::LINUX_AARCH64, false, Ok("onnxruntime-1.31.1-cp312-cp312-manylinux_2_28_aarch64.whl")),
            (
                Platform::LINUX_AARCH64,
                true,
                Ok("onnxruntime_gpu-1.31.1-cp312-cp312-manylinux_2_34_aarch64.whl"),
            ),
            (Platform::MACOS_ARM64, false, Ok("onnxruntime-1.31.1-cp312-cp312-macosx_14_0_arm64.whl")),
            (Platform::MACOS_ARM64, true, Err(no_cuda("no CUDA build for macOS arm64"))),
            (Platform::MACOS_X86_64, false, Err(intel_mac)),
            (Platform::MACOS_X86_64, true, Err(intel_mac)),
            (Platform::WINDOWS_X86_64, false, Ok("onnxruntime-1.31.1-cp312-cp312-win_amd64.whl")),
            (Platform::WINDOWS_X86_64, true, Ok("onnxruntime_gpu-1.31.1-cp312-cp312-win_amd64.whl")),
            (Platform::WINDOWS_ARM64, false, Ok("onnxruntime-1.31.1-cp312-cp312-win_arm64.whl")),
            (Platform::WINDOWS_ARM64, true, Err(no_cuda("no CUDA build for Windows arm64"))),
            (riscv, false, Err(["no build for linux riscv64", "or build it", "ORT_DYLIB_PATH"])),
            (bsd, true, Err(["no build for freebsd x86-64", "or build it", "ORT_DYLIB_PATH"])),
        ] {
            match (Wheel::find(platform, cuda), wanted) {
                (Ok(wheel), Ok(name)) => {
                    assert_eq!(wheel.file_name(), name);
                    assert!(wheel.platform == platform && wheel.cuda == cuda);
                    assert_eq!(Wheel::with_hash(wheel.sha256).unwrap().file_name(), name);
                }
                (Err(error), Err(parts)) => {
                    let message = error.to_string().to_lowercase();
                    for part in parts {
                        assert!(message.contains(&part.to_lowercase()), "`{part}` is not in: {message}");
                    }
                }
                (found, wanted) => panic!("{platform}, CUDA {cuda}: {found:?}, wanted {wanted:?}"),
            }
        }
    }

    #[test]
    fn the_command_names_the_wheel_and_this_systems_python() {
        for wheel in WHEELS {
            let command = wheel.download_command();
            let python = if wheel.platform.is_windows() { "python -m pip " } else { "python3 -m pip " };
            assert!(command.starts_with(python), "{command}");
            for part in [format!("--platform={} ", wheel.tag), format!("{}==1.31.1", wheel.package())] {
                assert!(command.contains(&part), "{command}");
            }
        }
    }

    #[test]
    fn the_libraries_and_the_licences_of_every_wheel_are_kept_and_nothing_else() {
        for wheel in WHEELS {
            let contents = contents::of(wheel);
            let entries = contents.entries();
            let mut kept: Vec<_> = entries.iter().filter_map(|entry| wanted_file(entry)).collect();
            kept.sort_unstable();
            assert_eq!(kept, contents.kept(), "{wheel}");
            let main: Vec<_> = kept.into_iter().filter(|name| wheel.platform.is_main_library(name)).collect();
            assert_eq!(main, [contents.main], "{wheel}");
        }
    }

    #[test]
    fn nothing_leaves_the_wheels_folder() {
        for entry in [
            "onnxruntime/../../libonnxruntime.so",
            "onnxruntime/capi/../libonnxruntime.so",
            "/etc/libonnxruntime.so",
            "../libonnxruntime.so",
        ] {
            assert_eq!(wanted_file(entry), None, "{entry}");
        }
    }
}
