//! Runs ONNX models.
//!
//! A [`Session`] belongs to one thread at a time ([`Send`], run through `&mut`): parallel work opens one
//! session per thread with `intra_threads: 1`, which starts no thread pool and so nothing that spins.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use half::f16;
use ort::{
    error::ErrorCode,
    session::{self as onnx, builder::GraphOptimizationLevel, builder::SessionBuilder},
    value::{Outlet, Tensor, TensorElementType, TensorRef, ValueType},
};
use serde::{Deserialize, Serialize};

use crate::{
    affinity,
    error::{Result, RuntimeError},
    library::{self, Library},
    output::{Output, TypedOutput, Values},
    provider::{self, Provider, ProviderOptions},
};

/// How much ONNX Runtime may rewrite a graph before it runs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimization {
    /// The graph as it is written.
    None,
    /// Constant folding, removal of what does nothing, BatchNorm folded into convolutions.
    Basic,
    /// The fusions of the provider as well.
    Extended,
    /// The memory layouts of the provider as well.
    #[default]
    All,
}

impl From<Optimization> for GraphOptimizationLevel {
    fn from(level: Optimization) -> Self {
        match level {
            Optimization::None => Self::Disable,
            Optimization::Basic => Self::Level1,
            Optimization::Extended => Self::Level2,
            Optimization::All => Self::All,
        }
    }
}

/// How to run a model.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Where to compute.
    pub provider: Provider,
    /// Threads that share the work of one operator on the CPU, the calling thread included; 0 for all cores.
    pub intra_threads: usize,
    /// How far the graph may be rewritten.
    pub optimization: Optimization,
    /// Whether idle threads of the pool wait for work actively, which is faster while a model runs without
    /// pause and wastes cores otherwise. With one thread there is no pool.
    pub spinning: bool,
    /// Whether each thread of the pool stays on a core of its own ([`pinned`](crate::pinned) does the same for the
    /// calling thread). Not where there are more threads than cores.
    pub pinned: bool,
    /// Whether CUDA may compute in TensorFloat-32, which is faster and less exact.
    pub tf32: bool,
    /// Where to write the graph that runs in the end, as ONNX Runtime rewrote it.
    pub save_optimized: Option<PathBuf>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            provider: Provider::Auto,
            intra_threads: 0,
            optimization: Optimization::All,
            spinning: true,
            pinned: false,
            tf32: false,
            save_optimized: None,
        }
    }
}

/// The element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit floating point.
    Float32,
    /// 16-bit floating point.
    Float16,
    /// 64-bit floating point.
    Float64,
    /// 8-bit unsigned integer.
    Uint8,
    /// 8-bit integer.
    Int8,
    /// 32-bit integer.
    Int32,
    /// 64-bit integer.
    Int64,
    /// Truth value.
    Bool,
    /// Anything else, tensor or not.
    Other,
}

impl Dtype {
    /// Whether f32 values can be given and taken: half precision is converted.
    fn is_float(self) -> bool {
        matches!(self, Self::Float32 | Self::Float16)
    }

    fn of(value: &ValueType) -> Self {
        let ValueType::Tensor { ty, .. } = value else { return Self::Other };
        match ty {
            TensorElementType::Float32 => Self::Float32,
            TensorElementType::Float16 => Self::Float16,
            TensorElementType::Float64 => Self::Float64,
            TensorElementType::Uint8 => Self::Uint8,
            TensorElementType::Int8 => Self::Int8,
            TensorElementType::Int32 => Self::Int32,
            TensorElementType::Int64 => Self::Int64,
            TensorElementType::Bool => Self::Bool,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Float64 => "float64",
            Self::Uint8 => "uint8",
            Self::Int8 => "int8",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Bool => "bool",
            Self::Other => "another type",
        })
    }
}

/// An input or output of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Port {
    /// Its name in the graph.
    pub name: String,
    /// Its shape; `None` where a size is free.
    pub shape: Vec<Option<usize>>,
    /// Its element type.
    pub dtype: Dtype,
}

impl Port {
    fn of(outlet: &Outlet) -> Self {
        let shape = match outlet.dtype() {
            ValueType::Tensor { shape, .. } => shape.iter().map(|&size| usize::try_from(size).ok()).collect(),
            _ => Vec::new(),
        };
        Self { name: outlet.name().to_owned(), shape, dtype: Dtype::of(outlet.dtype()) }
    }

