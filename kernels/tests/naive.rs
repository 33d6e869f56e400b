//! Every kernel against a naive `f64` reference, at every instruction set that the machine has, and with different
//! numbers of threads.
#![allow(missing_docs)]

use genas_kernels::cross_entropy::{self, Average, Shape, Targets};
use genas_kernels::pool::PoolShape;
use genas_kernels::sgd::Sgd;
use genas_kernels::simd::{Level, with_level};
use genas_kernels::{
    ConvShape, batch_norm, dense, depthwise, elementwise, focal, pointwise, pool, resize, sgd, subsample,
};

/// Reproducible values in -1..1 with some structure (repeats, zeros).
fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1 << 23) as f32) - 1.0
        })
        .collect()
}

/// Largest difference relative to the largest value is at most 1e-5.
#[track_caller]
fn close(actual: &[f32], expected: &[f64], what: &str) {
    close_at(actual, expected, 1e-3, what);
}

/// [`close`], relative to `size` where that is larger.
#[track_caller]
fn close_at(actual: &[f32], expected: &[f64], size: f64, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}: length");
    let scale = expected.iter().fold(size, |m, v| m.max(v.abs()));
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        let error = (f64::from(*a) - e).abs() / scale;
        assert!(error <= 1e-5, "{what}: element {i} is {a}, expected {e} (error {error:e})");
    }
}

/// Runs at every level, each with 1 and 3 threads, which must give the same bits.
fn everywhere(f: impl Fn(&str) -> Vec<Vec<f32>> + Sync) {
    for level in Level::supported() {
        let name = format!("{level:?}");
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| with_level(level, || f(&name)))
        };
        let (one, three) = (run(1), run(3));
        for (a, b) in one.iter().zip(&three) {
            assert!(
                a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits()),
                "{name}: bits depend on threads"
            );
        }
    }
}

fn relu64(x: f32, relu: bool) -> f64 {
    if relu && x < 0.0 { 0.0 } else { f64::from(x) }
}

struct Conv {
    y: Vec<f64>,
    gx: Vec<f64>,
    gw: Vec<f64>,
    /// Size of a weight gradient if its terms were independent: the sum of few weights may cancel.
    gw_size: f64,
}

fn naive_conv(x: &[f32], w: &[f32], g: &[f32], s: &ConvShape, relu: bool) -> Conv {
    let (oh, ow) = (s.out_h(), s.out_w());
    let (ci_g, co_g) = (s.ci / s.groups, s.co / s.groups);
    let mut out = Conv {
        y: vec![0.0; s.out_len()],
        gx: vec![0.0; s.in_len()],
        gw: vec![0.0; s.weight_len()],
        gw_size: 0.0,
    };
    let mut squares = vec![0.0; s.weight_len()];
    for n in 0..s.n {
        for co in 0..s.co {
            for oy in 0..oh {
                for ox in 0..ow {
                    let yi = ((n * s.co + co) * oh + oy) * ow + ox;
                    for c in 0..ci_g {
                        for ky in 0..s.kh {
                            for kx in 0..s.kw {
                                let iy = (oy * s.stride + ky * s.dilation) as isize - s.pad_h as isize;
                                let ix = (ox * s.stride + kx * s.dilation) as isize - s.pad_w as isize;
                                if iy < 0 || ix < 0 || iy >= s.h as isize || ix >= s.w as isize {
                                    continue;
                                }
                                let ci = co / co_g * ci_g + c;
                                let xi = ((n * s.ci + ci) * s.h + iy as usize) * s.w + ix as usize;
                                let wi = ((co * ci_g + c) * s.kh + ky) * s.kw + kx;
                                let xv = relu64(x[xi], relu);
                                out.y[yi] += xv * f64::from(w[wi]);
                                if !relu || x[xi] > 0.0 {
                                    out.gx[xi] += f64::from(w[wi]) * f64::from(g[yi]);
                                }
                                out.gw[wi] += xv * f64::from(g[yi]);
                                squares[wi] += (xv * f64::from(g[yi])).powi(2);
                            }
                        }
                    }
                }
            }
        }
    }
    out.gw_size = squares.into_iter().fold(1e-3, f64::max).sqrt();
    out
}

fn depthwise_shapes() -> Vec<ConvShape> {
    let mut shapes = vec![];
    for (n, c, h, w) in
        [(3, 2, 7, 7), (2, 3, 5, 9), (1, 2, 16, 16), (18, 2, 8, 8), (2, 1, 3, 33), (1, 1, 20, 24)]
    {
        for k in [1, 2, 3, 4, 5, 7] {
            for stride in [1, 2, 3] {
                for dilation in [1, 2, 3, 4] {
                    let reach = dilation * (k - 1);
                    for pad in [reach / 2, 0, reach / 2 + 1] {
                        if h + 2 * pad > reach && w + 2 * pad > reach {
                            let groups = c;
                            shapes.push(ConvShape {
                                n,
                                ci: c,
                                h,
                                w,
                                co: c,
                                kh: k,
                                kw: k,
                                stride,
                                pad_h: pad,
                                pad_w: pad,
                                dilation,
                                groups,
                            });
                        }
                    }
                }
            }
        }
    }
    // What a network of output stride 8 has.
    for (k, dilation) in [(3, 4), (5, 4), (3, 8), (5, 8)] {
        let (reach, groups) = (dilation * (k - 1) / 2, 3);
        let [(kh, pad_h), (kw, pad_w)] = [(k, reach); 2];
        shapes.push(ConvShape {
            n: 2,
            ci: 3,
            h: 19,
            w: 40,
            co: 3,
            kh,
            kw,
            stride: 1,
            pad_h,
            pad_w,
            dilation,
            groups,
        });
    }
    // Not square.
    for (kh, kw, pad_h, pad_w, stride) in [(1, 7, 0, 3, 1), (7, 1, 3, 0, 2), (3, 5, 1, 2, 1), (3, 3, 0, 2, 1)]
    {
        shapes.push(ConvShape {
            n: 2,
            ci: 3,
            h: 9,
            w: 11,
            co: 3,
            kh,
            kw,
            stride,
            pad_h,
            pad_w,
            dilation: 1,
            groups: 3,
        });
    }
    shapes
}

