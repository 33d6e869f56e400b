//! The ten shapes as contours, their rasterisation with exact horizontal coverage, and the boxes and
//! masks that follow from the same contours.

use std::f32::consts::{PI, TAU};

/// A point, or a direction: x to the right, y down.
pub type Point = [f32; 2];

/// Segments of a whole circle.
const ARC: usize = 48;
/// Scanlines per pixel row.
const SUBROWS: usize = 5;

/// The class of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Shape {
    Arrow,
    Circle,
    Crescent,
    Cross,
    Heart,
    Pentagon,
    Ring,
    Square,
    Star,
    Triangle,
}

impl Shape {
    /// All shapes; the position of a shape is its class, and the names are sorted.
    pub const ALL: [Self; 10] = [
        Self::Arrow,
        Self::Circle,
        Self::Crescent,
        Self::Cross,
        Self::Heart,
        Self::Pentagon,
        Self::Ring,
        Self::Square,
        Self::Star,
        Self::Triangle,
    ];

    /// The class name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Arrow => "arrow",
            Self::Circle => "circle",
            Self::Crescent => "crescent",
            Self::Cross => "cross",
            Self::Heart => "heart",
            Self::Pentagon => "pentagon",
            Self::Ring => "ring",
            Self::Square => "square",
            Self::Star => "star",
            Self::Triangle => "triangle",
        }
    }

    /// Closed contours inside the unit circle; what is inside an odd number of them is the shape.
    pub fn contours(self) -> Vec<Vec<Point>> {
        match self {
            Self::Arrow => vec![vec![
                [-0.95, -0.25],
                [0.0, -0.25],
                [0.0, -0.7],
                [0.95, 0.0],
                [0.0, 0.7],
                [0.0, 0.25],
                [-0.95, 0.25],
            ]],
            Self::Circle => vec![arc([0.0, 0.0], 0.85, 0.0, TAU)],
            Self::Crescent => {
                // The circle of radius .95 without the one of radius .78 around (.45, 0).
                let x = (0.95f32.powi(2) - 0.78f32.powi(2) + 0.45f32.powi(2)) / (2.0 * 0.45);
                let y = (0.95f32.powi(2) - x * x).sqrt();
                let (outer, inner) = (y.atan2(x), y.atan2(x - 0.45));
                let mut points = arc([0.0, 0.0], 0.95, outer, TAU - outer);
                points.extend(arc([0.45, 0.0], 0.78, TAU - inner, inner));
                vec![points]
            }
            Self::Cross => {
                let (long, half) = (0.92, 0.27);
                let quarter: [Point; 3] = [[half, -long], [half, -half], [long, -half]];
                vec![(0..4).flat_map(|k| quarter.map(|p| turn(p, k as f32 * PI / 2.0))).collect()]
            }
            Self::Heart => vec![
                (0..ARC)
                    .map(|k| {
                        let t = k as f32 * TAU / ARC as f32;
                        let y =
                            13.0 * t.cos() - 5.0 * (2.0 * t).cos() - 2.0 * (3.0 * t).cos() - (4.0 * t).cos();
                        [t.sin().powi(3) * 16.0 / 18.3, -(y + 2.5) / 18.3]
                    })
                    .collect(),
            ],
            Self::Pentagon => vec![polygon(5, 1.0, 1.0)],
            Self::Ring => {
                vec![arc([0.0, 0.0], 0.92, 0.0, TAU), arc([0.0, 0.0], 0.5, 0.0, TAU)]
            }
            Self::Square => vec![polygon(4, 1.0, 1.0)],
            Self::Star => vec![polygon(10, 1.0, 0.42)],
            Self::Triangle => vec![polygon(3, 1.0, 1.0)],
        }
    }
}

/// `n` points at radii `even` and `odd` in turn, the first one on top.
fn polygon(n: usize, even: f32, odd: f32) -> Vec<Point> {
    (0..n).map(|k| turn([0.0, -[even, odd][k % 2]], k as f32 * TAU / n as f32)).collect()
}

fn arc(centre: Point, radius: f32, from: f32, to: f32) -> Vec<Point> {
    (0..ARC)
        .map(|k| {
            let (sin, cos) = (from + (to - from) * k as f32 / ARC as f32).sin_cos();
            [centre[0] + radius * cos, centre[1] + radius * sin]
        })
        .collect()
}

/// `p` turned around the origin.
pub(super) fn turn(p: Point, angle: f32) -> Point {
    let (sin, cos) = angle.sin_cos();
    [p[0] * cos - p[1] * sin, p[0] * sin + p[1] * cos]
}

/// Smallest upright rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoundingBox {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Right edge minus left edge.
    pub width: f32,
    /// Lower edge minus upper edge.
    pub height: f32,
}

impl BoundingBox {
    /// Around all points.
    pub fn around(contours: &[Vec<Point>]) -> Self {
        let fold = |axis: usize, pick: fn(f32, f32) -> f32, start: f32| {
            contours.iter().flatten().map(|p| p[axis]).fold(start, pick)
        };
        let (x, y) = (fold(0, f32::min, f32::INFINITY), fold(1, f32::min, f32::INFINITY));
        Self {
            x,
            y,
            width: fold(0, f32::max, f32::NEG_INFINITY) - x,
            height: fold(1, f32::max, f32::NEG_INFINITY) - y,
        }
    }
}

