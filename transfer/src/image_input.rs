//! The input of models that take pictures of any size one by one: detectors and segmenters.

use genas_runtime::Port;

/// Width and height that the model, which is called a `kind` in messages, fixes.
pub(crate) fn fixed_size(inputs: &[Port], kind: &str) -> Result<[Option<usize>; 2], String> {
    let [port] = inputs else {
        return Err(format!("it has {} inputs; a {kind} has one", inputs.len()));
    };
    let [batch, Some(3) | None, height, width] = port.shape[..] else {
        return Err(format!("its input {port} is not a batch of images [batch, 3, height, width]"));
    };
    if batch.is_some_and(|batch| batch != 1) {
        return Err(format!(
            "its input {port} takes several images at once, and {kind}s are evaluated one by one; export it with \
             `--dynamic batch,height,width`"
        ));
    }
    Ok([width, height])
}
