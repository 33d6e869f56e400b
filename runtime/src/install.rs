//! Installs the pinned ONNX Runtime library from its PyPI wheel.
//!
//! pip does the downloading, so that proxies, mirrors and certificates work as the machine's owner set
//! them up. The wheel is checked against a pinned SHA-256 before anything is taken from it; only the shared
//! libraries and the licences are. They appear at `DATA_DIR/onnxruntime/VERSION[-gpu]` by one rename, under
//! a lock file, so a killed or a concurrent install never leaves half a library.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File, TryLockError},
    io::{self, Read, Seek},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::{Result, RuntimeError};

/// The ONNX Runtime release that genas installs.
pub const VERSION: &str = "1.31.1";

/// One wheel that may be installed.
#[derive(Debug)]
struct Wheel {
    os: &'static str,
    arch: &'static str,
    cuda: bool,
    package: &'static str,
    /// pip's name of the platform.
    platform: &'static str,
    sha256: &'static str,
    megabytes: u32,
}

/// Every wheel is the one for CPython 3.12; the libraries inside do not depend on Python.
const PYTHON: &str = "3.12";
const ABI: &str = "cp312";

/// Hashes of the files that PyPI serves for [`VERSION`].
const WHEELS: &[Wheel] = &[
    Wheel {
        os: "linux",
        arch: "x86_64",
        cuda: false,
        package: "onnxruntime",
        platform: "manylinux_2_28_x86_64",
        sha256: "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536",
        megabytes: 24,
    },
    Wheel {
        os: "linux",
        arch: "x86_64",
        cuda: true,
        package: "onnxruntime-gpu",
        platform: "manylinux_2_28_x86_64",
        sha256: "05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7",
        megabytes: 256,
    },
];

impl Wheel {
    /// The wheels for the machine that genas was compiled for.
    fn for_this_platform() -> impl Iterator<Item = &'static Wheel> {
        WHEELS.iter().filter(|wheel| wheel.os == env::consts::OS && wheel.arch == env::consts::ARCH)
    }

    fn requirement(&self) -> String {
        format!("{}=={VERSION}", self.package)
    }

    fn pip_arguments(&self) -> Vec<String> {
        let platform = [
            "--no-deps",
            "--only-binary=:all:",
            "--implementation=cp",
            &format!("--python-version={PYTHON}"),
            &format!("--abi={ABI}"),
            &format!("--platform={}", self.platform),
        ]
        .map(str::to_owned);
        ["download".to_owned()].into_iter().chain(platform).chain([self.requirement()]).collect()
    }

    /// The command that a user can type, on this machine or a connected one, to fetch the wheel.
    fn download_command(&self) -> String {
        format!("python3 -m pip {}", self.pip_arguments().join(" "))
    }

    fn install_command(&self) -> &'static str {
        if self.cuda { "genas runtime install --cuda" } else { "genas runtime install" }
    }
}

/// What to install.
#[derive(Clone, Debug, Default)]
pub struct InstallOptions {
    /// Take the library with the CUDA and TensorRT providers.
    pub cuda: bool,
    /// Take this wheel instead of downloading one; its checksum is checked all the same.
    pub wheel: Option<PathBuf>,
}

/// An installed library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Installed {
    /// The file to load.
    pub library: PathBuf,
    /// Its release.
    pub version: String,
}

/// Installs the pinned ONNX Runtime into the [data directory](data_dir); does nothing if it is there.
///
/// A given wheel is checked even if nothing needs to be installed.
pub fn install(options: InstallOptions) -> Result<Installed> {
    install_into(&data_dir()?, &options, &pip_download)
}

/// Where genas keeps what it installs: `GENAS_HOME`, else `XDG_DATA_HOME/genas`, else `~/.local/share/genas`.
pub fn data_dir() -> Result<PathBuf> {
    data_dir_from(
        env::var_os("GENAS_HOME").as_deref(),
        env::var_os("XDG_DATA_HOME").as_deref(),
        env::home_dir(),
    )
}

