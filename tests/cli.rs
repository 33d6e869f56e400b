//! The binary from outside: results, errors, exit codes.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn genas(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_genas")).args(args).output().unwrap()
}

/// The one JSON object on stdout.
fn json(args: &[&str]) -> Value {
    let output = genas(&[&["--json"], args].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {error}");
    let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}"));
    assert!(value.is_object(), "{args:?}");
    value
}

/// Fails with the code and a message that holds all parts; stdout stays empty.
fn fails(args: &[&str], code: i32, parts: &[&str]) {
    let output = genas(&[&["--json"], args].concat());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
    assert!(output.stdout.is_empty() && error.starts_with("error: "), "{args:?}: {error}");
    assert!(!error.contains("panicked"), "{args:?}: {error}");
    for part in parts {
        assert!(error.contains(part), "{args:?} says: {error}");
    }
}

fn cost<'a>(cell: &'a str, network: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&["cost", "--cell", cell, "--network", network], rest].concat()
}

#[test]
fn published_costs() {
    for (cell, channels, params, flops) in [
        ("GENAS_FLATNESS_CIFAR100", "46", 5_195_205u64, 580_208_040u64),
        ("dropnas", "46", 5_134_761, 571_166_080),
    ] {
        let result = json(&cost(cell, "imagenet", &["--channels", channels]));
        assert_eq!(result["params"], params);
        assert!(result["paper_flops"].as_u64().unwrap().abs_diff(flops) as f64 <= 4e-6 * flops as f64);
        assert_eq!(result["channels"].to_string(), channels);
    }
    let cifar = json(&cost("DARTS_V2_CIFAR10", "cifar", &["--channels", "36", "--layers", "20"]));
    assert_eq!(cifar["params"], 3_349_342);
}

#[test]
fn cells_and_networks_are_drawn() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("picture.svg");
    let svg = file.to_str().unwrap();
    let nb201 = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|";
    let result = json(&[
        "draw",
        "--cell",
        "genas_flatness_cifar100",
        "--cell",
        "RLDARTS_OURS_GT",
        "--cell",
        nb201,
        "--svg",
        svg,
    ]);
    assert_eq!(result["cells"][0]["name"], "GENAS_FLATNESS_CIFAR100");
    assert_eq!(result["cells"][2]["genotype"], nb201);
    let text = std::fs::read_to_string(&file).unwrap();
    // Eight operations and four outputs in each of four cells, six edges in the last.
    assert_eq!(text.matches("<path class=\"edge").count(), 4 * 12 + 6);
    let result = json(&[
        "draw",
        "--cell",
        "GENAS_FLATNESS_CIFAR100",
        "--network",
        "imagenet",
        "--channels",
        "46",
        "--svg",
        svg,
    ]);
    let params: u64 =
        result["blocks"].as_array().unwrap().iter().map(|b| b["params"].as_u64().unwrap()).sum();
    assert_eq!(params, 5_195_205);
    assert!(std::fs::read_to_string(&file).unwrap().contains("4 normal cells"));
    let six = json(&["draw", "--cell", "3,0,0,1,0,2", "--cell", "6111", "--svg", svg]);
    assert_eq!(six["cells"][0]["genotype"], nb201);
    fails(&["draw", "--cell", "3,0,0,1,0,9", "--svg", svg], 1, &["--cell 3,0,0,1,0,9", "9"]);
    fails(&["draw", "--cell", "nothing", "--svg", svg], 1, &["--cell nothing"]);
    fails(&["draw", "--cell", nb201, "--network", "cifar", "--svg", svg], 1, &["--network nb201"]);
    fails(&["draw", "--svg", svg], 2, &["--cell"]);
    fails(&["draw", "--model", svg, "--svg", svg], 1, &["picture.svg"]);
    fails(&["draw", "--cell", "DARTS_V2", "--svg", "/dev/null/x.svg"], 1, &["/dev/null"]);
}

