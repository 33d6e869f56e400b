//! Lines of equal value on a grid, by marching squares.

use std::collections::HashMap;

/// An edge of the grid: from a place to its neighbour on the right (`false`) or above (`true`).
type Edge = (usize, usize, bool);

/// The lines on which `values[y][x]`, taken as linear along the edges of the grid, is `level`: each a list of points, its
/// first repeated at the end if it is closed. Squares with a corner that is not finite have no line.
pub fn contours(xs: &[f64], ys: &[f64], values: &[Vec<f64>], level: f64) -> Vec<Vec<[f64; 2]>> {
    let mut segments: Vec<[Edge; 2]> = Vec::new();
    for y in 0..ys.len().saturating_sub(1) {
        for x in 0..xs.len().saturating_sub(1) {
            let corners = [values[y][x], values[y][x + 1], values[y + 1][x + 1], values[y + 1][x]];
            if corners.iter().all(|value| value.is_finite()) {
                segments
                    .extend(square(corners, level).into_iter().map(|pair| pair.map(|side| edge(x, y, side))));
            }
        }
    }
    let point = |&(x, y, up): &Edge| {
        let (to_x, to_y) = if up { (x, y + 1) } else { (x + 1, y) };
        let (from, to) = (values[y][x], values[to_y][to_x]);
        let part = (level - from) / (to - from);
        [xs[x] + part * (xs[to_x] - xs[x]), ys[y] + part * (ys[to_y] - ys[y])]
    };
    joined(&segments).iter().map(|line| line.iter().map(point).collect()).collect()
}

/// Side of a square, from the bottom counter-clockwise, as an edge of the grid.
fn edge(x: usize, y: usize, side: usize) -> Edge {
    match side {
        0 => (x, y, false),
        1 => (x + 1, y, true),
        2 => (x, y + 1, false),
        _ => (x, y, true),
    }
}

/// The sides that the lines in a square lead from and to. `corners` are counter-clockwise from the lower left.
fn square(corners: [f64; 4], level: f64) -> Vec<[usize; 2]> {
    // A corner on the level counts as above, so that every line goes through the inside of an edge or its end.
    let above = corners.map(|value| value >= level);
    let crossed: Vec<usize> = (0..4).filter(|&side| above[side] != above[(side + 1) % 4]).collect();
    match crossed[..] {
        [from, to] => vec![[from, to]],
        [_, _, _, _] => {
            // A saddle: what the middle belongs to is connected.
            let middle = corners.iter().sum::<f64>() / 4.0 >= level;
            if middle == above[0] { vec![[0, 1], [2, 3]] } else { vec![[3, 0], [1, 2]] }
        }
        _ => Vec::new(),
    }
}

/// Segments that share an edge, one after the other.
fn joined(segments: &[[Edge; 2]]) -> Vec<Vec<Edge>> {
    let mut at: HashMap<Edge, Vec<usize>> = HashMap::new();
    for (n, ends) in segments.iter().enumerate() {
        ends.iter().for_each(|end| at.entry(*end).or_default().push(n));
    }
    let mut used = vec![false; segments.len()];
    let mut follow = |line: &mut Vec<Edge>| {
        while let Some(&last) = line.last() {
            let Some(&next) = at[&last].iter().find(|&&n| !used[n]) else { return };
            used[next] = true;
            let [from, to] = segments[next];
            line.push(if from == last { to } else { from });
        }
    };
    let mut lines = Vec::new();
    // Open lines begin where one segment ends alone; what is left is closed.
    let open = segments.iter().flatten().filter(|end| at[end].len() == 1);
    for &begin in open.chain(segments.iter().map(|[from, _]| from)) {
        let mut line = vec![begin];
        follow(&mut line);
        if line.len() > 1 {
            lines.push(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(n: i32, f: impl Fn(f64, f64) -> f64) -> (Vec<f64>, Vec<Vec<f64>>) {
        let places: Vec<f64> = (-n..=n).map(|k| f64::from(k) / f64::from(n)).collect();
        let values = places.iter().map(|&y| places.iter().map(|&x| f(x, y)).collect()).collect();
        (places, values)
    }

    #[test]
    fn a_circle_is_one_closed_line() {
        let (places, values) = grid(20, |x, y| x * x + y * y);
        let lines = contours(&places, &places, &values, 0.49);
        let [line] = &lines[..] else { panic!("{} lines", lines.len()) };
        assert_eq!(line.first(), line.last());
        let length: f64 = line.windows(2).map(|p| (p[1][0] - p[0][0]).hypot(p[1][1] - p[0][1])).sum();
        assert!((length / (2.0 * std::f64::consts::PI * 0.7) - 1.0).abs() < 2e-3, "{length}");
        for [x, y] in line {
            assert!((x.hypot(*y) - 0.7).abs() < 1e-3, "{x} {y}");
        }
    }

    #[test]
    fn a_plane_has_straight_lines() {
        let (places, values) = grid(4, |x, y| 2.0 * x + y);
        let lines = contours(&places, &places, &values, 0.1);
        let [line] = &lines[..] else { panic!("{} lines", lines.len()) };
        assert!(line.iter().all(|[x, y]| (2.0 * x + y - 0.1).abs() < 1e-12));
        let ends = [line[0][1], line[line.len() - 1][1]];
        assert!(ends.iter().all(|y| y.abs() == 1.0) && ends[0] != ends[1], "{ends:?}");
        assert!(contours(&places, &places, &values, 3.5).is_empty());
    }

    #[test]
    fn saddles_are_joined_through_the_middle() {
        let places = [0.0, 1.0];
        let values = |middle: f64| vec![vec![1.0 + middle, 0.0], vec![0.0, 1.0 + middle]];
        for (middle, corner) in [(0.5, [1.0, 0.0]), (-0.5, [0.0, 0.0])] {
            let lines = contours(&places, &places, &values(middle), 0.4);
            assert_eq!(lines.len(), 2);
            // The middle, 0.75 or 0.25, is connected with its like: the lines cut off the others.
            let near = |line: &Vec<[f64; 2]>| {
                line.iter()
                    .all(|[x, y]| (x - corner[0]).abs() < 1.0 - 1e-9 && (y - corner[1]).abs() < 1.0 - 1e-9)
            };
            assert!(lines.iter().any(near), "{middle}: {lines:?}");
        }
    }

    #[test]
    fn values_on_the_level_and_holes() {
        // The level goes through places themselves.
        let (places, values) = grid(2, |x, _| x);
        let lines = contours(&places, &places, &values, 0.0);
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert!(line.iter().all(|[x, _]| *x == 0.0) && line.len() == 5);
        let (places, mut values) = grid(2, |x, _| x);
        values[2][2] = f64::NAN;
        assert!(contours(&places, &places, &values, 0.25).iter().flatten().all(|[_, y]| y.abs() >= 0.5));
    }
}