/// Enough planes for several batches of them and for tasks that end within one.
fn random_depthwise_shapes() -> Vec<ConvShape> {
    let mut draw = Draw(23);
    let mut shapes = vec![];
    while shapes.len() < 60 {
        let (k, stride, dilation) = (2 + draw.below(5), 1 + draw.below(3), 1 + draw.below(3));
        let c = 1 + draw.below(9);
        let shape = ConvShape {
            n: 1 + draw.below(40),
            ci: c,
            h: 1 + draw.below(12),
            w: 1 + draw.below(40),
            co: c,
            kh: k,
            kw: k,
            stride,
            pad_h: draw.below(dilation * k + 1),
            pad_w: draw.below(dilation * k + 1),
            dilation,
            groups: c,
        };
        if shape.out_len() > 0 {
            shapes.push(shape);
        }
    }
    shapes
}

#[test]
fn depthwise_matches_naive() {
    let mut shapes = depthwise_shapes();
    shapes.extend(random_depthwise_shapes());
    for (i, shape) in shapes.iter().enumerate() {
        let (x, w) = (values(shape.in_len(), 1 + i as u64), values(shape.weight_len(), 2 + i as u64));
        let g = values(shape.out_len(), 3 + i as u64);
        let relu = i % 2 == 1;
        let expected = naive_conv(&x, &w, &g, shape, relu);
        everywhere(|level| {
            let what = |part: &str| format!("{level} {part} {shape:?}");
            let y = depthwise::forward(&x, &w, shape, relu);
            close(&y, &expected.y, &what("forward"));
            let gx = depthwise::backward_input(&g, &w, shape, relu.then_some(&x[..]));
            close(&gx, &expected.gx, &what("input gradient"));
            let gw = depthwise::backward_weight(&x, &g, shape, relu);
            close_at(&gw, &expected.gw, expected.gw_size, &what("weight gradient"));
            vec![y, gx, gw]
        });
    }
}

#[test]
fn pointwise_matches_naive() {
    for (i, (n, ci, co, h, w)) in [
        (3, 8, 4, 7, 7),
        (2, 3, 5, 5, 9),
        (40, 16, 16, 8, 8),
        (37, 5, 6, 1, 1),
        (9, 6, 10, 3, 4),
        (1, 1, 1, 1, 1),
    ]
    .into_iter()
    .enumerate()
    {
        for relu in [false, true] {
            let shape = ConvShape {
                n,
                ci,
                h,
                w,
                co,
                kh: 1,
                kw: 1,
                stride: 1,
                pad_h: 0,
                pad_w: 0,
                dilation: 1,
                groups: 1,
            };
            let (x, weight) =
                (values(shape.in_len(), 1 + i as u64), values(shape.weight_len(), 2 + i as u64));
            let g = values(shape.out_len(), 3 + i as u64);
            let expected = naive_conv(&x, &weight, &g, &shape, relu);
            everywhere(|level| {
                let what = |part: &str| format!("{level} {part} relu {relu} {shape:?}");
                let y = pointwise::forward(&x, &weight, n, ci, co, h * w, relu);
                close(&y, &expected.y, &what("forward"));
                let (gx, gw) = pointwise::backward(&x, &weight, &g, n, ci, co, h * w, relu);
                close(&gx, &expected.gx, &what("input gradient"));
                close_at(&gw, &expected.gw, expected.gw_size, &what("weight gradient"));
                vec![y, gx, gw]
            });
        }
    }
}

#[test]
fn dense_matches_naive() {
    let mut shapes = vec![];
    for (n, ci, co, h, w) in [(9, 3, 5, 7, 7), (2, 4, 20, 5, 9), (1, 17, 33, 8, 8), (1, 40, 3, 40, 41)] {
        for (kh, kw) in [(3, 3), (2, 2), (1, 7), (7, 1), (1, 1), (5, 5)] {
            for (stride, dilation, pad) in [(1, 1, 1), (2, 1, 1), (1, 2, 2), (2, 1, 0), (3, 1, 3)] {
                let (pad_h, pad_w) = (pad * (kh - 1) / 2, pad * (kw - 1) / 2);
                if h + 2 * pad_h > dilation * (kh - 1)
                    && w + 2 * pad_w > dilation * (kw - 1)
                    && ci * kh * kw < 500
                {
                    shapes.push(ConvShape {
                        n,
                        ci,
                        h,
                        w,
                        co,
                        kh,
                        kw,
                        stride,
                        pad_h,
                        pad_w,
                        dilation,
                        groups: 1,
                    });
                }
            }
        }
    }
    for (i, shape) in shapes.iter().enumerate() {
        let (x, w) = (values(shape.in_len(), 1 + i as u64), values(shape.weight_len(), 2 + i as u64));
        let g = values(shape.out_len(), 3 + i as u64);
        let expected = naive_conv(&x, &w, &g, shape, false);
        everywhere(|level| {
            let what = |part: &str| format!("{level} {part} {shape:?}");
            let y = dense::forward(&x, &w, shape);
            close(&y, &expected.y, &what("forward"));
            let gx = dense::backward_input(&g, &w, shape);
            close(&gx, &expected.gx, &what("input gradient"));
            let gw = dense::backward_weight(&x, &g, shape);
            close_at(&gw, &expected.gw, expected.gw_size, &what("weight gradient"));
            vec![y, gx, gw]
        });
    }
}

/// Whole numbers from a stream, for shapes.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// Shapes that nobody chose, and those at which blocks, strips and tiles of the dense convolution have rests or taps see
/// padding only.
fn random_dense_shapes() -> Vec<ConvShape> {
    let mut shapes = vec![];
    for (n, ci, co, h, w, stride, dilation) in [
        (1, 300, 13, 6, 7, 1, 1),
        (1, 140, 40, 9, 8, 1, 12),
        (2, 33, 27, 10, 21, 1, 6),
        (1, 70, 31, 11, 9, 2, 1),
        (1, 257, 3, 5, 6, 2, 2),
        (3, 3, 24, 19, 18, 2, 1),
        (1, 520, 14, 4, 5, 1, 1),
        (1, 6, 150, 21, 20, 1, 1),
        (17, 31, 5, 3, 3, 1, 1),
    ] {
        let (kh, kw, pad_h, pad_w) = (3, 3, dilation, dilation);
        shapes.push(ConvShape { n, ci, h, w, co, kh, kw, stride, pad_h, pad_w, dilation, groups: 1 });
    }
    let mut draw = Draw(11);
    while shapes.len() < 150 {
        let (kh, kw) = (1 + draw.below(4), 1 + draw.below(4));
        let (stride, dilation) = (1 + draw.below(3), 1 + draw.below(4));
        let shape = ConvShape {
            n: 1 + draw.below(3),
            ci: 1 + draw.below(40),
            h: 1 + draw.below(14),
            w: 1 + draw.below(40),
            co: 1 + draw.below(40),
            kh,
            kw,
            stride,
            pad_h: draw.below(dilation * kh + 2),
            pad_w: draw.below(dilation * kw + 2),
            dilation,
            groups: 1,
        };
        if shape.out_len() > 0 {
            shapes.push(shape);
        }
    }
    shapes
}

