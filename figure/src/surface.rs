//! [`Surface`]: values over a plane, as colours and lines of equal value.

mod colours;
mod contour;

use std::fmt::Write;

use crate::chart::{Axis, Scale};
use crate::scale::{Span, short};
use crate::svg::{Drawing, escaped};
use colours::{Ramp, is_dark};
pub use contour::contours;

/// The square of values, and what stands around it, in SVG units.
const SIDE: f64 = 420.0;
const LEFT: f64 = 76.0;
const TOP: f64 = 44.0;
const BAR: f64 = 18.0;
/// Between the square and the legend, and right of that for its numbers.
const GAP: f64 = 28.0;
const NUMBERS: f64 = 74.0;
/// Below the square: numbers, the axis' label, the caption.
const FOOT: f64 = 60.0;
const LINE: f64 = 17.0;
const MARGIN: f64 = 20.0;
/// Letters of a line of the caption.
const CAPTION: usize = 84;
/// Lines of equal value, about as many.
const LINES: usize = 9;
/// Colours of the legend.
const SHADES: usize = 64;
/// Numbers on an axis, about as many.
const TICKS: usize = 5;

/// Values over a plane.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surface {
    /// What it shows, in a line.
    pub title: String,
    /// What a person who does not see it should know; also the caption.
    pub description: String,
    /// The horizontal axis, linear.
    pub x: Axis,
    /// The vertical axis, linear.
    pub y: Axis,
    /// Places on the horizontal axis, increasing.
    pub xs: Vec<f64>,
    /// Places on the vertical axis, increasing.
    pub ys: Vec<f64>,
    /// Values: `values[y][x]`. What is not finite stays empty.
    pub values: Vec<Vec<f64>>,
    /// What the values are, with their unit.
    pub value_label: String,
    /// How colours and lines follow the values.
    pub value_scale: Scale,
    /// A place that is marked with a cross.
    pub mark: Option<[f64; 2]>,
}

impl Surface {
    /// The picture as a file of its own, for light and dark ground. A browser shows the values of what is pointed at.
    ///
    /// # Panics
    ///
    /// If there are fewer than two places on an axis, or not a value for each.
    pub fn svg(&self) -> String {
        let Self { xs, ys, values, .. } = self;
        assert!(xs.len() > 1 && ys.len() > 1, "a surface has two places on each axis");
        assert!(
            values.len() == ys.len() && values.iter().all(|row| row.len() == xs.len()),
            "a surface has a value for each place"
        );
        let caption = wrapped(&self.description, CAPTION);
        let width = LEFT + SIDE + GAP + BAR + NUMBERS;
        let height = TOP + SIDE + FOOT + LINE * caption.len() as f64;
        let mut svg =
            format!("<text class=\"title\" x=\"{LEFT}\" y=\"26\">{}</text>\n", escaped(&self.title));
        let finite: Vec<f64> = values.iter().flatten().copied().filter(|v| self.is_drawn(*v)).collect();
        let least = finite.iter().copied().fold(f64::INFINITY, f64::min);
        let most = finite.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let ramp = Ramp::new([least, most], self.value_scale);
        self.write_cells(&mut svg, &ramp);
        let levels = if finite.is_empty() { Vec::new() } else { ramp.levels(LINES) };
        self.write_lines(&mut svg, &ramp, &levels);
        self.write_mark(&mut svg);
        self.write_axes(&mut svg);
        if !finite.is_empty() {
            self.write_legend(&mut svg, &ramp, &levels);
        }
        for (n, line) in caption.iter().enumerate() {
            let y = TOP + SIDE + FOOT + LINE * n as f64;
            let _ = writeln!(svg, "<text x=\"{MARGIN}\" y=\"{y:.1}\">{}</text>", escaped(line));
        }
        let (title, description) = (self.title.clone(), self.description.clone());
        Drawing { width, height, title, description, body: svg }.document()
    }

    /// Whether a value has a colour.
    fn is_drawn(&self, value: f64) -> bool {
        value.is_finite() && (self.value_scale == Scale::Linear || value > 0.0)
    }

    /// A place on the picture. The outermost cells are drawn whole, half a step beyond their places.
    fn at(&self, x: f64, y: f64) -> [f64; 2] {
        let [left, right] = reach(&self.xs);
        let [bottom, top] = reach(&self.ys);
        [LEFT + (x - left) / (right - left) * SIDE, TOP + (top - y) / (top - bottom) * SIDE]
    }

