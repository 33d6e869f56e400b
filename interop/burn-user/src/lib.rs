//! A Rust program that knows burn and not genas, and was given ONNX files: each module is what burn-onnx
//! makes of one.

/// Modules of the files in the folder that `GENAS_INTEROP` names: `write` puts them there.
macro_rules! models {
    ($($name:ident)*) => {$(
        /// Generated from the ONNX file of the same name.
        #[allow(missing_docs, unused, clippy::all)]
        pub mod $name {
            include!(concat!(
                env!("GENAS_INTEROP", "this is compiled by `cargo xtask interop`"),
                "/", stringify!($name), ".rs",
            ));
        }
    )*};
}

models! {
    classifier folded lowest_opset highest_opset imagenet free_sizes backbone half half_io
}