#[test]
fn dense_matches_naive_for_random_shapes() {
    for (i, shape) in random_dense_shapes().iter().enumerate() {
        let (x, w) = (values(shape.in_len(), 1 + i as u64), values(shape.weight_len(), 2 + i as u64));
        let (g, bias) = (values(shape.out_len(), 3 + i as u64), values(shape.co, 4 + i as u64));
        let plane = shape.out_h() * shape.out_w();
        let expected = naive_conv(&x, &w, &g, shape, false);
        let channel = |i: usize| i / plane % shape.co;
        let biased: Vec<f64> =
            expected.y.iter().enumerate().map(|(i, y)| y + f64::from(bias[channel(i)])).collect();
        let mut bias_gradient = vec![0.0; shape.co];
        for (i, g) in g.iter().enumerate() {
            bias_gradient[channel(i)] += f64::from(*g);
        }
        everywhere(|level| {
            let what = |part: &str| format!("{level} {part} {shape:?}");
            let y = dense::forward(&x, &w, shape);
            close(&y, &expected.y, &what("forward"));
            let with_bias = dense::forward_bias(&x, &w, Some(&bias), shape);
            close(&with_bias, &biased, &what("forward with bias"));
            let gx = dense::backward_input(&g, &w, shape);
            close(&gx, &expected.gx, &what("input gradient"));
            let gw = dense::backward_weight(&x, &g, shape);
            close_at(&gw, &expected.gw, expected.gw_size, &what("weight gradient"));
            let gb = dense::backward_bias(&g, shape);
            close_at(&gb, &bias_gradient, 1.0, &what("bias gradient"));
            vec![y, with_bias, gx, gw, gb]
        });
    }
}

/// Padding is skipped, not multiplied: values that are not finite stay where the window saw them.
#[test]
fn dense_keeps_infinities_where_they_belong() {
    let shape = ConvShape {
        n: 1,
        ci: 2,
        h: 9,
        w: 9,
        co: 3,
        kh: 3,
        kw: 3,
        stride: 1,
        pad_h: 1,
        pad_w: 1,
        dilation: 1,
        groups: 1,
    };
    let mut x = values(shape.in_len(), 1);
    x[4 * 9 + 8] = f32::INFINITY;
    let w = vec![1.0; shape.weight_len()];
    everywhere(|level| {
        let y = dense::forward(&x, &w, &shape);
        for (i, y) in y.iter().enumerate() {
            let (row, column) = (i / 9 % 9, i % 9);
            let near = (3..=5).contains(&row) && column >= 7;
            assert_eq!(y.is_finite(), !near, "{level}: {y} at {row}, {column}");
        }
        vec![y]
    });
}

#[test]
fn batch_norm_matches_naive() {
    for (i, (n, c, hw)) in
        [(3, 2, 49), (2, 3, 45), (16, 4, 256), (5, 1, 1), (70, 33, 64), (2, 1, 5000)].into_iter().enumerate()
    {
        for offset in [0.0, 30.0] {
            let x: Vec<f32> = values(n * c * hw, i as u64).iter().map(|v| v + offset).collect();
            let (g, residual) = (values(n * c * hw, 50 + i as u64), values(n * c * hw, 60 + i as u64));
            let (gamma, beta) = (values(c, 70), values(c, 80));
            let eps = 1e-5f32;
            let m = (n * hw) as f64;
            let (mut y, mut y_add, mut gx) = (vec![0.0; x.len()], vec![0.0; x.len()], vec![0.0; x.len()]);
            let (mut means, mut vars, mut ggamma, mut gbeta) = (vec![], vec![], vec![], vec![]);
            for ch in 0..c {
                let places: Vec<usize> =
                    (0..n).flat_map(|b| (0..hw).map(move |p| (b * c + ch) * hw + p)).collect();
                let mean = places.iter().map(|p| f64::from(x[*p])).sum::<f64>() / m;
                let var = places.iter().map(|p| (f64::from(x[*p]) - mean).powi(2)).sum::<f64>() / m;
                let inv = 1.0 / (var + f64::from(eps)).sqrt();
                let hat = |p: usize| (f64::from(x[p]) - mean) * inv;
                let gb: f64 = places.iter().map(|p| f64::from(g[*p])).sum();
                let gg: f64 = places.iter().map(|p| f64::from(g[*p]) * hat(*p)).sum();
                for p in places {
                    y[p] = hat(p) * f64::from(gamma[ch]) + f64::from(beta[ch]);
                    y_add[p] = y[p] + f64::from(residual[p]);
                    gx[p] = f64::from(gamma[ch]) * inv * (f64::from(g[p]) - gb / m - hat(p) * gg / m);
                }
                means.push(mean);
                vars.push(var);
                ggamma.push(gg);
                gbeta.push(gb);
            }
            // Around 30, a value of f32 itself is known to 2e-6 of the spread.
            let tolerant = |actual: &[f32], expected: &[f64], what: &str| {
                let scaled: Vec<f32> = if offset > 0.0 {
                    let e = |(a, e): (&f32, &f64)| (f64::from(*a) - e) * 0.05 + e;
                    actual.iter().zip(expected).map(e).map(|v| v as f32).collect()
                } else {
                    actual.to_vec()
                };
                close(&scaled, expected, what);
            };
            everywhere(|level| {
                let what = |part: &str| format!("{level} {part} n {n} c {c} hw {hw} offset {offset}");
                let (a, mean, var) = batch_norm::train_forward(&x, &gamma, &beta, n, c, hw, eps);
                tolerant(&a, &y, &what("forward"));
                let again = batch_norm::train_forward_again(&x, &gamma, &beta, &mean, &var, n, c, hw, eps);
                assert!(a == again, "{}", what("forward again"));
                close(&mean, &means, &what("mean"));
                close(&var, &vars, &what("variance"));
                let (b, ..) =
                    batch_norm::train_forward_add(&x, &gamma, &beta, Some(&residual), n, c, hw, eps);
                tolerant(&b, &y_add, &what("forward and sum"));
                let (d, gg, gb) = batch_norm::train_backward(&x, &g, &gamma, &mean, &var, n, c, hw, eps);
                if n * hw > 16 {
                    tolerant(&d, &gx, &what("input gradient"));
                    tolerant(&gg, &ggamma, &what("gamma gradient"));
                }
                close(&gb, &gbeta, &what("beta gradient"));
                vec![a, mean, var, b, d, gg, gb]
            });
        }
    }
}

