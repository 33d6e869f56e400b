//! A segmenter of one convolution, for tests, and what it should give, computed plainly.

use genas_data::segmentation::SegmenterInput;
use genas_export::proto::{AttributeProto, DataType, TensorProto};

use crate::testing::{encoded, node, value};

pub(crate) const CLASSES: [&str; 4] = ["road", "car", "sky", "tree"];
pub(crate) const ANY: [Option<usize>; 4] = [None, Some(3), None, None];
/// Sides of the kernel: logits depend on what is around a pixel, so that borders of windows matter.
const KERNEL: usize = 3;

/// What the file says about itself; `segmentation` is the JSON of that entry.
pub(crate) fn metadata(segmentation: &str, align_corners: bool) -> Vec<(&'static str, String)> {
    vec![
        ("kind", "segmenter".to_owned()),
        ("segmenter", format!(r#"{{"align-corners": {align_corners}}}"#)),
        ("class_names", format!("{CLASSES:?}")),
        ("label_ids", "[3, 8, 0, 5]".to_owned()),
        ("colors", "[[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]]".to_owned()),
        ("mean", "[0.5, 0.4, 0.3]".to_owned()),
        ("std", "[0.5, 0.25, 0.125]".to_owned()),
        ("segmentation", segmentation.to_owned()),
        ("training_data", "some streets".to_owned()),
        ("source_run", "none".to_owned()),
    ]
}

/// Numbers without a pattern, from -1 to 1.
fn noise(n: usize) -> Vec<f32> {
    (1..=n).map(|k| ((k as f32 * 12.9898).sin() * 43.758).fract()).collect()
}

fn kernel() -> Vec<f32> {
    noise(CLASSES.len() * 3 * KERNEL * KERNEL)
}

/// The model; with `labels` of that form.
pub(crate) fn model(labels: bool, input: [Option<usize>; 4], metadata: &[(&str, String)]) -> Vec<u8> {
    let n = CLASSES.len();
    let constants = vec![TensorProto::f32("kernel".to_owned(), &[n, 3, KERNEL, KERNEL], &kernel())];
    let pads = vec![AttributeProto::ints("pads", &[1; 4])];
    let mut nodes = vec![node("Conv", &["input", "kernel"], "logits", pads)];
    let [batch, _, height, width] = input;
    let output = if labels {
        let attributes = vec![AttributeProto::int("axis", 1), AttributeProto::int("keepdims", 0)];
        nodes.push(node("ArgMax", &["logits"], "labels", attributes));
        value("labels", DataType::Int64, &[batch, height, width])
    } else {
        value("logits", DataType::Float, &[batch, Some(n), height, width])
    };
    encoded(input, nodes, constants, vec![output], metadata)
}

/// Numbers of `classes` planes.
#[derive(Clone)]
pub(crate) struct Planes {
    pub values: Vec<f64>,
    pub size: [usize; 2],
}

impl Planes {
    pub fn zeros(size: [usize; 2]) -> Self {
        Self { values: vec![0.0; CLASSES.len() * size[0] * size[1]], size }
    }

    pub fn at(&self, class: usize, x: usize, y: usize) -> f64 {
        self.values[(class * self.size[1] + y) * self.size[0] + x]
    }

    pub fn of(size: [usize; 2], value: impl Fn(usize, usize, usize) -> f64) -> Self {
        let value = &value;
        let row = |c: usize, y: usize| (0..size[0]).map(move |x| value(c, x, y));
        let values = (0..CLASSES.len()).flat_map(|c| (0..size[1]).flat_map(move |y| row(c, y))).collect();
        Self { values, size }
    }

    /// The model's logits of a part of an input, as if there were nothing around it.
    pub fn logits(input: &SegmenterInput, [left, top]: [usize; 2], size: [usize; 2]) -> Self {
        let kernel = kernel();
        Self::of(size, |class, x, y| {
            let mut sum = 0.0;
            for (n, &weight) in kernel[class * 27..][..27].iter().enumerate() {
                let (channel, dy, dx) = (n / 9, n / 3 % 3, n % 3);
                let (x, y) = (x + dx, y + dy);
                if (1..=size[0]).contains(&x) && (1..=size[1]).contains(&y) {
                    let at = (channel * input.filled[1] + top + y - 1) * input.filled[0] + left + x - 1;
                    sum += f64::from(weight) * f64::from(input.values[at]);
                }
            }
            sum
        })
    }

    /// PyTorch's `interpolate(mode="bilinear")`.
    pub fn resized(&self, to: [usize; 2], align_corners: bool) -> Self {
        let place = |axis: usize, o: usize| {
            let (from, to) = (self.size[axis] as f64, to[axis] as f64);
            let place = match align_corners {
                true => o as f64 * (from - 1.0) / (to - 1.0),
                false => ((o as f64 + 0.5) * from / to - 0.5).max(0.0),
            };
            let first = place.floor() as usize;
            (first, (first + 1).min(self.size[axis] - 1), place.fract())
        };
        Self::of(to, |class, x, y| {
            let ((x0, x1, dx), (y0, y1, dy)) = (place(0, x), place(1, y));
            let row = |y| self.at(class, x0, y) * (1.0 - dx) + self.at(class, x1, y) * dx;
            row(y0) * (1.0 - dy) + row(y1) * dy
        })
    }

    pub fn mirrored(&self) -> Self {
        Self::of(self.size, |class, x, y| self.at(class, self.size[0] - 1 - x, y))
    }

    pub fn softmax(&self) -> Self {
        let sum = |x, y| (0..CLASSES.len()).map(|c| self.at(c, x, y).exp()).sum::<f64>();
        Self::of(self.size, |class, x, y| self.at(class, x, y).exp() / sum(x, y))
    }

    pub fn add(&mut self, other: &Self) {
        assert_eq!(self.size, other.size);
        self.values.iter_mut().zip(&other.values).for_each(|(sum, value)| *sum += value);
    }

    /// The largest class of each pixel; none where two are too close for 32 bits.
    pub fn labels(&self) -> Vec<Option<u8>> {
        let pixels = (0..self.size[1]).flat_map(|y| (0..self.size[0]).map(move |x| (x, y)));
        let label = |(x, y)| {
            let mut order: Vec<usize> = (0..CLASSES.len()).collect();
            order.sort_by(|&a, &b| self.at(b, x, y).total_cmp(&self.at(a, x, y)));
            (self.at(order[0], x, y) - self.at(order[1], x, y) > 1e-5).then_some(order[0] as u8)
        };
        pixels.map(label).collect()
    }
}
