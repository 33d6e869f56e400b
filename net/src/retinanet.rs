//! RetinaNet's wiring: a backbone, a feature pyramid, and heads that all levels share (Lin et al. 2017; Detectron2's
//! defaults, spec 06-3). What happens to its numbers, losses or boxes, is not part of the network.

use crate::evalnet::EvalNet;
use crate::interpreter::Interpreter;
use crate::layer::{BatchNorm, Conv};
use crate::layout::Layout;
use serde::{Deserialize, Serialize};

/// Names of the pyramid's levels, finest first.
const LEVELS: [&str; 5] = ["p3", "p4", "p5", "p6", "p7"];

/// A detector of one genotype.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RetinaNet {
    /// The backbone. Its classifier is not part of the detector.
    pub backbone: EvalNet,
    /// Whether the backbone's maps are rectified first ([`EvalNet::backbone`]).
    pub relu_features: bool,
    /// BatchNorm in pyramid and heads, each level its own. Detectron2 has none there by default; as its `FPN.NORM` and
    /// `RETINANET.NORM`, but that scale and shift are each level's own too.
    #[serde(default)]
    pub batch_norm: bool,
    /// Channels of the pyramid and of the heads.
    pub channels: usize,
    /// Convolutions of each head before its last.
    pub head_convolutions: usize,
    /// Anchors at every place of a map.
    pub anchors: usize,
    /// Number of classes.
    pub classes: usize,
}

/// What the detector says on one level of the pyramid.
#[derive(Clone, Debug)]
pub struct LevelMaps<V> {
    /// Logits `[n, anchors * classes, h, w]`, the classes of an anchor side by side.
    pub logits: V,
    /// Corrections of the anchors `[n, anchors * 4, h, w]`.
    pub deltas: V,
}

impl RetinaNet {
    /// Pixels of the image per pixel of each level.
    pub const STRIDES: [usize; 5] = [8, 16, 32, 64, 128];

    /// Sides of the images are multiples of this, so that each level is half of the one before it.
    pub const DIVISOR: usize = 32;

    /// Under which scope the backbone's parameters are.
    pub const BACKBONE: &str = "backbone";

    /// Why there is no such detector, if there is none.
    pub fn problem(&self) -> Option<String> {
        self.backbone.backbone_problem()
    }

    /// All parameters and buffers.
    pub fn layout(&self) -> Layout {
        Layout::of([3, 224, 224], |i, x| {
            self.forward(i, x);
        })
    }

    /// Height and width of each level for an image whose sides are multiples of [`DIVISOR`](Self::DIVISOR).
    pub fn level_sizes(image: [usize; 2]) -> [[usize; 2]; 5] {
        Self::STRIDES.map(|stride| image.map(|side| side.div_ceil(stride)))
    }

    /// Images `[n, 3, h, w]`, sides multiples of [`DIVISOR`](Self::DIVISOR), to the levels' maps, finest first.
    pub fn forward<I: Interpreter>(&self, i: &mut I, x: &I::Value) -> [LevelMaps<I::Value>; 5] {
        let features = i.scope(Self::BACKBONE, |i| self.backbone.backbone(i, x, self.relu_features));
        let pyramid = i.scope("fpn", |i| self.pyramid(i, features));
        i.scope("head", |i| {
            let mut levels = LEVELS.into_iter();
            pyramid.map(|map| self.head(i, levels.next().unwrap_or_default(), &map))
        })
    }

    fn pyramid<I: Interpreter>(&self, i: &mut I, [_, c3, c4, c5]: [I::Value; 4]) -> [I::Value; 5] {
        let [_, w3, w4, w5] = self.backbone.backbone_channels();
        let c = self.channels;
        let mut lateral = |level: &str, c_in: usize, x: &I::Value| {
            i.scope(level, |i| self.layer(i, "lateral", &Conv::pointwise(c_in, c), None, x))
        };
        let [m3, m4, m5] =
            [lateral(LEVELS[0], w3, &c3), lateral(LEVELS[1], w4, &c4), lateral(LEVELS[2], w5, &c5)];
        let above = i.upsample(&m5);
        let m4 = i.sum(&[m4, above]);
        let above = i.upsample(&m4);
        let m3 = i.sum(&[m3, above]);
        let mut output = |level: &str, c_in: usize, stride: usize, x: &I::Value| {
            i.scope(level, |i| self.layer(i, "output", &Conv::dense(c_in, c, 3, stride, 1), None, x))
        };
        let [p3, p4, p5] =
            [output(LEVELS[0], c, 1, &m3), output(LEVELS[1], c, 1, &m4), output(LEVELS[2], c, 1, &m5)];
        let p6 = output(LEVELS[3], w5, 2, &c5);
        let p7 = i.scope(LEVELS[4], |i| {
            let x = i.relu(&p6);
            self.layer(i, "output", &Conv::dense(c, c, 3, 2, 1), None, &x)
        });
        [p3, p4, p5, p6, p7]
    }