#[test]
fn affine_matches_naive() {
    let (n, c, hw) = (3, 5, 35);
    let (x, scale, shift) = (values(n * c * hw, 1), values(c, 2), values(c, 3));
    let expected: Vec<f64> = (0..x.len())
        .map(|i| f64::from(x[i]) * f64::from(scale[i / hw % c]) + f64::from(shift[i / hw % c]))
        .collect();
    everywhere(|level| {
        let y = batch_norm::affine(&x, &scale, &shift, n, c, hw);
        close(&y, &expected, level);
        vec![y]
    });
}

fn pool_shapes() -> Vec<PoolShape> {
    let mut shapes = vec![];
    for (planes, h, w) in [(5, 7, 7), (3, 5, 9), (20, 8, 8), (2, 16, 16), (2, 3, 35)] {
        for (k, pad, dilation) in [
            (3, 1, 1),
            (3, 0, 1),
            (2, 0, 1),
            (2, 1, 1),
            (1, 0, 1),
            (5, 2, 1),
            (3, 2, 2),
            (3, 4, 4),
            (3, 1, 2),
            (3, 0, 3),
            (2, 2, 3),
            (1, 0, 4),
            (5, 6, 3),
        ] {
            let span = dilation * (k - 1) + 1;
            for stride in [1, 2, 3] {
                if h + 2 * pad >= span && w + 2 * pad >= span {
                    shapes.push(PoolShape { planes, h, w, k, stride, pad, dilation });
                }
            }
        }
    }
    shapes
}

/// Window elements inside the image, in row-major order: (window place, input place).
fn window(s: &PoolShape, oy: usize, ox: usize) -> Vec<(usize, usize)> {
    let mut out = vec![];
    for ky in 0..s.k {
        for kx in 0..s.k {
            let place = |o: usize, tap: usize| (o * s.stride + tap * s.dilation).wrapping_sub(s.pad);
            let (iy, ix) = (place(oy, ky), place(ox, kx));
            if iy < s.h && ix < s.w {
                out.push((ky * s.k + kx, iy * s.w + ix));
            }
        }
    }
    out
}

#[test]
fn max_pool_matches_naive() {
    for (i, s) in pool_shapes().iter().enumerate() {
        let (oh, ow) = (s.out_h(), s.out_w());
        // Few distinct values make ties; some runs have NaN and minus infinity.
        let mut x: Vec<f32> = values(s.in_len(), i as u64).iter().map(|v| (v * 3.0).round()).collect();
        if i % 3 == 0 {
            for (j, v) in x.iter_mut().enumerate() {
                match j % 17 {
                    3 => *v = f32::NAN,
                    0 | 1 | 2 | 7 | 8 | 9 | 10 | 11 | 12 => *v = f32::NEG_INFINITY,
                    _ => {}
                }
            }
        }
        let g = values(s.out_len(), 100 + i as u64);
        let (mut y, mut argmax, mut gx) = (vec![], vec![], vec![0.0; s.in_len()]);
        for plane in 0..s.planes {
            for oy in 0..oh {
                for ox in 0..ow {
                    let places = window(s, oy, ox);
                    let (mut best, mut at) = (f32::NEG_INFINITY, places[0]);
                    for p in places {
                        let v = x[plane * s.h * s.w + p.1];
                        if v > best || v.is_nan() {
                            (best, at) = (v, p);
                        }
                    }
                    gx[plane * s.h * s.w + at.1] += f64::from(g[y.len()]);
                    y.push(best);
                    argmax.push(at.0 as u8);
                }
            }
        }
        everywhere(|level| {
            let (a, places) = pool::max_forward(&x, s);
            assert!(a.iter().zip(&y).all(|(a, b)| a == b || a.is_nan() && b.is_nan()), "{level} {s:?}");
            assert_eq!(places, argmax, "{level} {s:?}");
            let b = pool::max_backward(&g, &places, s);
            close(&b, &gx, &format!("{level} {s:?}"));
            vec![a, b]
        });
    }
}

#[test]
fn avg_pool_matches_naive() {
    for (i, s) in pool_shapes().iter().enumerate() {
        let (oh, ow) = (s.out_h(), s.out_w());
        let (x, g) = (values(s.in_len(), i as u64), values(s.out_len(), 100 + i as u64));
        let (mut y, mut gx) = (vec![], vec![0.0; s.in_len()]);
        for plane in 0..s.planes {
            for oy in 0..oh {
                for ox in 0..ow {
                    let places = window(s, oy, ox);
                    let count = places.len() as f64;
                    let base = plane * s.h * s.w;
                    for p in &places {
                        gx[base + p.1] += f64::from(g[y.len()]) / count;
                    }
                    y.push(places.iter().map(|p| f64::from(x[base + p.1])).sum::<f64>() / count);
                }
            }
        }
        everywhere(|level| {
            let a = pool::avg_forward(&x, s);
            close(&a, &y, &format!("{level} forward {s:?}"));
            let b = pool::avg_backward(&g, s);
            close(&b, &gx, &format!("{level} backward {s:?}"));
            vec![a, b]
        });
    }
}

