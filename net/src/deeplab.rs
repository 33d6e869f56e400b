//! DeepLab-v3's wiring: a backbone whose last maps stay large, atrous spatial pyramid pooling, and an auxiliary head on the
//! map before (Chen et al. 2017; MMSegmentation's `deeplabv3` defaults, spec 06-5). What happens to its numbers, losses or
//! labels, is not part of the network.

use crate::dilation::Dilation;
use crate::evalnet::EvalNet;
use crate::interpreter::Interpreter;
use crate::layer::{BatchNorm, Conv, Probability};
use crate::layout::Layout;
use serde::{Deserialize, Serialize};

/// A segmenter of one genotype.
///
/// In training the branch that pools an image to one pixel is normalised over the images of a batch alone: with one image
/// its output would be its shift, whatever the image ([`batch_problem`](Self::batch_problem)).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeepLabV3 {
    /// The backbone. Its classifier is not part of the segmenter.
    pub backbone: EvalNet,
    /// Pixels of the image per pixel of the logits: 8, 16 or 32.
    pub output_stride: usize,
    /// See [`Dilation::exact`].
    pub exact_dilation: bool,
    /// Whether the backbone's maps are rectified first ([`EvalNet::backbone`]).
    pub relu_features: bool,
    /// Channels of each branch and of what joins them.
    pub channels: usize,
    /// Dilation of the 3x3 branches.
    pub rates: Vec<usize>,
    /// Number of classes.
    pub classes: usize,
    /// The head on the map before the last, used in training only.
    pub auxiliary: Option<AuxiliaryHead>,
    /// Probability that a channel before a classifier is dropped.
    pub dropout: Probability,
    /// How maps lie on each other when they are resized ([`Interpreter::resize`]).
    pub align_corners: bool,
}

/// One 3x3 convolution and a classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AuxiliaryHead {
    /// Channels between the two.
    pub channels: usize,
}

impl DeepLabV3 {
    /// Under which scope the backbone's parameters are.
    pub const BACKBONE: &str = "backbone";

    /// Under which scope the head's are.
    pub const HEAD: &str = "head";

    /// Under which scope the auxiliary head's are.
    pub const AUXILIARY: &str = "auxiliary";

    /// Sides of the images should be multiples of this: the backbone rounds others up, and maps no longer lie where the
    /// classes are.
    pub const DIVISOR: usize = 32;

    /// How the backbone keeps its maps large.
    pub fn dilation(&self) -> Dilation {
        Dilation { output_stride: self.output_stride, exact: self.exact_dilation }
    }

    /// Why there is no such segmenter, if there is none.
    pub fn problem(&self) -> Option<String> {
        let numbers = [("channels", self.channels), ("classes", self.classes)];
        let auxiliary = self.auxiliary.map(|head| ("auxiliary channels", head.channels));
        let mut numbers = numbers.into_iter().chain(auxiliary);
        self.backbone
            .backbone_problem()
            .or_else(|| self.dilation().problem())
            .or_else(|| {
                let zero = numbers.find(|(_, number)| *number == 0);
                zero.map(|(name, _)| format!("a segmenter needs at least one of its {name}"))
            })
            .or_else(|| {
                let zero = self.rates.contains(&0);
                zero.then(|| "a dilation of 0 is none; the rates of the branches are at least 1".to_owned())
            })
    }

    /// Why batches of so many images do not train it, if they do not.
    pub fn batch_problem(images: usize) -> Option<String> {
        (images < 2).then(|| {
            "a batch of one image does not train DeepLab-v3: its pooled branch is one pixel, whose variance over the batch \
             would be 0; take at least 2 images, or synchronised BatchNorm over replicas"
                .to_owned()
        })
    }

    /// All parameters and buffers, the auxiliary head's included if there is one.
    pub fn layout(&self) -> Layout {
        Layout::of([3, 224, 224], |i, x| {
            self.forward(i, x);
        })
    }

    /// The same without the auxiliary head: what is exported.
    #[must_use]
    pub fn without_auxiliary(&self) -> Self {
        Self { auxiliary: None, ..self.clone() }
    }

