//! What a run of a model gives.

/// One output of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Its name in the graph.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub values: Vec<f32>,
}

/// One output of a run of a model that counts as well as it measures.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedOutput {
    /// Its name in the graph.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub values: Values,
}

/// Values of an output.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Floats; half precision was converted.
    F32(Vec<f32>),
    /// 64-bit integers.
    I64(Vec<i64>),
}

impl Values {
    /// The floats, if they are.
    pub fn f32(&self) -> Option<&[f32]> {
        match self {
            Self::F32(values) => Some(values),
            Self::I64(_) => None,
        }
    }

    /// The integers, if they are.
    pub fn i64(&self) -> Option<&[i64]> {
        match self {
            Self::I64(values) => Some(values),
            Self::F32(_) => None,
        }
    }

    /// Their number.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::I64(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