#[test]
fn a_target_finds_the_width() {
    for target in ["580M", "0.58G", "580000000"] {
        let result = json(&cost("GENAS_FLATNESS_CIFAR100", "imagenet", &["--target-flops", target]));
        assert_eq!(result["channels"], 46);
    }
}

#[test]
fn a_cell_has_many_forms() {
    let zoo = json(&["zoo", "show", "GENAS_FLATNESS_CIFAR100"]);
    let cell = &zoo["cells"][0];
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("genotype.json");
    std::fs::write(&file, cell["genotype"].to_string()).unwrap();
    let candidate: Vec<String> = cell["candidate"].as_array().unwrap().iter().map(Value::to_string).collect();
    let human =
        format!("normal: {}; reduce: {}", cell["normal"].as_str().unwrap(), cell["reduce"].as_str().unwrap());
    for form in [candidate.join(","), human, file.display().to_string(), dir.path().display().to_string()] {
        let result = json(&cost(&form, "imagenet", &["--channels", "46"]));
        assert_eq!(result["params"], 5_195_205, "{form}");
    }
}

#[test]
fn the_supernet_counts_whole_and_path() {
    let one = json(&cost("GENAS_FLATNESS_CIFAR10", "supernet", &["--channels", "16"]));
    let other = json(&cost("DROPNAS", "supernet", &["--channels", "16"]));
    assert_eq!(one["params"], other["params"]);
    assert_ne!(one["macs"], other["macs"]);
}

#[test]
fn the_zoo_is_listed() {
    let zoo = json(&["zoo"]);
    let cells = zoo["cells"].as_array().unwrap();
    assert!(cells.len() > 10 && !zoo["unpublished"].as_array().unwrap().is_empty());
    for key in ["name", "space", "normal", "reduce", "source", "paper"] {
        assert!(cells.iter().all(|cell| cell.get(key).is_some()), "{key}");
    }
    let text = String::from_utf8(genas(&["zoo"]).stdout).unwrap();
    assert!(cells.iter().all(|cell| text.contains(cell["name"].as_str().unwrap())), "{text}");
    fails(&["zoo", "show", "NO_SUCH_CELL"], 1, &["NO_SUCH_CELL", "nearest"]);
}

#[test]
fn wrong_cells_and_sizes_are_named() {
    let short = ["3"; 27].join(",");
    let wrong = ["9"; 28].join(",");
    let width: &[&str] = &["--channels", "46"];
    fails(&cost("NO_SUCH_CELL", "imagenet", width), 1, &["NO_SUCH_CELL"]);
    fails(&cost(&short, "imagenet", width), 1, &["27 integers"]);
    fails(&cost(&wrong, "imagenet", width), 1, &["operation 9"]);
    fails(&cost("nowhere/genotype.json", "imagenet", width), 1, &["nowhere/genotype.json", "no such file"]);
    fails(&cost("DROPNAS", "imagenet", &["--channels", "45"]), 2, &["even"]);
    fails(&cost("DROPNAS", "imagenet", &["--channels", "0"]), 2, &["--channels"]);
    fails(&cost("DROPNAS", "imagenet", &[]), 2, &["--channels"]);
    fails(&cost("DROPNAS", "imagenet", &["--channels", "4", "--layers", "0"]), 2, &["--layers"]);
}

