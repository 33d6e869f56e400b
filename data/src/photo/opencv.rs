//! OpenCV's `resize` with `INTER_LINEAR` on bytes: two taps each way, no antialias, in its fixed-point arithmetic.
//!
//! Coefficients have 11 bits, rows are kept as 32-bit integers, and a pair of them is added with 16 bits less and
//! rounded. Where OpenCV takes another path (SIMD, or averaging at exactly half the size), its bytes may differ by 1.

use crate::{Picture, Window};

const ONE: f32 = 2048.0;

/// Two neighbours and their weights, for every output position.
struct Taps {
    at: [usize; 2],
    weight: [i32; 2],
}

fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    (0..to)
        .map(|i| {
            let position = ((i as f64 + 0.5) * scale - 0.5) as f32;
            let floor = position.floor();
            let (mut at, mut part) = (floor as i64, position - floor);
            if at < 0 {
                (at, part) = (0, 0.0);
            }
            if at >= from as i64 - 1 {
                (at, part) = (from as i64 - 1, 0.0);
            }
            let weight = [1.0 - part, part].map(|w| (w * ONE).round_ties_even() as i32);
            Taps { at: [at as usize, (at as usize + 1).min(from - 1)], weight }
        })
        .collect()
}

/// Resizes a window of `picture` that lies inside it.
pub(super) fn resize(
    picture: &Picture,
    (left, top, from_width, from_height): (usize, usize, usize, usize),
    width: usize,
    height: usize,
) -> Picture {
    let (columns, rows) = (taps(from_width, width), taps(from_height, height));
    let source = |y: usize| &picture.rgb[3 * ((top + y) * picture.width + left)..][..3 * from_width];
    resample(source, &columns, &rows)
}

/// A window of what a picture of size `from` is after resizing to `to` (width and height each). Only what the window
/// is made of is looked at: `picture` may have fewer rows than `from` says, but for [`rows_needed`].
pub(crate) fn resized_window(picture: &Picture, from: [usize; 2], to: [usize; 2], window: Window) -> Picture {
    let (columns, rows) = (taps(from[0], to[0]), taps(from[1], to[1]));
    let columns = &columns[window.left as usize..][..window.width];
    let rows = &rows[window.top as usize..][..window.height];
    resample(|y| &picture.rgb[3 * y * from[0]..][..3 * from[0]], columns, rows)
}

/// How many of the first rows a window is made of.
pub(crate) fn rows_needed(from: [usize; 2], to: [usize; 2], window: Window) -> usize {
    let last = window.top as usize + window.height.max(1) - 1;
    taps(from[1], to[1]).get(last).map_or(from[1], |taps| taps.at[1] + 1)
}

/// Rows of `source` made of `columns` and `rows`.
fn resample<'a>(source: impl Fn(usize) -> &'a [u8], columns: &[Taps], rows: &[Taps]) -> Picture {
    let (width, height) = (columns.len(), rows.len());
    let mut rgb = vec![0; 3 * width * height];
    // The last two rows that were stretched, and which they were.
    let mut kept = [(usize::MAX, vec![0i32; 3 * width]), (usize::MAX, vec![0i32; 3 * width])];
    for (out, row) in rgb.chunks_exact_mut(3 * width).zip(rows) {
        let [first, second] = row.at;
        if kept[1].0 == first {
            kept.swap(0, 1);
        }
        for (slot, want) in kept.iter_mut().zip([first, second]) {
            if slot.0 != want {
                stretch(source(want), columns, &mut slot.1);
                slot.0 = want;
            }
        }
        let [a, b] = row.weight;
        for ((out, &x), &y) in out.iter_mut().zip(&kept[0].1).zip(&kept[1].1) {
            *out = ((((a * (x >> 4)) >> 16) + ((b * (y >> 4)) >> 16) + 2) >> 2) as u8;
        }
    }
    Picture { width, height, rgb }
}

fn stretch(source: &[u8], columns: &[Taps], out: &mut [i32]) {
    for (out, Taps { at: [x, y], weight: [a, b] }) in out.chunks_exact_mut(3).zip(columns) {
        let (x, y) = (&source[3 * x..3 * x + 3], &source[3 * y..3 * y + 3]);
        for c in 0..3 {
            out[c] = i32::from(x[c]) * a + i32::from(y[c]) * b;
        }
    }
}
