//! ONNX Runtime for genas: finding or installing the library, choosing a provider, running models.
//!
//! The library is not linked: [`ensure`] looks for it, installs the pinned release when it is nowhere,
//! and loads it once per process. [`Session`] then runs models, and [`Doctor`] says what a machine can do.
//!
//! ```no_run
//! # fn main() -> Result<(), genas_runtime::RuntimeError> {
//! genas_runtime::ensure(&|message| eprintln!("{message}"))?;
//! let mut session = genas_runtime::Session::from_file("cell.onnx".as_ref(), &Default::default())?;
//! let logits = session.run_f32(&[0.0; 3 * 32 * 32], &[1, 3, 32, 32])?;
//! # Ok(())
//! # }
//! ```

mod affinity;
mod doctor;
mod error;
mod install;
mod library;
mod output;
mod pip;
mod platform;
mod provider;
mod session;
mod wheels;

pub use affinity::pinned;
pub use doctor::{Cpu, Doctor, OnnxRuntime, ProviderStatus};
pub use error::{Result, RuntimeError};
pub use install::{InstallOptions, Installed, install};
pub use library::{Library, ensure, loaded, locate, version};
pub use output::{Output, TypedOutput, Values};
pub use platform::data_dir;
pub use provider::{Provider, check as check_provider};
pub use session::{Dtype, Optimization, Port, Session, SessionOptions};
pub use wheels::VERSION;
