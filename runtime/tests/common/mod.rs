//! Tiny ONNX models, written field by field so that these tests need no exporter.
//! Field numbers: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>.

#![allow(dead_code, reason = "each test file uses a part")]

/// Element types of ONNX.
pub const FLOAT: u64 = 1;
pub const INT64: u64 = 7;
pub const BOOL: u64 = 9;

/// `None` is the free dimension `batch`.
pub type Shape<'a> = &'a [Option<u64>];

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes(field: u64, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

fn port(field: u64, name: &str, dtype: u64, shape: Shape<'_>) -> Vec<u8> {
    let dims =
        shape.iter().map(|dim| bytes(1, dim.map_or_else(|| bytes(2, "batch"), |size| number(1, size))));
    let tensor = [number(1, dtype), bytes(2, dims.collect::<Vec<_>>().concat())].concat();
    bytes(field, [bytes(1, name), bytes(2, bytes(1, tensor))].concat())
}

/// One node of type `op` between named inputs and the output `y`.
pub fn model(
    op: &str,
    attribute: Option<(&str, u64)>,
    inputs: &[(&str, Shape<'_>)],
    output: (u64, Shape<'_>),
) -> Vec<u8> {
    let attribute =
        attribute.map(|(name, value)| bytes(5, [bytes(1, name), number(3, value), number(20, 2)].concat()));
    let names = inputs.iter().flat_map(|(name, _)| bytes(1, name)).collect();
    let node = [names, bytes(2, "y"), bytes(4, op), attribute.unwrap_or_default()].concat();
    let inputs = inputs.iter().flat_map(|(name, shape)| port(11, name, FLOAT, shape)).collect();
    let graph = [bytes(1, node), bytes(2, "tiny"), inputs, port(12, "y", output.0, output.1)].concat();
    let opset = bytes(8, number(2, 17));
    let metadata = [("genas.genotype", "0,1,2"), ("genas.mean", "[0.5]")]
        .map(|(key, value)| bytes(14, [bytes(1, key), bytes(2, value)].concat()))
        .concat();
    [number(1, 8), bytes(7, graph), opset, metadata].concat()
}

/// `y = max(x, 0)` over `[batch, 3]`.
pub fn relu() -> Vec<u8> {
    let shape = &[None, Some(3)];
    model("Relu", None, &[("x", shape)], (FLOAT, shape))
}