#[test]
fn subsample_matches_naive() {
    for (planes, h, w) in [(3usize, 7usize, 7usize), (2, 5, 9), (4, 8, 8), (1, 1, 1), (2, 6, 1), (300, 9, 10)]
    {
        for (stride, offset) in [(2, 0), (2, 1), (1, 0), (1, 1), (1, 2), (1, 4)] {
            let grid = subsample::Grid { stride, offset };
            let (oh, ow) = (h.div_ceil(stride), w.div_ceil(stride));
            let (x, g) = (values(planes * h * w, 1), values(planes * oh * ow, 2));
            let (mut y, mut gx) = (vec![0.0; g.len()], vec![0.0; x.len()]);
            for p in 0..planes {
                for i in 0..oh {
                    for j in 0..ow {
                        let (iy, ix) = (stride * i + offset, stride * j + offset);
                        if iy < h && ix < w {
                            y[(p * oh + i) * ow + j] = f64::from(x[(p * h + iy) * w + ix]);
                            gx[(p * h + iy) * w + ix] += f64::from(g[(p * oh + i) * ow + j]);
                        }
                    }
                }
            }
            everywhere(|level| {
                let a = subsample::forward(&x, planes, h, w, grid);
                close(&a, &y, level);
                let b = subsample::backward(&g, planes, h, w, grid);
                close(&b, &gx, level);
                vec![a, b]
            });
        }
    }
}

/// PyTorch's formula for one axis: two pixels and the second one's share.
fn resized(o: usize, from: usize, to: usize, align_corners: bool) -> (usize, usize, f64) {
    let place = match (align_corners, to) {
        (true, 1) => 0.0,
        (true, _) => (o * (from - 1)) as f64 / (to - 1) as f64,
        (false, _) => ((o as f64 + 0.5) * (from as f64 / to as f64) - 0.5).max(0.0),
    };
    let first = (place as usize).min(from - 1);
    (first, (first + 1).min(from - 1), place - first as f64)
}

#[test]
fn resize_matches_naive() {
    for (planes, from, to) in [
        (3, [4, 5], [32, 40]),
        (2, [1, 1], [7, 19]),
        (2, [7, 9], [7, 9]),
        (300, [5, 3], [9, 8]),
        (2, [33, 17], [8, 5]),
        (1, [2, 6], [1, 1]),
        (2, [65, 129], [97, 200]),
        (0, [2, 2], [4, 4]),
        (2, [3, 3], [0, 4]),
    ] {
        for align_corners in [false, true] {
            let shape = resize::ResizeShape { planes, from, to, align_corners };
            let (x, g) = (values(shape.in_len(), 1), values(shape.out_len(), 2));
            let (mut y, mut gx) = (vec![0.0; g.len()], vec![0.0; x.len()]);
            for p in 0..planes {
                for i in 0..to[0] {
                    for j in 0..to[1] {
                        let (i0, i1, v) = resized(i, from[0], to[0], align_corners);
                        let (j0, j1, u) = resized(j, from[1], to[1], align_corners);
                        let o = (p * to[0] + i) * to[1] + j;
                        for (row, v) in [(i0, 1.0 - v), (i1, v)] {
                            for (column, u) in [(j0, 1.0 - u), (j1, u)] {
                                let at = (p * from[0] + row) * from[1] + column;
                                y[o] += u * v * f64::from(x[at]);
                                gx[at] += u * v * f64::from(g[o]);
                            }
                        }
                    }
                }
            }
            for (from, to) in from.into_iter().zip(to) {
                let mut rows = vec![0.0; from * to];
                for o in 0..to {
                    let (first, second, share) = resized(o, from, to, align_corners);
                    rows[o * from + first] += 1.0 - share;
                    rows[o * from + second] += share;
                }
                close(&resize::matrix(from, to, align_corners), &rows, "matrix");
            }
            everywhere(|level| {
                let a = resize::forward(&x, &shape);
                close(&a, &y, &format!("{level} forward {shape:?}"));
                let b = resize::backward(&g, &shape);
                close(&b, &gx, &format!("{level} backward {shape:?}"));
                vec![a, b]
            });
        }
    }
}

#[test]
fn scaled_sums_match_naive() {
    for (n, c, hw) in [(3, 2, 49), (5, 1, 1), (7, 33, 64), (2, 1, 5000), (0, 3, 4)] {
        let (a, b) = (values(n * c * hw, 1), values(n * c * hw, 2));
        let scales = [values(n, 3), values(n, 4)];
        let scaled = |x: &[f32], scales: Option<&[f32]>| -> Vec<f64> {
            let of = |i: usize| scales.map_or(1.0, |scales| f64::from(scales[i / (c * hw)]));
            x.iter().enumerate().map(|(i, x)| f64::from(*x) * of(i)).collect()
        };
        for with in [[true, true], [true, false], [false, true], [false, false]] {
            let scales = [0, 1].map(|i| with[i].then_some(&scales[i][..]));
            let expected: Vec<f64> =
                scaled(&a, scales[0]).iter().zip(scaled(&b, scales[1])).map(|(a, b)| a + b).collect();
            everywhere(|level| {
                let sum = elementwise::add_scaled([&a, &b], scales, n, c, hw);
                close(&sum, &expected, level);
                vec![sum]
            });
        }
        everywhere(|level| {
            let y = elementwise::scale(&a, &scales[0], n, c, hw);
            close(&y, &scaled(&a, Some(&scales[0])), level);
            vec![y]
        });
    }
}

/// Losses, and gradients of `scale` times their sum.
fn naive_cross_entropy(x: &[f32], t: &Targets, scale: f64, s: Shape) -> (Vec<f64>, Vec<f64>) {
    let (mut losses, mut gradient) = (vec![0.0; s.places()], vec![0.0; x.len()]);
    let smoothing = f64::from(t.smoothing);
    for place in (0..s.places()).filter(|place| Some(t.labels[*place]) != t.ignore) {
        let at = |c: usize| (place / s.hw * s.classes + c) * s.hw + place % s.hw;
        let max = (0..s.classes).map(|c| f64::from(x[at(c)])).fold(f64::NEG_INFINITY, f64::max);
        let log_sum = (0..s.classes).map(|c| (f64::from(x[at(c)]) - max).exp()).sum::<f64>().ln();
        for c in 0..s.classes {
            let own = if c as i64 == t.labels[place] { 1.0 - smoothing } else { 0.0 };
            let target = own + smoothing / s.classes as f64;
            let log_p = f64::from(x[at(c)]) - max - log_sum;
            let weight = t.weights.map_or(1.0, |weights| f64::from(weights[t.labels[place] as usize]));
            losses[place] -= weight * target * log_p;
            gradient[at(c)] = scale * weight * (log_p.exp() - target);
        }
    }
    (losses, gradient)
}