fn data_dir_from(genas_home: Option<&OsStr>, xdg: Option<&OsStr>, home: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(dir) = genas_home.filter(|dir| !dir.is_empty()) {
        return std::path::absolute(dir).map_err(RuntimeError::io("resolve GENAS_HOME", dir));
    }
    // The XDG specification says that a relative path is to be ignored.
    if let Some(dir) = xdg.map(Path::new).filter(|dir| dir.is_absolute()) {
        return Ok(dir.join("genas"));
    }
    match home.filter(|home| home.is_absolute()) {
        Some(home) => Ok(home.join(".local/share/genas")),
        None => Err(RuntimeError::Install {
            reason: "there is no home directory to install into".to_owned(),
            remedy: "set GENAS_HOME to a directory that genas may write to".to_owned(),
        }),
    }
}

/// The directories that hold installed libraries, the preferred one first.
pub(crate) fn installed_dirs(data_dir: &Path) -> [PathBuf; 2] {
    [true, false].map(|cuda| installed_dir(data_dir, cuda))
}

fn installed_dir(data_dir: &Path, cuda: bool) -> PathBuf {
    data_dir.join("onnxruntime").join(if cuda { format!("{VERSION}-gpu") } else { VERSION.to_owned() })
}

/// The ONNX Runtime library in a directory, if it holds one.
pub(crate) fn library_in(dir: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name().is_some_and(|name| is_main_library(&name.to_string_lossy())) && path.is_file()
        })
        .collect();
    found.sort();
    found.pop()
}

fn is_main_library(name: &str) -> bool {
    name == "libonnxruntime.so"
        || name.starts_with("libonnxruntime.so.")
        || (name.starts_with("libonnxruntime.") && name.ends_with(".dylib"))
        || name == "onnxruntime.dll"
}

/// What the download that would come next is, for a message to the user.
pub(crate) fn describe_download() -> String {
    let size = find_wheel(false).map(|wheel| format!(" ({} MB)", wheel.megabytes)).unwrap_or_default();
    format!("ONNX Runtime is not installed; fetching the pinned release {VERSION} with pip{size}")
}

fn find_wheel(cuda: bool) -> Result<&'static Wheel> {
    Wheel::for_this_platform().find(|wheel| wheel.cuda == cuda).ok_or_else(|| RuntimeError::Install {
        reason: format!(
            "genas pins no {} wheel for {} {}",
            if cuda { "CUDA" } else { "CPU" },
            env::consts::OS,
            env::consts::ARCH
        ),
        remedy:
            "get a release (1.23 or later) from https://github.com/microsoft/onnxruntime/releases and set \
                 ORT_DYLIB_PATH to its library"
                .to_owned(),
    })
}

/// Fetches a wheel into a directory and returns its path.
type Download<'a> = &'a dyn Fn(&Wheel, &Path) -> Result<PathBuf>;

fn install_into(data_dir: &Path, options: &InstallOptions, download: Download<'_>) -> Result<Installed> {
    let given = options.wheel.as_deref().map(|path| open_given(path, options.cuda)).transpose()?;
    let wheel = match &given {
        Some((wheel, _)) => wheel,
        None => find_wheel(options.cuda)?,
    };
    let target = installed_dir(data_dir, wheel.cuda);
    let done = |library| Installed { library, version: VERSION.to_owned() };
    if let Some(library) = library_in(&target) {
        return Ok(done(library));
    }

    let parent = data_dir.join("onnxruntime");
    fs::create_dir_all(&parent).map_err(RuntimeError::io("create directory", &parent))?;
    let lock = Lock::take(&parent)?;
    if let Some(library) = library_in(&target) {
        return Ok(done(library)); // another process installed it while this one waited
    }
    if lock.is_exclusive() {
        remove_abandoned(&parent);
    }

    let scratch = Scratch::create(&parent)?;
    let mut file = match given {
        Some((_, file)) => file,
        None => {
            let path = download(wheel, &scratch.0)?;
            let (mut file, found) = open_and_hash(&path)?;
            if found != wheel.sha256 {
                return Err(checksum_error(&path, found, wheel));
            }
            file.rewind().map_err(RuntimeError::io("read", path))?;
            file
        }
    };
    let unpacked = scratch.0.join("unpacked");
    unpack(&mut file, &unpacked)?;
    if library_in(&unpacked).is_none() {
        return Err(RuntimeError::Install {
            reason: "the wheel holds no ONNX Runtime library".to_owned(),
            remedy: format!(
                "report this as a bug of genas; meanwhile set ORT_DYLIB_PATH ({})",
                wheel.requirement()
            ),
        });
    }
    if lock.is_exclusive() {
        let _ = fs::remove_dir_all(&target); // there if somebody deleted the library only
    }
    if let Err(source) = fs::rename(&unpacked, &target) {
        // Where locks are not supported, another process may have been faster.
        if library_in(&target).is_none() {
            return Err(RuntimeError::Io { action: "install to", path: target, source });
        }
    }
    library_in(&target).map(done).ok_or_else(|| RuntimeError::Install {
        reason: format!("{} vanished", target.display()),
        remedy: format!("run `{}` again", wheel.install_command()),
    })
}

