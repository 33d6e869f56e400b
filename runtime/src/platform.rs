//! What differs between operating systems: the library's file names, where data is kept, Python's names.
//!
//! A platform is a value, so that every machine can test what genas does on the others.

use std::{
    env,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use crate::error::{Result, RuntimeError};

/// An operating system and a processor, by Rust's names for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Platform {
    pub(crate) os: &'static str,
    pub(crate) arch: &'static str,
}

impl Platform {
    /// What this genas was compiled for.
    pub(crate) const HERE: Self = Self { os: env::consts::OS, arch: env::consts::ARCH };

    pub(crate) const LINUX_X86_64: Self = Self { os: "linux", arch: "x86_64" };
    pub(crate) const LINUX_AARCH64: Self = Self { os: "linux", arch: "aarch64" };
    pub(crate) const MACOS_ARM64: Self = Self { os: "macos", arch: "aarch64" };
    pub(crate) const MACOS_X86_64: Self = Self { os: "macos", arch: "x86_64" };
    pub(crate) const WINDOWS_X86_64: Self = Self { os: "windows", arch: "x86_64" };
    pub(crate) const WINDOWS_ARM64: Self = Self { os: "windows", arch: "aarch64" };

    pub(crate) fn is_windows(self) -> bool {
        self.os == "windows"
    }

    pub(crate) fn is_macos(self) -> bool {
        self.os == "macos"
    }

    /// Whether a file of this name is the library to load, and not one that it loads itself.
    pub(crate) fn is_main_library(self, name: &str) -> bool {
        if self.is_windows() {
            name.eq_ignore_ascii_case("onnxruntime.dll")
        } else if self.is_macos() {
            name.starts_with("libonnxruntime.") && name.ends_with(".dylib")
        } else {
            name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.")
        }
    }

    /// The commands that may start Python 3, the likeliest first.
    ///
    /// python.org's installer for Windows brings `python` and `py`; `python3` may be there only as a stub
    /// that opens the Store.
    pub(crate) fn pythons(self) -> &'static [&'static str] {
        if self.is_windows() { &["python", "py", "python3"] } else { &["python3", "python"] }
    }

    /// How to get Python with pip.
    pub(crate) fn python_remedy(self) -> &'static str {
        if self.is_windows() {
            "install Python 3 (`winget install Python.Python.3.12`)"
        } else if self.is_macos() {
            "install Python 3 (`brew install python`)"
        } else {
            "install Python with pip (Debian: `apt install python3-pip`)"
        }
    }

    /// The environment variable that names folders of shared libraries.
    pub(crate) fn library_path_variable(self) -> &'static str {
        if self.is_windows() { "PATH" } else { "LD_LIBRARY_PATH" }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let os = match self.os {
            "linux" => "Linux",
            "macos" => "macOS",
            "windows" => "Windows",
            other => other,
        };
        let arch = match self.arch {
            "x86_64" => "x86-64",
            "aarch64" if self.os != "linux" => "arm64",
            other => other,
        };
        write!(f, "{os} {arch}")
    }
}

/// Where genas keeps what it installs.
///
/// `GENAS_HOME`; else, on Windows, `%LOCALAPPDATA%\genas`; elsewhere, macOS included, `XDG_DATA_HOME/genas`,
/// else `~/.local/share/genas`.
pub fn data_dir() -> Result<PathBuf> {
    data_dir_of(Platform::HERE, &|name| env::var_os(name), env::home_dir())
}

fn data_dir_of(
    platform: Platform,
    variable: &dyn Fn(&str) -> Option<OsString>,
    home: Option<PathBuf>,
) -> Result<PathBuf> {
    if let Some(dir) = variable("GENAS_HOME").filter(|dir| !dir.is_empty()) {
        return std::path::absolute(&dir).map_err(RuntimeError::io("resolve GENAS_HOME", dir));
    }
    let (base, below_home) = if platform.is_windows() {
        ("LOCALAPPDATA", Path::new("AppData").join("Local"))
    } else {
        ("XDG_DATA_HOME", Path::new(".local").join("share"))
    };
    // The XDG specification says that a relative path is to be ignored.
    let absolute = |dir: &PathBuf| dir.is_absolute();
    variable(base)
        .map(PathBuf::from)
        .filter(absolute)
        .or_else(|| Some(home.filter(absolute)?.join(below_home)))
        .map(|dir| dir.join("genas"))
        .ok_or_else(|| RuntimeError::Install {
            reason: "there is no home directory to install into".to_owned(),
            remedy: "set GENAS_HOME to a directory that genas may write to".to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_directory_follows_the_environment() {
        let here = env::current_dir().unwrap(); // absolute on every system
        let [home, xdg, local, chosen] = ["ada", "xdg", "local", "chosen"].map(|name| here.join(name));
        let unix = home.join(".local").join("share").join("genas");
        let windows = home.join("AppData").join("Local").join("genas");
        let both = [("XDG_DATA_HOME", &xdg), ("LOCALAPPDATA", &local)];
        let (empty, relative) = (PathBuf::new(), PathBuf::from("chosen"));
        for (platform, variables, wanted) in [
            (Platform::LINUX_X86_64, &[][..], &unix),
            (Platform::MACOS_ARM64, &[], &unix),
            (Platform::WINDOWS_X86_64, &[], &windows),
            (Platform::LINUX_X86_64, &both, &xdg.join("genas")),
            (Platform::MACOS_ARM64, &both, &xdg.join("genas")),
            (Platform::WINDOWS_X86_64, &both, &local.join("genas")),
            (Platform::LINUX_X86_64, &[("XDG_DATA_HOME", &relative)], &unix),
            (Platform::LINUX_X86_64, &[("GENAS_HOME", &empty)], &unix),
            (Platform::LINUX_X86_64, &[("GENAS_HOME", &relative), both[0]], &chosen),
            (Platform::WINDOWS_X86_64, &[("GENAS_HOME", &chosen), both[1]], &chosen),
        ] {
            let value = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).into());
            let dir = data_dir_of(platform, &value, Some(home.clone())).unwrap();
            assert_eq!(dir, *wanted, "{platform} {variables:?}");
        }
        let message = data_dir_of(Platform::HERE, &|_| None, None).unwrap_err().to_string();
        assert!(message.contains("GENAS_HOME"), "{message}");
    }

    #[test]
    fn each_system_has_its_own_name_for_the_library() {
        let (linux, macos, windows) =
            (Platform::LINUX_AARCH64, Platform::MACOS_ARM64, Platform::WINDOWS_ARM64);
        for (name, loads_it) in [
            ("libonnxruntime.so", Some(linux)),
            ("libonnxruntime.so.1", Some(linux)),
            ("libonnxruntime.so.1.31.1", Some(linux)),
            ("libonnxruntime.dylib", Some(macos)),
            ("libonnxruntime.1.31.1.dylib", Some(macos)),
            ("onnxruntime.dll", Some(windows)),
            ("OnnxRuntime.dll", Some(windows)),
            ("libonnxruntime_providers_shared.so", None),
            ("libonnxruntime_providers_shared.dylib", None),
            ("libonnxruntime.1.31.1.dylib.dSYM", None),
            ("onnxruntime_providers_shared.dll", None),
            ("onnxruntime_pybind11_state.so", None),
            ("onnxruntime.lib", None),
        ] {
            for platform in [linux, macos, windows] {
                assert_eq!(
                    platform.is_main_library(name),
                    loads_it == Some(platform),
                    "{name} on {platform}"
                );
            }
        }
    }
}
