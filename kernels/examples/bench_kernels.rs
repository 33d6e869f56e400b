//! Times the kernels at the shapes of a DARTS supernet. `bench_kernels [threads] [filter] [calls]`; best and median
//! time of a call and its mean processor time, in ms. `GENAS_RECYCLE=0` measures with the system's allocator.
//! `GENAS_SIMD` limits the instruction set.

use genas_kernels::pool::PoolShape;
use genas_kernels::{ConvShape, batch_norm, dense, depthwise, elementwise, pointwise, pool, subsample};
use std::time::Instant;

fn values(len: usize) -> Vec<f32> {
    let mut state = 7u32;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

#[global_allocator]
static ALLOCATOR: genas_kernels::memory::Recycling = genas_kernels::memory::Recycling;

struct Bench {
    filter: String,
    calls: usize,
}

impl Bench {
    fn time<T>(&self, name: &str, f: impl Fn() -> T) {
        if !name.contains(&self.filter) {
            return;
        }
        for _ in 0..3 {
            std::hint::black_box(f());
        }
        let cpu = cpu_ms();
        let mut times: Vec<f64> = (0..self.calls)
            .map(|_| {
                let start = Instant::now();
                std::hint::black_box(f());
                start.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        let cpu = (cpu_ms() - cpu) / times.len() as f64;
        times.sort_by(f64::total_cmp);
        println!("{name:44} best {:7.3}  median {:7.3}  cpu {cpu:7.3}", times[0], times[times.len() / 2]);
    }
}

/// Processor time of all threads so far (Linux; else 0): steadier than the clock on a machine with other work.
fn cpu_ms() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let text = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    text.filter_map(|text| text.split(' ').next()?.parse::<f64>().ok()).sum::<f64>() / 1e6
}

fn main() {
    if std::env::var("GENAS_RECYCLE").is_ok_and(|v| v == "0") {
        genas_kernels::memory::set_limit(0);
        genas_kernels::memory::release();
    }
    let mut args = std::env::args().skip(1);
    let threads = args.next().and_then(|a| a.parse().ok()).unwrap_or(2);
    let filter = args.next().unwrap_or_default();
    let bench = Bench { filter, calls: args.next().and_then(|a| a.parse().ok()).unwrap_or(41) };
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().expect("the pool is built once");
    println!("{:?}, {threads} threads, batch 64", genas_kernels::simd::Level::current());
    let n = 64;
    for (c, h) in [(32, 16), (16, 32), (64, 8)] {
        let hw = h * h;
        let name = |what: &str| format!("C={c}@{h} {what}");
        let (x, g) = (values(n * c * hw), values(n * c * hw));
        for (k, stride, dilation) in
            [(3, 1, 1), (5, 1, 1), (3, 1, 2), (5, 1, 2), (3, 2, 1), (5, 2, 1), (7, 1, 1)]
        {
            let pad = dilation * (k - 1) / 2;
            let shape = ConvShape {
                n,
                ci: c,
                h,
                w: h,
                co: c,
                kh: k,
                kw: k,
                stride,
                pad_h: pad,
                pad_w: pad,
                dilation,
                groups: c,
            };
            let w = values(shape.weight_len());
            let g = &g[..shape.out_len()];
            let op = format!("depthwise {k}x{k} s{stride} d{dilation}");
            bench.time(&name(&format!("{op} forward relu")), || depthwise::forward(&x, &w, &shape, true));
            bench.time(&name(&format!("{op} input")), || depthwise::backward_input(g, &w, &shape, Some(&x)));
            bench.time(&name(&format!("{op} weight")), || depthwise::backward_weight(&x, g, &shape, true));
        }
        for (factor, relu) in [(1, false), (1, true), (4, false)] {
            let co = c * factor;
            let (w, g) = (values(co * c), values(n * co * hw));
            let op = format!("pointwise C to {factor}C relu {relu}");
            bench.time(&name(&format!("{op} forward")), || pointwise::forward(&x, &w, n, c, co, hw, relu));
            bench.time(&name(&format!("{op} backward")), || {
                pointwise::backward(&x, &w, &g, n, c, co, hw, relu)
            });
        }
        {
            // Preprocessing of a cell: four nodes concatenated.
            let (ci, x) = (4 * c, values(n * 4 * c * hw));
            let w = values(c * ci);
            bench.time(&name("pointwise 4C to C forward relu"), || {
                pointwise::forward(&x, &w, n, ci, c, hw, true)
            });
            bench.time(&name("pointwise 4C to C backward relu"), || {
                pointwise::backward(&x, &w, &g, n, ci, c, hw, true)
            });
        }
        let shape = ConvShape {
            n,
            ci: c,
            h,
            w: h,
            co: c,
            kh: 3,
            kw: 3,
            stride: 1,
            pad_h: 1,
            pad_w: 1,
            dilation: 1,
            groups: 1,
        };
        let w = values(shape.weight_len());
        bench.time(&name("dense 3x3 forward"), || dense::forward(&x, &w, &shape));
        bench.time(&name("dense 3x3 input"), || dense::backward_input(&g, &w, &shape));
        bench.time(&name("dense 3x3 weight"), || dense::backward_weight(&x, &g, &shape));
        let (gamma, beta) = (values(c), values(c));
        let (_, mean, var) = batch_norm::train_forward(&x, &gamma, &beta, n, c, hw, 1e-5);
        bench.time(&name("batch norm forward"), || {
            batch_norm::train_forward(&x, &gamma, &beta, n, c, hw, 1e-5)
        });
        bench.time(&name("batch norm and sum forward"), || {
            batch_norm::train_forward_add(&x, &gamma, &beta, Some(&g), n, c, hw, 1e-5)
        });
        bench.time(&name("batch norm backward"), || {
            batch_norm::train_backward(&x, &g, &gamma, &mean, &var, n, c, hw, 1e-5)
        });
        for stride in [1, 2] {
            let shape = PoolShape { planes: n * c, h, w: h, k: 3, stride, pad: 1 };
            let g = &g[..shape.out_len()];
            let (_, places) = pool::max_forward(&x, &shape);
            bench.time(&name(&format!("max pool s{stride} forward")), || pool::max_forward(&x, &shape));
            bench.time(&name(&format!("max pool s{stride} backward")), || {
                pool::max_backward(g, &places, &shape)
            });
            bench.time(&name(&format!("avg pool s{stride} forward")), || pool::avg_forward(&x, &shape));
            bench.time(&name(&format!("avg pool s{stride} backward")), || pool::avg_backward(g, &shape));
        }
        bench.time(&name("subsample forward"), || subsample::forward(&x, n * c, h, h, 1));
        bench.time(&name("subsample backward"), || subsample::backward(&g[..n * c * hw / 4], n * c, h, h, 1));
        bench.time(&name("relu forward"), || elementwise::relu(&x));
        bench.time(&name("relu backward"), || elementwise::relu_backward(&x, &g));
        bench.time(&name("add"), || elementwise::add(&x, &g));
        let sum = std::cell::RefCell::new(x.clone());
        bench.time(&name("add_assign"), || elementwise::add_assign(&mut sum.borrow_mut(), &g));
        bench.time(&name("(allocate and clone)"), || x.clone());
        // What a training step does to the allocator: 100 activations, all alive, then all freed.
        bench.time(&name("(100 relu, all kept)"), || {
            (0..100).map(|_| elementwise::relu(&x)).collect::<Vec<_>>()
        });
    }
}
