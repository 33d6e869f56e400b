//! Times one kernel at a time on request, so that another program can be measured in turns with it
//! (`benches/vs-pytorch/kernels.py`). `time_kernels [threads]`, then lines on standard input:
//!
//!     KERNEL PASS N CI CO H W K STRIDE DILATION CALLS
//!
//! Each is answered by a line with the milliseconds of CALLS calls, separated by commas. Kernels: `dense`, `depthwise`,
//! `pointwise`, `batch_norm`, `max_pool`, `avg_pool`; passes: `forward`, `backward`, and for convolutions `input` and
//! `weight`. Padding keeps the size (stride 1).

use genas_kernels::pool::PoolShape;
use genas_kernels::{ConvShape, batch_norm, dense, depthwise, pointwise, pool};
use std::hint::black_box;
use std::io::{BufRead, Write};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: genas_kernels::memory::Recycling = genas_kernels::memory::Recycling;

fn values(len: usize) -> Vec<f32> {
    let mut state = 7u32;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

fn time<T>(calls: usize, f: impl Fn() -> T) -> String {
    let times = (0..calls).map(|_| {
        let start = Instant::now();
        black_box(f());
        format!("{:.4}", start.elapsed().as_secs_f64() * 1e3)
    });
    times.collect::<Vec<_>>().join(",")
}

/// `None` for a kernel or pass that does not exist.
fn answer(
    kernel: &str,
    pass: &str,
    [n, ci, co, h, w, k, stride, dilation, calls]: [usize; 9],
) -> Option<String> {
    let pad = dilation * (k - 1) / 2;
    let groups = if kernel == "depthwise" { ci } else { 1 };
    let shape = ConvShape { n, ci, h, w, co, kh: k, kw: k, stride, pad_h: pad, pad_w: pad, dilation, groups };
    let planes = PoolShape { planes: n * ci, h, w, k, stride, pad };
    let (x, weight) = (values(shape.in_len()), values(shape.weight_len()));
    let (g, bias, hw) = (values(shape.out_len()), values(co), h * w);
    Some(match (kernel, pass) {
        ("dense", "forward") => time(calls, || dense::forward_bias(&x, &weight, Some(&bias), &shape)),
        ("dense", "input") => time(calls, || dense::backward_input(&g, &weight, &shape)),
        ("dense", "weight") => {
            time(calls, || (dense::backward_weight(&x, &g, &shape), dense::backward_bias(&g, &shape)))
        }
        ("depthwise", "forward") => time(calls, || depthwise::forward(&x, &weight, &shape, false)),
        ("depthwise", "input") => time(calls, || depthwise::backward_input(&g, &weight, &shape, None)),
        ("depthwise", "weight") => time(calls, || depthwise::backward_weight(&x, &g, &shape, false)),
        ("pointwise", "forward") => time(calls, || pointwise::forward(&x, &weight, n, ci, co, hw, false)),
        ("pointwise", "backward") => {
            time(calls, || pointwise::backward(&x, &weight, &g, n, ci, co, hw, false))
        }
        ("batch_norm", _) => {
            let gamma = values(ci);
            let run = || batch_norm::train_forward(&x, &gamma, &bias, n, ci, hw, 1e-5);
            let (_, mean, variance) = run();
            match pass {
                "forward" => time(calls, run),
                "backward" => time(calls, || {
                    batch_norm::train_backward(&x, &g, &gamma, &mean, &variance, n, ci, hw, 1e-5)
                }),
                _ => return None,
            }
        }
        ("max_pool", "forward") => time(calls, || pool::max_forward(&x, &planes)),
        ("max_pool", "backward") => {
            let (_, places) = pool::max_forward(&x, &planes);
            time(calls, || pool::max_backward(&g, &places, &planes))
        }
        ("avg_pool", "forward") => time(calls, || pool::avg_forward(&x, &planes)),
        ("avg_pool", "backward") => time(calls, || pool::avg_backward(&g, &planes)),
        _ => return None,
    })
}

fn main() -> std::io::Result<()> {
    let threads = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(2);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().expect("the pool is built once");
    eprintln!("{:?}, {threads} threads", genas_kernels::simd::Level::current());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let numbers: Vec<usize> = words.iter().skip(2).filter_map(|w| w.parse().ok()).collect();
        let reply = <[usize; 9]>::try_from(numbers).ok().and_then(|n| answer(words[0], words[1], n));
        println!("{}", reply.unwrap_or_else(|| format!("error: {line}")));
        std::io::stdout().flush()?;
    }
    Ok(())
}
