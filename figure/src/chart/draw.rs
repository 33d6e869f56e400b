//! A chart as SVG elements.

use std::fmt::Write;

use super::{Chart, Mark, Point, Series};
use crate::scale::{Span, short};
use crate::svg::{COLOURS, Drawing, escaped, width_of};

/// Width of the picture, in SVG units.
const WIDTH: f64 = 640.0;
/// Height of what is inside the axes, but for horizontal bars.
const PLOT_HEIGHT: f64 = 300.0;
const TOP: f64 = 44.0;
const RIGHT: f64 = 20.0;
/// Room of a horizontal bar's row.
const ROW: f64 = 26.0;
/// Share of its room that a bar fills.
const BAR: f64 = 0.72;
/// Radius of a dot.
const DOT: f64 = 3.2;
/// A line of more points has dots at some only.
const DOTTED: usize = 40;
/// As many bars have their value written beside them.
const LABELLED: usize = 30;
/// Longest name at an axis, in letters.
const LONGEST: usize = 34;

/// Where things are.
struct Plot<'a> {
    chart: &'a Chart,
    x: Span,
    y: Span,
    left: f64,
    width: f64,
    height: f64,
}

pub(super) fn drawing(chart: &Chart) -> Drawing {
    let bars = chart.series.iter().any(|series| series.mark == Mark::Bars);
    let lying = bars && !chart.y.names.is_empty();
    let values = |value: fn(&Point) -> f64, spread: bool| {
        let points = chart.series.iter().flat_map(|series| &series.points);
        points.flat_map(move |p| {
            [value(p)].into_iter().chain(p.between.into_iter().flatten().filter(move |_| spread))
        })
    };
    let x = Span::of(&chart.x, values(|p| p.x, lying), lying);
    let y = Span::of(&chart.y, values(|p| p.y, !lying), bars && !lying);
    let height = if lying { ROW * chart.y.names.len() as f64 } else { PLOT_HEIGHT };
    let y_ticks = y.ticks(&chart.y, 6);
    let widest = y_ticks.iter().map(|(_, text)| width_of(&shortened(text))).fold(0.0, f64::max);
    let left = widest + if chart.y.label.is_empty() { 18.0 } else { 40.0 };
    let plot = Plot { chart, x, y, left, width: WIDTH - RIGHT - left, height };
    let mut body = String::new();
    let _ = writeln!(body, "<text class=\"title\" x=\"14\" y=\"26\">{}</text>", escaped(&chart.title));
    plot.y_axis(&mut body, &y_ticks);
    let mut below = plot.x_axis(&mut body);
    let mut bar = 0;
    let n_bars = chart.series.iter().filter(|series| series.mark == Mark::Bars).count();
    for (n, series) in chart.series.iter().enumerate() {
        match series.mark {
            Mark::Line | Mark::Dashed => plot.line(&mut body, n, series),
            Mark::Points | Mark::Rings => plot.dots(&mut body, n, series),
            Mark::Bars => {
                plot.bars(&mut body, n, series, [bar, n_bars], lying);
                bar += 1;
            }
        }
    }
    let _ = writeln!(
        body,
        "<rect class=\"frame\" x=\"{:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
        plot.left, plot.width
    );
    if chart.series.len() > 1 {
        below = plot.legend(&mut body, below);
    }
    Drawing {
        width: WIDTH,
        height: below + 12.0,
        title: chart.title.clone(),
        description: chart.description.clone(),
        body,
    }
}

