//! From a detector's rows to objects, as nodes: the end-to-end form.
//!
//! Detectron2's inference, as `transfer` has it on the host: each level's best pairs of anchor and class, decoded;
//! suppression within each class, exact, because each class has scores of its own instead of boxes moved apart;
//! the best objects of each image, cut to the input, empty ones dropped. Pairs of equal score keep their order (level,
//! place, anchor, class).
//!
//! One difference: a level's pairs are ranked by their logits, and only the best get a sigmoid. It matters where
//! more scores than are kept are 1 in 32 bits; Detectron2 takes any of them then.

use super::info::Detection;
use super::levels::{LEVELS, Rows};
use crate::graph::{OnnxGraph, Tensor};
use crate::options::Dim;
use crate::proto::{AttributeProto, DataType};
use crate::task::TaskOutput;
use genas_net::{Interpreter, RetinaNet};

/// Score of a box in another class than its own: below every limit.
const NO_SCORE: f32 = -1.0;

/// The best pairs of anchor and class, of one level or of all.
struct Candidates {
    /// `[batch, pairs]`.
    scores: Tensor,
    /// `[batch, pairs]`.
    classes: Tensor,
    /// `[batch, pairs, 4]`.
    anchors: Tensor,
    /// `[batch, pairs, 4]`.
    deltas: Tensor,
}

/// Writes the nodes and gives the outputs, under their names.
pub(super) fn objects(
    graph: &mut OnnxGraph,
    net: &RetinaNet,
    detection: &Detection,
    levels: &[Rows],
    input: &Tensor,
) -> Vec<TaskOutput> {
    let best: Vec<Candidates> = levels
        .iter()
        .zip(LEVELS)
        .map(|(rows, name)| graph.scope(name, |graph| candidates(graph, net, detection, rows)))
        .collect();
    let all = graph.scope("all", |graph| {
        let mut concat = |name: &str, part: fn(&Candidates) -> &Tensor| {
            let parts: Vec<&Tensor> = best.iter().map(part).collect();
            graph.operator("Concat", name, &parts, vec![AttributeProto::int("axis", 1)])
        };
        Candidates {
            scores: concat("scores", |c| &c.scores),
            classes: concat("classes", |c| &c.classes),
            anchors: concat("anchors", |c| &c.anchors),
            deltas: concat("deltas", |c| &c.deltas),
        }
    });
    let boxes = graph.scope("decode", |graph| decoded(graph, detection, &all));
    let kept = graph.scope("suppress", |graph| suppressed(graph, net, detection, &all, &boxes));
    graph.scope("best", |graph| shown(graph, detection, &all, &boxes, &kept, input))
}

fn candidates(graph: &mut OnnxGraph, net: &RetinaNet, detection: &Detection, rows: &Rows) -> Candidates {
    let flat = graph.integers(&[0, -1]);
    let logits = graph.operator("Reshape", "pairs", &[&rows.logits, &flat], Vec::new());
    let [logits, pairs] = top(graph, "top", &logits, detection.top_per_level);
    let scores = graph.operator("Sigmoid", "scores", &[&logits], Vec::new());
    let classes = graph.integer(net.classes as i64);
    let anchor = graph.operator("Div", "anchor", &[&pairs, &classes], Vec::new());
    let class = graph.operator("Mod", "class", &[&pairs, &classes], Vec::new());
    let anchors = graph.operator("Gather", "anchors", &[&rows.anchors, &anchor], Vec::new());
    let deltas = pick(graph, "deltas", &rows.deltas, &anchor);
    Candidates { scores, classes: class, anchors, deltas }
}

/// The `limit` largest numbers of each row `[batch, n]`, or all of a shorter one, best first, and their positions.
fn top(graph: &mut OnnxGraph, name: &str, rows: &Tensor, limit: usize) -> [Tensor; 2] {
    graph.scope(name, |graph| {
        let shape = graph.operator("Shape", "shape", &[rows], Vec::new());
        let last = graph.integers(&[1]);
        let length = graph.operator("Gather", "length", &[&shape, &last], Vec::new());
        let limit = graph.integers(&[limit as i64]);
        let k = graph.operator("Min", "k", &[&length, &limit], Vec::new());
        graph.operator_of_two("TopK", "top_k", &[rows, &k], vec![AttributeProto::int("axis", 1)])
    })
}

