//! Finds the ONNX Runtime library and loads it once per process.
//!
//! The first of these wins: `ORT_DYLIB_PATH`; `lib/` beside the executable, then the executable's own
//! directory; the data directory, where a library with CUDA precedes one without. `ORT_DYLIB_PATH` is a
//! decision: if nothing can be loaded from there, that is an error and nothing else is tried.

use std::{
    env,
    error::Error,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

use ort::environment::Environment;

use crate::{
    error::{Result, RuntimeError},
    install::{self, InstallOptions},
    platform::{self, Platform},
    wheels::VERSION,
};

/// The oldest ONNX Runtime whose interface genas can use.
const OLDEST: u32 = ort::MINOR_VERSION;

/// The library that this process has loaded.
#[derive(Debug)]
pub struct Library {
    path: PathBuf,
    version: String,
    environment: Environment,
}

impl Library {
    /// The file it was loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its release, such as `1.31.1`; `1.31` where the file does not say more.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its compiler and options, in its own words.
    pub fn build(&self) -> &'static str {
        ort::info()
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// ONNX Runtime allows one environment per process, and a library that was loaded stays loaded.
static LOADED: OnceLock<Library> = OnceLock::new();

/// Where to look for the library, and whose.
#[derive(Clone, Debug)]
struct Places {
    platform: Platform,
    explicit: Option<PathBuf>,
    executable_dir: Option<PathBuf>,
    data_dir: Option<PathBuf>,
}

impl Places {
    fn of_this_process() -> Self {
        let non_empty =
            |path: OsString| Some(PathBuf::from(path)).filter(|path| !path.as_os_str().is_empty());
        Self {
            platform: Platform::HERE,
            explicit: env::var_os("ORT_DYLIB_PATH").and_then(non_empty),
            executable_dir: env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned())),
            data_dir: platform::data_dir().ok(),
        }
    }

    fn locate(&self) -> Option<PathBuf> {
        if let Some(path) = &self.explicit {
            return Some(std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        }
        let beside = self.executable_dir.iter().flat_map(|dir| [dir.join("lib"), dir.clone()]);
        beside.chain(self.installed_dirs()).find_map(|dir| install::library_in(&dir, self.platform))
    }

    fn installed_dirs(&self) -> impl Iterator<Item = PathBuf> {
        self.data_dir.iter().flat_map(|dir| install::installed_dirs(dir))
    }

    /// The directory of an installation that holds the file.
    fn installation_of(&self, path: &Path) -> Option<PathBuf> {
        self.installed_dirs().find(|dir| path.starts_with(dir))
    }
}

/// The library that [`ensure`] would load, or nothing if it would have to install one.
///
/// A path from `ORT_DYLIB_PATH` is returned whether or not there is a file.
pub fn locate() -> Option<PathBuf> {
    Places::of_this_process().locate()
}

/// Makes ONNX Runtime ready: loads it, and installs it first if it is nowhere.
///
/// Tells `notify` before a download starts. With `GENAS_NO_INSTALL=1` in the environment nothing is ever
/// installed. Calls after the first successful one cost nothing, from any thread.
pub fn ensure(notify: &dyn Fn(&str)) -> Result<()> {
    load_or(|| {
        let refused = env::var_os("GENAS_NO_INSTALL").is_some_and(|value| !value.is_empty() && value != "0");
        if refused {
            return Err(not_installed());
        }
        notify(&install::describe_download()?);
        let installed = install::install(InstallOptions::default())?;
        notify(&format!("installed {}", installed.library.display()));
        Ok(installed.library)
    })
    .map(|_| ())
}

/// The library, if this process has loaded it.
pub fn loaded() -> Option<&'static Library> {
    LOADED.get()
}

/// The release of the loaded library.
pub fn version() -> Option<&'static str> {
    loaded().map(Library::version)
}

/// The loaded library; loads it if it is somewhere, never installs it.
pub(crate) fn load() -> Result<&'static Library> {
    load_or(|| Err(not_installed()))
}