    fn head<I: Interpreter>(&self, i: &mut I, level: &str, map: &I::Value) -> LevelMaps<I::Value> {
        let c = self.channels;
        let mut tower = |name: &str, outputs: usize| {
            i.scope(name, |i| {
                let mut x = map.clone();
                for n in 0..self.head_convolutions {
                    let conv = Conv::dense(c, c, 3, 1, 1);
                    x = self.layer(i, &format!("conv{n}"), &conv, Some(level), &x);
                    x = i.relu(&x);
                }
                i.conv("output", &Conv::dense(c, outputs, 3, 1, 1).with_bias(), &x)
            })
        };
        let logits = tower("classes", self.anchors * self.classes);
        LevelMaps { logits, deltas: tower("boxes", self.anchors * 4) }
    }

    /// A convolution with a bias, or with a BatchNorm behind it. Levels that share the convolution do not share the
    /// BatchNorm, whose statistics differ between them.
    fn layer<I: Interpreter>(
        &self,
        i: &mut I,
        name: &str,
        conv: &Conv,
        level: Option<&str>,
        x: &I::Value,
    ) -> I::Value {
        if !self.batch_norm {
            return i.conv(name, &conv.with_bias(), x);
        }
        let x = i.conv(name, conv, x);
        let bn = BatchNorm::new(conv.c_out);
        let name = format!("{name}_bn");
        match level {
            Some(level) => i.scope(level, |i| i.batch_norm(&name, &bn, &x)),
            None => i.batch_norm(&name, &bn, &x),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::Cost;
    use crate::evalnet::NetworkKind;

    fn net(channels: usize) -> RetinaNet {
        let genotype = genas_space::zoo::find("DARTS_V2").expect("a published cell").genotype();
        let backbone = EvalNet {
            kind: NetworkKind::ImageNet,
            genotype,
            channels,
            layers: 14,
            classes: 10,
            auxiliary: false,
        };
        RetinaNet {
            backbone,
            relu_features: false,
            batch_norm: false,
            channels: 256,
            head_convolutions: 4,
            anchors: 9,
            classes: 80,
        }
    }

    #[test]
    fn levels_halve_and_heads_are_shared() {
        let net = net(16);
        let (height, width) = (480, 640);
        let mut sizes = Vec::new();
        let cost = Cost::of([3, height, width], |i, x| {
            for (level, size) in net.forward(i, x).iter().zip(RetinaNet::level_sizes([height, width])) {
                assert_eq!(level.logits, [720, size[0], size[1]]);
                assert_eq!(level.deltas, [36, size[0], size[1]]);
                sizes.push(size);
            }
        });
        assert_eq!(sizes, [[60, 80], [30, 40], [15, 20], [8, 10], [4, 5]]);
        let layout = net.layout();
        assert_eq!(cost.params, layout.n_parameters() as u64);
        // By hand: two towers of four convolutions, and their ends, once for all levels.
        let head: usize = 2 * 4 * (256 * 256 * 9 + 256) + (720 + 36) * (256 * 9 + 1);
        let found: usize =
            layout.entries().iter().filter(|e| e.name.starts_with("head.")).map(|e| e.len()).sum();
        assert_eq!(found, head);
        // The multiply-accumulates of the heads are those of Detectron2's, at every level.
        let places: u64 = sizes.iter().map(|[h, w]| (h * w) as u64).sum();
        let per_place = (2 * 4 * 256 * 256 * 9 + (720 + 36) * 256 * 9) as u64;
        assert!(cost.macs > places * per_place);
        // With BatchNorm there are scale and shift of each level for each convolution but the last, in place of a bias.
        let normalized = RetinaNet { batch_norm: true, ..net }.layout();
        let more = 2 * 4 * (5 * 2 - 1) * 256 + 8 * 256;
        assert_eq!(normalized.n_parameters(), layout.n_parameters() + more);
    }
}