/// Opens a wheel that the user names and finds out which pinned one it is.
fn open_given(path: &Path, cuda: bool) -> Result<(&'static Wheel, File)> {
    let (mut file, found) = open_and_hash(path)?;
    let wanted = find_wheel(cuda)?;
    let wheel = Wheel::for_this_platform()
        .find(|wheel| wheel.sha256 == found)
        .ok_or_else(|| checksum_error(path, found, wanted))?;
    if cuda && !wheel.cuda {
        return Err(RuntimeError::Install {
            reason: format!("{} is the wheel without CUDA", path.display()),
            remedy: format!(
                "leave out --cuda, or download the other wheel with `{}`",
                wanted.download_command()
            ),
        });
    }
    file.rewind().map_err(RuntimeError::io("read", path))?;
    Ok((wheel, file))
}

fn checksum_error(path: &Path, found: String, wanted: &Wheel) -> RuntimeError {
    RuntimeError::Checksum {
        wheel: path.to_owned(),
        found,
        wanted: wanted.sha256.to_owned(),
        download: wanted.download_command(),
    }
}

fn open_and_hash(path: &Path) -> Result<(File, String)> {
    let mut file = File::open(path).map_err(RuntimeError::io("open the wheel", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => hasher.update(&buffer[..n]),
            Err(source) if source.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => {
                return Err(RuntimeError::Io { action: "read the wheel", path: path.to_owned(), source });
            }
        }
    }
    Ok((file, hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// Writes the shared libraries and licences of a checked wheel into a new directory, flushed to disk.
fn unpack(wheel: &mut File, into: &Path) -> Result<()> {
    let broken = |error: zip::result::ZipError| RuntimeError::Install {
        reason: format!("the wheel cannot be unpacked: {error}"),
        remedy: "check the free disk space and try again".to_owned(),
    };
    fs::create_dir(into).map_err(RuntimeError::io("create directory", into))?;
    let mut archive = zip::ZipArchive::new(wheel).map_err(broken)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(broken)?;
        let name = entry.name().map_err(broken)?.into_owned();
        let Some(name) = wanted_file(&name) else { continue };
        let path = into.join(name);
        let mut file = File::create(&path).map_err(RuntimeError::io("create", &path))?;
        io::copy(&mut entry, &mut file).map_err(RuntimeError::io("write", &path))?;
        file.sync_all().map_err(RuntimeError::io("write", &path))?;
    }
    Ok(())
}

/// The file name under which an entry of the wheel is kept, if it is kept.
fn wanted_file(entry: &str) -> Option<&str> {
    let path = entry.strip_prefix("onnxruntime/")?;
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let is_licence = folder.is_empty() && ["LICENSE", "ThirdPartyNotices.txt"].contains(&name);
    let is_library = folder == "capi"
        && (name.starts_with("libonnxruntime") || name.starts_with("onnxruntime"))
        && !name.contains("pybind11")
        && [".so", ".dylib", ".dll"]
            .iter()
            .any(|kind| name.ends_with(kind) || name.contains(&format!("{kind}.")));
    (is_licence || is_library).then_some(name)
}

fn pip_download(wheel: &Wheel, into: &Path) -> Result<PathBuf> {
    download_with(&["python3", "python"], wheel, into)
}

fn download_with(pythons: &[&str], wheel: &Wheel, into: &Path) -> Result<PathBuf> {
    let by_hand = format!(
        "download the wheel on another machine with `{}` and run `{} --wheel FILE`, or set ORT_DYLIB_PATH to a \
         library that you have",
        wheel.download_command(),
        wheel.install_command()
    );
    let mut reason = format!("neither `{}` was found", pythons.join("` nor `"));
    for python in pythons {
        let mut command = Command::new(python);
        command
            .args(["-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check"])
            .args(wheel.pip_arguments())
            .arg("--dest")
            .arg(into)
            .env("PIP_REQUIRE_VIRTUALENV", "0")
            .stdin(Stdio::null());
        let output = match command.output() {
            Ok(output) => output,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                reason = format!("`{python}` does not start ({error})");
                continue;
            }
        };
        let messages = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return wheel_in(into).ok_or_else(|| RuntimeError::Install {
                reason: format!("pip left no wheel in {}", into.display()),
                remedy: by_hand,
            });
        }
        if messages.contains("No module named pip") {
            reason = format!("`{python}` has no pip");
            continue;
        }
        return Err(RuntimeError::Install {
            reason: format!("`pip download {}` failed ({})", wheel.requirement(), last_words(&messages)),
            remedy: format!(
                "check the network and pip's index and run `{}`, or {by_hand}",
                wheel.install_command()
            ),
        });
    }
    Err(RuntimeError::Install {
        reason,
        remedy: format!(
            "install Python with pip (Debian: `apt install python3-pip`) and run `{}`, or {by_hand}",
            wheel.install_command()
        ),
    })
}

