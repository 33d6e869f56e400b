//! A [`Scene`] as pixels: layers with exact edges, then light, then noise.

use super::geometry::Point;
use super::scene::{Color, Pattern, Scene, Stroke};
use crate::Picture;

/// Renders a scene `height` pixels high.
pub fn render(scene: &Scene, height: usize) -> Picture {
    let width = (height as f32 * scene.aspect).round() as usize;
    let mut canvas = Canvas { width, height, pixels: background(scene, width, height) };
    scene.background.strokes.iter().for_each(|s| canvas.stroke(s));
    for object in &scene.objects {
        let mask = object.mask(width, height);
        for (k, &coverage) in mask.coverage.iter().enumerate().filter(|(_, c)| **c > 0.0) {
            let (x, y) = (mask.left + k % mask.width, mask.top + k / mask.width);
            // The texture has edges too: four samples a pixel.
            let second = [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
                .into_iter()
                .filter(|d: &Point| {
                    let p = [x as f32 + d[0], y as f32 + d[1]].map(|v| v / height as f32);
                    object.texture.second(object.local(p))
                })
                .count() as f32
                / 4.0;
            let color = mix(object.colors[0], object.colors[1], second);
            canvas.blend(x, y, color, coverage.min(1.0));
        }
    }
    scene.occluders.iter().for_each(|s| canvas.stroke(s));
    canvas.expose(scene)
}

struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Color>,
}

impl Canvas {
    fn blend(&mut self, x: usize, y: usize, color: Color, coverage: f32) {
        let pixel = &mut self.pixels[y * self.width + x];
        *pixel = mix(*pixel, color, coverage);
    }

    fn stroke(&mut self, stroke: &Stroke) {
        let scale = self.height as f32;
        let (a, b) = (stroke.from.map(|v| v * scale), stroke.to.map(|v| v * scale));
        let half = stroke.width * scale / 2.0;
        let along = [b[0] - a[0], b[1] - a[1]];
        let length2 = (along[0].powi(2) + along[1].powi(2)).max(1e-9);
        let span = |axis: usize, end: usize| {
            let from = (a[axis].min(b[axis]) - half - 1.0).clamp(0.0, end as f32);
            let to = (a[axis].max(b[axis]) + half + 1.0).clamp(0.0, end as f32);
            from as usize..to as usize
        };
        for y in span(1, self.height) {
            for x in span(0, self.width) {
                let p = [x as f32 + 0.5 - a[0], y as f32 + 0.5 - a[1]];
                let t = ((p[0] * along[0] + p[1] * along[1]) / length2).clamp(0.0, 1.0);
                let distance = (p[0] - t * along[0]).hypot(p[1] - t * along[1]);
                // A line thinner than a pixel covers a part of it only.
                let coverage = (half - distance + 0.5).clamp(0.0, (2.0 * half).min(1.0));
                if coverage > 0.0 {
                    self.blend(x, y, stroke.color, coverage);
                }
            }
        }
    }

    /// Light, noise and 8 bits.
    fn expose(self, scene: &Scene) -> Picture {
        let (sin, cos) = scene.lighting.angle.sin_cos();
        let scale = 1.0 / self.height as f32;
        let mut rgb = Vec::with_capacity(self.pixels.len() * 3);
        for (k, pixel) in self.pixels.iter().enumerate() {
            let x = ((k % self.width) as f32 + 0.5) * scale - scene.aspect / 2.0;
            let y = ((k / self.width) as f32 + 0.5) * scale - 0.5;
            let light = scene.lighting.gain * (1.0 + scene.lighting.slope * (x * cos + y * sin));
            for (c, value) in pixel.iter().enumerate() {
                let noise = scene.noise.sigma * gaussian(scene.noise.seed, (3 * k + c) as u64);
                rgb.push(((value * light + noise) * 255.0).round().clamp(0.0, 255.0) as u8);
            }
        }
        Picture { width: self.width, height: self.height, rgb }
    }
}