    fn write_cells(&self, svg: &mut String, ramp: &Ramp) {
        let (across, up) = (edges(&self.xs), edges(&self.ys));
        // No light between cells.
        svg.push_str("<g shape-rendering=\"crispEdges\">\n");
        for (n, (values, &y)) in self.values.iter().zip(&self.ys).enumerate() {
            for (m, (&value, &x)) in values.iter().zip(&self.xs).enumerate() {
                let [left, top] = self.at(across[m], up[n + 1]);
                let [right, bottom] = self.at(across[m + 1], up[n]);
                let drawn = self.is_drawn(value);
                let fill = if drawn {
                    format!("fill=\"{}\"", ramp.colour(value))
                } else {
                    "class=\"plain\"".to_owned()
                };
                let text = if value.is_finite() { short(value) } else { "no number".to_owned() };
                let _ = writeln!(
                    svg,
                    "<rect {fill} x=\"{left:.2}\" y=\"{top:.2}\" width=\"{:.2}\" height=\"{:.2}\"><title>{}, {}: {} \
                     {text}</title></rect>",
                    right - left,
                    bottom - top,
                    short(x),
                    short(y),
                    escaped(&self.value_label)
                );
            }
        }
        svg.push_str("</g>\n");
    }

    /// Lines of equal value, dark on light colours and light on dark ones, each with its value where there is room.
    fn write_lines(&self, svg: &mut String, ramp: &Ramp, levels: &[f64]) {
        // Between places, values follow the scale that the colours do.
        let scaled: Vec<Vec<f64>> =
            self.values.iter().map(|row| row.iter().map(|&v| ramp.scaled(v)).collect()).collect();
        let mut taken = Vec::new();
        for &level in levels {
            let ground = ramp.colour(level);
            let ink = if is_dark(&ground) { "#ffffff" } else { "#000000" };
            let lines = contours(&self.xs, &self.ys, &scaled, ramp.scaled(level));
            if lines.is_empty() {
                continue;
            }
            let mut path = String::new();
            for line in &lines {
                for (n, &[x, y]) in line.iter().enumerate() {
                    let [x, y] = self.at(x, y);
                    let _ = write!(path, "{}{x:.1} {y:.1}", if n == 0 { "M" } else { "L" });
                }
            }
            let text = short(level);
            let _ = writeln!(
                svg,
                "<path class=\"iso\" fill=\"none\" stroke=\"{ink}\" d=\"{path}\"><title>{} {text}</title></path>",
                escaped(&self.value_label)
            );
            let half = 3.4 * text.len() as f64 + 2.0;
            if let Some([x, y]) = self.place_for_short(&lines, half, &mut taken) {
                let _ = writeln!(
                    svg,
                    "<rect fill=\"{ground}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"13\" rx=\"2\"/>\
                     <text text-anchor=\"middle\" style=\"fill: {ink}\" font-size=\"11\" x=\"{x:.1}\" y=\"{:.1}\">{text}</text>",
                    x - half,
                    y - 6.5,
                    2.0 * half,
                    y + 4.0
                );
            }
        }
    }

    /// A point of a line of equal value where its number, `half` to either side, covers no other's, and not the mark.
    /// `taken` are the points of those that are there, and their halves.
    fn place_for_short(
        &self,
        lines: &[Vec<[f64; 2]>],
        half: f64,
        taken: &mut Vec<([f64; 2], f64)>,
    ) -> Option<[f64; 2]> {
        let longest = lines.iter().max_by_key(|line| line.len())?;
        let mark = self.mark.map(|[x, y]| (self.at(x, y), 8.0));
        let clear = |[x, y]: [f64; 2]| {
            let inside = (LEFT + half + 4.0..LEFT + SIDE - half - 4.0).contains(&x)
                && (TOP + 10.0..TOP + SIDE - 10.0).contains(&y);
            let far = |([a, b], other): &([f64; 2], f64)| {
                (x - a).abs() > half + other + 4.0 || (y - b).abs() > 16.0
            };
            inside && taken.iter().chain(&mark).all(far)
        };
        // From the top down, so that numbers of neighbours stand one above the other.
        let mut places: Vec<[f64; 2]> = longest.iter().map(|&[x, y]| self.at(x, y)).collect();
        places.sort_by(|a, b| a[1].total_cmp(&b[1]).then(a[0].total_cmp(&b[0])));
        let place = places.into_iter().find(|&place| clear(place))?;
        taken.push((place, half));
        Some(place)
    }

