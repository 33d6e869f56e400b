//! Downloads a wheel with pip, so that proxies, mirrors and certificates work as the machine's owner set
//! them up.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    error::{Result, RuntimeError},
    wheels::Wheel,
};

/// Fetches a wheel into a directory and returns its path. The file is yet to be checked.
pub(crate) fn download(wheel: &Wheel, into: &Path) -> Result<PathBuf> {
    download_with(wheel.platform.pythons(), wheel, into)
}

fn download_with(pythons: &[&str], wheel: &Wheel, into: &Path) -> Result<PathBuf> {
    let by_hand = format!(
        "download the wheel on another machine with `{}` and run `{} --wheel FILE`, or set ORT_DYLIB_PATH to a \
         library that you have",
        wheel.download_command(),
        wheel.install_command()
    );
    let mut reasons = Vec::new();
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
                reasons.push(format!("`{python}` does not start ({error})"));
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
        if errors_of_pip(&messages).next().is_some() {
            return Err(RuntimeError::Install {
                reason: format!("`pip download {}` failed ({})", wheel.requirement(), last_words(&messages)),
                remedy: format!(
                    "check the network and pip's index and run `{}`, or {by_hand}",
                    wheel.install_command()
                ),
            });
        }
        // A Python without pip, or no Python at all: Windows and macOS have stubs that offer to install it.
        reasons.push(if messages.contains("No module named pip") {
            format!("`{python}` has no pip")
        } else {
            format!("`{python}` cannot run pip ({})", last_words(&messages))
        });
    }
    Err(RuntimeError::Install {
        reason: if reasons.is_empty() {
            format!("neither `{}` was found", pythons.join("` nor `"))
        } else {
            reasons.join(", ")
        },
        remedy: format!(
            "{} and run `{}`, or {by_hand}",
            wheel.platform.python_remedy(),
            wheel.install_command()
        ),
    })
}

/// pip marks its errors.
fn errors_of_pip(messages: &str) -> impl Iterator<Item = &str> {
    messages.lines().filter_map(|line| line.trim().strip_prefix("ERROR: "))
}

/// The errors among pip's messages, or the last message, on one line.
fn last_words(messages: &str) -> String {
    let errors: Vec<&str> = errors_of_pip(messages).collect();
    match messages.lines().map(str::trim).rfind(|line| !line.is_empty()) {
        _ if !errors.is_empty() => errors.join("; "),
        Some(line) => line.to_owned(),
        None => "it gave no reason".to_owned(),
    }
}

fn wheel_in(dir: &Path) -> Option<PathBuf> {
    fs::read_dir(dir)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Platform;

    #[test]
    fn without_python_the_message_gives_three_ways_out() {
        let dir = tempfile::tempdir().unwrap();
        for (platform, python, pinned) in [
            (
                Platform::LINUX_X86_64,
                "apt install python3-pip",
                "python3 -m pip download --no-deps --only-binary=:all: --implementation=cp --python-version=3.12 \
                 --abi=cp312 --platform=manylinux_2_28_x86_64 onnxruntime==1.31.1",
            ),
            (
                Platform::MACOS_ARM64,
                "brew install python",
                "--platform=macosx_14_0_arm64 onnxruntime==1.31.1",
            ),
            (Platform::WINDOWS_X86_64, "winget install Python", "--platform=win_amd64 onnxruntime==1.31.1"),
        ] {
            let wheel = Wheel::find(platform, false).unwrap();
            let message = download_with(&["genas-no-python", "genas-no-py"], wheel, dir.path());
            let message = message.unwrap_err().to_string();
            for part in [
                "neither `genas-no-python` nor `genas-no-py` was found",
                python,
                pinned,
                "genas runtime install --wheel FILE",
                "ORT_DYLIB_PATH",
            ] {
                assert!(message.contains(part), "`{part}` is not in: {message}");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn no_python_no_pip_and_a_failing_pip_are_told_apart() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let python = |name: &str, does: &str| {
            let path = dir.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{does}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let failing = |name, says| python(name, &format!("echo '{says}' >&2\nexit 1"));
        let bare = failing("bare", "/usr/bin/python3: No module named pip");
        let stub = failing("stub", "Python was not found; run without arguments to install from the Store");
        let silent = failing("silent", "");
        let offline = failing("offline", "WARNING: Retrying\nERROR: No matching distribution found");
        // The last argument is the directory.
        let good = python("good", "for last; do :; done\necho wheel > \"$last/a.whl\"");

        let wheel = Wheel::find(Platform::LINUX_X86_64, true).unwrap();
        let download = |pythons: &[&String]| {
            let into = tempfile::tempdir().unwrap();
            let pythons: Vec<&str> = pythons.iter().map(|python| python.as_str()).collect();
            download_with(&pythons, wheel, into.path())
                .map(|path| fs::read_to_string(path).unwrap())
                .map_err(|error| error.to_string())
        };
        let without_python = download(&[&bare, &stub, &silent]).unwrap_err();
        for part in [
            "bare` has no pip, ",
            "stub` cannot run pip (Python was not found; ",
            "silent` cannot run pip (it gave no reason): install Python",
        ] {
            assert!(without_python.contains(part), "`{part}` is not in: {without_python}");
        }
        for message in [download(&[&offline]), download(&[&bare, &stub, &offline, &good])] {
            let message = message.unwrap_err();
            for part in [
                "onnxruntime-gpu==1.31.1` failed (No matching distribution found)",
                "run `genas runtime install --cuda`",
            ] {
                assert!(message.contains(part), "`{part}` is not in: {message}");
            }
        }
        assert_eq!(download(&[&bare, &stub, &silent, &good]), Ok("wheel\n".to_owned()));
    }
}
