//! Models through a real ONNX Runtime, which is installed first where it is missing.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::{fs, thread};

use common::{BOOL, FLOAT, INT64, model, relu};
use genas_runtime::{
    Doctor, Dtype, Optimization, Port, Provider, RuntimeError, Session, SessionOptions, Values,
};

fn on_one_core() -> SessionOptions {
    SessionOptions { provider: Provider::Cpu, intra_threads: 1, ..SessionOptions::default() }
}

fn open(bytes: &[u8]) -> Session {
    try_open(bytes, &on_one_core()).unwrap()
}

fn try_open(bytes: &[u8], options: &SessionOptions) -> Result<Session, RuntimeError> {
    genas_runtime::ensure(&|message| eprintln!("{message}")).unwrap();
    Session::from_bytes(bytes, options)
}

#[track_caller]
fn assert_says<T>(result: Result<T, RuntimeError>, parts: &[&str]) {
    let message = result.map(|_| ()).unwrap_err().to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    assert!(!message.contains('\n'), "{message}");
}

#[test]
fn a_model_tells_its_ports_and_metadata() {
    let session = open(&relu());
    let port = |name: &str| Port { name: name.to_owned(), shape: vec![None, Some(3)], dtype: Dtype::Float32 };
    assert_eq!(session.inputs(), [port("x")]);
    assert_eq!(session.outputs(), [port("y")]);
    assert_eq!(session.provider_used(), Provider::Cpu);
    let metadata = session.metadata().unwrap().into_iter().collect::<Vec<_>>();
    assert_eq!(
        metadata,
        [("genas.genotype", "0,1,2"), ("genas.mean", "[0.5]")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
}

#[test]
fn the_batch_may_change_between_runs() {
    let mut session = open(&relu());
    let mut out = vec![7.0; 100];
    for batch in [1, 4, 2] {
        let input: Vec<f32> = (0..batch * 3).map(|i| i as f32 - 2.0).collect();
        let expected: Vec<f32> = input.iter().map(|x| x.max(0.0)).collect();

        let outputs = session.run_f32(&input, &[batch, 3]).unwrap();
        assert_eq!((outputs.len(), outputs[0].name.as_str()), (1, "y"));
        assert_eq!((&outputs[0].shape, &outputs[0].values), (&vec![batch, 3], &expected));

        assert_eq!(session.run_f32_into(&input, &[batch, 3], &mut out).unwrap(), [batch, 3]);
        assert_eq!(out, expected);
    }
}

#[test]
fn every_optimization_level_gives_the_same_numbers() {
    for optimization in [Optimization::None, Optimization::Basic, Optimization::Extended, Optimization::All] {
        let mut session = try_open(&relu(), &SessionOptions { optimization, ..on_one_core() }).unwrap();
        assert_eq!(session.run_f32(&[-1.0, 0.5, 2.0], &[1, 3]).unwrap()[0].values, [0.0, 0.5, 2.0]);
    }
}

#[test]
fn inputs_are_given_by_name_in_any_order() {
    let shape: common::Shape<'_> = &[Some(2)];
    let mut session = open(&model("Sub", None, &[("a", shape), ("b", shape)], (FLOAT, shape)));
    let outputs = session.run_named(&[("b", &[1.0, 2.0], &[2]), ("a", &[5.0, 5.0], &[2])]).unwrap();
    assert_eq!(outputs[0].values, [4.0, 3.0]);

    assert_says(session.run_named(&[("a", &[5.0, 5.0], &[2])]), &["needs its input `b` float32 [2]"]);
    assert_says(session.run_named(&[("c", &[5.0], &[1])]), &["no input `c`", "`a`", "`b`"]);
    assert_says(session.run_f32(&[1.0, 2.0], &[2]), &["not one input but `a` float32 [2], `b` float32 [2]"]);
}

#[test]
fn what_does_not_fit_is_refused_with_names_and_shapes() {
    let mut session = open(&relu());
    let port = "input `x` float32 [?, 3]";
    assert_says(session.run_f32(&[0.0; 4], &[1, 4]), &["<memory>", port, "[1, 4]"]);
    assert_says(session.run_f32(&[0.0; 3], &[3]), &[port, "[3]"]);
    assert_says(session.run_f32(&[0.0; 5], &[2, 3]), &[port, "5 values", "[2, 3]"]);
    assert_says(session.run_f32(&[], &[0, 3]), &[port, "nothing"]);
    assert_says(session.run_f32(&[0.0; 3], &[usize::MAX, 3]), &[port, "3 values"]);
    // A refused run leaves the session usable.
    assert_eq!(session.run_f32(&[1.0; 3], &[1, 3]).unwrap()[0].values, [1.0; 3]);

    let shape: common::Shape<'_> = &[None, Some(3)];
    let mut cast = open(&model("Cast", Some(("to", INT64)), &[("x", shape)], (INT64, shape)));
    assert_says(cast.run_f32(&[0.0; 3], &[1, 3]), &["output `y` int64 [?, 3]", "float32"]);
    let typed = cast.run_typed(&[-1.5, 0.0, 7.25], &[1, 3]).unwrap();
    assert_eq!(
        (&*typed[0].name, &*typed[0].shape, &typed[0].values),
        ("y", &[1, 3][..], &Values::I64(vec![-1, 0, 7]))
    );
    let floats = session.run_typed(&[-1.0, 0.5, 2.0], &[1, 3]).unwrap();
    assert_eq!(floats[0].values, Values::F32(vec![0.0, 0.5, 2.0]));
    let mut truth = open(&model("Cast", Some(("to", BOOL)), &[("x", shape)], (BOOL, shape)));
    assert_says(truth.run_typed(&[0.0; 3], &[1, 3]), &["output `y` bool [?, 3]", "float32 or int64"]);
}

#[test]
fn files_that_hold_no_model_are_named() {
    genas_runtime::ensure(&|_| {}).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let whole = relu();
    for path in [
        write("notes.onnx", b"This is a text, and no model.\n"),
        write("empty.onnx", b""),
        write("cut.onnx", &whole[..whole.len() / 2]),
    ] {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_says(
            Session::from_file(&path, &on_one_core()),
            &[name, "is not an ONNX model", "genas export --onnx"],
        );
    }
    assert_says(
        Session::from_file(&dir.path().join("none.onnx"), &on_one_core()),
        &["none.onnx", "no such file"],
    );
    assert_says(Session::from_file(dir.path(), &on_one_core()), &["not a file"]);
    assert_says(try_open(b"no model", &on_one_core()), &["<memory>", "is not an ONNX model"]);

    let shape: common::Shape<'_> = &[Some(3)];
    let unknown = write("unknown.onnx", &model("NoSuchOperator", None, &[("x", shape)], (FLOAT, shape)));
    assert_says(Session::from_file(&unknown, &on_one_core()), &["unknown.onnx", "NoSuchOperator"]);

    let mut session = Session::from_file(&write("relu.onnx", &whole), &on_one_core()).unwrap();
    assert_says(session.run_f32(&[0.0; 4], &[4]), &["relu.onnx"]);
}

#[test]
fn an_accelerator_works_or_is_an_error_with_a_remedy() {
    genas_runtime::ensure(&|_| {}).unwrap();
    for (provider, name) in
        [(Provider::Cuda(0), "provider cuda:0"), (Provider::TensorRt, "provider tensorrt")]
    {
        let options = SessionOptions { provider, ..on_one_core() };
        match genas_runtime::check_provider(provider) {
            Ok(()) => assert_eq!(try_open(&relu(), &options).unwrap().provider_used(), provider),
            Err(error) => {
                assert_says(Err::<(), _>(error), &[name, "not available", "--provider c"]);
                assert_says(try_open(&relu(), &options), &[name, "not available", "--provider c"]);
            }
        }
    }
}

#[test]
fn auto_says_what_it_took() {
    let mut session =
        try_open(&relu(), &SessionOptions { intra_threads: 1, ..SessionOptions::default() }).unwrap();
    match session.provider_used() {
        Provider::Cuda(0) => assert_eq!(session.provider_note(), None),
        Provider::Cpu => assert!(session.provider_note().unwrap().starts_with("CUDA is not used: ")),
        other => panic!("{other}"),
    }
    assert_eq!(session.run_f32(&[-1.0; 3], &[1, 3]).unwrap()[0].values, [0.0; 3]);
    assert_says(try_open(b"no model", &SessionOptions::default()), &["is not an ONNX model"]);
}

#[test]
fn threads_may_make_the_runtime_ready_at_once_and_sessions_may_move() {
    let threads: Vec<_> = (0..8)
        .map(|i| {
            thread::spawn(move || {
                let session = open(&relu());
                (i, session)
            })
        })
        .collect();
    for thread in threads {
        let (i, mut session) = thread.join().unwrap();
        let i = i as f32;
        assert_eq!(session.run_f32(&[-i, i, 1.0], &[1, 3]).unwrap()[0].values, [0.0, i, 1.0]);
    }
    let library = genas_runtime::loaded().unwrap();
    assert!(library.path().is_file() && library.version().starts_with("1."), "{library:?}");
    assert_eq!(genas_runtime::version(), Some(library.version()));
}

#[test]
fn the_doctor_knows_the_library_and_the_processor() {
    genas_runtime::ensure(&|_| {}).unwrap();
    let doctor = Doctor::examine();
    assert_eq!(doctor.onnxruntime.version.as_deref(), genas_runtime::version());
    assert_eq!((&doctor.onnxruntime.problem, &doctor.onnxruntime.remedy), (&None, &None));
    assert!(doctor.cpu.cores > 0);
    assert_eq!(doctor.providers.iter().map(|p| p.name).collect::<Vec<_>>(), ["cpu", "cuda", "tensorrt"]);
    assert!(doctor.providers[0].available);
    for provider in doctor.providers {
        assert_eq!(provider.available, provider.problem.is_none());
        assert_eq!(provider.available, provider.remedy.is_none());
    }
}