    fn takes(&self, shape: &[usize]) -> bool {
        self.shape.len() == shape.len()
            && self
                .shape
                .iter()
                .zip(shape)
                .all(|(&wanted, &given)| wanted.is_none_or(|wanted| wanted == given))
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes =
            self.shape.iter().map(|size| size.map_or_else(|| "?".to_owned(), |size| size.to_string()));
        write!(f, "`{}` {} [{}]", self.name, self.dtype, sizes.collect::<Vec<_>>().join(", "))
    }
}

/// An output where it lies.
enum View<'a> {
    F32(&'a [f32]),
    I64(&'a [i64]),
}

/// A loaded model.
#[derive(Debug)]
pub struct Session {
    session: onnx::Session,
    model: String,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    provider: Provider,
    note: Option<String>,
}

impl Session {
    /// Loads a model from a file. Weights that the model keeps in other files are found beside it.
    ///
    /// Needs ONNX Runtime to be installed; call [`ensure`](crate::ensure) first to have it installed.
    pub fn from_file(path: &Path, options: &SessionOptions) -> Result<Self> {
        let model = path.display().to_string();
        if !path.is_file() {
            let reason = if path.exists() { "it is not a file" } else { "there is no such file" }.to_owned();
            return Err(RuntimeError::Model { model, reason });
        }
        Self::open(model, options, &|builder| builder.commit_from_file(path))
    }

    /// Loads a model from memory. The bytes are not needed afterwards.
    ///
    /// Needs ONNX Runtime to be installed; call [`ensure`](crate::ensure) first to have it installed.
    pub fn from_bytes(bytes: &[u8], options: &SessionOptions) -> Result<Self> {
        Self::open("<memory>".to_owned(), options, &|builder| builder.commit_from_memory(bytes))
    }

    fn open(model: String, options: &SessionOptions, commit: Commit<'_>) -> Result<Self> {
        let library = library::load()?;
        let open_on = |provider| open_on(provider, &model, options, library, commit);
        let (session, provider, note) = match options.provider {
            Provider::Auto => match open_on_cuda_if_usable(&open_on) {
                Ok(session) => (session, Provider::Cuda(0), None),
                Err(why) => (open_on(Provider::Cpu)?, Provider::Cpu, Some(why)),
            },
            provider => (open_on(provider)?, provider, None),
        };
        let inputs = session.inputs().iter().map(Port::of).collect();
        let outputs = session.outputs().iter().map(Port::of).collect();
        Ok(Self { session, model, inputs, outputs, provider, note })
    }

    /// What the model takes.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// What the model gives.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The texts that the model carries in its `metadata_props`.
    pub fn metadata(&self) -> Result<BTreeMap<String, String>> {
        let read = || -> ort::Result<BTreeMap<String, String>> {
            let metadata = self.session.metadata()?;
            let keys = metadata.custom_keys()?;
            Ok(keys.into_iter().filter_map(|key| metadata.custom(&key).map(|value| (key, value))).collect())
        };
        read().map_err(|error| RuntimeError::Model {
            model: self.model.clone(),
            reason: format!("its metadata cannot be read: {}", provider::tidy(error.message())),
        })
    }

    /// Where the model runs: never [`Provider::Auto`].
    pub fn provider_used(&self) -> Provider {
        self.provider
    }

    /// Why [`Provider::Auto`] did not take CUDA, where it did not.
    pub fn provider_note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Runs a model that has one input. The input is read where it lies; half precision inputs and outputs are
    /// converted.
    pub fn run_f32(&mut self, input: &[f32], shape: &[usize]) -> Result<Vec<Output>> {
        self.check_single_input()?;
        self.run_all(&[(input, shape)])
    }

    /// Runs a model that takes several inputs, given by name in any order.
    pub fn run_named(&mut self, inputs: &[(&str, &[f32], &[usize])]) -> Result<Vec<Output>> {
        if let Some((name, ..)) =
            inputs.iter().find(|(name, ..)| self.inputs.iter().all(|port| port.name != *name))
        {
            return Err(
                self.mismatch(format!("it has no input `{name}`; its inputs are {}", list(&self.inputs)))
            );
        }
        let ordered = self.inputs.iter().map(|port| {
            inputs
                .iter()
                .find(|(name, ..)| port.name == *name)
                .map(|&(_, values, shape)| (values, shape))
                .ok_or_else(|| self.mismatch(format!("it needs its input {port}")))
        });
        let ordered = ordered.collect::<Result<Vec<_>>>()?;
        self.run_all(&ordered)
    }

    /// Runs a model that has one input and one output into a buffer that is used again and again.
    ///
    /// `out` is overwritten; the shape of what it then holds is returned.
    pub fn run_f32_into(&mut self, input: &[f32], shape: &[usize], out: &mut Vec<f32>) -> Result<Vec<usize>> {
        self.check_single_input()?;
        if self.outputs.len() != 1 {
            return Err(self.mismatch(format!("it has not one output but {}", list(&self.outputs))));
        }
        self.run_with(&[(input, shape)], |_, shape, values| {
            out.clear();
            out.extend_from_slice(values);
            shape
        })?
        .pop()
        .ok_or_else(|| self.mismatch("it gave no output".to_owned()))
    }

    /// Runs a model that has one input and hands each output, with its name, to `take`: nothing is copied.
    pub fn run_f32_each(
        &mut self,
        input: &[f32],
        shape: &[usize],
        mut take: impl FnMut(&str, &[f32]),
    ) -> Result<()> {
        self.check_single_input()?;
        self.run_with(&[(input, shape)], |name, _, values| take(name, values))?;
        Ok(())
    }

    /// Runs a model that has one input and whose outputs are floats or 64-bit integers, such as the classes that a
    /// detector gives to its boxes.
    pub fn run_typed(&mut self, input: &[f32], shape: &[usize]) -> Result<Vec<TypedOutput>> {
        self.check_single_input()?;
        self.run_views(
            &[(input, shape)],
            &[Dtype::Float32, Dtype::Float16, Dtype::Int64],
            |name, shape, view| {
                let values = match view {
                    View::F32(values) => Values::F32(values.to_vec()),
                    View::I64(values) => Values::I64(values.to_vec()),
                };
                TypedOutput { name: name.to_owned(), shape, values }
            },
        )
    }

    fn run_all(&mut self, inputs: &[(&[f32], &[usize])]) -> Result<Vec<Output>> {
        self.run_with(inputs, |name, shape, values| Output {
            name: name.to_owned(),
            shape,
            values: values.to_vec(),
        })
    }

    /// Runs with all inputs in the model's order, and hands each output, all of which are floats, in turn to `take`.
    fn run_with<T>(
        &mut self,
        inputs: &[(&[f32], &[usize])],
        mut take: impl FnMut(&str, Vec<usize>, &[f32]) -> T,
    ) -> Result<Vec<T>> {
        self.run_views(inputs, &[Dtype::Float32, Dtype::Float16], |name, shape, view| match view {
            View::F32(values) => take(name, shape, values),
            View::I64(_) => unreachable!("outputs of integers were refused before the run"),
        })
    }

    /// Runs with all inputs in the model's order, and hands each output in turn to `take`. A model that has an output
    /// of another type than `readable` is refused.
    fn run_views<T>(
        &mut self,
        inputs: &[(&[f32], &[usize])],
        readable: &[Dtype],
        mut take: impl FnMut(&str, Vec<usize>, View<'_>) -> T,
    ) -> Result<Vec<T>> {
        for (port, (values, shape)) in self.inputs.iter().zip(inputs) {
            self.check_input(port, values, shape)?;
        }
        if let Some(port) = self.outputs.iter().find(|port| !readable.contains(&port.dtype)) {
            let also = if readable.contains(&Dtype::Int64) { " or int64" } else { "" };
            return Err(self.mismatch(format!("output {port} cannot be read as float32{also}")));
        }
        let failed = |error: ort::Error| RuntimeError::Run {
            model: self.model.clone(),
            provider: self.provider.to_string(),
            reason: provider::tidy(error.message()),
        };
        let tensors = self.inputs.iter().zip(inputs).map(|(port, &(values, shape))| {
            if port.dtype == Dtype::Float16 {
                let values: Vec<f16> = values.iter().map(|&value| f16::from_f32(value)).collect();
                return Tensor::from_array((shape.to_vec(), values)).map(onnx::SessionInputValue::from);
            }
            TensorRef::from_array_view((shape.to_vec(), values)).map(onnx::SessionInputValue::from)
        });
        let tensors = tensors.collect::<ort::Result<Vec<_>>>().map_err(failed)?;
        let outputs = self.session.run(tensors.as_slice()).map_err(failed)?;
        outputs
            .iter()
            .map(|(name, value)| {
                let sizes = |shape: &[i64]| {
                    shape.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect::<Vec<_>>()
                };
                match self.outputs.iter().find(|port| port.name == name).map(|port| port.dtype) {
                    Some(Dtype::Float16) => {
                        let (shape, values) = value.try_extract_tensor::<f16>().map_err(failed)?;
                        let values: Vec<f32> = values.iter().map(|value| value.to_f32()).collect();
                        Ok(take(name, sizes(shape), View::F32(&values)))
                    }
                    Some(Dtype::Int64) => {
                        let (shape, values) = value.try_extract_tensor::<i64>().map_err(failed)?;
                        Ok(take(name, sizes(shape), View::I64(values)))
                    }
                    _ => {
                        let (shape, values) = value.try_extract_tensor::<f32>().map_err(failed)?;
                        Ok(take(name, sizes(shape), View::F32(values)))
                    }
                }
            })
            .collect()
    }

    fn check_single_input(&self) -> Result<()> {
        if self.inputs.len() == 1 {
            return Ok(());
        }
        Err(self.mismatch(format!("it has not one input but {}", list(&self.inputs))))
    }

    fn check_input(&self, port: &Port, values: &[f32], shape: &[usize]) -> Result<()> {
        if !port.dtype.is_float() {
            return Err(self.mismatch(format!("input {port} does not take float32")));
        }
        if !port.takes(shape) {
            return Err(self.mismatch(format!("input {port} does not take the shape {shape:?}")));
        }
        let elements = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        if elements != Some(values.len()) {
            return Err(
                self.mismatch(format!("input {port} was given {} values for {shape:?}", values.len()))
            );
        }
        if values.is_empty() {
            return Err(self.mismatch(format!("input {port} was given nothing: {shape:?}")));
        }
        Ok(())
    }

    fn mismatch(&self, reason: String) -> RuntimeError {
        RuntimeError::Mismatch { model: self.model.clone(), reason }
    }
}

fn list(ports: &[Port]) -> String {
    match ports {
        [] => "none".to_owned(),
        _ => ports.iter().map(Port::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// Loads the model into a session that is otherwise ready.
type Commit<'a> = &'a dyn Fn(&mut SessionBuilder) -> ort::Result<onnx::Session>;

/// The reason is given back where CUDA is not usable or cannot run the model.
///
/// What is wrong with the machine stays wrong, so it is found out once per process; what is wrong with the
/// model will be said again by the CPU.
fn open_on_cuda_if_usable(
    open_on: &dyn Fn(Provider) -> Result<onnx::Session>,
) -> Result<onnx::Session, String> {
    static UNUSABLE: OnceLock<String> = OnceLock::new();
    if let Some(why) = UNUSABLE.get() {
        return Err(why.clone());
    }
    open_on(Provider::Cuda(0)).map_err(|error| {
        let (problem, remedy) = error.problem_and_remedy();
        let why = format!("CUDA is not used: {problem}");
        match (error, remedy) {
            (RuntimeError::Provider { .. }, _) => UNUSABLE.get_or_init(|| why).clone(),
            _ => why,
        }
    })
}

fn open_on(
    provider: Provider,
    model: &str,
    options: &SessionOptions,
    library: &Library,
    commit: Commit<'_>,
) -> Result<onnx::Session> {
    let builder = prepare(options, library).map_err(|error| RuntimeError::Model {
        model: model.to_owned(),
        reason: format!("the session options were refused: {}", provider::tidy(error.message())),
    })?;
    let provider_options = ProviderOptions { tf32: options.tf32 };
    let mut builder = provider::register(builder, provider, library, &provider_options)?;
    commit(&mut builder).map_err(|error| {
        let reason = provider::tidy(error.message());
        let said_twice = format!("Load model from {model} failed:");
        let reason = reason.strip_prefix(&said_twice).unwrap_or(&reason).trim_end_matches('.').to_owned();
        let model = model.to_owned();
        match error.code() {
            _ if is_parse_failure(error.code(), &reason) => RuntimeError::NotOnnx { model, reason },
            // CUDA initialises its device only now.
            ErrorCode::ExecutionProviderFailure => provider::unavailable(provider, &reason),
            _ if provider != Provider::Cpu && reason.starts_with("CUDA") => {
                provider::unavailable(provider, &reason)
            }
            _ => RuntimeError::Model { model, reason },
        }
    })
}

fn is_parse_failure(code: ErrorCode, reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    code == ErrorCode::InvalidProtobuf
        || reason.contains("protobuf")
        || reason.contains("does not have a graph")
}

fn prepare(options: &SessionOptions, library: &Library) -> ort::Result<SessionBuilder> {
    let pool = options.pinned.then(|| affinity::of_pool(options.intra_threads)).flatten();
    let threads = pool.as_ref().map_or(options.intra_threads, |pool| pool.threads);
    let mut builder = onnx::Session::builder(library.environment())?
        .with_optimization_level(options.optimization.into())?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(options.spinning && options.intra_threads != 1)?;
    if let Some(pool) = pool {
        builder = builder.with_config_entry("session.intra_op_thread_affinities", pool.affinities)?;
    }
    if let Some(path) = &options.save_optimized {
        builder = builder.with_optimized_model_path(path)?;
    }
    Ok(builder)
}