#[test]
fn cross_entropy_matches_naive() {
    let mut draw = Draw(11);
    let mut shapes = vec![
        [64, 10, 1],
        [128, 1000, 1],
        [1, 1, 1],
        [0, 5, 1],
        [2, 3, 0],
        [5, 16, 1],
        [2, 19, 3000],
        [1, 150, 900],
    ];
    for _ in 0..60 {
        let hw = if draw.below(3) == 0 { 1 } else { 1 + draw.below(700) };
        shapes.push([1 + draw.below(9), 1 + draw.below(40), hw]);
    }
    for (i, [n, classes, hw]) in shapes.into_iter().enumerate() {
        let s = Shape { n, classes, hw };
        // Around 0, far apart, and far from 0 but close together.
        let (factor, offset) = [(3.0, 0.0), (1e4, 0.0), (3.0, 1e4), (30.0, -1e4)][i % 4];
        let x: Vec<f32> = values(n * classes * hw, i as u64).iter().map(|v| factor * v + offset).collect();
        let ignore = [None, Some(255), Some(-100), Some(0)][draw.below(4)];
        let labels: Vec<i64> = (0..s.places())
            .map(|_| match ignore {
                Some(label) if draw.below(3) == 0 => label,
                _ => draw.below(classes) as i64,
            })
            .collect();
        let smoothing = [0.0, 0.1, 0.5, 1.0][draw.below(4)];
        let weights: Option<Vec<f32>> = (smoothing == 0.0 && i % 2 == 0)
            .then(|| (0..classes).map(|_| [0.0, 0.5, 1.0, 2.5][draw.below(4)]).collect());
        let average = [Average::Counted, Average::AllPlaces][draw.below(2)];
        let targets = Targets { labels: &labels, smoothing, ignore, weights: weights.as_deref(), average };
        let counted = labels.iter().filter(|label| Some(**label) != ignore);
        let divisor = match (average, &weights) {
            (Average::AllPlaces, _) => labels.len() as f64,
            (Average::Counted, None) => counted.count() as f64,
            (Average::Counted, Some(weights)) => {
                counted.map(|label| f64::from(weights[*label as usize])).sum()
            }
        };
        let divisor = if divisor == 0.0 { 1.0 } else { divisor };
        let scale = (1.7 / divisor) as f32;
        let (losses, gradient) = naive_cross_entropy(&x, &targets, f64::from(scale), s);
        let mean = losses.iter().sum::<f64>() / divisor;
        everywhere(|level| {
            let what =
                format!("{level} {s:?} {factor} {offset} {smoothing} {ignore:?} {average:?} {weights:?}");
            assert_eq!(targets.divisor(), divisor, "{what}");
            let found = cross_entropy::forward(&x, &targets, s);
            close(&found.losses, &losses, &what);
            close(&[found.mean], &[mean], &what);
            let g = cross_entropy::backward(&x, &targets, &found.max, &found.log_sum, scale, s);
            close_at(&g, &gradient, 1e-9, &what);
            vec![found.losses, vec![found.mean], g]
        });
    }
}

#[test]
fn cross_entropy_is_that_of_pytorch() {
    // F.cross_entropy in f64, PyTorch 2.14, reduction "none" and "mean", with ignore_index=255; gradient of the mean.
    let x =
        [1.5, -2.0, 0.25, 3.0, 0.0, -1.0, 0.5, 2.0, 0.25, -3.0, 1.0, -1.0, -1.0, 0.5, 0.25, 2.5, -0.5, 4.0];
    let labels = [0, 1, 255, 2, 0, 1];
    for (smoothing, mean, losses, gradient) in [
        (
            0.0,
            1.6082378205146526,
            [
                0.37153903185268283,
                0.21627666737082574,
                0.0,
                0.9756187175203594,
                1.464368784107945,
                5.013385901721449,
            ],
            [
                -0.062065583,
                0.002950695,
                0.0,
                0.124300081,
                -0.15375522,
                0.001329671,
                0.050743236,
                -0.038897518,
                0.0,
                0.000308109,
                0.125706344,
                -0.198670329,
                0.011322346,
                0.035946823,
                0.0,
                -0.12460819,
                0.028048877,
                0.197340658,
            ],
        ),
        (
            0.1,
            1.6649044871813192,
            [
                0.4882056985193495,
                0.3996100007041591,
                0.0,
                1.1422853841870262,
                1.447702117441278,
                4.846719235054783,
            ],
            [
                -0.048732249,
                -0.003715972,
                0.0,
                0.117633414,
                -0.140421887,
                -0.005336996,
                0.04407657,
                -0.025564184,
                0.0,
                -0.006358558,
                0.119039677,
                -0.185336996,
                0.00465568,
                0.029280156,
                0.0,
                -0.111274857,
                0.02138221,
                0.190673992,
            ],
        ),
    ] {
        let targets = Targets { smoothing, ignore: Some(255), ..Targets::new(&labels) };
        let s = Shape { n: 1, classes: 3, hw: 6 };
        everywhere(|level| {
            let found = cross_entropy::forward(&x, &targets, s);
            close(&found.losses, &losses, level);
            close(&[found.mean], &[mean], level);
            let g = cross_entropy::backward(&x, &targets, &found.max, &found.log_sum, 0.2, s);
            close(&g, &gradient, level);
            vec![found.losses, g]
        });
    }
}