/// The errors among pip's messages, or the last message, on one line.
fn last_words(messages: &str) -> String {
    let lines: Vec<&str> = messages.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let errors: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("ERROR: ")).collect();
    match (errors.as_slice(), lines.last()) {
        ([], None) => "pip gave no reason".to_owned(),
        ([], Some(line)) => (*line).to_owned(),
        (errors, _) => errors.join("; "),
    }
}

fn wheel_in(dir: &Path) -> Option<PathBuf> {
    fs::read_dir(dir)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
}

/// Holds other installers off. The operating system releases it when the process ends, however it ends.
struct Lock(Option<File>);

impl Lock {
    fn take(dir: &Path) -> Result<Self> {
        let path = dir.join(".lock");
        let file = File::create(&path).map_err(RuntimeError::io("create", &path))?;
        match file.try_lock() {
            Ok(()) => return Ok(Self(Some(file))),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(_)) => return Ok(Self(None)), // some network file systems have no locks
        }
        file.lock().map_err(RuntimeError::io("lock", &path))?;
        Ok(Self(Some(file)))
    }

    fn is_exclusive(&self) -> bool {
        self.0.is_some()
    }
}

const SCRATCH_PREFIX: &str = ".installing-";

/// A directory that is removed with all that is still in it.
struct Scratch(PathBuf);

impl Scratch {
    fn create(parent: &Path) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{SCRATCH_PREFIX}{}-{count}", process::id()));
        fs::create_dir(&path).map_err(RuntimeError::io("create directory", &path))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes what killed installs left behind. Only the holder of the lock may.
fn remove_abandoned(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(SCRATCH_PREFIX) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_directory_follows_the_environment() {
        let home = || Some(PathBuf::from("/home/ada"));
        let dir = |genas: Option<&str>, xdg: Option<&str>, home| {
            data_dir_from(genas.map(OsStr::new), xdg.map(OsStr::new), home).map_err(|error| error.to_string())
        };
        assert_eq!(dir(Some("/g"), Some("/x"), home()), Ok("/g".into()));
        assert_eq!(dir(Some("g"), None, home()), Ok(env::current_dir().unwrap().join("g")));
        assert_eq!(dir(Some(""), Some("/x"), home()), Ok("/x/genas".into()));
        assert_eq!(dir(None, Some("relative"), home()), Ok("/home/ada/.local/share/genas".into()));
        assert_eq!(dir(None, None, home()), Ok("/home/ada/.local/share/genas".into()));
        assert!(dir(None, None, None).unwrap_err().contains("GENAS_HOME"));
    }

    #[test]
    fn only_libraries_and_licences_leave_the_wheel() {
        for (entry, kept) in [
            ("onnxruntime/capi/libonnxruntime.so.1.31.1", Some("libonnxruntime.so.1.31.1")),
            ("onnxruntime/capi/libonnxruntime_providers_cuda.so", Some("libonnxruntime_providers_cuda.so")),
            ("onnxruntime/capi/libonnxruntime.1.31.1.dylib", Some("libonnxruntime.1.31.1.dylib")),
            ("onnxruntime/capi/onnxruntime_providers_shared.dll", Some("onnxruntime_providers_shared.dll")),
            ("onnxruntime/LICENSE", Some("LICENSE")),
            ("onnxruntime/ThirdPartyNotices.txt", Some("ThirdPartyNotices.txt")),
            ("onnxruntime/capi/onnxruntime_pybind11_state.cpython-312-x86_64-linux-gnu.so", None),
            ("onnxruntime/capi/onnxruntime_inference_collection.py", None),
            ("onnxruntime/../../libonnxruntime.so", None),
            ("/etc/libonnxruntime.so", None),
        ] {
            assert_eq!(wanted_file(entry), kept, "{entry}");
        }
    }

    #[test]
    fn hashes_are_whole_and_different() {
        for (index, wheel) in WHEELS.iter().enumerate() {
            assert!(wheel.sha256.len() == 64 && wheel.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()));
            assert!(WHEELS[..index].iter().all(|other| other.sha256 != wheel.sha256));
        }
    }

