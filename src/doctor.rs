//! `genas doctor`.

use anyhow::Result;
use genas_net::Devices;
use genas_runtime::Doctor;
use serde_json::json;

use crate::args::DoctorArgs;
use crate::context::Ctx;
use crate::output::fields;

pub fn run(ctx: &Ctx, _: &DoctorArgs) -> Result<()> {
    let doctor = Doctor::examine();
    let cuda = Devices::cuda_problem();
    let result = json!({
        "devices": [
            { "name": "cpu", "available": true, "problem": null },
            { "name": "cuda", "available": cuda.is_none(), "problem": cuda },
        ],
        "providers": doctor.providers,
        "onnxruntime": doctor.onnxruntime,
        "cpu": doctor.cpu,
        "genas": env!("CARGO_PKG_VERSION"),
    });
    ctx.out.result(&result, || {
        let state = |problem: &Option<String>, remedy: &Option<String>| match (problem, remedy) {
            (None, _) => "ready".to_owned(),
            (Some(problem), Some(remedy)) => format!("no: {problem}; {remedy}"),
            (Some(problem), None) => format!("no: {problem}"),
        };
        let cpu = doctor.cpu.model.as_deref().unwrap_or("unknown");
        let features = doctor.cpu.features.join(" ");
        let library = match (&doctor.onnxruntime.version, &doctor.onnxruntime.library) {
            (Some(version), Some(library)) => format!("{version}, {}", library.display()),
            _ => state(&doctor.onnxruntime.problem, &doctor.onnxruntime.remedy),
        };
        let mut text = fields(&[
            ("genas", env!("CARGO_PKG_VERSION").to_owned()),
            ("processor", format!("{cpu}, {} cores, {features}", doctor.cpu.cores)),
            ("ONNX Runtime", library),
        ]);
        text.push_str("\nburn computes on (--device)\n");
        text.push_str(&fields(&[("  cpu", "ready".to_owned()), ("  cuda", state(&cuda, &None))]));
        text.push_str("\nONNX Runtime computes on (--provider)\n");
        let names: Vec<String> = doctor.providers.iter().map(|p| format!("  {}", p.name)).collect();
        let states = doctor.providers.iter().map(|p| state(&p.problem, &p.remedy));
        text.push_str(&fields(&names.iter().map(String::as_str).zip(states).collect::<Vec<_>>()));
        text
    })
}