fn not_installed() -> RuntimeError {
    RuntimeError::NotInstalled {
        remedy: "run `genas runtime install` (it needs Python 3 with pip), or `genas runtime install --wheel FILE` \
                 with a downloaded wheel, or set ORT_DYLIB_PATH to the library"
            .to_owned(),
    }
}

fn load_or(install: impl FnOnce() -> Result<PathBuf>) -> Result<&'static Library> {
    static LOADING: Mutex<()> = Mutex::new(());
    if let Some(library) = LOADED.get() {
        return Ok(library);
    }
    let _guard = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(library) = LOADED.get() {
        return Ok(library);
    }
    let places = Places::of_this_process();
    let path = places.locate().map_or_else(install, Ok)?;
    let library = open(path, &places)?;
    Ok(LOADED.get_or_init(|| library))
}

fn open(path: PathBuf, places: &Places) -> Result<Library> {
    let fail = |reason: String| {
        let remedy = remedy_for(&path, places);
        RuntimeError::Load { library: path.clone(), reason, remedy }
    };
    if !path.is_file() {
        return Err(fail(
            if path.exists() { "it is not a file" } else { "there is no such file" }.to_owned(),
        ));
    }
    let builder = ort::init_from(&path).map_err(|error| fail(reason(&error)))?;
    let environment =
        builder.with_name("genas").with_telemetry(false).build().map_err(|error| fail(error.to_string()))?;
    let version = version_of(&path, places);
    Ok(Library { path, version, environment })
}

fn reason(error: &ort::LoadDynamicError) -> String {
    match error {
        // The error says only that dlopen failed; its source says why.
        ort::LoadDynamicError::Dlopen { error, .. } => {
            error.source().map_or_else(|| error.to_string(), ToString::to_string)
        }
        ort::LoadDynamicError::MissingApi { .. } => "it is a library, but not ONNX Runtime".to_owned(),
        ort::LoadDynamicError::BadVersion { version_str, .. } => {
            format!("it is ONNX Runtime {version_str}, and genas needs 1.{OLDEST} or later")
        }
        other => other.to_string(),
    }
}

fn remedy_for(path: &Path, places: &Places) -> String {
    if places.explicit.is_some() {
        return "set ORT_DYLIB_PATH to the file of an ONNX Runtime library, or unset it to use the one that genas \
                installs"
            .to_owned();
    }
    // Windows does not say which library is missing; ONNX Runtime needs one that not every machine has.
    let redistributable = if places.platform.is_windows() {
        "install the Microsoft Visual C++ Redistributable; if that is not it, "
    } else {
        ""
    };
    match places.installation_of(path) {
        Some(dir) => {
            format!("{redistributable}delete {} and run `genas runtime install` again", dir.display())
        }
        None => format!(
            "{redistributable}replace or delete {}, or set ORT_DYLIB_PATH to another library",
            path.display()
        ),
    }
}

/// The release, from the name that the file (or what it links to) bears, or because genas installed it, else
/// as far as the library tells.
fn version_of(path: &Path, places: &Places) -> String {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if let Some(release) = release_in(&name) {
        return release.to_owned();
    }
    if places.installation_of(path).is_some() {
        return VERSION.to_owned(); // the file on Windows has no number in its name
    }
    ort::util::probe(path).map_or_else(|| VERSION.to_owned(), |minor| format!("1.{minor}"))
}

