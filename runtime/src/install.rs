//! Installs the pinned ONNX Runtime library from its PyPI wheel.
//!
//! The wheel is checked against a pinned SHA-256 before anything is taken from it; only the shared
//! libraries and the licences are. They appear at `DATA_DIR/onnxruntime/VERSION[-gpu]` by one rename, under
//! a lock file, so a killed or a concurrent install never leaves half a library.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Seek},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    error::{Result, RuntimeError},
    pip,
    platform::{self, Platform},
    wheels::{VERSION, Wheel, wanted_file},
};

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

/// Installs the pinned ONNX Runtime into the [data directory](crate::data_dir); does nothing if it is there.
///
/// A given wheel is checked even if nothing needs to be installed.
pub fn install(options: InstallOptions) -> Result<Installed> {
    install_into(&platform::data_dir()?, Platform::HERE, &options, &pip::download)
}

/// The directories that hold installed libraries, the preferred one first.
pub(crate) fn installed_dirs(data_dir: &Path) -> [PathBuf; 2] {
    [true, false].map(|cuda| installed_dir(data_dir, cuda))
}

fn installed_dir(data_dir: &Path, cuda: bool) -> PathBuf {
    data_dir.join("onnxruntime").join(if cuda { format!("{VERSION}-gpu") } else { VERSION.to_owned() })
}

/// The ONNX Runtime library in a directory, if it holds one that a platform can load.
pub(crate) fn library_in(dir: &Path, platform: Platform) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name().is_some_and(|name| platform.is_main_library(&name.to_string_lossy()))
                && path.is_file()
        })
        .collect();
    found.sort();
    found.pop()
}

/// What the download that would come next is, for a message to the user; an error if there is none.
pub(crate) fn describe_download() -> Result<String> {
    let wheel = Wheel::find(Platform::HERE, false)?;
    Ok(format!(
        "ONNX Runtime is not installed; fetching the pinned release {VERSION} with pip ({} MB)",
        wheel.megabytes
    ))
}

/// Fetches a wheel into a directory and returns its path.
type Download<'a> = &'a dyn Fn(&Wheel, &Path) -> Result<PathBuf>;