#[test]
fn usage_errors_are_2_and_help_is_0() {
    fails(&["no-such-verb"], 2, &["no-such-verb"]);
    fails(&["--device", "gpu", "zoo"], 2, &["gpu", "cuda:N"]);
    let evaluate = |rest: &[&str], parts: &[&str]| fails(&[&["evaluate", "m.onnx"], rest].concat(), 2, parts);
    evaluate(&["--set", "imagenet-r", "--data", "."], &["imagenet-r", "imagenet-v2"]);
    evaluate(&["--set", "imagenet-o", "--data", "."], &["--in-distribution DIR"]);
    evaluate(&["--set", "imagenet", "--data", ".", "--in-distribution", "."], &["imagenet-o"]);
    evaluate(&["--set", "imagenet-a", "--data", ".", "--ignore-labels"], &["imagenet-a", "--set folder"]);
    evaluate(&["--set", "folder", "--data", "a", "--data", "b"], &["1 sets and 2 data"]);
    evaluate(&["--set", "folder", "--data", "a", "--mean", "1,2"], &["--mean", "three numbers"]);
    evaluate(&["--set", "folder", "--data", "a", "--std", "1,0,1"], &["--std", "above zero"]);
    evaluate(&["n.onnx", "--set", "folder", "--data", "a", "--predictions", "p.csv"], &["--predictions"]);
    fails(&["export", "--onnx", "m.onnx"], 2, &["--run", "--weights"]);
    fails(&["export", "--onnx", "m.onnx", "--run", "a", "--weights", "b"], 2, &["--weights"]);
    fails(&["score", "--cell", "DROPNAS"], 2, &["--run", "--weights"]);
    for args in [&["--help"][..], &["search", "--help"], &["--version"]] {
        assert_eq!(genas(args).status.code(), Some(0), "{args:?}");
    }
}

#[test]
fn detections_are_scored() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let coco = |results: &str, data: &str, rest: &[&str]| {
        let (results, data) = (at(results), at(data));
        let args = ["transfer", "coco", "--results", &results, "--data", &data];
        [&args, rest].concat().into_iter().map(str::to_owned).collect::<Vec<String>>()
    };
    let annotations = r#"{"images": [{"id": 4, "file_name": "4.jpg", "width": 80, "height": 60}],
        "annotations": [{"id": 1, "image_id": 4, "category_id": 3, "bbox": [1, 1, 40, 40], "area": 1600, "iscrowd": 0},
                        {"id": 2, "image_id": 4, "category_id": 3, "bbox": [50, 1, 9, 9], "area": 9, "iscrowd": 1}],
        "categories": [{"id": 3, "name": "a"}, {"id": 9, "name": "b"}]}"#;
    let found = r#"[{"image_id": 4, "category_id": 3, "bbox": [1, 1, 40, 33], "score": 0.5}]"#;
    std::fs::create_dir_all(dir.path().join("coco/annotations")).unwrap();
    for (name, text) in [
        ("coco/annotations/instances_val2017.json", annotations),
        ("warned.json", &annotations.replace("[50, 1, 9", "[50, 1, 0")),
        ("found.json", found),
        ("elsewhere.json", &found.replace("4,", "5,")),
        ("broken.json", "[{"),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let curves = at("curves.svg");
    let args = coco("found.json", "coco", &["--per-class", "--curves", &curves]);
    let result = json(&args.iter().map(String::as_str).collect::<Vec<_>>());
    // IoU 33/40: found at seven of ten thresholds
    for (key, want) in [("ap", 0.7), ("ap50", 1.0), ("ap75", 1.0), ("ar100", 0.7)] {
        assert!((result[key].as_f64().unwrap() - want).abs() < 1e-12, "{result}");
    }
    assert_eq!((&result["ap_small"], &result["n_objects"]), (&Value::from(-1.0), &Value::from(1)));
    assert_eq!(
        (&result["per_class"][0]["name"], &result["per_class"][1]["ap"]),
        (&"a".into(), &Value::from(-1.0))
    );
    assert!(std::fs::read_to_string(curves).unwrap().contains("recall (%)"));
    let warned = coco("found.json", "warned.json", &[]);
    let output = genas(&warned.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(0));
    assert!(
        String::from_utf8_lossy(&output.stderr)
            .contains("warned.json: annotation 2: its box is 0 x 9 pixels")
    );
    for (results, data, parts) in [
        ("none.json", "coco", &["none.json", "cannot read"][..]),
        ("found.json", "none", &["none", "cannot read"]),
        (
            "found.json",
            "coco/annotations",
            &["annotations/annotations/instances_val2017.json", "cannot read"],
        ),
        ("broken.json", "coco", &["broken.json: EOF", "image_id"]),
        ("found.json", "found.json", &["found.json: ", "give an instances file"]),
        ("elsewhere.json", "coco", &["elsewhere.json: ", "instances_val2017.json does not have: 5"]),
    ] {
        let args = coco(results, data, &[]);
        fails(&args.iter().map(String::as_str).collect::<Vec<_>>(), 1, parts);
    }
}