    fn write_mark(&self, svg: &mut String) {
        let Some([x, y]) = self.mark else { return };
        let [x, y] = self.at(x, y);
        // White with a dark edge: seen on every colour.
        for (ink, width) in [("#000000", 5.0), ("#ffffff", 2.0)] {
            let _ = writeln!(
                svg,
                "<path fill=\"none\" stroke=\"{ink}\" stroke-width=\"{width}\" stroke-linecap=\"round\" \
                 d=\"M{:.1} {:.1}L{:.1} {:.1}M{:.1} {:.1}L{:.1} {:.1}\"/>",
                x - 6.0,
                y - 6.0,
                x + 6.0,
                y + 6.0,
                x - 6.0,
                y + 6.0,
                x + 6.0,
                y - 6.0
            );
        }
    }

    fn write_axes(&self, svg: &mut String) {
        let (right, bottom) = (LEFT + SIDE, TOP + SIDE);
        let _ = writeln!(
            svg,
            "<rect class=\"frame\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{SIDE}\" height=\"{SIDE}\"/>\n\
             <text text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n\
             <text text-anchor=\"middle\" transform=\"translate({MARGIN} {:.1}) rotate(-90)\">{}</text>",
            (LEFT + right) / 2.0,
            bottom + 38.0,
            escaped(&self.x.label),
            (TOP + bottom) / 2.0,
            escaped(&self.y.label)
        );
        for (tick, text) in ticks(&self.x, &self.xs) {
            let [x, _] = self.at(tick, self.ys[0]);
            let _ = writeln!(
                svg,
                "<line class=\"frame\" x1=\"{x:.1}\" y1=\"{bottom}\" x2=\"{x:.1}\" y2=\"{}\"/>\
                 <text text-anchor=\"middle\" x=\"{x:.1}\" y=\"{}\">{}</text>",
                bottom + 4.0,
                bottom + 18.0,
                text
            );
        }
        for (tick, text) in ticks(&self.y, &self.ys) {
            let [_, y] = self.at(self.xs[0], tick);
            let _ = writeln!(
                svg,
                "<line class=\"frame\" x1=\"{}\" y1=\"{y:.1}\" x2=\"{LEFT}\" y2=\"{y:.1}\"/>\
                 <text text-anchor=\"end\" x=\"{}\" y=\"{:.1}\">{}</text>",
                LEFT - 4.0,
                LEFT - 8.0,
                y + 4.0,
                text
            );
        }
    }

    /// The colours with the values of the lines, and those at the ends.
    fn write_legend(&self, svg: &mut String, ramp: &Ramp, levels: &[f64]) {
        let left = LEFT + SIDE + GAP;
        let height = SIDE / SHADES as f64;
        let _ =
            writeln!(svg, "<text x=\"{left}\" y=\"{:.1}\">{}</text>", TOP - 8.0, escaped(&self.value_label));
        svg.push_str("<g shape-rendering=\"crispEdges\">\n");
        for n in 0..SHADES {
            let share = 1.0 - (n as f64 + 0.5) / SHADES as f64;
            let y = TOP + height * n as f64;
            let _ = writeln!(
                svg,
                "<rect fill=\"{}\" x=\"{left}\" y=\"{y:.2}\" width=\"{BAR}\" height=\"{height:.2}\"/>",
                ramp.at_share(share)
            );
        }
        svg.push_str("</g>\n");
        let _ = writeln!(
            svg,
            "<rect class=\"frame\" x=\"{left}\" y=\"{TOP}\" width=\"{BAR}\" height=\"{SIDE}\"/>"
        );
        let [least, most] = ramp.ends();
        let ends = [(least, 0.0), (most, 1.0)];
        let between = levels.iter().map(|&level| (level, ramp.share(level)));
        // The ends are named; a line's value too near to them is not.
        let between = between.filter(|(_, share)| (0.04..0.96).contains(share));
        for (value, share) in ends.into_iter().chain(between) {
            let y = TOP + (1.0 - share) * SIDE;
            let right = left + BAR;
            let _ = writeln!(
                svg,
                "<line class=\"frame\" x1=\"{right}\" y1=\"{y:.1}\" x2=\"{}\" y2=\"{y:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\">{}</text>",
                right + 4.0,
                right + 8.0,
                y + 4.0,
                short(value)
            );
        }
    }
}