    /// Images `[n, 3, h, w]` to logits `[n, classes, h / output stride, w / output stride]`, and the auxiliary head's if
    /// there is one: its map's are those of the output stride, or of stride 16.
    pub fn forward<I: Interpreter>(&self, i: &mut I, x: &I::Value) -> (I::Value, Option<I::Value>) {
        let [_, _, c4, c5] =
            i.scope(Self::BACKBONE, |i| self.backbone.backbone_at(self.dilation(), i, x, self.relu_features));
        self.heads(i, &c4, &c5)
    }

    /// The backbone's maps to logits.
    fn heads<I: Interpreter>(&self, i: &mut I, c4: &I::Value, c5: &I::Value) -> (I::Value, Option<I::Value>) {
        let [_, _, w4, w5] = self.backbone.backbone_channels();
        let logits = i.scope(Self::HEAD, |i| {
            let map = self.pyramid(i, w5, c5);
            self.classify(i, self.channels, map)
        });
        let auxiliary = self.auxiliary.map(|head| {
            i.scope(Self::AUXILIARY, |i| {
                let map = convolution(i, "conv", &Conv::dense(w4, head.channels, 3, 1, 1), c4);
                self.classify(i, head.channels, map)
            })
        });
        (logits, auxiliary)
    }

    /// Images to logits of the images' size, without the auxiliary head: the forward of inference.
    pub fn segment<I: Interpreter>(&self, i: &mut I, x: &I::Value) -> I::Value {
        let (logits, _) = self.without_auxiliary().forward(i, x);
        self.resize(i, &logits, x)
    }

    /// Logits at the size of the images, or of any other map.
    pub fn resize<I: Interpreter>(&self, i: &mut I, logits: &I::Value, like: &I::Value) -> I::Value {
        i.resize(logits, like, self.align_corners)
    }

    /// Atrous spatial pyramid pooling: the image's mean, each pixel, and its surroundings at each rate.
    fn pyramid<I: Interpreter>(&self, i: &mut I, c_in: usize, x: &I::Value) -> I::Value {
        let c = self.channels;
        let pooled = i.global_avg_pool(x);
        let pooled = convolution(i, "image_pool", &Conv::pointwise(c_in, c), &pooled);
        let mut branches = vec![i.resize(&pooled, x, self.align_corners)];
        branches.push(convolution(i, "branches.0", &Conv::pointwise(c_in, c), x));
        for (n, &rate) in self.rates.iter().enumerate() {
            let conv = Conv { dilation: rate, ..Conv::dense(c_in, c, 3, 1, rate) };
            branches.push(convolution(i, &format!("branches.{}", n + 1), &conv, x));
        }
        let joined = i.concat(&branches);
        convolution(i, "bottleneck", &Conv::dense(branches.len() * c, c, 3, 1, 1), &joined)
    }

    fn classify<I: Interpreter>(&self, i: &mut I, channels: usize, x: I::Value) -> I::Value {
        let x = i.dropout(self.dropout, x);
        i.conv("classifier", &Conv::pointwise(channels, self.classes).with_bias(), &x)
    }
}