    #[test]
    fn a_file_that_is_not_the_wheel_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("wheel.whl");
        fs::write(&text, "hello").unwrap();
        let options = InstallOptions { wheel: Some(text), ..InstallOptions::default() };
        let data = dir.path().join("data");
        let message = install_into(&data, &options, &|_, _| panic!("downloads")).unwrap_err().to_string();
        for part in ["wheel.whl", "2cf24dba5fb0a30e26e83b2ac5b9e29e", WHEELS[0].sha256, "pip download"] {
            assert!(message.contains(part), "{message}");
        }
        assert!(!data.exists());

        let options = InstallOptions { wheel: Some(dir.path().join("none.whl")), ..options };
        let message = install_into(&data, &options, &|_, _| panic!("downloads")).unwrap_err().to_string();
        assert!(message.contains("none.whl"), "{message}");
    }

    #[test]
    fn a_download_that_is_not_the_wheel_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let parent = dir.path().join("onnxruntime");
        let abandoned = parent.join(format!("{SCRATCH_PREFIX}1-0"));
        fs::create_dir_all(&abandoned).unwrap();
        let download = |_: &Wheel, into: &Path| {
            fs::write(into.join("x.whl"), "changed on the way").unwrap();
            Ok(into.join("x.whl"))
        };
        let error = install_into(dir.path(), &InstallOptions::default(), &download).unwrap_err();
        assert!(matches!(error, RuntimeError::Checksum { .. }), "{error}");
        let left: Vec<_> = fs::read_dir(&parent).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [".lock"]);
    }

    #[test]
    fn nothing_is_downloaded_when_the_library_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let library = installed_dir(dir.path(), false).join("libonnxruntime.so.1.31.1");
        fs::create_dir_all(library.parent().unwrap()).unwrap();
        fs::write(&library, "").unwrap();
        let installed =
            install_into(dir.path(), &InstallOptions::default(), &|_, _| panic!("downloads")).unwrap();
        assert_eq!(installed, Installed { library, version: VERSION.to_owned() });
    }

    #[test]
    fn without_python_the_message_gives_three_ways_out() {
        let dir = tempfile::tempdir().unwrap();
        let message = download_with(&["genas-no-python"], &WHEELS[0], dir.path()).unwrap_err().to_string();
        let pinned = "pip download --no-deps --only-binary=:all: --implementation=cp --python-version=3.12 --abi=cp312 \
                      --platform=manylinux_2_28_x86_64 onnxruntime==1.31.1";
        for part in [
            "`genas-no-python`",
            "python3-pip",
            pinned,
            "genas runtime install --wheel FILE",
            "ORT_DYLIB_PATH",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_python_without_pip_and_a_failing_pip_are_told_apart() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let python = |name: &str, says: &str| {
            let path = dir.path().join(name);
            fs::write(&path, format!("#!/bin/sh\necho '{says}' >&2\nexit 1\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let bare = python("bare", "/usr/bin/python3: No module named pip");
        let offline = python("offline", "WARNING: Retrying\nERROR: No matching distribution found");
        let fail = |pythons: &[&str]| download_with(pythons, &WHEELS[1], dir.path()).unwrap_err().to_string();
        assert!(fail(&[&bare]).contains("bare` has no pip"));
        for message in [fail(&[&offline]), fail(&[&bare, &offline])] {
            assert!(
                message.contains("onnxruntime-gpu==1.31.1` failed (No matching distribution found)"),
                "{message}"
            );
            assert!(message.contains("run `genas runtime install --cuda`"), "{message}");
        }
    }
}
