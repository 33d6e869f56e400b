//! What an image of the `shapes` set shows, drawn at random: background, objects, what hides them,
//! light and noise. Only an object's shape depends on its class.
//!
//! Coordinates: the picture is 1 high and `aspect` wide, x to the right, y down.

use std::f32::consts::TAU;

use rand::{Rng, RngExt};

use super::SceneOptions;
use super::geometry::{self, BoundingBox, Mask, Point, Shape, turn};

/// Red, green, blue, each 0 to 1.
pub type Color = [f32; 3];

/// How an object is filled with its two colours. Lengths are in units of the object's radius, angles
/// in radians.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Texture {
    /// The main colour only.
    Solid,
    /// Bars of both colours.
    Stripes {
        /// Direction across the bars.
        angle: f32,
        /// From a bar to the next of its colour.
        period: f32,
    },
    /// Squares of both colours.
    Checker {
        /// Of the rows of squares.
        angle: f32,
        /// From a square to the next of its colour.
        period: f32,
    },
    /// Discs of the second colour on the main one.
    Dots {
        /// Of the rows of discs.
        angle: f32,
        /// From a disc to the next.
        period: f32,
    },
}

impl Texture {
    /// Whether the second colour is at `p`, in the object's own frame.
    pub(super) fn second(self, p: Point) -> bool {
        let cell = |v: f32, period: f32| (v / period).rem_euclid(1.0);
        match self {
            Self::Solid => false,
            Self::Stripes { angle, period } => cell(turn(p, angle)[0], period) < 0.5,
            Self::Checker { angle, period } => {
                let q = turn(p, angle);
                (cell(q[0], period) < 0.5) != (cell(q[1], period) < 0.5)
            }
            Self::Dots { angle, period } => {
                let q = turn(p, angle);
                (cell(q[0], period) - 0.5).hypot(cell(q[1], period) - 0.5) < 0.32
            }
        }
    }
}

/// A shape in the scene.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// What it is.
    pub shape: Shape,
    /// Position of `shape` in [`Shape::ALL`].
    pub class: usize,
    /// Of the circle around it.
    pub center: Point,
    /// Of the circle around it.
    pub radius: f32,
    /// Clockwise, in radians.
    pub rotation: f32,
    /// How it is filled.
    pub texture: Texture,
    /// The main and the second colour.
    pub colors: [Color; 2],
}

impl Object {
    /// The contours in the scene's coordinates times `scale`: with the height of a picture as
    /// `scale`, in its pixels.
    pub fn contours(&self, scale: f32) -> Vec<Vec<Point>> {
        let place = |p: Point| {
            let q = turn(p, self.rotation);
            [0, 1].map(|axis| (self.center[axis] + q[axis] * self.radius) * scale)
        };
        self.shape.contours().into_iter().map(|c| c.into_iter().map(place).collect()).collect()
    }

    /// The smallest upright rectangle around it, in a picture of this height. Not cut at borders.
    pub fn bounding_box(&self, height: usize) -> BoundingBox {
        BoundingBox::around(&self.contours(height as f32))
    }

    /// How much of each pixel it covers.
    pub fn mask(&self, width: usize, height: usize) -> Mask {
        Mask::of(&self.contours(height as f32), width, height)
    }

    /// Whether it covers a point of the scene.
    pub fn contains(&self, p: Point) -> bool {
        geometry::contains(&self.contours(1.0), p)
    }

    /// A point of the scene in the object's own frame, where its radius is 1.
    pub(super) fn local(&self, p: Point) -> Point {
        let q = turn([p[0] - self.center[0], p[1] - self.center[1]], -self.rotation);
        q.map(|v| v / self.radius)
    }
}

/// What is behind the objects.
#[derive(Debug, Clone, PartialEq)]
pub struct Background {
    /// The two colours that it is mixed from.
    pub colors: [Color; 2],
    /// How they are mixed.
    pub pattern: Pattern,
    /// Clutter that crosses it.
    pub strokes: Vec<Stroke>,
}

/// How the background's colours are mixed.
#[derive(Debug, Clone, PartialEq)]
pub enum Pattern {
    /// From one to the other.
    Gradient {
        /// Direction in which the second colour grows.
        angle: f32,
    },
    /// Smooth noise.
    Noise {
        /// Bumps from top to bottom.
        bumps: f32,
        /// Which noise.
        seed: u64,
    },
    /// Soft discs of the second colour: centre and radius.
    Blobs(Vec<(Point, f32)>),
}

/// A straight line with round ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stroke {
    /// One end.
    pub from: Point,
    /// The other end.
    pub to: Point,
    /// Thickness.
    pub width: f32,
    /// Its colour.
    pub color: Color,
}