impl Plot<'_> {
    fn across(&self, value: f64) -> Option<f64> {
        self.x.place(value).map(|share| self.left + share * self.width)
    }

    /// Numbers grow upwards; names are read downwards.
    fn up(&self, value: f64) -> Option<f64> {
        let downwards = !self.chart.y.names.is_empty();
        let share = self.y.place(value)?;
        Some(TOP + if downwards { share } else { 1.0 - share } * self.height)
    }

    fn y_axis(&self, body: &mut String, ticks: &[(f64, String)]) {
        let right = self.left + self.width;
        for (value, text) in ticks {
            let Some(y) = self.up(*value) else { continue };
            if self.chart.y.names.is_empty() {
                let _ = writeln!(
                    body,
                    "<line class=\"grid\" x1=\"{:.1}\" x2=\"{right:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
                    self.left
                );
            }
            let _ = writeln!(
                body,
                "<text text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                self.left - 8.0,
                y + 4.0,
                escaped(&shortened(text))
            );
        }
        if !self.chart.y.label.is_empty() {
            let _ = writeln!(
                body,
                "<text class=\"quiet\" text-anchor=\"middle\" transform=\"translate(18 {:.1}) rotate(-90)\">{}</text>",
                TOP + self.height / 2.0,
                escaped(&self.chart.y.label)
            );
        }
    }

    /// Returns how far down it reaches.
    fn x_axis(&self, body: &mut String) -> f64 {
        let bottom = TOP + self.height;
        let ticks = self.x.ticks(&self.chart.x, 7);
        let texts: Vec<String> = ticks.iter().map(|(_, text)| shortened(text)).collect();
        let widest = texts.iter().map(|text| width_of(text)).fold(0.0, f64::max);
        let crowded = widest + 8.0 > self.width / ticks.len().max(1) as f64;
        for ((value, _), text) in ticks.iter().zip(&texts) {
            let Some(x) = self.across(*value) else { continue };
            if self.chart.x.names.is_empty() {
                let _ = writeln!(
                    body,
                    "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom:.1}\"/>"
                );
            }
            let place = if crowded {
                format!(
                    "text-anchor=\"end\" transform=\"translate({:.1} {:.1}) rotate(-35)\"",
                    x + 4.0,
                    bottom + 16.0
                )
            } else {
                format!("text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.1}\"", bottom + 18.0)
            };
            let _ = writeln!(body, "<text {place}>{}</text>", escaped(text));
        }
        let below = bottom + if crowded { widest * 0.58 + 26.0 } else { 24.0 };
        if self.chart.x.label.is_empty() {
            return below;
        }
        let _ = writeln!(
            body,
            "<text class=\"quiet\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            self.left + self.width / 2.0,
            below + 14.0,
            escaped(&self.chart.x.label)
        );
        below + 20.0
    }

    fn line(&self, body: &mut String, n: usize, series: &Series) {
        let colour = n % COLOURS;
        // What is not finite, or off the axes, breaks the line.
        let places: Vec<Option<[f64; 2]>> =
            series.points.iter().map(|p| Some([self.across(p.x)?, self.up(p.y)?])).collect();
        let runs: Vec<std::ops::Range<usize>> = runs(&places);
        for run in &runs {
            self.band(body, colour, &series.points[run.clone()]);
        }
        let dashed = if series.mark == Mark::Dashed { " dashed" } else { "" };
        for run in runs.into_iter().filter(|run| run.len() > 1) {
            let points: Vec<String> =
                places[run].iter().flatten().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
            let _ = writeln!(
                body,
                "<polyline class=\"line{dashed} s{colour}\" points=\"{}\"/>",
                points.join(" ")
            );
        }
        let every = series.points.len().div_ceil(DOTTED).max(1);
        for (index, (point, place)) in series.points.iter().zip(&places).enumerate() {
            let Some([x, y]) = place else { continue };
            // All can be pointed at.
            let shape = if index % every == 0 { self.dot(n, [*x, *y], false) } else { unseen([*x, *y]) };
            let _ = writeln!(body, "<g>{}{shape}</g>", self.pointed(series, point));
        }
    }

    /// The spread around a line.
    fn band(&self, body: &mut String, colour: usize, points: &[Point]) {
        let edge = |end: usize| {
            points.iter().filter_map(move |p| {
                let y = self.up(self.y.clamped(p.between?[end]))?;
                Some(format!("{:.1},{y:.1}", self.across(p.x)?))
            })
        };
        let upper: Vec<String> = edge(1).collect();
        let mut lower: Vec<String> = edge(0).collect();
        lower.reverse();
        if upper.len() > 1 {
            let _ = writeln!(
                body,
                "<polygon class=\"band f{colour}\" points=\"{} {}\"/>",
                upper.join(" "),
                lower.join(" ")
            );
        }
    }

    fn dots(&self, body: &mut String, n: usize, series: &Series) {
        for point in &series.points {
            let (Some(x), Some(y)) = (self.across(point.x), self.up(point.y)) else { continue };
            if let Some(ends) = point.between {
                let [low, high] = ends.map(|end| self.up(self.y.clamped(end)).unwrap_or(y));
                let _ = writeln!(
                    body,
                    "<line class=\"s{}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{low:.1}\" y2=\"{high:.1}\"/>",
                    n % COLOURS
                );
            }
            let shape = self.dot(n, [x, y], series.mark == Mark::Rings);
            let _ = writeln!(body, "<g>{}{shape}</g>", self.pointed(series, point));
        }
    }

    /// `[bar, of]`: which of the bars that stand side by side.
    fn bars(&self, body: &mut String, n: usize, series: &Series, [bar, of]: [usize; 2], lying: bool) {
        let slot = if lying { ROW } else { self.width / self.chart.x.names.len().max(1) as f64 };
        let thick = slot * BAR / of as f64;
        let aside = slot * BAR * (bar as f64 / of as f64 - 0.5);
        for point in &series.points {
            let (place, value) =
                if lying { (self.up(point.y), point.x) } else { (self.across(point.x), point.y) };
            let along = |value| if lying { self.across(value) } else { self.up(value) };
            let ends = (along(self.start(lying)), along(value));
            let (Some(place), (Some(from), Some(to))) = (place, ends) else { continue };
            let (low, length) = (from.min(to), (from - to).abs());
            let side = place + aside;
            let [x, y, width, height] =
                if lying { [low, side, length, thick] } else { [side, low, thick, length] };
            let _ = writeln!(
                body,
                "<g>{}<rect class=\"f{}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/></g>",
                self.pointed(series, point),
                n % COLOURS
            );
            if let Some(ends) = point.between {
                let [low, high] = ends.map(|end| along(end).unwrap_or(to));
                let middle = side + thick / 2.0;
                let [x1, x2, y1, y2] =
                    if lying { [low, high, middle, middle] } else { [middle, middle, low, high] };
                let _ = writeln!(
                    body,
                    "<line class=\"frame\" x1=\"{x1:.1}\" x2=\"{x2:.1}\" y1=\"{y1:.1}\" y2=\"{y2:.1}\"/>"
                );
            }
            // The value stands beyond the whisker too.
            let [x, y, width, height] = match point.between.and_then(|ends| along(ends[1])) {
                Some(end) if lying => [x, y, width.max(end - x), height],
                Some(end) => [x, y.min(end), width, height],
                None => [x, y, width, height],
            };
            self.value_at(body, [x, y, width, height], value, lying, of * series.points.len());
        }
    }

    /// Where bars begin: at 0, or at the end of an axis without a 0.
    fn start(&self, lying: bool) -> f64 {
        if lying { self.x.clamped(0.0) } else { self.y.clamped(0.0) }
    }

    /// A bar's value at its end, inside where it would leave the picture.
    fn value_at(
        &self,
        body: &mut String,
        [x, y, width, height]: [f64; 4],
        value: f64,
        lying: bool,
        all: usize,
    ) {
        let text = short(value);
        let needed = width_of(&text);
        if all > LABELLED || (lying && height < 11.0) || (!lying && width < needed) {
            return;
        }
        let (x, y, anchor) = if !lying {
            (x + width / 2.0, (y - 4.0).max(TOP + 12.0), "middle")
        } else if x + width + needed + 8.0 < self.left + self.width {
            (x + width + 6.0, y + height / 2.0 + 4.0, "start")
        } else {
            (x + width - 6.0, y + height / 2.0 + 4.0, "end")
        };
        // On the bar's colour, which is dark on light ground and light on dark.
        let inside = if anchor == "end" { " inside" } else { "" };
        let _ = writeln!(
            body,
            "<text class=\"small{inside}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
        );
    }

    /// What a browser shows of a point.
    fn pointed(&self, series: &Series, point: &Point) -> String {
        let axis = |axis: &super::Axis, value: f64| {
            let named = if value >= 0.0 { axis.names.get(value as usize) } else { None };
            match named {
                Some(name) => name.clone(),
                None if axis.label.is_empty() => short(value),
                None => format!("{}: {}", axis.label, short(value)),
            }
        };
        let mut lines = Vec::new();
        lines.extend((self.chart.series.len() > 1).then(|| series.name.clone()));
        lines.extend(point.name.clone());
        lines.push(axis(&self.chart.x, point.x));
        lines.push(axis(&self.chart.y, point.y));
        lines.extend(point.between.map(|[low, high]| format!("from {} to {}", short(low), short(high))));
        let lines: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
        format!("<title>{}</title>", lines.join("\n"))
    }

    /// A dot; series have dots of different shapes, for those who do not see their colours.
    fn dot(&self, n: usize, [x, y]: [f64; 2], ring: bool) -> String {
        let colour = n % COLOURS;
        let class = if ring { format!("open s{colour}") } else { format!("f{colour}") };
        let r = DOT + if ring { 0.8 } else { 0.0 };
        let polygon = |corners: &[[f64; 2]]| {
            let corners: Vec<String> =
                corners.iter().map(|[dx, dy]| format!("{:.1},{:.1}", x + dx * r, y + dy * r)).collect();
            format!("<polygon class=\"{class}\" points=\"{}\"/>", corners.join(" "))
        };
        match n % 4 {
            0 => format!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r}\"/>"),
            1 => polygon(&[[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]),
            2 => polygon(&[[0.0, -1.3], [1.2, 0.9], [-1.2, 0.9]]),
            _ => polygon(&[[0.0, -1.4], [1.4, 0.0], [0.0, 1.4], [-1.4, 0.0]]),
        }
    }

    /// Names of the series, from left to right; returns how far down it reaches.
    fn legend(&self, body: &mut String, below: f64) -> f64 {
        let (mut x, mut y) = (self.left.min(60.0), below + 20.0);
        for (n, series) in self.chart.series.iter().enumerate() {
            let needed = 30.0 + width_of(&series.name) + 16.0;
            if x + needed > WIDTH && x > self.left.min(60.0) {
                (x, y) = (self.left.min(60.0), y + 20.0);
            }
            let colour = n % COLOURS;
            let line = |class: &str| {
                format!(
                    "<line class=\"line{class} s{colour}\" x1=\"{x:.1}\" x2=\"{:.1}\" y1=\"{1:.1}\" y2=\"{1:.1}\"/>",
                    x + 22.0,
                    y - 4.0
                )
            };
            let middle = [x + 11.0, y - 4.0];
            let sample = match series.mark {
                Mark::Line => line("") + &self.dot(n, middle, false),
                Mark::Dashed => line(" dashed") + &self.dot(n, middle, false),
                Mark::Points => self.dot(n, middle, false),
                Mark::Rings => self.dot(n, middle, true),
                Mark::Bars => format!(
                    "<rect class=\"f{colour}\" x=\"{:.1}\" y=\"{:.1}\" width=\"14\" height=\"10\"/>",
                    x + 4.0,
                    y - 9.0
                ),
            };
            let _ = writeln!(
                body,
                "{sample}<text x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
                x + 28.0,
                escaped(&series.name)
            );
            x += needed;
        }
        y
    }
}

