//! Times the loader of training photos: `loader.py` runs it in turns with torchvision's.
//!
//! `DATA PIPELINE BATCH EPOCHS THREADS` as arguments, where `DATA` is a data set whose test split is read (class folders
//! in `val/` or `val*.tar`) and `PIPELINE` is `darts` (spec 04-3b), `genas` (spec 04-3a) or `eval`; prints a JSON object
//! with the photos per second of each epoch. `DATA stages` prints the milliseconds of each stage per photo, on one
//! thread; `DATA index` how long it takes to list the photos.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use genas_data::{
    OnBroken, PhotoAugment, PhotoEval, PhotoEvalTransform, PhotoLoader, PhotoSource, Split, Workers,
};
use genas_space::Streams;

#[global_allocator]
static ALLOCATOR: genas_kernels::memory::Recycling = genas_kernels::memory::Recycling;

const USAGE: &str = "usage: loader DATA darts|genas|eval BATCH EPOCHS THREADS, or loader DATA stages|index; \
                     see benches/README.md";

fn main() -> Result<()> {
    // `cargo bench` adds this one.
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [data, what, numbers @ ..] = &args[..] else {
        eprintln!("{USAGE}");
        return Ok(());
    };
    let start = Instant::now();
    let source = Arc::new(PhotoSource::open(Path::new(data), Split::Test)?);
    let opened = start.elapsed().as_secs_f64();
    let result = match what.as_str() {
        "index" => serde_json::json!({
            "photos": source.len(),
            "index_s": opened,
            "fingerprint": source.fingerprint(),
            "with_fingerprint_s": start.elapsed().as_secs_f64(),
        }),
        "stages" => stages(&source)?,
        pipeline => {
            let numbers =
                numbers.iter().map(|n| n.parse()).collect::<Result<Vec<usize>, _>>().context(USAGE)?;
            let [batch, epochs, threads] = numbers[..] else { bail!(USAGE) };
            let rates = epochs_per_second(&source, pipeline, batch, epochs, threads)?;
            serde_json::json!({ "photos_per_s": rates, "threads": threads, "peak_mib": peak_mib() })
        }
    };
    println!("{result}");
    Ok(())
}

fn epochs_per_second(
    source: &Arc<PhotoSource>,
    pipeline: &str,
    batch: usize,
    epochs: usize,
    threads: usize,
) -> Result<Vec<f64>> {
    let augment = match pipeline {
        "genas" => PhotoAugment::genas(224),
        "darts" | "eval" => PhotoAugment::darts(224),
        _ => bail!(USAGE),
    };
    let train = PhotoLoader::new(source.clone(), augment, batch, Streams::new(0), "bench", OnBroken::Fail)?
        .with_workers(Workers::new(threads));
    let eval =
        PhotoEval::new(source.clone(), PhotoEvalTransform::DARTS, batch)?.with_workers(Workers::new(threads));
    let mut rates = Vec::new();
    for epoch in 0..epochs {
        let start = Instant::now();
        let batches = if pipeline == "eval" { eval.batches() } else { train.epoch(epoch as u64, 0) };
        let mut n = 0;
        for batch in batches {
            n += black_box(batch?).n;
        }
        rates.push(n as f64 / start.elapsed().as_secs_f64());
    }
    Ok(rates)
}

/// Milliseconds per photo: best of three passes, one thread.
fn stages(source: &PhotoSource) -> Result<serde_json::Value> {
    let n = source.len();
    let per_photo = |mut work: Box<dyn FnMut(usize) -> Result<()> + '_>| -> Result<f64> {
        let mut best = f64::INFINITY;
        for _ in 0..3 {
            let start = Instant::now();
            (0..n).try_for_each(&mut work)?;
            best = best.min(1e3 * start.elapsed().as_secs_f64() / n as f64);
        }
        Ok(best)
    };
    let photos = (0..n).map(|i| source.picture(i)).collect::<Result<Vec<_>, _>>()?;
    let (darts, genas) = (PhotoAugment::darts(224), PhotoAugment::genas(224));
    let draw = |augment: &PhotoAugment, i: usize| {
        augment.draw(photos[i].width, photos[i].height, &mut Streams::new(0).rng("bench", i as u64))
    };
    let apply = |augment: PhotoAugment, colors: Option<usize>| {
        let photos = &photos;
        Box::new(move |i: usize| {
            let mut change = draw(&augment, i);
            match colors {
                None => {}
                Some(0) => change.colors.clear(),
                // One kind of step only.
                Some(k) => change.colors.retain(|c| {
                    use genas_data::ColorStep as S;
                    matches!(
                        (k, c),
                        (1, S::Brightness(_)) | (2, S::Contrast(_)) | (3, S::Saturation(_)) | (4, S::Hue(_))
                    )
                }),
            }
            black_box(augment.apply(&change, &photos[i]).map_err(anyhow::Error::msg)?);
            Ok(())
        })
    };
    let read = per_photo(Box::new(|i| {
        black_box(source.read(i)?);
        Ok(())
    }))?;
    let decoded = per_photo(Box::new(|i| {
        black_box(source.picture(i)?);
        Ok(())
    }))?;
    let plain = per_photo(apply(darts, Some(0)))?;
    let mut steps = [0.0; 4];
    for (k, step) in steps.iter_mut().enumerate() {
        *step = per_photo(apply(darts, Some(k + 1)))? - plain;
    }
    let jittered = per_photo(apply(darts, None))?;
    let square = per_photo(apply(genas, None))?;
    let tables = darts.normalization().tables();
    let (planes, mut out) = (vec![77u8; darts.image_len()], vec![0f32; darts.image_len()]);
    let plane = planes.len() / 3;
    let normalize = per_photo(Box::new(|_| {
        for ((to, from), table) in
            out.chunks_exact_mut(plane).zip(black_box(&planes).chunks_exact(plane)).zip(&tables)
        {
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = table[usize::from(from)]);
        }
        black_box(&mut out);
        Ok(())
    }))?;
    Ok(serde_json::json!({
        "read": read, "decode": decoded - read, "crop_resize_flip": plain, "jitter": jittered - plain,
        "brightness": steps[0], "contrast": steps[1], "saturation": steps[2], "hue": steps[3],
        "normalize": normalize, "genas_crop_resize_lighting_flip": square,
    }))
}

fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}