/// The entries of `[batch, n, ...]` at the positions `[batch, k]`.
fn pick(graph: &mut OnnxGraph, name: &str, entries: &Tensor, positions: &Tensor) -> Tensor {
    graph.scope(name, |graph| {
        let last = graph.integers(&[2]);
        let positions = graph.operator("Unsqueeze", "positions", &[positions, &last], Vec::new());
        let own_row = AttributeProto::int("batch_dims", 1);
        graph.operator("GatherND", "pick", &[entries, &positions], vec![own_row])
    })
}

/// Boxes `[batch, pairs, 4]`: anchors corrected, in the order of operations of training.
fn decoded(graph: &mut OnnxGraph, detection: &Detection, all: &Candidates) -> Tensor {
    let halves = graph.integers(&[2, 2]);
    let mut split = |name: &str, tensor: &Tensor| {
        graph.operator_of_two("Split", name, &[tensor, &halves], vec![AttributeProto::int("axis", 2)])
    };
    let [start, end] = split("corners", &all.anchors);
    let [mut shift, mut growth] = split("numbers", &all.deltas);
    let half = graph.floats("half", &[1], &[0.5]);
    let size = graph.operator("Sub", "size", &[&end, &start], Vec::new());
    let to_centre = graph.operator("Mul", "to_centre", &[&size, &half], Vec::new());
    let centre = graph.operator("Add", "centre", &[&start, &to_centre], Vec::new());
    if detection.box_weights != [1.0; 4] {
        let [shift_weights, growth_weights] = [("shift", 0), ("growth", 2)].map(|(name, from)| {
            graph.floats(&format!("{name}_weights"), &[2], &detection.box_weights[from..from + 2])
        });
        shift = graph.operator("Div", "shift", &[&shift, &shift_weights], Vec::new());
        growth = graph.operator("Div", "growth", &[&growth, &growth_weights], Vec::new());
    }
    let limit = graph.floats("largest_growth", &[1], &[detection.max_scale.ln()]);
    let growth = graph.operator("Min", "limited", &[&growth, &limit], Vec::new());
    let scale = graph.operator("Exp", "scale", &[&growth], Vec::new());
    let moved = graph.operator("Mul", "moved", &[&shift, &size], Vec::new());
    let centre = graph.operator("Add", "new_centre", &[&moved, &centre], Vec::new());
    let size = graph.operator("Mul", "new_size", &[&scale, &size], Vec::new());
    let to_centre = graph.operator("Mul", "to_new_centre", &[&size, &half], Vec::new());
    let start = graph.operator("Sub", "start", &[&centre, &to_centre], Vec::new());
    let end = graph.operator("Add", "end", &[&centre, &to_centre], Vec::new());
    graph.operator("Concat", "boxes", &[&start, &end], vec![AttributeProto::int("axis", 2)])
}

/// The scores `[batch, pairs]` of boxes that no better one of their class hides; 0 for all others.
fn suppressed(
    graph: &mut OnnxGraph,
    net: &RetinaNet,
    detection: &Detection,
    all: &Candidates,
    boxes: &Tensor,
) -> Tensor {
    // Scores `[batch, classes, pairs]`.
    let numbers: Vec<i64> = (0..net.classes as i64).collect();
    let numbers = graph.integer_column("classes", &numbers);
    let second = graph.integers(&[1]);
    let class = graph.operator("Unsqueeze", "class", &[&all.classes, &second], Vec::new());
    let own = graph.operator("Equal", "own_class", &[&class, &numbers], Vec::new());
    let score = graph.operator("Unsqueeze", "score", &[&all.scores, &second], Vec::new());
    let none = graph.floats("no_score", &[1], &[NO_SCORE]);
    let scores = graph.operator("Where", "scores", &[&own, &score, &none], Vec::new());

    let limit = graph.integers(&[detection.max_detections as i64]);
    let iou = graph.floats("nms_iou", &[1], &[detection.nms_iou]);
    let above = graph.floats("score_above", &[1], &[detection.score_above]);
    let inputs = [boxes, &scores, &limit, &iou, &above];
    // Image, class and box of each.
    let kept = graph.operator("NonMaxSuppression", "nms", &inputs, Vec::new());
    let columns = graph.integers(&[0, 2]);
    let kept = graph.operator("Gather", "kept", &[&kept, &columns], vec![AttributeProto::int("axis", 1)]);
    let kept_scores = graph.operator("GatherND", "kept_scores", &[&all.scores, &kept], Vec::new());
    let shape = graph.operator("Shape", "shape", &[&all.scores], Vec::new());
    let zeros = graph.operator("ConstantOfShape", "zeros", &[&shape], Vec::new());
    graph.operator("ScatterND", "scatter", &[&zeros, &kept, &kept_scores], Vec::new())
}

