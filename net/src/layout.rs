//! The parameters of a network: names, shapes and places, found by reading its wiring.

use crate::interpreter::Interpreter;
use crate::layer::{BatchNorm, Conv, FactorizedReduce, Linear, Pool};
use std::collections::HashMap;

/// What an entry of a [`Layout`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Convolution weight `[c_out, c_in / groups, kh, kw]`.
    ConvWeight,
    /// Convolution bias `[c_out]`.
    ConvBias,
    /// BatchNorm scale.
    Gamma,
    /// BatchNorm shift.
    Beta,
    /// Weight of a fully connected layer, `[c_out, c_in]`.
    LinearWeight,
    /// Bias of a fully connected layer.
    LinearBias,
    /// BatchNorm running mean: a buffer, not a parameter.
    RunningMean,
    /// BatchNorm running variance: a buffer, not a parameter.
    RunningVar,
}

impl Role {
    /// Parameters are trained, perturbed and counted; buffers are not.
    pub fn is_parameter(self) -> bool {
        !matches!(self, Role::RunningMean | Role::RunningVar)
    }
}

/// One named tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Full name, such as `cells.3.edges.7.sep_conv_3x3.depthwise1.weight`.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: Role,
    /// Offset of its first element among the parameters, or among the buffers.
    pub offset: usize,
    /// Number of inputs of one output (for the initial distribution); 0 where it does not apply.
    pub fan_in: usize,
}

impl Entry {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True for an entry without elements (which no network has).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its place among the parameters, or among the buffers.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len()
    }
}

/// All named tensors of a network in registration order.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
    n_parameters: usize,
    n_buffers: usize,
}

impl Layout {
    /// Reads a network's wiring for an input of `shape` (`[channels, height, width]`).
    pub fn of(shape: [usize; 3], forward: impl FnOnce(&mut Declare, &[usize; 3])) -> Self {
        let mut declare = Declare::default();
        forward(&mut declare, &shape);
        declare.layout
    }

    /// All entries in registration order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Position of the entry of that name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// The entry of that name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.position(name).map(|p| &self.entries[p])
    }

    /// Number of parameter elements.
    pub fn n_parameters(&self) -> usize {
        self.n_parameters
    }

    /// Number of buffer elements.
    pub fn n_buffers(&self) -> usize {
        self.n_buffers
    }

    fn add(&mut self, name: String, shape: Vec<usize>, role: Role, fan_in: usize) {
        if self.index.contains_key(&name) {
            return;
        }
        let counter = if role.is_parameter() { &mut self.n_parameters } else { &mut self.n_buffers };
        let entry = Entry { name: name.clone(), offset: *counter, shape, role, fan_in };
        *counter += entry.len();
        self.index.insert(name, self.entries.len());
        self.entries.push(entry);
    }
}

/// Scope names, joined with dots.
#[derive(Clone, Debug, Default)]
pub struct Scope(String);

impl Scope {
    /// Appends a part; the returned mark restores the scope.
    pub fn enter(&mut self, name: &str) -> usize {
        let mark = self.0.len();
        if mark > 0 {
            self.0.push('.');
        }
        self.0.push_str(name);
        mark
    }

    /// Goes back to where `mark` was taken.
    pub fn leave(&mut self, mark: usize) {
        self.0.truncate(mark);
    }

    /// `scope.name`.
    pub fn join(&self, name: &str) -> String {
        if self.0.is_empty() { name.to_owned() } else { format!("{}.{name}", self.0) }
    }
}

/// The interpreter that declares parameters. Values are `[channels, height, width]`.
#[derive(Debug, Default)]
pub struct Declare {
    scope: Scope,
    layout: Layout,
}

impl Declare {
    fn declare(&mut self, name: &str, shape: &[usize], role: Role, fan_in: usize) {
        self.layout.add(self.scope.join(name), shape.to_vec(), role, fan_in);
    }
}

/// Output size of a window operation; panics where a network does not fit its input, which is a
/// mistake in the wiring (verbs check sizes before they build networks).
pub(crate) fn fitted(size: Option<[usize; 2]>, x: &[usize; 3]) -> [usize; 2] {
    size.unwrap_or_else(|| panic!("an input of {}x{} is too small for this network", x[1], x[2]))
}