/// The ends of an axis: half a step beyond its places.
fn reach(places: &[f64]) -> [f64; 2] {
    let edges = edges(places);
    [edges[0], edges[edges.len() - 1]]
}

/// Where the cells of these places begin and end: in the middle between neighbours.
fn edges(places: &[f64]) -> Vec<f64> {
    let n = places.len();
    let mut edges = vec![places[0] - (places[1] - places[0]) / 2.0];
    edges.extend(places.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0));
    edges.push(places[n - 1] + (places[n - 1] - places[n - 2]) / 2.0);
    edges
}

/// Values between the ends of an axis, and their texts.
fn ticks(axis: &Axis, places: &[f64]) -> Vec<(f64, String)> {
    let axis = axis.clone().between(places[0], places[places.len() - 1]);
    Span::of(&axis, places.iter().copied(), false).ticks(&axis, TICKS)
}

/// Text in lines of so many letters, at most, where its words allow it.
fn wrapped(text: &str, letters: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= letters => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bowl(scale: Scale) -> Surface {
        let places: Vec<f64> = (-5..=5).map(|n| f64::from(n) / 5.0).collect();
        let row = |y: &f64| places.iter().map(|x| 0.1 + 10.0 * (x * x + 2.0 * y * y)).collect();
        Surface {
            title: "Loss & <all>".to_owned(),
            description: "A bowl.".to_owned(),
            x: Axis::linear("first"),
            y: Axis::linear("second"),
            xs: places.clone(),
            ys: places.clone(),
            values: places.iter().map(row).collect(),
            value_label: "loss".to_owned(),
            value_scale: scale,
            mark: Some([0.0, 0.0]),
        }
    }

    #[test]
    fn a_cell_for_each_value_and_lines_with_their_values() {
        for scale in [Scale::Linear, Scale::Log] {
            let mut surface = bowl(scale);
            surface.values[0][10] = f64::NAN;
            let svg = surface.svg();
            assert_eq!(svg.matches("<title>").count() - svg.matches("class=\"iso\"").count(), 121);
            assert!(
                svg.contains("<title>0, 0: loss 0.1</title>")
                    && svg.contains("<title>-1, 1: loss 30.1</title>")
            );
            assert!(svg.contains("class=\"plain\"") && svg.contains("<title>1, -1: loss no number</title>"));
            assert!((4..=14).contains(&svg.matches("class=\"iso\"").count()), "{scale:?}");
            assert!(svg.contains("Loss &amp; &lt;all&gt;") && !svg.contains("<all>") && !svg.contains("NaN"));
            // The legend names its ends.
            assert!(svg.contains(">0.1</text>") && svg.contains(">30.1</text>"));
            // Plain colours only.
            assert!(!svg.contains("rgb(") && !svg.contains("hsl("));
        }
    }

    /// The cross stands in the middle of the square, the lowest place is the darkest.
    #[test]
    fn the_middle_is_marked() {
        let svg = bowl(Scale::Linear).svg();
        let [x, y] = [LEFT + SIDE / 2.0, TOP + SIDE / 2.0];
        assert!(svg.contains(&format!("M{:.1} {:.1}L{:.1} {:.1}", x - 6.0, y - 6.0, x + 6.0, y + 6.0)));
        assert!(svg.contains("fill=\"#440154\""), "the lowest");
        assert!(svg.contains("fill=\"#fde725\""), "the highest");
    }

    #[test]
    fn flat_and_empty_surfaces_are_drawn() {
        let mut surface = bowl(Scale::Log);
        surface.values.iter_mut().flatten().for_each(|value| *value = 2.0);
        assert!(surface.svg().contains("<title>0, 0: loss 2</title>"));
        surface.values.iter_mut().flatten().for_each(|value| *value = f64::NAN);
        let svg = surface.svg();
        assert_eq!(svg.matches("class=\"plain\"").count(), 121);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn numbers_and_lines() {
        let texts: Vec<String> =
            ticks(&Axis::linear("x"), &[-1.0, 0.25, 1.0]).into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["-1.0", "-0.5", "0", "0.5", "1.0"]);
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(edges(&[0.0, 1.0, 3.0]), [-0.5, 0.5, 2.0, 4.0]);
    }
}
