//! Per-thread buffers that are kept between calls.

use std::cell::RefCell;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of this thread's store; goes back to it when dropped. Its content is arbitrary unless zeroed.
pub struct Scratch {
    buffer: Vec<f32>,
    /// Elements before the first in use.
    skip: usize,
}

/// A buffer of `len` elements with arbitrary content.
pub fn take(len: usize) -> Scratch {
    let mut buffer = FREE.with(|free| free.borrow_mut().pop()).unwrap_or_default();
    // Only growth is written; a longer buffer is cut, and `resize` reuses its allocation.
    buffer.resize(len, 0.0);
    Scratch { buffer, skip: 0 }
}

/// [`take`], beginning at a cache line: whole vectors then do not straddle two.
pub fn take_aligned(len: usize) -> Scratch {
    const LINE: usize = 64;
    let mut scratch = take(len + LINE / size_of::<f32>());
    let skip = scratch.buffer.as_ptr().align_offset(LINE).min(LINE / size_of::<f32>());
    scratch.buffer.truncate(skip + len);
    scratch.skip = skip;
    scratch
}

/// A buffer of `len` zeros.
pub fn zeroed(len: usize) -> Scratch {
    let mut buffer = take(len);
    buffer.fill(0.0);
    buffer
}

impl std::ops::Deref for Scratch {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.buffer[self.skip..]
    }
}

impl std::ops::DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[self.skip..]
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        // Ignored while the thread ends, when the store is gone.
        let _ = FREE.try_with(|free| free.borrow_mut().push(buffer));
    }
}