impl Interpreter for Declare {
    type Value = [usize; 3];

    fn scope<R>(&mut self, name: &str, body: impl FnOnce(&mut Self) -> R) -> R {
        let mark = self.scope.enter(name);
        let result = body(self);
        self.scope.leave(mark);
        result
    }

    fn conv(&mut self, name: &str, conv: &Conv, x: &[usize; 3]) -> [usize; 3] {
        debug_assert_eq!(x[0], conv.c_in, "channels of {}", self.scope.join(name));
        let shape = conv.weight_shape();
        self.declare(&format!("{name}.weight"), &shape, Role::ConvWeight, shape[1] * shape[2] * shape[3]);
        if conv.bias {
            let fan_in = shape[1] * shape[2] * shape[3];
            self.declare(&format!("{name}.bias"), &shape[..1], Role::ConvBias, fan_in);
        }
        let [h, w] = fitted(conv.output_size([x[1], x[2]]), x);
        [conv.c_out, h, w]
    }

    fn batch_norm(&mut self, name: &str, bn: &BatchNorm, x: &[usize; 3]) -> [usize; 3] {
        debug_assert_eq!(x[0], bn.channels, "channels of {}", self.scope.join(name));
        let c = [bn.channels];
        if bn.affine {
            self.declare(&format!("{name}.weight"), &c, Role::Gamma, 0);
            self.declare(&format!("{name}.bias"), &c, Role::Beta, 0);
        }
        self.declare(&format!("{name}.running_mean"), &c, Role::RunningMean, 0);
        self.declare(&format!("{name}.running_var"), &c, Role::RunningVar, 0);
        *x
    }

    fn relu(&mut self, x: &[usize; 3]) -> [usize; 3] {
        *x
    }

    fn max_pool(&mut self, pool: &Pool, x: &[usize; 3]) -> [usize; 3] {
        let [h, w] = fitted(pool.output_size([x[1], x[2]]), x);
        [x[0], h, w]
    }

    fn avg_pool(&mut self, pool: &Pool, x: &[usize; 3]) -> [usize; 3] {
        self.max_pool(pool, x)
    }

    fn sum(&mut self, xs: &[[usize; 3]]) -> [usize; 3] {
        debug_assert!(xs.iter().all(|x| x == &xs[0]), "sum of {xs:?}");
        xs[0]
    }

    fn zeros(&mut self, x: &[usize; 3]) -> [usize; 3] {
        *x
    }

    fn concat(&mut self, xs: &[[usize; 3]]) -> [usize; 3] {
        [xs.iter().map(|x| x[0]).sum(), xs[0][1], xs[0][2]]
    }

    fn factorized_reduce(&mut self, reduce: &FactorizedReduce, x: &[usize; 3]) -> [usize; 3] {
        for name in ["conv_1.weight", "conv_2.weight"] {
            self.declare(name, &[reduce.c_out / 2, reduce.c_in, 1, 1], Role::ConvWeight, reduce.c_in);
        }
        let [h, w] = reduce.output_size([x[1], x[2]]);
        [reduce.c_out, h, w]
    }

    fn upsample(&mut self, x: &[usize; 3]) -> [usize; 3] {
        [x[0], 2 * x[1], 2 * x[2]]
    }

    fn resize(&mut self, x: &[usize; 3], like: &[usize; 3], _: bool) -> [usize; 3] {
        [x[0], like[1], like[2]]
    }

    fn global_avg_pool(&mut self, x: &[usize; 3]) -> [usize; 3] {
        [x[0], 1, 1]
    }

    fn linear(&mut self, name: &str, linear: &Linear, x: &[usize; 3]) -> [usize; 3] {
        debug_assert_eq!(x.iter().product::<usize>(), linear.c_in, "inputs of {}", self.scope.join(name));
        let (c_in, c_out) = (linear.c_in, linear.c_out);
        self.declare(&format!("{name}.weight"), &[c_out, c_in], Role::LinearWeight, c_in);
        self.declare(&format!("{name}.bias"), &[c_out], Role::LinearBias, c_in);
        [c_out, 1, 1]
    }
}
