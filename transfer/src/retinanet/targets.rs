//! What the network should say to a batch: a label for every anchor, and the corrections of the positive ones, as the
//! losses of `genas-net` want them.

use std::sync::Arc;

use genas_net::AnchorLabels;
use rayon::prelude::*;

use super::anchors::Anchors;
use super::boxes::Corners;
use super::coding::encode;
use super::config::RetinaNetConfig;
use super::matcher::{Label, match_anchors};

/// Objects of an image: boxes in pixels of the network's input, and classes.
pub type Objects = [(Corners, usize)];

/// What one level's maps should be.
#[derive(Clone, Debug)]
pub struct LevelTargets {
    /// Of the logits.
    pub labels: AnchorLabels,
    /// Places in the values of the deltas' map `[n, anchors * 4, h, w]` that are trained.
    pub places: Vec<i64>,
    /// What should be there.
    pub deltas: Vec<f32>,
}

/// What the network should say to one image: all levels' anchors in the order of [`Anchors::all`].
#[derive(Clone, Debug)]
pub struct ImageTargets {
    labels: Vec<Label>,
    objects: Vec<(Corners, usize)>,
}

impl ImageTargets {
    /// Matches the anchors of an input with the objects of every image.
    pub fn of_batch(
        anchors: &[Corners],
        batch: &[Vec<(Corners, usize)>],
        config: &RetinaNetConfig,
    ) -> Vec<Self> {
        batch.par_iter().map(|objects| Self::new(anchors, objects, config)).collect()
    }

    fn new(anchors: &[Corners], objects: &Objects, config: &RetinaNetConfig) -> Self {
        let boxes: Vec<Corners> = objects.iter().map(|(corners, _)| *corners).collect();
        Self { labels: match_anchors(anchors, &boxes, &config.matcher), objects: objects.to_vec() }
    }

    /// Anchors that are taught an object.
    pub fn positives(&self) -> usize {
        self.labels.iter().filter(|label| matches!(label, Label::Object(_))).count()
    }
}

/// Targets of each level for images of `height` and `width`.
pub fn level_targets(
    images: &[ImageTargets],
    anchors: &Anchors,
    [height, width]: [usize; 2],
    classes: usize,
    config: &RetinaNetConfig,
) -> Vec<LevelTargets> {
    let per_cell = config.anchors_per_cell();
    let mut first = 0;
    let maps = anchors.maps(height, width).into_iter().enumerate();
    maps.map(|(level, [h, w])| {
        let boxes = anchors.level(level, [h, w]);
        let mut labels = vec![AnchorLabels::BACKGROUND; images.len() * per_cell * h * w];
        let (mut places, mut deltas) = (Vec::new(), Vec::new());
        for (n, image) in images.iter().enumerate() {
            for (at, label) in image.labels[first..first + boxes.len()].iter().enumerate() {
                let (place, anchor) = (at / per_cell, at % per_cell);
                let label_place = (n * per_cell + anchor) * h * w + place;
                match *label {
                    Label::Background => {}
                    Label::Ignored => labels[label_place] = AnchorLabels::IGNORED,
                    Label::Object(object) => {
                        let (corners, class) = image.objects[object];
                        labels[label_place] = class as i32;
                        let code = encode(boxes[at], corners, config.loss.box_weights);
                        let plane = (n * per_cell + anchor) * 4;
                        places.extend((0..4).map(|k| ((plane + k) * h * w + place) as i64));
                        deltas.extend(code);
                    }
                }
            }
        }
        first += boxes.len();
        LevelTargets { labels: AnchorLabels { labels: Arc::from(labels), classes }, places, deltas }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retinanet::losses::{focal, smooth_l1};
    use genas_net::{Devices, Feature, sigmoid_focal_loss, smooth_l1_at};

    const SIZE: [usize; 2] = [64, 96];
    const CLASSES: usize = 3;

    /// Two images: one with objects of several sizes, one without any.
    fn objects() -> Vec<Vec<(Corners, usize)>> {
        let some =
            vec![([4.0, 6.0, 30.0, 40.0], 2), ([50.0, 10.0, 90.0, 60.0], 0), ([60.0, 20.0, 70.0, 28.0], 1)];
        vec![some, Vec::new()]
    }

    fn noise(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 % 1013) as f32 / 1013.0 - 0.7) * 4.0).collect()
    }

    /// The losses of the tensor code are the formulae's, summed over anchors by hand.
    #[test]
    fn losses_are_those_of_the_formulae() {
        let mut config = RetinaNetConfig::default();
        config.anchors.sizes = vec![8.0, 16.0, 32.0, 64.0, 128.0];
        config.loss.smooth_l1_beta = 0.11;
        let anchors = Anchors::new(&config.anchors);
        let all = anchors.all(SIZE[0], SIZE[1]);
        let images = ImageTargets::of_batch(&all, &objects(), &config);
        assert!(images[0].positives() > 10 && images[1].positives() == 0, "{}", images[0].positives());
        let levels = level_targets(&images, &anchors, SIZE, CLASSES, &config);
        let (per_cell, device) = (config.anchors_per_cell(), Devices::cpu().plain());
        let (mut wanted, mut found, mut ignored) = ([0.0f64; 2], [0.0f64; 2], 0);
        let mut first = 0;
        for ([h, w], targets) in anchors.maps(SIZE[0], SIZE[1]).into_iter().zip(&levels) {
            let shape = |channels: usize| [2, per_cell * channels, h, w];
            let maps = [CLASSES, 4].map(|channels| noise(shape(channels).iter().product()));
            let tensor =
                |n: usize, channels| Feature::from_values(maps[n].clone(), shape(channels), &device).tensor();
            let LevelTargets { labels, places, deltas } = targets;
            found[0] +=
                f64::from(sigmoid_focal_loss(tensor(0, CLASSES), labels, 0.25, 2.0).into_scalar::<f32>());
            found[1] += f64::from(smooth_l1_at(tensor(1, 4), places, deltas, 0.11).into_scalar::<f32>());
            for (n, objects) in objects().iter().enumerate() {
                let boxes: Vec<Corners> = objects.iter().map(|(corners, _)| *corners).collect();
                let matched = match_anchors(&all, &boxes, &config.matcher);
                for at in 0..h * w * per_cell {
                    let (place, anchor) = (at / per_cell, at % per_cell);
                    let at_channel = |map: usize, channels: usize, k: usize| {
                        let plane = (n * per_cell + anchor) * channels + k;
                        f64::from(maps[map][plane * h * w + place])
                    };
                    let object = match matched[first + at] {
                        Label::Ignored => {
                            ignored += 1;
                            continue;
                        }
                        Label::Background => None,
                        Label::Object(object) => Some(objects[object]),
                    };
                    for class in 0..CLASSES {
                        let is = object.is_some_and(|(_, c)| c == class);
                        wanted[0] += focal(at_channel(0, CLASSES, class), is, 0.25, 2.0).0;
                    }
                    if let Some((corners, _)) = object {
                        let code = encode(all[first + at], corners, [1.0; 4]);
                        for (k, code) in code.into_iter().enumerate() {
                            wanted[1] += smooth_l1(at_channel(1, 4, k) - f64::from(code), 0.11).0;
                        }
                    }
                }
            }
            first += h * w * per_cell;
        }
        assert!(ignored > 0);
        for (found, wanted) in found.into_iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-5 * wanted, "{found}, not {wanted}");
        }
    }
}
