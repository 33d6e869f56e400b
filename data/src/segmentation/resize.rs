//! Sizes as MMCV computes them, and labels resized as OpenCV does with `INTER_NEAREST`.

use super::LabelMap;
use crate::Window;

/// Width and height times a factor: MMCV's `_scale_size`, halves rounded up.
pub fn scaled_size(size: [usize; 2], factor: f64) -> [usize; 2] {
    size.map(|side| ((side as f64 * factor + 0.5) as usize).max(1))
}

/// Width and height of an image that fits into `scale` with its shape kept: MMCV's `rescale_size`. The longer side of
/// the scale is for the longer side of the image, whichever it is.
pub fn fitting_size([width, height]: [usize; 2], scale: [usize; 2]) -> [usize; 2] {
    let longest = scale[0].max(scale[1]) as f64 / width.max(height) as f64;
    let shortest = scale[0].min(scale[1]) as f64 / width.min(height) as f64;
    scaled_size([width, height], longest.min(shortest))
}

/// Of every new position the old one: rounded down, without the half that a pixel's centre is away.
pub(super) fn nearest(from: usize, to: usize) -> Vec<usize> {
    let step = 1.0 / (to as f64 / from as f64);
    (0..to).map(|i| ((i as f64 * step) as usize).min(from - 1)).collect()
}

impl LabelMap {
    /// A window of the labels as they are after resizing to `to` (width and height).
    pub fn resized_window(&self, to: [usize; 2], window: Window) -> Self {
        self.picked(&nearest(self.width, to[0]), &nearest(self.height, to[1]), window)
    }

    /// A window of the labels at these columns and rows.
    pub(super) fn picked(&self, columns: &[usize], rows: &[usize], window: Window) -> Self {
        let columns = &columns[window.left as usize..][..window.width];
        let rows = &rows[window.top as usize..][..window.height];
        let mut labels = Vec::with_capacity(window.width * window.height);
        for &y in rows {
            let row = &self.labels[y * self.width..][..self.width];
            labels.extend(columns.iter().map(|&x| row[x]));
        }
        Self { width: window.width, height: window.height, labels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_mmcv() {
        // mmcv.rescale_size((w, h), scale)
        for (size, scale, want) in [
            ([2048, 1024], [2048, 1024], [2048, 1024]),
            ([2048, 1024], [1400, 700], [1400, 700]),
            ([480, 360], [2048, 1024], [1365, 1024]),
            ([360, 480], [2048, 1024], [1024, 1365]),
            ([100, 3], [50, 50], [50, 2]),
            ([1000, 1], [10, 10], [10, 1]),
        ] {
            assert_eq!(fitting_size(size, scale), want, "{size:?} {scale:?}");
        }
        assert_eq!(scaled_size([3, 5], 0.5), [2, 3]);
        assert_eq!(scaled_size([3, 5], 0.01), [1, 1]);
    }

    #[test]
    fn windows_are_parts_of_the_whole() {
        let map = LabelMap { width: 7, height: 5, labels: (0..35).collect() };
        let to = [11, 4];
        let whole = map.resized_window(to, Window { left: 0, top: 0, width: 11, height: 4 });
        let part = map.resized_window(to, Window { left: 3, top: 1, width: 6, height: 2 });
        for y in 0..2 {
            assert_eq!(part.labels[6 * y..][..6], whole.labels[11 * (y + 1) + 3..][..6]);
        }
    }
}
