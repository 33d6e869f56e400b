//! Which part of an image is cut out: MMSegmentation's `RandomCrop` with `cat_max_ratio`.

use rand::{Rng, RngExt};

use super::{IGNORED, LabelMap};
use crate::Window;

/// Draws a window of `crop` (width and height) in an image of `size`; it is cut off where the image is smaller. The
/// row is drawn before the column.
pub fn draw_window(rng: &mut impl Rng, size: [usize; 2], crop: [usize; 2]) -> Window {
    let mut offset = |axis: usize| rng.random_range(0..=size[axis].saturating_sub(crop[axis]));
    let top = offset(1);
    let left = offset(0);
    Window { left: left as i64, top: top as i64, width: crop[0].min(size[0]), height: crop[1].min(size[1]) }
}

/// Whether a part of an image is worth learning from: it has two classes or more, and each covers less than `most` of
/// the pixels that are not ignored.
pub fn is_varied(part: &LabelMap, most: f64) -> bool {
    let mut counts = [0usize; 256];
    part.labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
    counts[usize::from(IGNORED)] = 0;
    let (classes, largest) =
        (counts.iter().filter(|&&n| n > 0).count(), counts.iter().max().copied().unwrap_or(0));
    classes > 1 && (largest as f64 / counts.iter().sum::<usize>() as f64) < most
}

/// Draws a window, and again up to `redraws` times while its part is not varied. What the last try gives is taken as it is.
pub fn draw_varied_window(
    rng: &mut impl Rng,
    size: [usize; 2],
    crop: [usize; 2],
    redraws: usize,
    varied: impl Fn(Window) -> bool,
) -> Window {
    let mut window = draw_window(rng, size, crop);
    for _ in 0..redraws {
        if varied(window) {
            break;
        }
        window = draw_window(rng, size, crop);
    }
    window
}

#[cfg(test)]
mod tests {
    use super::*;
    use genas_space::Streams;

    #[test]
    fn windows_reach_everywhere_and_stay_inside() {
        let mut seen = [[false; 4]; 3];
        for n in 0..400 {
            let window = draw_window(&mut Streams::new(1).rng("t", n), [10, 8], [7, 6]);
            assert!(window.inside(10, 8) && (window.width, window.height) == (7, 6), "{window:?}");
            seen[window.top as usize][window.left as usize] = true;
        }
        assert!(seen.as_flattened().iter().all(|seen| *seen), "{seen:?}");
        let small = draw_window(&mut Streams::new(1).rng("t", 0), [5, 8], [7, 9]);
        assert_eq!(small, Window { left: 0, top: 0, width: 5, height: 8 });
    }

    #[test]
    fn the_largest_class_counts() {
        let map = |labels: &[u8]| LabelMap { width: labels.len(), height: 1, labels: labels.to_vec() };
        for (labels, most, want) in [
            (&[1, 1, 1, 2][..], 0.75, false),
            (&[1, 1, 1, 2], 0.76, true),
            (&[1, 1, 2, 2, 3], 0.75, true),
            (&[1, 1, 1, 2, 255, 255], 0.75, false),
            (&[1, 1, 1], 2.0, false),
            (&[255, 255], 0.75, false),
            (&[255, 1], 0.75, false),
        ] {
            assert_eq!(is_varied(&map(labels), most), want, "{labels:?}");
        }
    }

    #[test]
    fn redraws_end() {
        let tries = std::cell::Cell::new(0);
        let never = |_| {
            tries.set(tries.get() + 1);
            false
        };
        draw_varied_window(&mut Streams::new(1).rng("t", 0), [90, 90], [7, 6], 10, never);
        assert_eq!(tries.get(), 10);
        let want = draw_window(&mut Streams::new(1).rng("t", 0), [90, 90], [7, 6]);
        assert_eq!(
            draw_varied_window(&mut Streams::new(1).rng("t", 0), [90, 90], [7, 6], 10, |_| true),
            want
        );
    }
}