impl Stroke {
    /// Whether it covers a point of the scene.
    pub fn contains(&self, p: Point) -> bool {
        let along = [self.to[0] - self.from[0], self.to[1] - self.from[1]];
        let from = [p[0] - self.from[0], p[1] - self.from[1]];
        let length2 = (along[0].powi(2) + along[1].powi(2)).max(1e-9);
        let t = ((from[0] * along[0] + from[1] * along[1]) / length2).clamp(0.0, 1.0);
        (from[0] - t * along[0]).hypot(from[1] - t * along[1]) < self.width / 2.0
    }
}

/// Light that falls on everything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lighting {
    /// Brightness in the middle.
    pub gain: f32,
    /// Relative change from one border to the other.
    pub slope: f32,
    /// Direction of the change.
    pub angle: f32,
}

/// Noise of the sensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Standard deviation, on the [0, 1] scale.
    pub sigma: f32,
    /// Which noise.
    pub seed: u64,
}

/// Everything that an image shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// Width over height.
    pub aspect: f32,
    /// Behind the objects.
    pub background: Background,
    /// From back to front.
    pub objects: Vec<Object>,
    /// In front of the objects.
    pub occluders: Vec<Stroke>,
    /// On everything.
    pub lighting: Lighting,
    /// On every pixel.
    pub noise: Noise,
}

impl Scene {
    /// Draws a scene with objects of random classes.
    pub fn sample(rng: &mut impl Rng, options: &SceneOptions) -> Self {
        Self::draw(rng, options, None)
    }

    /// Draws a scene whose first object is of `class`. What else is drawn does not depend on it.
    pub fn sample_class(rng: &mut impl Rng, options: &SceneOptions, class: usize) -> Self {
        Self::draw(rng, options, Some(class % Shape::ALL.len()))
    }

    fn draw(rng: &mut impl Rng, options: &SceneOptions, mut class: Option<usize>) -> Self {
        let aspect = options.aspect;
        let mut background = background(rng, aspect);
        background.strokes = strokes(rng, options.clutter, (0.012, 0.05), aspect);
        let n = within_usize(rng, options.objects);
        let mut objects: Vec<Object> = Vec::with_capacity(n);
        for _ in 0..n {
            // A place that overlaps earlier objects little, if one is found soon.
            for _ in 0..20 {
                let mut object = object(rng, options, &background.colors);
                let free = objects.iter().all(|o| {
                    let apart = (o.center[0] - object.center[0]).hypot(o.center[1] - object.center[1]);
                    apart > options.apart * (o.radius + object.radius)
                });
                if free {
                    if let Some(class) = class.take() {
                        (object.class, object.shape) = (class, Shape::ALL[class]);
                    }
                    objects.push(object);
                    break;
                }
            }
        }
        let mut occluders = strokes(rng, options.occluders, (0.05, 0.11), aspect);
        for (stroke, object) in occluders.iter_mut().zip(objects.iter().cycle()) {
            // Through a point of the object, so that it hides a part.
            let through = [0, 1].map(|axis| object.center[axis] + within(rng, (-0.6, 0.6)) * object.radius);
            let along = turn([within(rng, (0.2, 0.6)), 0.0], rng.random_range(0.0..TAU));
            stroke.from = [through[0] - along[0], through[1] - along[1]];
            stroke.to = [through[0] + along[0], through[1] + along[1]];
        }
        Self {
            aspect,
            background,
            objects,
            occluders,
            lighting: Lighting {
                gain: within(rng, options.gain),
                slope: within(rng, (0.0, options.slope)),
                angle: rng.random_range(0.0..TAU),
            },
            noise: Noise { sigma: within(rng, options.noise), seed: rng.random() },
        }
    }
}

fn object(rng: &mut impl Rng, options: &SceneOptions, behind: &[Color; 2]) -> Object {
    let radius = within(rng, options.radius);
    let class = rng.random_range(0..Shape::ALL.len());
    let (angle, period) = (rng.random_range(0.0..TAU), within(rng, (0.4, 0.8)));
    Object {
        shape: Shape::ALL[class],
        class,
        center: [
            within(rng, (radius, (options.aspect - radius).max(radius))),
            within(rng, (radius, (1.0 - radius).max(radius))),
        ],
        radius,
        rotation: rng.random_range(0.0..TAU),
        texture: match rng.random_range(0..4) {
            0 => Texture::Solid,
            1 => Texture::Stripes { angle, period },
            2 => Texture::Checker { angle, period },
            _ => Texture::Dots { angle, period },
        },
        colors: [0, 1].map(|_| color_apart(rng, behind, options.contrast)),
    }
}