#[test]
fn files_that_are_not_what_they_should_be() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    for name in ["text.onnx", "text.safetensors", "text.pth.tar"] {
        std::fs::write(at(name), "hello").unwrap();
    }
    fails(&["verify", &at("text.onnx")], 1, &["text.onnx"]);
    fails(&["verify", &at("missing.onnx")], 1, &["missing.onnx"]);
    fails(
        &["export", "--onnx", &at("o.onnx"), "--weights", &at("text.safetensors")],
        1,
        &["text.safetensors"],
    );
    fails(&["export", "--onnx", &at("o.onnx"), "--weights", &at("text.pth.tar")], 1, &["genas import"]);
    fails(&["export", "--onnx", &at("o.onnx"), "--run", &at("run")], 1, &["retrain/final.safetensors"]);
    let export = ["export", "--onnx", &at("o.onnx"), "--weights", &at("text.safetensors")];
    for (rest, remedy) in [
        (&["--features", "relu"][..], "--kind backbone"),
        (&["--fp16-io"][..], "--precision fp16"),
        (&["--precision", "int8"][..], "--calibrate DIR"),
        (&["--calibrate", "images"][..], "--precision int8"),
    ] {
        fails(&[&export[..], rest].concat(), 1, &[remedy]);
    }
    fails(&["data", "check", &at("nowhere")], 1, &["nowhere"]);
    let import = ["import", &at("text.pth.tar"), "--cell", "DROPNAS", "--network", "cifar"];
    let rest = ["--channels", "8", "--classes", "10", "--out", &at("o.safetensors")];
    fails(&[&import[..], &rest[..]].concat(), 1, &["text.pth.tar"]);
    assert!(!Path::new(&at("o.onnx")).exists() && !Path::new(&at("o.safetensors")).exists());
}

#[test]
fn generated_data_is_read_through() {
    let dir = tempfile::tempdir().unwrap();
    let shapes = dir.path().join("shapes").display().to_string();
    let written = json(&["data", "shapes", &shapes, "--scale", "tiny"]);
    let cifar = written["paths"]["cifar10"].as_str().unwrap();
    let report = json(&["data", "check", cifar]);
    assert_eq!((report["n_images"].as_u64(), report["n_classes"].as_u64()), (Some(1200), Some(10)));
    assert_eq!(report["kind"], "cifar10");
    assert!(report["bad"].as_array().unwrap().is_empty());

    let streets = Path::new(written["paths"]["cityscapes"].as_str().unwrap());
    let report = json(&["data", "check", &streets.display().to_string()]);
    assert_eq!((report["n_images"].as_u64(), report["n_classes"].as_u64()), (Some(32), Some(11)));
    assert_eq!((report["kind"].as_str(), &report["bad"]), (Some("cityscapes"), &serde_json::json!([])));
    let city = streets.join("gtFine/val/birchley");
    let labels = std::fs::read_dir(&city).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&labels, "text").unwrap();
    let output = genas(&["--json", "data", "check", &streets.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["bad"][0]["file"].as_str(), labels.to_str());
    assert!(report["bad"][0]["reason"].as_str().unwrap().contains("must be a PNG"), "{report}");
}

#[test]
fn the_doctor_answers_everywhere() {
    let doctor = json(&["doctor"]);
    for key in ["devices", "providers", "onnxruntime"] {
        assert!(!doctor[key].is_null(), "{key}");
    }
    assert_eq!(doctor["devices"][0]["name"], "cpu");
}

#[test]
fn a_reader_that_is_gone_is_no_error() {
    use std::process::Stdio;
    let mut child = Command::new(env!("CARGO_BIN_EXE_genas"))
        .arg("zoo")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0));
}
