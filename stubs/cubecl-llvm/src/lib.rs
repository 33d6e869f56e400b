//! Stands in for `cubecl-llvm`, so that a CUDA build downloads no LLVM: see the README beside.
//!
//! `cubecl-cuda` names these types but, with its feature `cpp`, never makes one of them work.

use cubecl_core::ir::nvidia::SmArch;
use cubecl_core::prelude::KernelDefinition;
use cubecl_environment::backtrace::BackTrace;
use cubecl_server::compiler::CompilationError;
use cubecl_server::kernel::BufferIOAttr;

/// Versions of NVIDIA's assembly language.
pub mod nvptx {
    /// Versions of NVIDIA's assembly language.
    pub mod ptx_version {
        use std::fmt;

        /// A version that no driver is said to load.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum PtxVersion {}

        impl PtxVersion {
            /// Always none: nothing here emits PTX.
            pub fn for_driver(_driver: i32) -> Option<Self> {
                None
            }
        }

        impl fmt::Display for PtxVersion {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {}
            }
        }
    }
}

/// What the code generators have in common.
pub mod shared {
    /// Features of a device that code generation cannot use.
    pub mod lowered_features {
        use cubecl_core::ir::DeviceProperties;

        /// Kinds of GPU.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum GpuTarget {
            /// NVIDIA.
            Nvptx,
        }

        /// Changes nothing: called for the LLVM backend only.
        pub fn restrict_features(_properties: &mut DeviceProperties, _target: GpuTarget) {}
    }
}

/// Kinds of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LlvmTarget {
    /// PTX.
    Nvptx,
}

/// A compiler that refuses.
#[derive(Clone, Debug)]
pub struct PlironCompiler {
    /// What it would emit.
    pub target: LlvmTarget,
}

/// A compiled kernel; there are none.
#[derive(Clone, Debug)]
pub struct NvptxModule {
    /// The program, ending with a zero.
    pub ptx: Vec<std::ffi::c_char>,
    /// The function to launch.
    pub entrypoint: String,
    /// LLVM's intermediate form.
    pub ir: String,
    /// Dynamic shared memory that a launch reserves.
    pub shared_memory_size: usize,
    /// How the kernel uses its buffers.
    pub io: Vec<BufferIOAttr>,
}

/// What a compilation yields.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PlironArtifact {
    /// PTX.
    NvptxCode(NvptxModule),
}

/// Settings of a compilation.
#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    /// Architecture of an AMD GPU.
    pub arch: Option<()>,
    /// Architecture of an NVIDIA GPU.
    pub sm_arch: Option<SmArch>,
    /// Newest PTX that the driver loads.
    pub ptx_version: Option<nvptx::ptx_version::PtxVersion>,
    /// Whether launch parameters are grid constants.
    pub grid_constants: bool,
    /// Keeps `..Default::default()` meaningful to its caller.
    pub rest: (),
}

impl PlironCompiler {
    /// Always an error.
    pub fn compile(
        &mut self,
        _: KernelDefinition,
        _: &PlironOptions,
    ) -> Result<PlironArtifact, CompilationError> {
        Err(CompilationError::Generic {
            reason: "genas is built without cubecl-llvm: kernels are compiled by NVRTC".to_owned(),
            backtrace: BackTrace::capture(),
        })
    }

    /// Name of the generated language.
    pub fn lang_tag(&self) -> &'static str {
        "ll"
    }
}
