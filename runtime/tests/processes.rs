//! What depends on the environment of a process, or on there being several. The environment of a running
//! test must not change, so each of these tests starts this executable again as the child that it examines.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::{
    env,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use genas_runtime::{Doctor, Provider, Session, SessionOptions};

/// Set in children to what they are to do.
const TASK: &str = "GENAS_TEST_TASK";

#[test]
fn child() {
    let Ok(task) = env::var(TASK) else { return };
    match task.as_str() {
        "ensure" => match genas_runtime::ensure(&|message| println!("notify: {message}")) {
            Ok(()) => println!("library: {}", genas_runtime::loaded().unwrap().path().display()),
            Err(error) => println!("error: {error}"),
        },
        "doctor" => {
            let Doctor { onnxruntime, providers, .. } = Doctor::examine();
            println!("problem: {:?}", onnxruntime.problem);
            println!("remedy: {:?}", onnxruntime.remedy);
            println!("available: {}", providers.iter().filter(|provider| provider.available).count());
        }
        "open" => {
            let error = Session::from_bytes(&common::relu(), &SessionOptions::default()).unwrap_err();
            println!("error: {error}");
        }
        "threads" => {
            genas_runtime::ensure(&|_| {}).unwrap();
            let before = n_threads();
            for intra_threads in [1, 3] {
                let options =
                    SessionOptions { provider: Provider::Cpu, intra_threads, ..SessionOptions::default() };
                let mut session = Session::from_bytes(&common::relu(), &options).unwrap();
                session.run_f32(&[0.0; 3], &[1, 3]).unwrap();
                println!("threads {intra_threads}: {}", n_threads() - before);
            }
        }
        other => panic!("{other}"),
    }
}

fn n_threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

fn start(task: &str, variables: &[(&str, &Path)]) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env_remove("ORT_DYLIB_PATH")
        .env_remove("GENAS_NO_INSTALL")
        .env(TASK, task)
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn finish(child: Child) -> String {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{stdout}{}", String::from_utf8_lossy(&stderr));
    stdout
}

#[track_caller]
fn assert_prints(task: &str, variables: &[(&str, &Path)], parts: &[&str]) {
    let printed = finish(start(task, variables));
    for part in parts {
        assert!(printed.contains(part), "`{part}` is not in: {printed}");
    }
}

/// Fetches the pinned wheel.
#[test]
fn processes_that_install_at_once_share_one_library() {
    let home = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..3).map(|_| start("ensure", &[("GENAS_HOME", home.path())])).collect();
    let printed: Vec<_> = children.into_iter().map(finish).collect();
    let dir = home.path().join("onnxruntime").join(genas_runtime::VERSION);
    let line =
        format!("library: {}", dir.join(format!("libonnxruntime.so.{}", genas_runtime::VERSION)).display());
    for printed in &printed {
        assert!(printed.contains(&line), "{printed}");
    }
    let names = |dir: &Path| {
        let mut names: Vec<_> = dir.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&home.path().join("onnxruntime")), [".lock", genas_runtime::VERSION]);
    assert!(dir.join("LICENSE").is_file());

    // It is found from now on, without a word and without an install.
    let nothing = Path::new("1");
    let printed = finish(start("ensure", &[("GENAS_HOME", home.path()), ("GENAS_NO_INSTALL", nothing)]));
    assert!(printed.contains(&line) && !printed.contains("notify"), "{printed}");
}

#[test]
fn where_nothing_may_be_installed_the_error_says_what_to_run() {
    let home = tempfile::tempdir().unwrap();
    let variables = [("GENAS_HOME", home.path()), ("GENAS_NO_INSTALL", Path::new("1"))];
    let remedy = "run `genas runtime install`";
    for task in ["ensure", "open"] {
        assert_prints(
            task,
            &variables,
            &["error: ONNX Runtime is not installed: ", remedy, "ORT_DYLIB_PATH"],
        );
    }
    assert_prints("doctor", &variables, &["problem: Some(\"not installed\")", remedy, "available: 0"]);
    assert_eq!(home.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_session_does_not_install() {
    let home = tempfile::tempdir().unwrap();
    assert_prints("open", &[("GENAS_HOME", home.path())], &["error: ONNX Runtime is not installed: "]);
}

#[test]
fn an_explicit_library_that_cannot_be_loaded_is_an_error() {
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    for (path, reason) in
        [(Path::new("/nowhere/libonnxruntime.so"), "no such file"), (&text, "invalid ELF header")]
    {
        let path_in_message = format!("cannot load ONNX Runtime from {}: ", path.display());
        for task in ["ensure", "open"] {
            assert_prints(task, &[("ORT_DYLIB_PATH", path)], &["error: ", &path_in_message, reason]);
        }
        assert_prints("doctor", &[("ORT_DYLIB_PATH", path)], &[reason, "ORT_DYLIB_PATH", "available: 0"]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_session_of_one_thread_starts_none() {
    let explicit = env::var_os("ORT_DYLIB_PATH").unwrap_or_default();
    assert_prints("threads", &[("ORT_DYLIB_PATH", Path::new(&explicit))], &["threads 1: 0", "threads 3: 2"]);
}
