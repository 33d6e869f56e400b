//! Times the kernels, on as many threads as `GENAS_THREADS` says (2).
//!
//! `cargo bench --manifest-path kernels/Cargo.toml [-- FILTER]` times the shapes of a supernet's cells and the dense
//! convolutions that matter. With `--serve` the program times what another one asks for, so that both can be measured in
//! turns (`benches/vs-pytorch/kernels.py`). It reads lines
//!
//!     KERNEL PASS N CI CO H W K STRIDE DILATION CALLS
//!
//! and answers each with the milliseconds of CALLS calls, separated by commas. Kernels: `dense`, `depthwise`,
//! `pointwise`, `batch_norm`, `max_pool`, `avg_pool`, `subsample`, `cross_entropy` (of CI classes); passes: `forward`, `backward`, and for convolutions
//! `input` and `weight`. Padding keeps the size (stride 1). `GENAS_SIMD` limits the instruction set.
//!
//! Everything runs inside the pool, as training does: a call from a thread outside costs a wake-up more. Calls are counted
//! after [`WARM_UP`] of calls: a system may keep threads that slept together on one core at first (the one of a virtual
//! machine measured did, for 5 to 20 ms, which doubles the time of every kernel), while training calls without a pause.

use genas_kernels::cross_entropy::{self, Targets};
use genas_kernels::pool::PoolShape;
use genas_kernels::{ConvShape, batch_norm, dense, depthwise, pointwise, pool, subsample};
use std::fmt;
use std::hint::black_box;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: genas_kernels::memory::Recycling = genas_kernels::memory::Recycling;

/// Time that calls are not counted for.
const WARM_UP: Duration = Duration::from_millis(50);

#[derive(Clone)]
struct Case {
    kernel: String,
    pass: String,
    /// N, CI, CO, H, W, K, STRIDE, DILATION.
    numbers: [usize; 8],
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let [n, ci, co, h, w, k, stride, dilation] = self.numbers;
        let Case { kernel, pass, .. } = self;
        write!(f, "{kernel} {k}x{k} s{stride} d{dilation} {n}x{ci}x{h}x{w} to {co} {pass}")
    }
}

fn values(len: usize) -> Vec<f32> {
    let mut state = 7u32;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

impl Case {
    /// Calls the pass, and drops the result; `None` for a kernel or pass that does not exist.
    fn operation(&self) -> Option<Box<dyn Fn()>> {
        let [n, ci, co, h, w, k, stride, dilation] = self.numbers;
        let pad = dilation * (k - 1) / 2;
        let groups = if self.kernel == "depthwise" { ci } else { 1 };
        let s = ConvShape { n, ci, h, w, co, kh: k, kw: k, stride, pad_h: pad, pad_w: pad, dilation, groups };
        let planes = PoolShape { planes: n * ci, h, w, k, stride, pad, dilation: 1 };
        let (x, weight) = (values(s.in_len()), values(s.weight_len()));
        let (g, bias, hw) = (values(s.out_len()), values(co), h * w);
        macro_rules! call {
            ($call:expr) => {
                Box::new(move || drop(black_box($call)))
            };
        }
        Some(match (&*self.kernel, &*self.pass) {
            ("dense", "forward") => call!(dense::forward_bias(&x, &weight, Some(&bias), &s)),
            ("dense", "input") => call!(dense::backward_input(&g, &weight, &s)),
            ("dense", "weight") => call!((dense::backward_weight(&x, &g, &s), dense::backward_bias(&g, &s))),
            ("depthwise", "forward") => call!(depthwise::forward(&x, &weight, &s, false)),
            ("depthwise", "input") => call!(depthwise::backward_input(&g, &weight, &s, None)),
            ("depthwise", "weight") => call!(depthwise::backward_weight(&x, &g, &s, false)),
            ("pointwise", "forward") => call!(pointwise::forward(&x, &weight, n, ci, co, hw, false)),
            ("pointwise", "backward") => call!(pointwise::backward(&x, &weight, &g, n, ci, co, hw, false)),
            ("batch_norm", "forward") => {
                let gamma = values(ci);
                call!(batch_norm::train_forward(&x, &gamma, &bias, n, ci, hw, 1e-5))
            }
            ("batch_norm", "backward") => {
                let gamma = values(ci);
                let (_, mean, variance) = batch_norm::train_forward(&x, &gamma, &bias, n, ci, hw, 1e-5);
                call!(batch_norm::train_backward(&x, &g, &gamma, &mean, &variance, n, ci, hw, 1e-5))
            }
            ("max_pool", "forward") => call!(pool::max_forward(&x, &planes)),
            ("max_pool", "backward") => {
                let (_, places) = pool::max_forward(&x, &planes);
                call!(pool::max_backward(&g, &places, &planes))
            }
            ("avg_pool", "forward") => call!(pool::avg_forward(&x, &planes)),
            ("avg_pool", "backward") => call!(pool::avg_backward(&g, &planes)),
            ("subsample", "forward") => call!(subsample::forward(&x, n * ci, h, w, ODD)),
            ("subsample", "backward") => call!(subsample::backward(&g, n * ci, h, w, ODD)),
            ("cross_entropy", pass) => {
                let labels: Vec<i64> = (0..n * hw).map(|i| (i * 7919 % ci) as i64).collect();
                let shape = cross_entropy::Shape { n, classes: ci, hw };
                let found = cross_entropy::forward(&x, &targets(&labels), shape);
                let (max, log_sum, scale) = (found.max, found.log_sum, 1.0 / (n * hw) as f32);
                match pass {
                    "forward" => call!(cross_entropy::forward(&x, &targets(&labels), shape)),
                    "backward" => {
                        call!(cross_entropy::backward(&x, &targets(&labels), &max, &log_sum, scale, shape))
                    }
                    _ => return None,
                }
            }
            _ => return None,
        })
    }
}

/// The pixels that a factorised reduction's second half reads.
const ODD: subsample::Grid = subsample::Grid { stride: 2, offset: 1 };

fn targets(labels: &[i64]) -> Targets<'_> {
    Targets::new(labels)
}