fn background(rng: &mut impl Rng, aspect: f32) -> Background {
    let first = color(rng);
    let second = first.map(|v| (v + within(rng, (-0.25, 0.25))).clamp(0.0, 1.0));
    let pattern = match rng.random_range(0..3) {
        0 => Pattern::Gradient { angle: rng.random_range(0.0..TAU) },
        1 => Pattern::Noise { bumps: within(rng, (3.0, 10.0)), seed: rng.random() },
        _ => {
            let n = rng.random_range(3..8);
            let mut blob =
                || ([within(rng, (0.0, aspect)), within(rng, (0.0, 1.0))], within(rng, (0.1, 0.35)));
            Pattern::Blobs((0..n).map(|_| blob()).collect())
        }
    };
    Background { colors: [first, second], pattern, strokes: Vec::new() }
}

fn strokes(rng: &mut impl Rng, n: (usize, usize), width: (f32, f32), aspect: f32) -> Vec<Stroke> {
    let point = |rng: &mut _| [within(rng, (-0.1, aspect + 0.1)), within(rng, (-0.1, 1.1))];
    (0..within_usize(rng, n))
        .map(|_| Stroke { from: point(rng), to: point(rng), width: within(rng, width), color: color(rng) })
        .collect()
}

fn color(rng: &mut impl Rng) -> Color {
    let (hue, saturation, value) =
        (within(rng, (0.0, 6.0)), within(rng, (0.1, 0.95)), within(rng, (0.15, 1.0)));
    // HSV to RGB.
    [5.0, 3.0, 1.0].map(|n| {
        let k = (n + hue) % 6.0;
        value * (1.0 - saturation * k.min(4.0 - k).clamp(0.0, 1.0))
    })
}

/// A colour at least `distance` from each of `others`, or the farthest of some.
fn color_apart(rng: &mut impl Rng, others: &[Color; 2], distance: f32) -> Color {
    let apart = |c: &Color| {
        let to = |o: &Color| c.iter().zip(o).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        others.iter().map(to).fold(f32::INFINITY, f32::min)
    };
    let (mut best, mut best_apart) = (color(rng), 0.0);
    for _ in 0..32 {
        let candidate = color(rng);
        let d = apart(&candidate);
        if d >= distance {
            return candidate;
        }
        if d > best_apart {
            (best, best_apart) = (candidate, d);
        }
    }
    best
}

fn within(rng: &mut impl Rng, (least, most): (f32, f32)) -> f32 {
    least + (most - least) * rng.random::<f32>()
}

fn within_usize(rng: &mut impl Rng, (least, most): (usize, usize)) -> usize {
    rng.random_range(least..=most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use genas_space::Streams;

    #[test]
    fn only_the_shape_depends_on_the_class() {
        let options = SceneOptions::hard();
        let scene = |class| Scene::sample_class(&mut Streams::new(1).rng("t", 5), &options, class);
        let (mut a, b) = (scene(2), scene(7));
        assert_eq!((a.objects[0].class, b.objects[0].class), (2, 7));
        (a.objects[0].class, a.objects[0].shape) = (7, Shape::ALL[7]);
        assert_eq!(a, b);
    }

    #[test]
    fn objects_are_inside_and_apart() {
        let options =
            SceneOptions { aspect: 1.5, objects: (2, 4), radius: (0.05, 0.15), ..SceneOptions::standard() };
        for i in 0..50 {
            let scene = Scene::sample(&mut Streams::new(2).rng("t", i), &options);
            for (k, o) in scene.objects.iter().enumerate() {
                assert_eq!(Shape::ALL[o.class], o.shape);
                let b = o.bounding_box(100);
                assert!(b.x > -4.0 && b.y > -4.0 && b.x + b.width < 154.0 && b.y + b.height < 104.0);
                let mask = o.mask(150, 100);
                assert!(mask.area() > 20.0 && mask.area() < 1.01 * b.width * b.height);
                for p in &scene.objects[..k] {
                    assert!((o.center[0] - p.center[0]).hypot(o.center[1] - p.center[1]) > 0.08);
                }
            }
        }
    }

    #[test]
    fn contains_follows_the_rotation() {
        let mut rng = Streams::new(3).rng("t", 0);
        let mut object = Scene::sample_class(&mut rng, &SceneOptions::standard(), 0).objects.remove(0);
        (object.center, object.radius) = ([0.5, 0.5], 0.4);
        let tip = 0.5 + 0.9 * 0.4;
        for (rotation, p) in [(0.0, [tip, 0.5]), (TAU / 4.0, [0.5, tip]), (TAU / 2.0, [1.0 - tip, 0.5])] {
            object.rotation = rotation;
            assert!(object.contains(p));
            assert!((object.local(p)[0] - 0.9).abs() < 1e-5);
        }
        object.rotation = 0.0;
        assert!(!object.contains([0.5, tip]));
    }
}