#[test]
fn cross_entropy_of_what_is_not_finite() {
    const INF: f32 = f32::INFINITY;
    for hw in [1, 2, 40] {
        // Of a sample's places, the first is the case, the others are zeros.
        let case = |logits: [f32; 3], label: i64, smoothing: f32| {
            let x: Vec<f32> =
                logits.iter().flat_map(|v| (0..hw).map(move |p| if p == 0 { *v } else { 0.0 })).collect();
            let mut labels = vec![1; hw];
            labels[0] = label;
            let targets = Targets { smoothing, ignore: Some(255), ..Targets::new(&labels) };
            let s = Shape { n: 1, classes: 3, hw };
            let mut out = (0.0, vec![]);
            for level in Level::supported() {
                out = with_level(level, || {
                    let found = cross_entropy::forward(&x, &targets, s);
                    let g = cross_entropy::backward(&x, &targets, &found.max, &found.log_sum, 1.0, s);
                    assert!(found.losses[1..].iter().all(|loss| (loss - 3f32.ln()).abs() < 1e-6));
                    (found.losses[0], g.chunks(hw).map(|g| g[0]).collect())
                });
            }
            out
        };
        assert!(case([f32::NAN, 0.0, 1.0], 1, 0.0).0.is_nan());
        assert!(case([0.0, INF, 1.0], 1, 0.0).0.is_nan());
        // An impossible class: no matter unless it is the label, or smoothing wants some of it.
        let (loss, g) = case([0.0, -INF, 0.0], 0, 0.0);
        assert!((loss - 2f32.ln()).abs() < 1e-6 && g == [-0.5, 0.0, 0.5], "{loss} {g:?}");
        assert_eq!(case([0.0, -INF, 0.0], 1, 0.0).0, INF);
        assert_eq!(case([0.0, -INF, 0.0], 0, 0.1).0, INF);
        // Far apart: certain, and rightly or wrongly so.
        assert_eq!(case([1e4, -1e4, 0.0], 0, 0.0), (0.0, vec![0.0, 0.0, 0.0]));
        assert_eq!(case([1e4, -1e4, 0.0], 1, 0.0), (2e4, vec![1.0, -1.0, 0.0]));
        // Ignored: nothing, whatever the logits are.
        assert_eq!(case([f32::NAN, INF, 1.0], 255, 0.1), (0.0, vec![0.0, 0.0, 0.0]));
    }
    let none = Targets { ignore: Some(255), ..Targets::new(&[255, 255]) };
    assert_eq!(cross_entropy::forward(&[1.0; 4], &none, Shape { n: 2, classes: 2, hw: 1 }).mean, 0.0);
}

#[test]
fn elementwise_matches_naive() {
    for len in [0, 1, 7, 100, 2048, 40_003] {
        let (mut x, g) = (values(len, 1), values(len, 2));
        if len > 50 {
            x[3] = 0.0;
            x[9] = -0.0;
        }
        let relu: Vec<f64> = x.iter().map(|v| relu64(*v, true)).collect();
        let back: Vec<f64> =
            x.iter().zip(&g).map(|(x, g)| if *x > 0.0 { f64::from(*g) } else { 0.0 }).collect();
        let sum: Vec<f64> = x.iter().zip(&g).map(|(x, g)| f64::from(x + g)).collect();
        everywhere(|level| {
            let a = elementwise::relu(&x);
            close(&a, &relu, level);
            let b = elementwise::relu_backward(&x, &g);
            close(&b, &back, level);
            assert_eq!(elementwise::relu_backward(&a, &g), b);
            let c = elementwise::add(&x, &g);
            close(&c, &sum, level);
            let mut d = x.clone();
            elementwise::add_assign(&mut d, &g);
            assert_eq!(c, d);
            vec![a, b, c]
        });
    }
    everywhere(|_| {
        let out = elementwise::relu(&[f32::NAN; 20]);
        assert!(out.iter().all(|v| v.is_nan()));
        vec![]
    });
}

#[test]
fn sgd_matches_naive() {
    for (len, nesterov) in [(1, false), (5, false), (50_000, false), (5, true), (50_000, true)] {
        let (params, grads, velocity) = (values(len, 1), values(len, 2), values(len, 3));
        let sgd = Sgd { lr: 0.025, momentum: 0.9, nesterov, weight_decay: 3e-4 };
        let scale = 0.7f32;
        let (mut p, mut v) = (vec![], vec![]);
        for i in 0..len {
            let d =
                f64::from(scale) * f64::from(grads[i]) + f64::from(sgd.weight_decay) * f64::from(params[i]);
            v.push(f64::from(sgd.momentum) * f64::from(velocity[i]) + d);
            let ahead = if nesterov { f64::from(sgd.momentum) * v[i] + d } else { v[i] };
            p.push(f64::from(params[i]) - f64::from(sgd.lr) * ahead);
        }
        let squares: f64 = grads.iter().map(|g| f64::from(*g).powi(2)).sum();
        everywhere(|level| {
            let (mut a, mut b) = (params.clone(), velocity.clone());
            sgd::step(&mut a, &grads, &mut b, scale, sgd);
            close(&a, &p, level);
            close(&b, &v, level);
            let sum = sgd::sum_squares(&grads);
            assert!((sum - squares).abs() <= 1e-9 * squares);
            vec![a, b, vec![f32::from_bits(sum.to_bits() as u32)]]
        });
    }
}

/// `gradient` against central differences of `forward` along a direction, both weighted by `g`.
#[track_caller]
fn agrees_with_differences(
    x: &[f32],
    g: &[f32],
    gradient: &[f32],
    step: f32,
    forward: impl Fn(&[f32]) -> Vec<f32>,
    what: &str,
) {
    let direction = values(x.len(), 99);
    let moved = |step: f32| -> Vec<f32> { x.iter().zip(&direction).map(|(x, d)| x + step * d).collect() };
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let norm = |a: &[f32]| dot(a, a).sqrt();
    let difference =
        (dot(&forward(&moved(step)), g) - dot(&forward(&moved(-step)), g)) / f64::from(2.0 * step);
    let expected = dot(gradient, &direction);
    let error = (difference - expected).abs();
    let size = norm(gradient) * norm(&direction).max(1.0) + 1.0;
    assert!(error <= 2e-3 * size, "{what}: {difference} by differences, {expected} by the gradient");
}