fn install_into(
    data_dir: &Path,
    platform: Platform,
    options: &InstallOptions,
    download: Download<'_>,
) -> Result<Installed> {
    let given = options.wheel.as_deref().map(|path| open_given(path, platform, options.cuda)).transpose()?;
    let wheel = match &given {
        Some((wheel, _)) => wheel,
        None => Wheel::find(platform, options.cuda)?,
    };
    let target = installed_dir(data_dir, wheel.cuda);
    let library_in = |dir: &Path| library_in(dir, platform);
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
fn open_given(path: &Path, platform: Platform, cuda: bool) -> Result<(&'static Wheel, File)> {
    let (mut file, found) = open_and_hash(path)?;
    let wheel = identify(path, found, platform, cuda)?;
    file.rewind().map_err(RuntimeError::io("read", path))?;
    Ok((wheel, file))
}

/// The wheel that a file's SHA-256 says it is, if it can serve.
fn identify(path: &Path, found: String, platform: Platform, cuda: bool) -> Result<&'static Wheel> {
    let wanted = Wheel::find(platform, cuda)?;
    let wheel = Wheel::with_hash(&found).ok_or_else(|| checksum_error(path, found, wanted))?;
    if wheel.platform != platform {
        return Err(RuntimeError::Install {
            reason: format!("{} is the wheel for {wheel}, and this is genas for {platform}", path.display()),
            remedy: format!(
                "give it {} instead, which `{}` downloads",
                wanted.file_name(),
                wanted.download_command()
            ),
        });
    }
    if cuda && !wheel.cuda {
        return Err(RuntimeError::Install {
            reason: format!("{} is the wheel without CUDA", path.display()),
            remedy: format!(
                "leave out --cuda, or download the other wheel with `{}`",
                wanted.download_command()
            ),
        });
    }
    Ok(wheel)
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
    use std::{env, io::Write};

    use super::*;
    use crate::wheels::{WHEELS, contents};

    const LINUX: Platform = Platform::LINUX_X86_64;

    fn no_download(_: &Wheel, _: &Path) -> Result<PathBuf> {
        panic!("downloads")
    }

    fn names(dir: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_that_is_not_the_wheel_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("wheel.whl");
        fs::write(&text, "hello").unwrap();
        let options = InstallOptions { wheel: Some(text), ..InstallOptions::default() };
        let data = dir.path().join("data");
        let message = install_into(&data, LINUX, &options, &no_download).unwrap_err().to_string();
        for part in ["wheel.whl", "2cf24dba5fb0a30e26e83b2ac5b9e29e", WHEELS[0].sha256, "pip download"] {
            assert!(message.contains(part), "{message}");
        }
        assert!(!data.exists());

        let options = InstallOptions { wheel: Some(dir.path().join("none.whl")), ..options };
        let message = install_into(&data, LINUX, &options, &no_download).unwrap_err().to_string();
        assert!(message.contains("none.whl"), "{message}");
    }

    #[test]
    fn a_wheel_of_another_platform_is_named_and_so_is_the_one_that_is_wanted() {
        let given = |wheel: &Wheel, platform, cuda| {
            identify(Path::new("a.whl"), wheel.sha256.to_owned(), platform, cuda)
                .map_err(|error| error.to_string())
        };
        for wheel in WHEELS {
            assert_eq!(given(wheel, wheel.platform, wheel.cuda).unwrap().sha256, wheel.sha256);
            for wanted in WHEELS.iter().filter(|wanted| wanted.platform != wheel.platform) {
                let message = given(wheel, wanted.platform, wanted.cuda).unwrap_err();
                for part in [
                    format!("a.whl is the wheel for {wheel}, and this is genas for {}: ", wanted.platform),
                    wanted.file_name(),
                    wanted.download_command(),
                ] {
                    assert!(message.contains(&part), "`{part}` is not in: {message}");
                }
            }
        }
        let find = |cuda| Wheel::find(LINUX, cuda).unwrap();
        assert!(given(find(true), LINUX, false).unwrap().cuda);
        let message = given(find(false), LINUX, true).unwrap_err();
        assert!(message.contains("without CUDA") && message.contains("onnxruntime-gpu==1.31.1"), "{message}");
        let message = given(find(true), Platform::MACOS_ARM64, true).unwrap_err();
        assert!(message.contains("no CUDA build for macOS arm64"), "{message}");
    }

    #[test]
    fn a_platform_without_a_wheel_downloads_nothing_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        for (platform, cuda) in [(Platform::MACOS_X86_64, false), (Platform::MACOS_ARM64, true)] {
            let options = InstallOptions { cuda, ..InstallOptions::default() };
            let error = install_into(&data, platform, &options, &no_download).unwrap_err();
            assert!(matches!(error, RuntimeError::Install { .. }), "{error}");
        }
        assert!(!data.exists());
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
        let error = install_into(dir.path(), LINUX, &InstallOptions::default(), &download).unwrap_err();
        assert!(matches!(error, RuntimeError::Checksum { .. }), "{error}");
        assert_eq!(names(&parent), [".lock"]);
    }

    #[test]
    fn nothing_is_downloaded_when_the_library_is_there() {
        for wheel in WHEELS {
            let dir = tempfile::tempdir().unwrap();
            let library = installed_dir(dir.path(), wheel.cuda).join(contents::of(wheel).main);
            fs::create_dir_all(library.parent().unwrap()).unwrap();
            fs::write(&library, "").unwrap();
            let options = InstallOptions { cuda: wheel.cuda, ..InstallOptions::default() };
            let installed = install_into(dir.path(), wheel.platform, &options, &no_download).unwrap();
            assert_eq!(installed, Installed { library, version: VERSION.to_owned() });
        }
    }

    #[test]
    fn the_library_of_every_wheel_is_unpacked_with_its_providers_and_licences() {
        for wheel in WHEELS {
            let dir = tempfile::tempdir().unwrap();
            let contents = contents::of(wheel);
            let mut archive = zip::ZipWriter::new(File::create_new(dir.path().join("a.whl")).unwrap());
            for entry in contents.entries() {
                archive.start_file(&*entry, zip::write::SimpleFileOptions::default()).unwrap();
                archive.write_all(entry.as_bytes()).unwrap();
            }
            archive.finish().unwrap();
            let into = dir.path().join("unpacked");
            unpack(&mut File::open(dir.path().join("a.whl")).unwrap(), &into).unwrap();
            assert_eq!(names(&into), contents.kept(), "{wheel}");
            let library = library_in(&into, wheel.platform).unwrap();
            assert_eq!(library, into.join(contents.main), "{wheel}");
            assert_eq!(fs::read(library).unwrap(), format!("onnxruntime/capi/{}", contents.main).as_bytes());
        }
    }

    /// For whoever changes the table: installs every wheel, for its platform, from a folder of downloads.
    #[test]
    fn the_real_wheels_are_what_the_table_says() {
        let Some(downloads) = env::var_os("GENAS_TEST_WHEELS").map(PathBuf::from) else {
            eprintln!("skipped: GENAS_TEST_WHEELS names no folder with the pinned wheels");
            return;
        };
        for wheel in WHEELS {
            let dir = tempfile::tempdir().unwrap();
            let contents = contents::of(wheel);
            let path = downloads.join(wheel.file_name());
            let size =
                fs::metadata(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).len();
            assert_eq!(wheel.megabytes, u32::try_from((size + 500_000) / 1_000_000).unwrap(), "{wheel}");

            let mut archive = zip::ZipArchive::new(File::open(&path).unwrap()).unwrap();
            for index in 0..archive.len() {
                let entry = archive.by_index(index).unwrap();
                assert!(!entry.is_symlink(), "{wheel}: a link cannot be unpacked: {:?}", entry.name());
            }

            let options = InstallOptions { cuda: wheel.cuda, wheel: Some(path) };
            let installed = install_into(dir.path(), wheel.platform, &options, &no_download).unwrap();
            let target = installed_dir(dir.path(), wheel.cuda);
            assert_eq!(installed.library, target.join(contents.main), "{wheel}");
            assert_eq!(names(&target), contents.kept(), "{wheel}");
            for name in names(&target) {
                println!("{wheel}: {name}, {} bytes", fs::metadata(target.join(&name)).unwrap().len());
            }
        }
    }
}