/// Those of `benches/vs-pytorch/kernels.py`, without the largest.
fn cases() -> Vec<Case> {
    const CONV: &[&str] = &["forward", "input", "weight"];
    const BOTH: &[&str] = &["forward", "backward"];
    let mut cases = vec![];
    let mut add = |kernel: &str, numbers: [usize; 8], passes: &[&str]| {
        cases.extend(passes.iter().map(|pass| Case { kernel: kernel.into(), pass: (*pass).into(), numbers }));
    };
    for (c, h) in [(16, 32), (32, 16), (64, 8)] {
        for (k, stride, dilation) in [(3, 1, 1), (5, 1, 1), (3, 1, 2), (5, 1, 2), (3, 2, 1), (5, 2, 1)] {
            add("depthwise", [64, c, c, h, h, k, stride, dilation], CONV);
        }
        add("pointwise", [64, c, c, h, h, 1, 1, 1], BOTH);
        add("pointwise", [64, 4 * c, c, h, h, 1, 1, 1], BOTH);
        add("batch_norm", [64, c, c, h, h, 1, 1, 1], BOTH);
        for stride in [1, 2] {
            add("max_pool", [64, c, c, h, h, 3, stride, 1], BOTH);
            add("avg_pool", [64, c, c, h, h, 3, stride, 1], BOTH);
        }
        add("subsample", [64, c, c, h, h, 1, 2, 1], BOTH);
    }
    for [n, classes, h, w] in [[64, 10, 1, 1], [128, 1000, 1, 1], [2, 19, 256, 512]] {
        add("cross_entropy", [n, classes, classes, h, w, 1, 1, 1], BOTH);
    }
    for numbers in [
        [64, 3, 48, 32, 32, 3, 1, 1],
        [16, 3, 24, 224, 224, 3, 2, 1],
        [16, 24, 48, 112, 112, 3, 2, 1],
        [1, 256, 256, 50, 68, 3, 1, 1],
        [1, 256, 256, 50, 68, 3, 2, 1],
    ] {
        add("dense", numbers, CONV);
    }
    cases
}

#[divan::bench(args = cases())]
fn kernels(bencher: divan::Bencher, case: &Case) {
    let operation = case.operation().expect("the table has kernels that exist");
    warm_up(&operation);
    bencher.bench_local(operation);
}

fn warm_up(operation: &dyn Fn()) {
    let start = Instant::now();
    while start.elapsed() < WARM_UP {
        operation();
    }
}

/// The answer to a line of [`serve`].
fn answer(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let (kernel, pass) = (words.next()?.to_owned(), words.next()?.to_owned());
    let numbers: Vec<usize> = words.filter_map(|w| w.parse().ok()).collect();
    let (calls, numbers) = numbers.split_last()?;
    let operation = Case { kernel, pass, numbers: numbers.try_into().ok()? }.operation()?;
    warm_up(&operation);
    let times = (0..*calls).map(|_| {
        let start = Instant::now();
        operation();
        format!("{:.4}", start.elapsed().as_secs_f64() * 1e3)
    });
    Some(times.collect::<Vec<_>>().join(","))
}

fn serve() -> std::io::Result<()> {
    eprintln!("{:?}, {} threads", genas_kernels::simd::Level::current(), rayon::current_num_threads());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        println!("{}", answer(&line).unwrap_or_else(|| format!("error: {line}")));
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let threads = std::env::var("GENAS_THREADS").ok().and_then(|a| a.parse().ok()).unwrap_or(2);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started");
    pool.install(|| {
        if std::env::args().any(|a| a == "--serve") {
            return serve();
        }
        divan::main();
        Ok(())
    })
}