fn background(scene: &Scene, width: usize, height: usize) -> Vec<Color> {
    let scale = 1.0 / height as f32;
    let [first, second] = scene.background.colors;
    let share = |p: Point| match &scene.background.pattern {
        Pattern::Gradient { angle } => {
            let (sin, cos) = angle.sin_cos();
            0.5 + (p[0] - scene.aspect / 2.0) * cos + (p[1] - 0.5) * sin
        }
        Pattern::Noise { bumps, seed } => {
            let fine = p.map(|v| v * bumps * 2.0);
            0.7 * value_noise(p.map(|v| v * bumps), *seed) + 0.3 * value_noise(fine, !*seed)
        }
        Pattern::Blobs(blobs) => blobs
            .iter()
            .map(|(at, radius)| {
                let d2 = (p[0] - at[0]).powi(2) + (p[1] - at[1]).powi(2);
                let t = (1.0 - d2 / radius.powi(2)).max(0.0);
                t * t * (3.0 - 2.0 * t)
            })
            .fold(0.0, f32::max),
    };
    let pixel = |k: usize| {
        let p = [k % width, k / width].map(|v| (v as f32 + 0.5) * scale);
        mix(first, second, share(p).clamp(0.0, 1.0))
    };
    (0..width * height).map(pixel).collect()
}

fn mix(a: Color, b: Color, share: f32) -> Color {
    std::array::from_fn(|c| a[c] + (b[c] - a[c]) * share)
}

/// Smooth noise in [0, 1] with a bump per unit.
fn value_noise(p: Point, seed: u64) -> f32 {
    let (x, y) = (p[0].floor(), p[1].floor());
    let at = |dx: f32, dy: f32| {
        let cell = ((x + dx) as i32 as u32 as u64) << 32 | (y + dy) as i32 as u32 as u64;
        (hash(seed, cell) >> 40) as f32 / (1u64 << 24) as f32
    };
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (u, v) = (smooth(p[0] - x), smooth(p[1] - y));
    let row = |dy| at(0.0, dy) * (1.0 - u) + at(1.0, dy) * u;
    row(0.0) * (1.0 - v) + row(1.0) * v
}

/// Nearly normal, of variance 1: the sum of four uniform numbers.
fn gaussian(seed: u64, i: u64) -> f32 {
    let bits = hash(seed, i);
    let sum: u32 = (0..4).map(|k| (bits >> (16 * k)) as u32 & 0xffff).sum();
    (sum as f32 / 65536.0 - 2.0) * 3f32.sqrt()
}

/// SplitMix64 of a position in a seed's sequence.
fn hash(seed: u64, i: u64) -> u64 {
    let mut z = seed.wrapping_add(i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::{SceneOptions, Shape};
    use genas_space::Streams;

    #[test]
    fn rendering_is_a_function_of_the_scene() {
        let scene = |i| Scene::sample(&mut Streams::new(1).rng("t", i), &SceneOptions::hard());
        assert_eq!(render(&scene(0), 32), render(&scene(0), 32));
        assert_ne!(render(&scene(0), 32), render(&scene(1), 32));
        assert_eq!(render(&scene(0), 48).rgb.len(), 48 * 48 * 3);
    }

    #[test]
    fn noise_is_standard() {
        let n = 20_000;
        let values: Vec<f32> = (0..n).map(|i| gaussian(9, i)).collect();
        let mean = values.iter().sum::<f32>() / n as f32;
        let var = values.iter().map(|v| v * v).sum::<f32>() / n as f32;
        assert!(mean.abs() < 0.03 && (var - 1.0).abs() < 0.05, "{mean} {var}");
        for i in 0..1000 {
            let v = value_noise([i as f32 * 0.37, i as f32 * 0.11], 4);
            assert!((0.0..=1.0).contains(&v));
        }
    }

    /// Nearest class mean of an image's mean colour: colour must not give the class away.
    #[test]
    fn mean_colour_does_not_tell_the_class() {
        let options = SceneOptions::standard();
        let mean_colour = |i: u64| -> [f64; 3] {
            let class = i as usize % Shape::ALL.len();
            let scene = Scene::sample_class(&mut Streams::new(5).rng("t", i), &options, class);
            let picture = render(&scene, 32);
            std::array::from_fn(|c| {
                picture.rgb.iter().skip(c).step_by(3).map(|&v| f64::from(v)).sum::<f64>() / 1024.0
            })
        };
        let (train, test) = (2000, 1000);
        let mut means = [[0.0; 3]; 10];
        for i in 0..train {
            let m = mean_colour(i);
            (0..3).for_each(|c| means[i as usize % 10][c] += m[c] / (train as f64 / 10.0));
        }
        let right = (train..train + test)
            .filter(|&i| {
                let m = mean_colour(i);
                let d = |k: &usize| (0..3).map(|c| (means[*k][c] - m[c]).powi(2)).sum::<f64>();
                (0..10).min_by(|a, b| d(a).total_cmp(&d(b))) == Some(i as usize % 10)
            })
            .count();
        let accuracy = right as f64 / test as f64;
        assert!(accuracy < 0.25, "{accuracy}");
    }
}