/// The best objects of each image, image by image, best first.
fn shown(
    graph: &mut OnnxGraph,
    detection: &Detection,
    all: &Candidates,
    boxes: &Tensor,
    kept: &Tensor,
    input: &Tensor,
) -> Vec<TaskOutput> {
    let [scores, positions] = top(graph, "top", kept, detection.max_detections);
    let boxes = pick(graph, "boxes", boxes, &positions);
    let classes = pick(graph, "classes", &all.classes, &positions);

    let boxes = graph.scope("clip", |graph| {
        let shape = graph.operator("Shape", "shape", &[input], Vec::new());
        let corners = graph.integers(&[3, 2, 3, 2]);
        let size = graph.operator("Gather", "size", &[&shape, &corners], Vec::new());
        let float = AttributeProto::int("to", DataType::Float as usize);
        let size = graph.operator("Cast", "float", &[&size], vec![float]);
        let zero = graph.floats("zero", &[1], &[0.0]);
        let boxes = graph.operator("Max", "from_zero", &[&boxes, &zero], Vec::new());
        graph.operator("Min", "to_size", &[&boxes, &size], Vec::new())
    });

    // Neither suppressed nor empty.
    let (zero, halves) = (graph.floats("zero", &[1], &[0.0]), graph.integers(&[2, 2]));
    let last = || vec![AttributeProto::int("axis", 2)];
    let [start, end] = graph.operator_of_two("Split", "corners", &[&boxes, &halves], last());
    let sides = graph.operator("Sub", "sides", &[&end, &start], Vec::new());
    let sides = graph.operator("Greater", "sides_left", &[&sides, &zero], Vec::new());
    let [wide, high] = [("wide", 0), ("high", 1)].map(|(name, axis)| {
        let axis = graph.integer(axis);
        graph.operator("Gather", name, &[&sides, &axis], last())
    });
    let scored = graph.operator("Greater", "not_suppressed", &[&scores, &zero], Vec::new());
    let not_empty = graph.operator("And", "not_empty", &[&wide, &high], Vec::new());
    let objects = graph.operator("And", "objects", &[&not_empty, &scored], Vec::new());
    let places = graph.operator("NonZero", "places", &[&objects], Vec::new());
    let rows = graph.operator("Transpose", "rows", &[&places], Vec::new());
    let first = graph.integer(0);
    let image = graph.operator("Gather", "images", &[&places, &first], Vec::new());
    let mut at = |name: &str, values: &Tensor| graph.operator("GatherND", name, &[values, &rows], Vec::new());
    let boxes = at("show_boxes", &boxes);
    let scores = at("show_scores", &scores);
    let labels = at("show_labels", &classes);

    let detections = || Dim::dynamic("detections");
    let mut output = |tensor: &Tensor, name: &str, elements: DataType| {
        let mut dims = vec![detections()];
        dims.extend((name == "boxes").then_some(Dim::Fixed(4)));
        (graph.rename(tensor, name), elements, dims)
    };
    vec![
        output(&boxes, "boxes", DataType::Float),
        output(&scores, "scores", DataType::Float),
        output(&labels, "labels", DataType::Int64),
        output(&image, "batch_index", DataType::Int64),
    ]
}
