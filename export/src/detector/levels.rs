//! A level's maps as rows, one for each anchor, and the anchors themselves: what the raw form shows.
//!
//! Rows go along the map row by row, place by place, and at a place in the order of its anchors.

use super::info::Detection;
use crate::graph::{OnnxGraph, Tensor, Value};
use crate::proto::{AttributeProto, DataType};
use genas_net::{Interpreter, LevelMaps, RetinaNet};

/// Names of the pyramid's levels.
pub(super) const LEVELS: [&str; 5] = ["p3", "p4", "p5", "p6", "p7"];

/// A level's numbers, as rows.
pub(super) struct Rows {
    /// `[batch, rows, classes]`.
    pub logits: Tensor,
    /// `[batch, rows, 4]`.
    pub deltas: Tensor,
    /// `[rows, 4]`: corners in pixels of the input.
    pub anchors: Tensor,
}

impl Rows {
    /// Names in both forms, whether they are outputs or not, so that either can be compared with burn.
    pub fn names(level: usize) -> [String; 3] {
        ["logits", "deltas", "anchors"].map(|what| format!("{what}_{}", LEVELS[level]))
    }
}

/// Writes the nodes of a level.
pub(super) fn rows(
    graph: &mut OnnxGraph,
    net: &RetinaNet,
    detection: &Detection,
    level: usize,
    maps: LevelMaps<Value>,
) -> Rows {
    graph.scope(LEVELS[level], |graph| {
        let logits = graph.computed(maps.logits);
        let deltas = graph.computed(maps.deltas);
        let [logits_name, deltas_name, anchors_name] = Rows::names(level);
        let anchors = anchors(graph, detection, level, &logits);
        let logits = as_rows(graph, "logits", &logits, net.classes);
        let deltas = as_rows(graph, "deltas", &deltas, 4);
        Rows {
            logits: graph.rename(&logits, &logits_name),
            deltas: graph.rename(&deltas, &deltas_name),
            anchors: graph.rename(&anchors, &anchors_name),
        }
    })
}

/// `[batch, anchors * columns, height, width]` to `[batch, height * width * anchors, columns]`.
fn as_rows(graph: &mut OnnxGraph, name: &str, map: &Tensor, columns: usize) -> Tensor {
    graph.scope(name, |graph| {
        let perm = AttributeProto::ints("perm", &[0, 2, 3, 1]);
        let last = graph.operator("Transpose", "channels_last", &[map], vec![perm]);
        let shape = graph.integers(&[0, -1, columns as i64]);
        graph.operator("Reshape", "rows", &[&last, &shape], Vec::new())
    })
}

/// The level's anchors for a map of the size of `map`. The same numbers as in training, to the last bit, as long as
/// the first centre is a whole number of pixels or a half.
fn anchors(graph: &mut OnnxGraph, detection: &Detection, level: usize, map: &Tensor) -> Tensor {
    let (stride, cell) = (detection.strides[level] as f32, &detection.anchors[level]);
    let first = (detection.offset * f64::from(stride)) as f32;
    let name = LEVELS[level];
    graph.scope("anchors", |graph| {
        let shape = graph.operator("Shape", "shape", &[map], Vec::new());
        // Centres `[height, 1, 1, 4]` and `[width, 1, 4]`, zero in the other axis' columns.
        let mut centres = |axis: &str, dimension: i64, shape_of: &[i64], columns: [f32; 4]| {
            graph.scope(axis, |graph| {
                let [zero, one] = [0, 1].map(|n| graph.integer(n));
                let dimension = graph.integer(dimension);
                let places = graph.operator("Gather", "places", &[&shape, &dimension], Vec::new());
                let places = graph.operator("Range", "range", &[&zero, &places, &one], Vec::new());
                let float = AttributeProto::int("to", DataType::Float as usize);
                let places = graph.operator("Cast", "float", &[&places], vec![float]);
                let shape_of = graph.integers(shape_of);
                let places = graph.operator("Reshape", "column", &[&places, &shape_of], Vec::new());
                let steps = columns.map(|v| v * stride);
                let steps = graph.floats(&format!("{name}_steps_{axis}"), &[4], &steps);
                let centres = graph.operator("Mul", "centres", &[&places, &steps], Vec::new());
                if first == 0.0 {
                    return centres;
                }
                let first = columns.map(|v| v * first);
                let first = graph.floats(&format!("{name}_first_{axis}"), &[4], &first);
                graph.operator("Add", "offset", &[&centres, &first], Vec::new())
            })
        };
        let y = centres("y", 2, &[-1, 1, 1, 1], [0.0, 1.0, 0.0, 1.0]);
        let x = centres("x", 3, &[-1, 1, 1], [1.0, 0.0, 1.0, 0.0]);
        let centres = graph.operator("Add", "centres", &[&y, &x], Vec::new());
        let cell = graph.floats(&format!("{name}_anchors"), &[cell.len(), 4], cell.as_flattened());
        let boxes = graph.operator("Add", "boxes", &[&centres, &cell], Vec::new());
        let shape = graph.integers(&[-1, 4]);
        graph.operator("Reshape", "rows", &[&boxes, &shape], Vec::new())
    })
}

/// The anchors of a level by hand, to compare with the graph's.
pub(crate) fn anchors_by_hand(detection: &Detection, level: usize, [height, width]: [usize; 2]) -> Vec<f32> {
    let stride = detection.strides[level] as f64;
    let at = |n: usize| ((n as f64 + detection.offset) * stride) as f32;
    let mut boxes = Vec::with_capacity(height * width * detection.anchors[level].len() * 4);
    for y in 0..height {
        for x in 0..width {
            let centre = [at(x), at(y), at(x), at(y)];
            for anchor in &detection.anchors[level] {
                boxes.extend((0..4).map(|n| centre[n] + anchor[n]));
            }
        }
    }
    boxes
}
