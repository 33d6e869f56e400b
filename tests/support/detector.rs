//! Detectors of a few constants, for tests: of both forms, with the same objects in every picture, but scores that
//! rise with its brightness.

use genas_export::proto::{
    AttributeProto, DataType, DimensionProto, DimensionValue, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};
use prost::Message;

/// A box in the detector's input, its class, and the logit of its score for a grey picture.
pub type Object = ([f32; 4], usize, f32);

/// Classes of the detectors, and their ids.
pub const CLASSES: [(i64, &str); 2] = [(3, "cat"), (9, "dog")];

/// Pictures are resized to 20 pixels, and filled up to multiples of 32.
pub const DETECTION: &str = r#"{"strides": [8], "anchors": [[[-4, -4, 4, 4]]], "offset": 0, "box_weights": [1, 1, 1, 1],
    "max_scale": 62.5, "score_above": 0.05, "top_per_level": 1000, "nms_iou": 0.5, "max_detections": 100,
    "shorter_side": 20, "longer_side": 100, "divisor": 32}"#;

/// What a detector's file says about itself.
pub fn metadata() -> Vec<(&'static str, String)> {
    let names: Vec<&str> = CLASSES.iter().map(|(_, name)| *name).collect();
    let ids: Vec<i64> = CLASSES.iter().map(|(id, _)| *id).collect();
    vec![
        ("kind", "detector".to_owned()),
        ("class_names", format!("{names:?}")),
        ("category_ids", format!("{ids:?}")),
        ("mean", "[0.5, 0.5, 0.5]".to_owned()),
        ("std", "[0.5, 0.5, 0.5]".to_owned()),
        ("detection", DETECTION.to_owned()),
        ("training_data", "none".to_owned()),
        ("source_run", "none".to_owned()),
    ]
}

/// A node of one output.
pub fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        name: output.to_owned(),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute,
        ..NodeProto::default()
    }
}

/// An input or output; `None` is a free size.
pub fn value(name: &str, r#type: DataType, shape: &[Option<usize>]) -> ValueInfoProto {
    let dim = shape.iter().map(|size| match size {
        Some(size) => DimensionProto { value: Some(DimensionValue::DimValue(*size as i64)) },
        None => DimensionProto::default(),
    });
    let tensor =
        TensorTypeProto { elem_type: r#type as i32, shape: Some(TensorShapeProto { dim: dim.collect() }) };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { tensor_type: Some(tensor) }),
        ..ValueInfoProto::default()
    }
}

fn integers(name: &str, values: Vec<i64>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![values.len() as i64],
        data_type: DataType::Int64 as i32,
        int64_data: values,
        ..TensorProto::default()
    }
}

fn model(
    input: [Option<usize>; 4],
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    outputs: Vec<ValueInfoProto>,
    metadata: &[(&str, String)],
) -> Vec<u8> {
    let mut all = vec![
        node("ReduceMean", &["input"], "brightness", vec![AttributeProto::int("keepdims", 0)]),
        node("Add", &["grey", "brightness"], "logits", Vec::new()),
    ];
    all.extend(nodes);
    encoded(input, all, constants, outputs, metadata)
}

/// A file of a model that takes images as `input`.
pub fn encoded(
    input: [Option<usize>; 4],
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    outputs: Vec<ValueInfoProto>,
    metadata: &[(&str, String)],
) -> Vec<u8> {
    let graph = GraphProto {
        name: "constants".to_owned(),
        node: nodes,
        initializer: constants,
        input: vec![value("input", DataType::Float, &input)],
        output: outputs,
        ..GraphProto::default()
    };
    let entry = |(key, value): &(&str, String)| StringStringEntryProto {
        key: (*key).to_owned(),
        value: value.clone(),
    };
    ModelProto {
        ir_version: 8,
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 17 }],
        metadata_props: metadata.iter().map(entry).collect(),
        ..ModelProto::default()
    }
    .encode_to_vec()
}

/// Numbers of one level, whose anchors are the objects.
pub fn raw(objects: &[Object], input: [Option<usize>; 4], metadata: &[(&str, String)]) -> Vec<u8> {
    let n = objects.len();
    // Far from any score where the object is of another class.
    let logits = objects.iter().flat_map(|&(_, class, logit)| {
        (0..CLASSES.len()).map(move |c| if c == class { logit } else { -20.0 })
    });
    let anchors: Vec<f32> = objects.iter().flat_map(|&(corners, ..)| corners).collect();
    let constants = vec![
        TensorProto::f32("grey".to_owned(), &[1, n, CLASSES.len()], &logits.collect::<Vec<_>>()),
        TensorProto::f32("none".to_owned(), &[1, n, 4], &vec![0.0; 4 * n]),
        TensorProto::f32("places".to_owned(), &[n, 4], &anchors),
    ];
    let nodes = vec![
        node("Identity", &["logits"], "logits_p3", Vec::new()),
        node("Identity", &["none"], "deltas_p3", Vec::new()),
        node("Identity", &["places"], "anchors_p3", Vec::new()),
    ];
    let outputs = vec![
        value("logits_p3", DataType::Float, &[input[0], None, Some(CLASSES.len())]),
        value("deltas_p3", DataType::Float, &[input[0], None, Some(4)]),
        value("anchors_p3", DataType::Float, &[None, Some(4)]),
    ];
    model(input, nodes, constants, outputs, metadata)
}

/// The objects, which must be sorted by falling logit.
pub fn end_to_end(objects: &[Object], input: [Option<usize>; 4], metadata: &[(&str, String)]) -> Vec<u8> {
    let n = objects.len();
    let logits: Vec<f32> = objects.iter().map(|&(.., logit)| logit).collect();
    let corners: Vec<f32> = objects.iter().flat_map(|&(corners, ..)| corners).collect();
    let constants = vec![
        TensorProto::f32("grey".to_owned(), &[n], &logits),
        TensorProto::f32("places".to_owned(), &[n, 4], &corners),
        integers("classes", objects.iter().map(|&(_, class, _)| class as i64).collect()),
        integers("first", vec![0; n]),
    ];
    let nodes = vec![
        node("Identity", &["places"], "boxes", Vec::new()),
        node("Sigmoid", &["logits"], "scores", Vec::new()),
        node("Identity", &["classes"], "labels", Vec::new()),
        node("Identity", &["first"], "batch_index", Vec::new()),
    ];
    let outputs = vec![
        value("boxes", DataType::Float, &[None, Some(4)]),
        value("scores", DataType::Float, &[None]),
        value("labels", DataType::Int64, &[None]),
        value("batch_index", DataType::Int64, &[None]),
    ];
    model(input, nodes, constants, outputs, metadata)
}