/// A larger place for the pointer, where no dot is drawn.
fn unseen([x, y]: [f64; 2]) -> String {
    format!("<circle class=\"unseen\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>")
}

/// Stretches of what is there.
fn runs(places: &[Option<[f64; 2]>]) -> Vec<std::ops::Range<usize>> {
    let mut runs = Vec::new();
    let mut from = 0;
    while from < places.len() {
        let length = places[from..].iter().take_while(|place| place.is_some()).count();
        if length > 0 {
            runs.push(from..from + length);
        }
        from += length + 1;
    }
    runs
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= LONGEST {
        return name.to_owned();
    }
    name.chars().take(LONGEST - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Axis;

    fn line(points: Vec<Point>) -> Chart {
        Chart::new("Loss & more", Axis::linear("epoch"), Axis::linear("loss").between(0.0, 2.0))
            .with(Series::new("train", Mark::Line, points))
    }

    #[test]
    fn a_gap_breaks_the_line() {
        let points = [1.0, 0.5, f64::NAN, 0.25, 0.2, 9.0].iter().enumerate();
        let svg = line(points.map(|(n, &y)| Point::at(n as f64, y)).collect()).svg();
        assert_eq!(svg.matches("<polyline").count(), 2);
        // 9 is off the axis, NaN nowhere.
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(svg.contains("epoch: 0\nloss: 1</title>") && svg.contains("Loss &amp; more"), "{svg}");
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn places_are_in_proportion() {
        let svg = line(vec![Point::at(0.0, 0.0), Point::at(1.0, 2.0)]).svg();
        let bottom = TOP + PLOT_HEIGHT;
        assert!(
            svg.contains(&format!("cy=\"{bottom:.1}\"")) && svg.contains(&format!("cy=\"{TOP:.1}\"")),
            "{svg}"
        );
    }

    #[test]
    fn long_lines_can_be_pointed_at_everywhere() {
        let svg = line((0..250).map(|n| Point::at(f64::from(n), 1.0).between(0.5, 1.5)).collect()).svg();
        assert_eq!(svg.matches("<g><title>").count(), 250);
        assert_eq!(
            svg.matches("class=\"unseen\"").count(),
            250 - 250usize.div_ceil(250usize.div_ceil(DOTTED))
        );
        assert_eq!(svg.matches("<polygon class=\"band").count(), 1);
    }

    #[test]
    fn bars_stand_side_by_side() {
        let names = vec!["supernet".to_owned(), "search".to_owned()];
        let series = |name: &str, a: f64, b: f64| {
            Series::new(name, Mark::Bars, vec![Point::at(0.0, a), Point::at(1.0, b)])
        };
        let standing = Chart::new("t", Axis::named("", names.clone()), Axis::linear("s").between(0.0, 100.0))
            .with(series("a", 50.0, 100.0))
            .with(series("b", 25.0, 0.0));
        let svg = standing.svg();
        let rects: Vec<&str> = svg
            .split("<rect class=\"")
            .skip(1)
            .filter(|r| r.starts_with("f0") || r.starts_with("f1"))
            .collect();
        // Four bars, two samples.
        assert_eq!(rects.len(), 6);
        for (rect, height) in rects.iter().zip([150.0, 300.0, 75.0, 0.0]) {
            assert!(rect.contains(&format!("height=\"{height:.1}\"")), "{rect}");
        }
        let lying = Chart::new("t", Axis::linear("s"), Axis::named("", names)).with(Series::new(
            "a",
            Mark::Bars,
            vec![Point::at(3.0, 0.0), Point::at(1.5, 1.0)],
        ));
        let svg = lying.svg();
        let width =
            |rect: &str| rect.split_once(" width=\"").unwrap().1.split_once('"').unwrap().0.parse().unwrap();
        let widths: Vec<f64> = svg.split("<rect class=\"f0\"").skip(1).map(width).collect();
        assert!((widths[0] / widths[1] - 2.0).abs() < 1e-2, "{widths:?}");
        // A value that would leave the picture stands on its bar, in a colour of its own for each ground.
        let long = Chart::new("t", Axis::linear("s").between(0.0, 12345.0), lying.y.clone())
            .with(Series::new("a", Mark::Bars, vec![Point::at(12345.0, 0.0), Point::at(1.0, 1.0)]))
            .svg();
        assert_eq!(long.matches("class=\"small inside\"").count(), 1);
        // The first name stands above the second.
        let at = |name: &str| svg.find(&format!(">{name}</text>")).unwrap();
        assert!(at("supernet") < at("search"));
    }

    #[test]
    fn nothing_is_a_picture_too() {
        let empty = Chart::new("t", Axis::log("x"), Axis::linear("y"));
        assert!(empty.svg().ends_with("</svg>\n"));
        let nothing = empty.with(Series::new("s", Mark::Points, vec![Point::at(f64::NAN, f64::INFINITY)]));
        assert!(!nothing.svg().contains("NaN"));
    }
}