/// Convolution, BatchNorm, ReLU.
fn convolution<I: Interpreter>(i: &mut I, name: &str, conv: &Conv, x: &I::Value) -> I::Value {
    i.scope(name, |i| {
        let x = i.conv("conv", conv, x);
        let x = i.batch_norm("bn", &BatchNorm::new(conv.c_out), &x);
        i.relu(&x)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::Cost;
    use crate::device::Devices;
    use crate::evalnet::NetworkKind;
    use crate::layout::Role;
    use crate::loss::{PixelLabels, cross_entropy_map};
    use crate::network::Network;
    use crate::tensors::{Feature, Mode, Tensors};
    use crate::weights::Weights;
    use burn::tensor::{Tensor, TensorData};
    use genas_kernels::cross_entropy::Average;
    use genas_space::Streams;
    use serde_json::Value;
    use std::sync::Arc;

    fn net() -> DeepLabV3 {
        let genotype = genas_space::zoo::find("DARTS_V2").expect("a published cell").genotype();
        let backbone = EvalNet {
            kind: NetworkKind::ImageNet,
            genotype,
            channels: 16,
            layers: 14,
            classes: 10,
            auxiliary: false,
        };
        DeepLabV3 {
            backbone,
            output_stride: 8,
            exact_dilation: true,
            relu_features: false,
            channels: 512,
            rates: vec![12, 24, 36],
            classes: 19,
            auxiliary: Some(AuxiliaryHead { channels: 256 }),
            dropout: Probability::new(0.1).expect("a probability"),
            align_corners: false,
        }
    }

    #[test]
    fn the_output_stride_changes_sizes_and_no_weights() {
        let layouts = Dilation::OUTPUT_STRIDES.map(|output_stride| {
            let net = DeepLabV3 { output_stride, ..net() };
            let cost = Cost::of([3, 256, 512], |i, x| {
                let (logits, auxiliary) = net.forward(i, x);
                let stride = output_stride;
                assert_eq!(logits, [19, 256 / stride, 512 / stride]);
                let stride = stride.min(16);
                assert_eq!(auxiliary, Some([19, 256 / stride, 512 / stride]));
                assert_eq!(net.resize(i, &logits, x), [19, 256, 512]);
            });
            assert_eq!(cost.params, net.layout().n_parameters() as u64);
            net.layout().entries().to_vec()
        });
        assert!(layouts.iter().all(|layout| *layout == layouts[0]));
        // MMSegmentation's heads by hand, on 256 and 128 channels: five branches, what joins them, classifiers.
        let of = |scope: &str| -> usize {
            let own = layouts[0].iter().filter(|e| e.name.starts_with(scope) && e.role.is_parameter());
            own.map(|e| e.len()).sum()
        };
        let (c, c4, c5) = (512, 128, 256);
        let head = 2 * c5 * c + 3 * 9 * c5 * c + 5 * 2 * c + 9 * 5 * c * c + 2 * c + (c + 1) * 19;
        assert_eq!(of("head."), head);
        assert_eq!(of("auxiliary."), 9 * c4 * 256 + 2 * 256 + 257 * 19);
        assert_eq!(of("backbone."), net().backbone.backbone_layout().n_parameters());
    }

    #[test]
    fn what_cannot_be_built_says_so() {
        assert_eq!(net().problem(), None);
        let problem = |net: DeepLabV3| net.problem().unwrap_or_default();
        assert!(problem(DeepLabV3 { output_stride: 4, ..net() }).contains("8, 16 or 32"));
        assert!(problem(DeepLabV3 { channels: 0, ..net() }).contains("channels"));
        assert!(problem(DeepLabV3 { rates: vec![6, 0], ..net() }).contains("dilation of 0"));
        assert!(
            problem(DeepLabV3 { auxiliary: Some(AuxiliaryHead { channels: 0 }), ..net() }).contains("aux")
        );
        let backbone = EvalNet { kind: NetworkKind::Cifar, ..net().backbone };
        assert!(problem(DeepLabV3 { backbone, ..net() }).contains("CIFAR"));
        assert!(DeepLabV3::batch_problem(1).is_some() && DeepLabV3::batch_problem(2).is_none());
    }

    #[test]
    fn it_is_written_and_read() {
        let network = Network::DeepLabV3(net());
        let text = serde_json::to_string(&network).expect("JSON");
        assert!(text.contains(r#""type":"deeplabv3""#) && text.contains(r#""dropout":0.1"#), "{text}");
        assert_eq!(serde_json::from_str::<Network>(&text).expect("a network"), network);
        let error = serde_json::from_str::<Network>(&text.replace(r#""dropout":0.1"#, r#""dropout":1.5"#));
        assert!(error.is_err_and(|error| error.to_string().contains("from 0 to 1")));
    }

    /// Numbers from -1 to 1 that Python makes too.
    fn pattern(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed * 4729) % 10007) as f32 / 5003.0 - 1.0).collect()
    }

    fn numbers(value: &Value) -> Vec<f64> {
        value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
    }

    /// Length, and product with a pattern, of what is too long to record.
    fn summary(values: &[f32]) -> [f64; 2] {
        let pairs = values.iter().map(|v| f64::from(*v)).zip(pattern(values.len(), 1));
        pairs.fold([0.0, 0.0], |[square, dot], (v, p)| [square + v * v, dot + v * f64::from(p)])
    }

    /// Both heads in training mode, losses and all gradients, against PyTorch in double precision.
    #[test]
    fn heads_losses_and_gradients_are_those_of_pytorch() {
        let recorded: Value = serde_json::from_str(include_str!("../tests/deeplab.json")).expect("JSON");
        for (case, kernels) in [(0, true), (1, true), (0, false), (1, false)] {
            let case = &recorded["heads"][case];
            let net = DeepLabV3 {
                backbone: EvalNet { channels: 2, ..net().backbone },
                channels: 4,
                rates: vec![1, 2, 5],
                classes: 3,
                auxiliary: Some(AuxiliaryHead { channels: 6 }),
                dropout: Probability::default(),
                align_corners: case["align_corners"].as_bool().expect("a flag"),
                ..net()
            };
            let mut weights = Weights::init(Arc::new(net.layout()), &Streams::new(0));
            for entry in weights.layout().clone().entries() {
                let seed = entry.name.bytes().map(usize::from).sum();
                let (at, size) = match entry.role {
                    Role::Gamma => (1.0, 0.5),
                    Role::ConvWeight => (0.0, 2.0 / (entry.fan_in as f32).sqrt()),
                    _ => (0.0, 0.5),
                };
                let values = pattern(entry.len(), seed).into_iter().map(|v| at + size * v);
                weights.slice_mut(entry).copy_from_slice(&values.collect::<Vec<_>>());
            }
            let device = Devices::cpu().recording();
            let mode = Mode::Train { drop_path: 0.0, rng: Box::new(Streams::new(0).rng("unused", 0)) };
            let mut i = Tensors::new(&weights, device.clone(), mode);
            if !kernels {
                i = i.with_burn_operations();
            }
            let map = |channels: usize, seed: usize| {
                let shape = [3, channels, 7, 9];
                let data = TensorData::new(pattern(3 * channels * 63, seed), shape);
                Tensor::<4>::from_data(data, &device).require_grad()
            };
            let [_, _, w4, w5] = net.backbone.backbone_channels();
            let (c4, c5) = (map(w4, 11), map(w5, 12));
            let (logits, auxiliary) = net.heads(&mut i, &c4.clone().into(), &c5.clone().into());
            let auxiliary = auxiliary.expect("there is one");
            let image = Feature::from_values(vec![0.0; 3 * 3 * 56 * 72], [3, 3, 56, 72], &device);
            let labels = (0..3 * 56 * 72).map(|p: i64| if p * p % 7 == 1 { 255 } else { p * p % 11 % 3 });
            let pixels = PixelLabels {
                labels: labels.collect(),
                ignore: Some(255),
                weights: None,
                average: Average::AllPlaces,
            };
            let [main, other] = [&logits, &auxiliary]
                .map(|map| cross_entropy_map(net.resize(&mut i, map, &image).tensor(), &pixels));
            let loss = main.clone() + other.clone().mul_scalar(0.4);
            let mut gradients = loss.backward();

            let close = |what: &str, found: f64, want: f64, size: f64| {
                let off = (found - want).abs() / size;
                assert!(off < 2e-5, "{what}, kernels {kernels}: {found}, not {want}");
            };
            for (name, loss) in [("loss", main), ("auxiliary_loss", other)] {
                let want = case[name].as_f64().expect("a number");
                close(name, f64::from(loss.into_scalar::<f32>()), want, want);
            }
            for (name, map) in [("logits", logits), ("auxiliary", auxiliary)] {
                let found = map.tensor().into_data().try_to_vec::<f32>().expect("f32");
                let want = numbers(&case[name]);
                assert_eq!(found.len(), want.len());
                for (found, want) in found.into_iter().zip(want) {
                    close(name, f64::from(found), want, 1.0);
                }
            }
            let mut found: Vec<(String, [f64; 2])> = Vec::new();
            for (name, map) in [("c4", c4), ("c5", c5)] {
                let gradient = map.grad(&gradients).expect("it has one").into_data();
                found.push((name.to_owned(), summary(&gradient.try_to_vec::<f32>().expect("f32"))));
            }
            i.visit_gradients(&mut gradients, |position, values| {
                found.push((weights.layout().entries()[position].name.clone(), summary(values)));
            });
            assert_eq!(found.len(), case["gradients"].as_object().expect("a table").len());
            for (name, [square, dot]) in found {
                let want = numbers(&case["gradients"][&name]);
                let length = want[0].sqrt();
                close(&name, square.sqrt(), length, length.max(1e-6));
                // A product of unlike vectors is small beside their lengths.
                close(&name, dot, want[1], 10.0 * length.max(1e-6));
            }
        }
    }
}