fn release_in(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("libonnxruntime.")?;
    let text = rest.strip_prefix("so.").or_else(|| rest.strip_suffix(".dylib"))?;
    (text.split('.').count() == 3 && text.split('.').all(is_number)).then_some(text)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn touch(path: PathBuf) -> PathBuf {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        path
    }

    fn nowhere(platform: Platform) -> Places {
        Places { platform, explicit: None, executable_dir: None, data_dir: None }
    }

    #[test]
    fn an_explicit_path_precedes_the_executables_directory_and_that_the_data_directory() {
        let dir = tempfile::tempdir().unwrap();
        let mut places = Places {
            executable_dir: Some(dir.path().join("bin")),
            data_dir: Some(dir.path().join("data")),
            ..nowhere(Platform::LINUX_X86_64)
        };
        assert_eq!(places.locate(), None);

        let providers = format!("data/onnxruntime/{VERSION}/libonnxruntime_providers_shared.so");
        touch(dir.path().join(providers));
        assert_eq!(places.locate(), None);

        for name in [
            &format!("data/onnxruntime/{VERSION}/libonnxruntime.so.{VERSION}"),
            &format!("data/onnxruntime/{VERSION}-gpu/libonnxruntime.so.{VERSION}"),
            "bin/libonnxruntime.so",
            "bin/lib/libonnxruntime.so.1",
        ] {
            let library = touch(dir.path().join(name));
            assert_eq!(places.locate(), Some(library));
        }

        places.explicit = Some("/nowhere/libonnxruntime.so".into());
        assert_eq!(places.locate(), places.explicit);
    }

    #[test]
    fn an_explicit_path_that_cannot_be_loaded_is_an_error_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("libonnxruntime.so");
        fs::write(&text, "not a library at all, however long it may be made to look").unwrap();
        for (path, reason) in [
            (dir.path().join("missing.so"), "there is no such file"),
            (dir.path().to_owned(), "it is not a file"),
            (text, ""),
        ] {
            let places = Places { explicit: Some(path.clone()), ..nowhere(Platform::HERE) };
            let message = open(places.locate().unwrap(), &places).unwrap_err().to_string();
            for part in [&path.display().to_string(), reason, "ORT_DYLIB_PATH"] {
                assert!(message.contains(part), "{message}");
            }
        }
    }

    #[test]
    fn only_this_systems_library_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let installed = format!("onnxruntime/{VERSION}");
        for name in ["libonnxruntime.so.1.31.1", "libonnxruntime.1.31.1.dylib", "onnxruntime.dll"] {
            touch(dir.path().join(&installed).join(name));
        }
        for (platform, name) in [
            (Platform::LINUX_AARCH64, "libonnxruntime.so.1.31.1"),
            (Platform::MACOS_ARM64, "libonnxruntime.1.31.1.dylib"),
            (Platform::WINDOWS_X86_64, "onnxruntime.dll"),
        ] {
            let places = Places { data_dir: Some(dir.path().to_owned()), ..nowhere(platform) };
            let library = places.locate().unwrap();
            assert_eq!(library, dir.path().join(&installed).join(name));
            assert_eq!(version_of(&library, &places), VERSION);
        }
    }

    #[test]
    fn the_release_is_read_from_the_files_name() {
        for (name, release) in [
            ("libonnxruntime.so.1.24.0", Some("1.24.0")),
            ("libonnxruntime.1.24.0.dylib", Some("1.24.0")),
            ("libonnxruntime.so.1", None),
            ("libonnxruntime.so", None),
            ("libonnxruntime.dylib", None),
            ("libonnxruntime.so.1.24.x", None),
            ("onnxruntime.dll", None),
        ] {
            assert_eq!(release_in(name), release, "{name}");
        }
    }

    #[test]
    fn a_broken_installed_library_is_to_be_installed_again() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places { data_dir: Some(dir.path().to_owned()), ..nowhere(Platform::LINUX_X86_64) };
        let library = touch(dir.path().join(format!("onnxruntime/{VERSION}/libonnxruntime.so.{VERSION}")));
        let message = open(places.locate().unwrap(), &places).unwrap_err().to_string();
        assert!(message.contains("delete"), "{message}");
        assert!(message.ends_with("run `genas runtime install` again"), "{message}");
        assert!(!message.contains("Redistributable"), "{message}");

        let remedy = remedy_for(&library, &Places { platform: Platform::WINDOWS_X86_64, ..places });
        assert!(remedy.starts_with("install the Microsoft Visual C++ Redistributable; "), "{remedy}");
    }
}