#[test]
fn gradients_agree_with_finite_differences() {
    let mut draw = Draw(5);
    for i in 0..40 {
        let (n, c, h, w) = (1 + draw.below(20), 1 + draw.below(20), 2 + draw.below(16), 2 + draw.below(20));
        let (hw, len) = (h * w, n * c * h * w);
        let x = values(len, 10 + i);
        for stride in [1, 2, 3] {
            let shape = PoolShape { planes: n * c, h, w, k: 3, stride, pad: 1, dilation: 1 };
            let g = values(shape.out_len(), 20 + i);
            // Values apart by far more than a step, in an order without a pattern: no maximum changes.
            let apart: Vec<f32> =
                (0..len).map(|j| (j * 7919 % 1_000_003) as f32 / 1024.0 + 0.1 * x[j]).collect();
            let conv = ConvShape {
                n,
                ci: c,
                h,
                w,
                co: c,
                kh: 3,
                kw: 3,
                stride,
                pad_h: 1,
                pad_w: 1,
                dilation: 1,
                groups: c,
            };
            let weight = values(conv.weight_len(), 30 + i);
            everywhere(|level| {
                let what = |kernel: &str| format!("{level} {kernel} {shape:?}");
                let (_, places) = pool::max_forward(&apart, &shape);
                let max = pool::max_backward(&g, &places, &shape);
                let forward = |x: &[f32]| pool::max_forward(x, &shape).0;
                agrees_with_differences(&apart, &g, &max, 0.01, forward, &what("max_pool"));
                let average = pool::avg_backward(&g, &shape);
                let forward = |x: &[f32]| pool::avg_forward(x, &shape);
                agrees_with_differences(&x, &g, &average, 0.1, forward, &what("avg_pool"));
                let input = depthwise::backward_input(&g, &weight, &conv, None);
                let forward = |x: &[f32]| depthwise::forward(x, &weight, &conv, false);
                agrees_with_differences(&x, &g, &input, 0.1, forward, &what("depthwise input"));
                let filter = depthwise::backward_weight(&x, &g, &conv, false);
                let forward = |weight: &[f32]| depthwise::forward(&x, weight, &conv, false);
                agrees_with_differences(&weight, &g, &filter, 0.1, forward, &what("depthwise weight"));
                vec![max, average, input, filter]
            });
        }
        let labels: Vec<i64> =
            (0..n * hw).map(|_| [255, draw.below(c) as i64][draw.below(5).min(1)]).collect();
        let targets = Targets { smoothing: 0.1, ignore: Some(255), ..Targets::new(&labels) };
        let logits = Shape { n, classes: c, hw };
        everywhere(|level| {
            let found = cross_entropy::forward(&x, &targets, logits);
            let input = cross_entropy::backward(&x, &targets, &found.max, &found.log_sum, 1.0, logits);
            let forward = |x: &[f32]| cross_entropy::forward(x, &targets, logits).losses;
            let ones = vec![1.0; n * hw];
            agrees_with_differences(&x, &ones, &input, 0.1, forward, &format!("{level} {logits:?}"));
            vec![input]
        });
        if n * hw < 8 {
            continue;
        }
        let (g, gamma, beta) = (values(len, 40 + i), values(c, 50), values(c, 60));
        everywhere(|level| {
            let forward = |x: &[f32]| batch_norm::train_forward(x, &gamma, &beta, n, c, hw, 1e-3).0;
            let (_, mean, var) = batch_norm::train_forward(&x, &gamma, &beta, n, c, hw, 1e-3);
            let (gx, ..) = batch_norm::train_backward(&x, &g, &gamma, &mean, &var, n, c, hw, 1e-3);
            agrees_with_differences(&x, &g, &gx, 0.003, forward, &format!("{level} batch_norm {n} {c} {hw}"));
            vec![gx]
        });
    }
}

/// Losses and gradients as the formula says it.
fn naive_focal(x: &[f32], t: &focal::Targets, s: focal::Shape) -> (f64, Vec<f64>) {
    let (alpha, gamma) = (f64::from(t.alpha), f64::from(t.gamma));
    let (mut loss, mut gradient) = (0.0, vec![0.0; x.len()]);
    for (i, &x) in x.iter().enumerate() {
        let (plane, place) = (i / s.hw, i % s.hw);
        let label = t.labels[plane / s.classes * s.hw + place];
        if label == focal::IGNORED {
            continue;
        }
        let (a, sign) = if label == (plane % s.classes) as i32 { (alpha, 1.0) } else { (1.0 - alpha, -1.0) };
        let x = sign * f64::from(x);
        let (p, q) = (1.0 / (1.0 + (-x).exp()), 1.0 / (1.0 + x.exp()));
        loss += a * q.powf(gamma) * -p.ln();
        gradient[i] = sign * a * q.powf(gamma) * (gamma * p * p.ln() - q);
    }
    (loss, gradient)
}

#[test]
fn focal_matches_naive() {
    for (n, anchors, classes, hw) in [(1, 1, 1, 1), (2, 3, 4, 37), (1, 9, 2, 700)] {
        let s = focal::Shape { n, anchors, classes, hw };
        let x: Vec<f32> = values(n * anchors * classes * hw, 5).iter().map(|v| 12.0 * v - 3.0).collect();
        let labels: Vec<i32> =
            (0..n * anchors * hw).map(|i| ((i * i + 1) % (classes + 3)) as i32 - 3).collect();
        let labels: Vec<i32> =
            labels.into_iter().map(|l| if l == -3 { focal::BACKGROUND } else { l }).collect();
        for gamma in [0.0, 1.5, 2.0] {
            let targets = focal::Targets { labels: &labels, alpha: 0.25, gamma };
            let (loss, gradient) = naive_focal(&x, &targets, s);
            everywhere(|level| {
                let what = format!("{level} {s:?} {gamma}");
                let found = focal::forward(&x, &targets, s);
                assert!((found - loss).abs() <= 1e-6 * loss, "{what}: {found}, not {loss}");
                let g = focal::backward(&x, &targets, 0.5, s);
                close(&g, &gradient.iter().map(|g| 0.5 * g).collect::<Vec<_>>(), &what);
                vec![vec![found as f32], g]
            });
        }
    }
}

#[test]
fn focal_survives_extremes() {
    let s = focal::Shape { n: 1, anchors: 1, classes: 1, hw: 6 };
    let (x, labels) = ([1e4, -1e4, 1e4, -1e4, 90.0, -90.0], [0, 0, -1, -1, -1, 0]);
    let targets = focal::Targets { labels: &labels, alpha: 0.25, gamma: 2.0 };
    let loss = focal::forward(&x, &targets, s);
    // An object at -1e4 costs alpha * 1e4, background at 1e4 the rest; so do those at 90.
    let expected = 0.25 * 1e4 + 0.75 * 1e4 + 0.75 * 90.0 + 0.25 * 90.0;
    assert!((loss - expected).abs() < 1e-3, "{loss}");
    close(&focal::backward(&x, &targets, 1.0, s), &[0.0, -0.25, 0.75, 0.0, 0.75, -0.25], "extremes");
    let nan = focal::forward(&[f32::NAN; 6], &targets, s);
    assert!(nan.is_nan());
}