/// How much of each pixel an object covers, in the part of a picture that it touches.
#[derive(Debug, Clone, PartialEq)]
pub struct Mask {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Row by row, 0 to 1.
    pub coverage: Vec<f32>,
}

impl Mask {
    /// Rasterises contours given in pixels, cut at the borders of a `width` x `height` picture.
    pub fn of(contours: &[Vec<Point>], width: usize, height: usize) -> Self {
        let bound = BoundingBox::around(contours);
        let clip = |v: f32, end: usize| v.clamp(0.0, end as f32) as usize;
        let (left, top) = (clip(bound.x.floor(), width), clip(bound.y.floor(), height));
        let right = clip((bound.x + bound.width).ceil(), width);
        let bottom = clip((bound.y + bound.height).ceil(), height);
        let (w, h) = (right - left, bottom - top);
        let mut coverage = vec![0.0; w * h];
        let mut crossings: Vec<f32> = Vec::new();
        for (row, line) in coverage.chunks_exact_mut(w.max(1)).enumerate() {
            for sub in 0..SUBROWS {
                let y = (top + row) as f32 + (sub as f32 + 0.5) / SUBROWS as f32;
                crossings.clear();
                crossings.extend(edges(contours).filter_map(|(a, b)| crossing(a, b, y)));
                crossings.sort_unstable_by(f32::total_cmp);
                for span in crossings.chunks_exact(2) {
                    let end = w as f32;
                    let from = (span[0] - left as f32).clamp(0.0, end);
                    let to = (span[1] - left as f32).clamp(0.0, end);
                    for (x, c) in line.iter_mut().enumerate().take(to.ceil() as usize).skip(from as usize) {
                        let covered = to.min(x as f32 + 1.0) - from.max(x as f32);
                        *c += covered / SUBROWS as f32;
                    }
                }
            }
        }
        Self { left, top, width: w, height: h, coverage }
    }

    /// Covered pixels.
    pub fn area(&self) -> f32 {
        self.coverage.iter().sum()
    }
}

/// Whether a point is inside an odd number of contours.
pub fn contains(contours: &[Vec<Point>], p: Point) -> bool {
    let right = edges(contours).filter_map(|(a, b)| crossing(a, b, p[1])).filter(|&x| x > p[0]);
    right.count() % 2 == 1
}

fn edges(contours: &[Vec<Point>]) -> impl Iterator<Item = (Point, Point)> {
    contours.iter().flat_map(|c| c.iter().zip(c.iter().cycle().skip(1)).map(|(a, b)| (*a, *b)))
}

/// Where an edge crosses the horizontal line at `y`.
fn crossing(a: Point, b: Point, y: f32) -> Option<f32> {
    ((a[1] <= y) != (b[1] <= y)).then(|| a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaled(shape: Shape, scale: f32, centre: Point) -> Vec<Vec<Point>> {
        let place = |p: Point| [p[0] * scale + centre[0], p[1] * scale + centre[1]];
        shape.contours().into_iter().map(|c| c.into_iter().map(place).collect()).collect()
    }

    #[test]
    fn shapes_fit_the_unit_circle_and_fill_a_fair_part() {
        assert!(Shape::ALL.map(Shape::name).is_sorted());
        for shape in Shape::ALL {
            for p in shape.contours().concat() {
                assert!(p[0].hypot(p[1]) <= 1.001, "{shape:?} {p:?}");
            }
            let area = Mask::of(&scaled(shape, 50.0, [64.0, 64.0]), 128, 128).area() / 2500.0;
            assert!((1.0..2.5).contains(&area), "{shape:?} covers {area}");
        }
    }

    #[test]
    fn areas_are_exact_for_known_shapes() {
        let area = |shape| Mask::of(&scaled(shape, 100.0, [130.0, 130.0]), 260, 260).area() / 1e4;
        assert!((area(Shape::Square) - 2.0).abs() < 0.005);
        assert!((area(Shape::Ring) - PI * (0.92f32.powi(2) - 0.25)).abs() < 0.01);
        assert!((area(Shape::Triangle) - 1.299).abs() < 0.005);
    }

    #[test]
    fn mask_box_and_contains_agree() {
        for shape in Shape::ALL {
            let contours = scaled(shape, 13.0, [20.3, 12.8]);
            let (mask, bound) = (Mask::of(&contours, 40, 24), BoundingBox::around(&contours));
            assert_eq!(mask.left, bound.x.floor().max(0.0) as usize);
            for y in 0..24 {
                for x in 0..40 {
                    let inside = (mask.left..mask.left + mask.width).contains(&x)
                        && (mask.top..mask.top + mask.height).contains(&y);
                    let c =
                        if inside { mask.coverage[(y - mask.top) * mask.width + x - mask.left] } else { 0.0 };
                    assert!((0.0..=1.0001).contains(&c));
                    let centre = contains(&contours, [x as f32 + 0.5, y as f32 + 0.5]);
                    assert!(if centre { c > 0.1 } else { c < 0.9 }, "{shape:?} {x},{y}: {c}");
                }
            }
        }
    }
}
