//! Lines, points, bands and bars on two axes.

mod draw;

/// How values lie on an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// In proportion.
    #[default]
    Linear,
    /// In proportion to logarithms; values of 0 and below are left out.
    Log,
}

/// One of the two axes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis {
    /// What it shows, with its unit: `top-1 (%)`.
    pub label: String,
    /// How values lie on it.
    pub scale: Scale,
    /// The values at its ends; without them, those of the data and a little more.
    pub range: Option<[f64; 2]>,
    /// Names at 0, 1, 2, ... instead of numbers: for bars.
    pub names: Vec<String>,
}

impl Axis {
    /// A linear axis.
    pub fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), ..Self::default() }
    }

    /// A logarithmic axis.
    pub fn log(label: impl Into<String>) -> Self {
        Self { scale: Scale::Log, ..Self::linear(label) }
    }

    /// An axis of names; the first stands at 0, the next at 1.
    pub fn named(label: impl Into<String>, names: Vec<String>) -> Self {
        Self { names, ..Self::linear(label) }
    }

    /// A value as the table says it: a name, or all digits.
    fn text(&self, value: f64) -> String {
        let name = if value >= 0.0 { self.names.get(value as usize) } else { None };
        name.cloned().unwrap_or_else(|| value.to_string())
    }

    /// With these values at its ends.
    #[must_use]
    pub fn between(self, low: f64, high: f64) -> Self {
        Self { range: Some([low, high]), ..self }
    }
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A line from point to point, with a dot at each.
    Line,
    /// The same, dashed: what is published, estimated or a bound.
    Dashed,
    /// Dots.
    Points,
    /// Dots of another shape: published beside measured.
    Rings,
    /// Bars from 0, side by side where several series are bars.
    Bars,
}

/// A value and what it means.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Place on the horizontal axis.
    pub x: f64,
    /// Place on the vertical axis.
    pub y: f64,
    /// The spread at this place, drawn as a band around a line and as a whisker elsewhere.
    pub between: Option<[f64; 2]>,
    /// What it is; shown with the values when pointed at, and in the table.
    pub name: Option<String>,
}

impl Point {
    /// A value.
    pub fn at(x: f64, y: f64) -> Self {
        Self { x, y, between: None, name: None }
    }

    /// With a name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// With its spread.
    #[must_use]
    pub fn between(self, low: f64, high: f64) -> Self {
        Self { between: Some([low, high]), ..self }
    }
}

/// Points that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name in the legend; a chart of one series shows no legend.
    pub name: String,
    /// How it is drawn.
    pub mark: Mark,
    /// Its points; those that are not finite are left out of the picture, not of the table.
    pub points: Vec<Point>,
}

impl Series {
    /// A series.
    pub fn new(name: impl Into<String>, mark: Mark, points: Vec<Point>) -> Self {
        Self { name: name.into(), mark, points }
    }
}

/// A chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// What it shows, in a line.
    pub title: String,
    /// What a person who does not see it should know; also the caption.
    pub description: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What is drawn.
    pub series: Vec<Series>,
}

impl Chart {
    /// A chart without series.
    pub fn new(title: impl Into<String>, x: Axis, y: Axis) -> Self {
        Self { title: title.into(), x, y, ..Self::default() }
    }

    /// With one more series.
    #[must_use]
    pub fn with(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// With what a person who does not see it should know.
    #[must_use]
    pub fn described(self, description: impl Into<String>) -> Self {
        Self { description: description.into(), ..self }
    }

    /// The picture as a file of its own, with its colours for light and dark ground.
    pub fn svg(&self) -> String {
        draw::drawing(self).document()
    }

    /// The picture as a part of an HTML page that holds [`STYLE`](crate::svg::STYLE) once; ids begin with `id`.
    pub fn inline(&self, id: &str) -> String {
        draw::drawing(self).inline(id)
    }

    /// The head and the rows of the table behind the picture, all digits kept: the series' name if there are several, the
    /// points' names if they have any, both values, and the spread if there is one.
    pub fn table(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let several = self.series.len() > 1;
        let named = points().any(|point| point.name.is_some());
        let spread = points().any(|point| point.between.is_some());
        let mut head = Vec::new();
        head.extend(several.then(|| "series".to_owned()));
        head.extend(named.then(|| "name".to_owned()));
        head.extend([self.x.label.clone(), self.y.label.clone()]);
        if spread {
            head.extend(["from".to_owned(), "to".to_owned()]);
        }
        let row = |series: &Series, point: &Point| {
            let mut row = Vec::with_capacity(head.len());
            row.extend(several.then(|| series.name.clone()));
            row.extend(named.then(|| point.name.clone().unwrap_or_default()));
            row.extend([self.x.text(point.x), self.y.text(point.y)]);
            if spread {
                let ends = point.between.map(|ends| ends.map(|end| end.to_string()));
                row.extend(ends.unwrap_or_default());
            }
            row
        };
        let rows =
            self.series.iter().flat_map(|series| series.points.iter().map(move |point| (series, point)));
        let rows = rows.map(|(series, point)| row(series, point)).collect();
        (head, rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_every_digit() {
        let chart = Chart::new("t", Axis::linear("x"), Axis::linear("y (%)")).with(Series::new(
            "a",
            Mark::Line,
            vec![Point::at(1.0, 0.1 + 0.2)],
        ));
        assert_eq!(
            chart.table(),
            (vec!["x".into(), "y (%)".into()], vec![vec!["1".into(), "0.30000000000000004".into()]])
        );
        let names = vec!["one".to_owned(), "two".to_owned()];
        let bars = Series::new("b", Mark::Bars, vec![Point::at(1.0, f64::NAN).between(0.5, 1.5).named("n")]);
        let chart = Chart { x: Axis::named("x", names), ..chart.with(bars) };
        let (head, rows) = chart.table();
        assert_eq!(head, ["series", "name", "x", "y (%)", "from", "to"]);
        assert_eq!(rows[0], ["a", "", "two", "0.30000000000000004", "", ""]);
        assert_eq!(rows[1], ["b", "n", "two", "NaN", "0.5", "1.5"]);
    }
}
