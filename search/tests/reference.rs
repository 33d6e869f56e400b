//! Angles of the reference supernet, where `GENAS_SHARED` names the folder that holds `reference/`.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::path::Path;
use std::sync::Arc;

use genas_net::{Supernet, Weights, read_torch};
use genas_search::angle::angle;
use genas_space::Candidate;
use serde_json::Value;

const SUPERNET: Supernet = Supernet { channels: 8, layers: 8, classes: 10 };

/// `angles.py` computed the exact angles. The published program's leave them by up to 4.4e-5, because PyTorch's
/// norm adds squares in single precision, lane by lane: `torch.nn.functional.cosine_similarity` on the same
/// vectors gives its angles, and a dot product by PyTorch's pairwise sum gives ours.
#[test]
fn angles_are_exact_and_near_the_published_ones() {
    let Some(shared) = std::env::var_os("GENAS_SHARED") else {
        eprintln!("skipped: set GENAS_SHARED to the folder that holds reference/");
        return;
    };
    let dir = Path::new(&shared).join("reference");
    let weights = |which: &str| -> Weights {
        let path = dir.join(format!("supernet_c8_{which}.pth.tar"));
        read_torch(&path, Arc::new(SUPERNET.layout())).unwrap().0
    };
    let (initial, trained) = (weights("epoch_0"), weights("final"));
    let text = std::fs::read_to_string(dir.join("supernet_c8.json")).unwrap();
    let published: Value = serde_json::from_str(&text).unwrap();
    let exact: Value = serde_json::from_str(include_str!("angles.json")).unwrap();
    for (name, exact) in exact.as_object().unwrap() {
        let about = &published["candidates"][name];
        let candidate: Candidate = serde_json::from_value(about["candidate"].clone()).unwrap();
        let found = angle(&SUPERNET, &candidate, &initial, &trained, false);
        assert_eq!(Some(found.vector_length), about["vector_length"].as_u64(), "{name}");
        let off = |expected: &Value| (found.radians - expected.as_f64().unwrap()).abs();
        assert!(off(&exact["radians"]) < 1e-10, "{name}: {} against {exact}", found.radians);
        assert!(off(&about["angle_rad"]) < 5e-5, "{name}: {} against {about}", found.radians);
    }
}
