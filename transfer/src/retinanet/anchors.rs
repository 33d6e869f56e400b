//! [`Anchors`]: boxes of fixed sizes and shapes around every place of every feature map: Detectron2's
//! `DefaultAnchorGenerator`.
//!
//! torchvision differs: it cuts sizes to integers, rounds corners, and puts ratios before sizes.

use super::boxes::Corners;
use super::config::AnchorConfig;

/// Anchors of every level around the place (0, 0), and the levels' strides.
#[derive(Clone, Debug, PartialEq)]
pub struct Anchors {
    levels: Vec<(usize, Vec<Corners>)>,
    offset: f64,
}

impl Anchors {
    /// With settings that [`super::RetinaNetConfig::check`] accepts.
    pub fn new(config: &AnchorConfig) -> Self {
        let cell = |size: f64| {
            let mut boxes = Vec::new();
            for scale in &config.scales {
                for ratio in &config.ratios {
                    let area = (size * scale).powi(2);
                    let width = (area / ratio).sqrt();
                    let height = ratio * width;
                    boxes.push([-width / 2.0, -height / 2.0, width / 2.0, height / 2.0].map(|v| v as f32));
                }
            }
            boxes
        };
        let levels = config.strides.iter().zip(&config.sizes);
        Self { levels: levels.map(|(&stride, &size)| (stride, cell(size))).collect(), offset: config.offset }
    }

    /// Levels of the pyramid.
    pub fn levels(&self) -> usize {
        self.levels.len()
    }

    /// Pixels between places, and the anchors around the place (0, 0): sizes outside, ratios inside.
    pub fn cell(&self, level: usize) -> (usize, &[Corners]) {
        let (stride, boxes) = &self.levels[level];
        (*stride, boxes)
    }

    /// Height and width of every level's feature map for an input whose sides the largest stride divides, or that is
    /// rounded up where it does not, as convolutions with padding do.
    pub fn maps(&self, height: usize, width: usize) -> Vec<[usize; 2]> {
        self.levels.iter().map(|(stride, _)| [height.div_ceil(*stride), width.div_ceil(*stride)]).collect()
    }

    /// All anchors of a level: row by row, place by place, in the order of [`Self::cell`].
    pub fn level(&self, level: usize, [height, width]: [usize; 2]) -> Vec<Corners> {
        let (stride, cell) = &self.levels[level];
        let at = |n: usize| ((n as f64 + self.offset) * *stride as f64) as f32;
        let mut boxes = Vec::with_capacity(height * width * cell.len());
        for y in 0..height {
            for x in 0..width {
                let (dx, dy) = (at(x), at(y));
                boxes.extend(cell.iter().map(|b| [dx + b[0], dy + b[1], dx + b[2], dy + b[3]]));
            }
        }
        boxes
    }

    /// All anchors of all levels, finest first.
    pub fn all(&self, height: usize, width: usize) -> Vec<Corners> {
        let maps = self.maps(height, width);
        maps.into_iter().enumerate().flat_map(|(level, map)| self.level(level, map)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retinanet::recorded::recorded;

    #[test]
    fn cells_and_grids_as_detectron2() {
        let case = &recorded()["anchors"];
        let anchors = Anchors::new(&AnchorConfig::default());
        for (level, want) in case["cells"].list().iter().enumerate() {
            assert_eq!(anchors.cell(level).1, want.boxes(), "level {level}");
        }
        // 64 x 96 pixels
        let maps = anchors.maps(64, 96);
        assert_eq!(maps, [[8, 12], [4, 6], [2, 3], [1, 2], [1, 1]]);
        for (level, want) in case["grids"].list().iter().enumerate() {
            let got = anchors.level(level + 2, maps[level + 2]);
            assert_eq!(got, want.boxes(), "level {}", level + 2);
        }
        let all = anchors.all(64, 96);
        assert_eq!(all.len(), 9 * (96 + 24 + 6 + 2 + 1));
        assert_eq!(all[9 * 96], anchors.level(1, maps[1])[0]);
    }

    #[test]
    fn areas_and_ratios() {
        let anchors = Anchors::new(&AnchorConfig { offset: 0.5, ..AnchorConfig::default() });
        let (stride, cell) = anchors.cell(1);
        for (n, [left, top, right, bottom]) in cell.iter().enumerate() {
            let (size, ratio) = (64.0 * 2f32.powf((n / 3) as f32 / 3.0), [0.5, 1.0, 2.0][n % 3]);
            assert!(((right - left) * (bottom - top) / (size * size) - 1.0).abs() < 1e-5, "{n}");
            assert!(((bottom - top) / (right - left) / ratio - 1.0).abs() < 1e-5, "{n}");
        }
        let first = anchors.level(1, [1, 1])[0];
        assert_eq!((stride, (first[0] + first[2]) / 2.0), (16, 8.0));
    }
}
