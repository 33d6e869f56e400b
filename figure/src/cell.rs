//! Cells as graphs, as in the paper's Figures 5 to 7: inputs, nodes, an operation at each edge, the output.

use std::fmt::Write;

use genas_space::nb201::{Nb201Cell, Nb201Op};
use genas_space::{Cell, Genotype};

use crate::layered::{Link, Placed, layered};
use crate::svg::{Drawing, escaped, width_of};

const MARGIN: f64 = 16.0;
/// Above a graph: its heading.
const HEADING: f64 = 34.0;
/// Between graphs.
const BETWEEN: f64 = 36.0;
const NODE: f64 = 30.0;
const LABEL: f64 = 18.0;
const TIP: f64 = 7.0;
/// Between a node and the labels beside it: room for the lines that meet there.
const BESIDE: f64 = 30.0;

/// A cell with what is written above it.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedCell {
    /// Its name, such as that of the zoo.
    pub name: String,
    /// What it is.
    pub cell: AnyCell,
}

/// A cell of either space.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyCell {
    /// A normal and a reduction cell.
    Darts(Genotype),
    /// A cell of NAS-Bench-201.
    Nb201(Nb201Cell),
}

/// A node's text and class, and the edges.
struct Graph {
    heading: String,
    nodes: Vec<(String, &'static str)>,
    edges: Vec<(usize, usize, Option<&'static str>)>,
}

/// Cells side by side, as a file of its own: a column for each, the normal cell above the reduction cell.
pub fn cells_svg(cells: &[NamedCell]) -> String {
    drawing(cells).document()
}

/// The same as a part of a page that holds [`STYLE`](crate::svg::STYLE) once; ids begin with `id`.
pub fn cells_inline(cells: &[NamedCell], id: &str) -> String {
    drawing(cells).inline(id)
}

fn drawing(cells: &[NamedCell]) -> Drawing {
    let mut body = String::new();
    let (mut x, mut bottom) = (MARGIN, 0.0f64);
    for NamedCell { name, cell } in cells {
        let _ = writeln!(body, "<text class=\"title\" x=\"{x:.1}\" y=\"28\">{}</text>", escaped(name));
        let mut y = MARGIN + if name.is_empty() { 0.0 } else { 24.0 };
        let mut width = width_of(name) * 1.2;
        for graph in graphs(cell) {
            let placed = laid_out(&graph);
            let _ = writeln!(
                body,
                "<text class=\"quiet\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                y + 16.0,
                escaped(&graph.heading)
            );
            draw(&mut body, &graph, &placed, [x, y + HEADING]);
            width = width.max(placed.size[0]).max(width_of(&graph.heading));
            y += HEADING + placed.size[1] + BETWEEN;
        }
        bottom = bottom.max(y - BETWEEN);
        x += width + BETWEEN;
    }
    let names: Vec<&str> = cells.iter().map(|c| c.name.as_str()).filter(|name| !name.is_empty()).collect();
    let title = if names.is_empty() { "Cells".to_owned() } else { names.join(", ") };
    let words: Vec<String> = cells.iter().map(in_words).collect();
    Drawing {
        width: x - BETWEEN + MARGIN,
        height: bottom + MARGIN,
        title,
        description: words.join(" "),
        body,
    }
}

/// What a person hears who does not see it.
fn in_words(NamedCell { name, cell }: &NamedCell) -> String {
    let written = match cell {
        AnyCell::Darts(genotype) => genotype.to_string(),
        AnyCell::Nb201(cell) => cell.to_string(),
    };
    if name.is_empty() { written } else { format!("{name}: {written}.") }
}

fn graphs(cell: &AnyCell) -> Vec<Graph> {
    match cell {
        AnyCell::Darts(Genotype { normal, reduce }) => {
            vec![darts("normal cell", normal), darts("reduction cell", reduce)]
        }
        AnyCell::Nb201(cell) => vec![nb201(cell)],
    }
}

fn darts(heading: &str, cell: &Cell) -> Graph {
    let n = cell.nodes.len();
    let mut nodes = vec![("c_{k-2}".to_owned(), "input"), ("c_{k-1}".to_owned(), "input")];
    nodes.extend((0..n).map(|node| (node.to_string(), "node")));
    nodes.push(("c_{k}".to_owned(), "output"));
    let operations = cell.edges().map(|(node, op, source)| (source, node + 2, Some(op.name())));
    let joined = cell.concat.iter().map(|&state| (state, n + 2, None));
    Graph { heading: heading.to_owned(), edges: operations.chain(joined).collect(), nodes }
}

fn nb201(cell: &Nb201Cell) -> Graph {
    let node = |n: usize| match n {
        0 => ("in".to_owned(), "input"),
        3 => ("out".to_owned(), "output"),
        n => (n.to_string(), "node"),
    };
    let edges = (1..=3).flat_map(|to| cell.inputs(to).map(move |(op, from)| (from, to, Some(op.name()))));
    Graph { heading: cell.to_string(), nodes: (0..4).map(node).collect(), edges: edges.collect() }
}

fn laid_out(graph: &Graph) -> Placed {
    let sizes: Vec<[f64; 2]> =
        graph.nodes.iter().map(|(text, _)| [(width_of(text) + 10.0).max(NODE), NODE]).collect();
    let link = |&(from, to, label): &(usize, usize, Option<&str>)| Link {
        from,
        to,
        label: label.map(|text| [width_of(text) + 8.0, LABEL]),
    };
    let links: Vec<Link> = graph.edges.iter().map(link).collect();
    layered(&sizes, &links, BESIDE)
}

fn draw(body: &mut String, graph: &Graph, placed: &Placed, [left, top]: [f64; 2]) {
    let _ = writeln!(body, "<g transform=\"translate({left:.1} {top:.1})\">");
    for ((_, _, label), route) in graph.edges.iter().zip(&placed.routes) {
        // Zeros: an edge that is not there.
        let none = *label == Some(Nb201Op::None.name());
        edge(body, &route.points, none);
    }
    // Over all edges, so that none runs through a text.
    for ((_, _, label), route) in graph.edges.iter().zip(&placed.routes) {
        if let (Some(text), Some([x, y])) = (label, route.label) {
            let (width, quiet) =
                (width_of(text) + 4.0, if *text == Nb201Op::None.name() { " quiet" } else { "" });
            let _ = writeln!(
                body,
                "<rect class=\"halo\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{LABEL}\"/>\
                 <text class=\"small{quiet}\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{text}</text>",
                x - width / 2.0,
                y - LABEL / 2.0,
                y + 4.0
            );
        }
    }
    for ((text, class), [x, y]) in graph.nodes.iter().zip(&placed.nodes) {
        let width = (width_of(text) + 10.0).max(NODE);
        let _ = writeln!(
            body,
            "<rect class=\"box {class}\" rx=\"6\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{NODE}\"/>\
             <text text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            x - width / 2.0,
            y - NODE / 2.0,
            y + 4.5,
            subscripted(text)
        );
    }
    body.push_str("</g>\n");
}

/// A smooth line with an arrow at its end; it leaves and enters nodes horizontally.
pub(crate) fn edge(body: &mut String, points: &[[f64; 2]], dashed: bool) {
    smooth(body, points, dashed, |point| point);
}

/// The same from top to bottom.
pub(crate) fn edge_down(body: &mut String, points: &[[f64; 2]]) {
    let turned: Vec<[f64; 2]> = points.iter().map(|[x, y]| [*y, *x]).collect();
    smooth(body, &turned, false, |[along, aside]| [aside, along]);
}

/// `turned`: from places that run to the right to those of the picture.
fn smooth(body: &mut String, points: &[[f64; 2]], dashed: bool, turned: impl Fn([f64; 2]) -> [f64; 2]) {
    let Some((&first, rest)) = points.split_first() else { return };
    let text = |point: [f64; 2]| {
        let [x, y] = turned(point);
        format!("{x:.1} {y:.1}")
    };
    let mut path = format!("M{}", text(first));
    let mut before = first;
    let slopes = slopes(points);
    for (n, &[x, y]) in rest.iter().enumerate() {
        let x = if n + 1 == rest.len() { x - TIP } else { x };
        // Hermite's cubic as Bezier's. A first or last piece bends near its node.
        let reach = if rest.len() == 1 { 0.5 } else { 1.0 / 3.0 };
        let third = (x - before[0]) * reach;
        let from = [before[0] + third, before[1] + third * slopes[n]];
        let to = [x - third, y - third * slopes[n + 1]];
        let _ = write!(path, " C{} {} {}", text(from), text(to), text([x, y]));
        before = [x, y];
    }
    let [x, y] = before;
    let dashes = if dashed { " dashed" } else { "" };
    let corners = [[x + TIP, y], [x, y - TIP / 2.0], [x, y + TIP / 2.0]].map(text).join(" ");
    let _ = writeln!(
        body,
        "<path class=\"edge{dashes}\" d=\"{path}\"/><polygon class=\"tip\" points=\"{corners}\"/>"
    );
}

/// Slopes at places so that the curve swings no further than they do (Fritsch and Carlson 1980): level at both ends and
/// where the direction changes, the harmonic mean elsewhere.
fn slopes(points: &[[f64; 2]]) -> Vec<f64> {
    let secants: Vec<f64> = points.windows(2).map(|w| (w[1][1] - w[0][1]) / (w[1][0] - w[0][0])).collect();
    (0..points.len())
        .map(|n| {
            if n == 0 || n + 1 == points.len() || secants[n - 1] * secants[n] <= 0.0 {
                return 0.0;
            }
            2.0 * secants[n - 1] * secants[n] / (secants[n - 1] + secants[n])
        })
        .collect()
}

/// `c_{k-1}` with its index below.
fn subscripted(text: &str) -> String {
    match text.split_once("_{") {
        Some((base, index)) => format!(
            "{}<tspan dy=\"3\" font-size=\"10\">{}</tspan>",
            escaped(base),
            escaped(index.trim_end_matches('}'))
        ),
        None => escaped(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layered::crossings;
    use genas_space::{Streams, random_candidate, zoo};

    fn named(name: &str, cell: AnyCell) -> NamedCell {
        NamedCell { name: name.to_owned(), cell }
    }

    #[test]
    fn every_edge_is_drawn_with_its_operation() {
        for entry in zoo() {
            let genotype = entry.genotype();
            let svg = cells_svg(&[named(entry.name, AnyCell::Darts(genotype.clone()))]);
            let cells = [&genotype.normal, &genotype.reduce];
            let edges: usize = cells.iter().map(|c| c.edges().count() + c.concat.len()).sum();
            assert_eq!(svg.matches("<path class=\"edge").count(), edges, "{}", entry.name);
            for (_, op, _) in cells.iter().flat_map(|c| c.edges()) {
                assert!(svg.contains(&format!(">{}</text>", op.name())), "{}", op.name());
            }
        }
    }

    #[test]
    fn nb201_cells_show_what_is_not_there() {
        let cell: Nb201Cell =
            "|none~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_1x1~2|"
                .parse()
                .unwrap();
        let svg = cells_svg(&[named("a", AnyCell::Nb201(cell)), named("b & c", AnyCell::Nb201(cell))]);
        assert_eq!(svg.matches("<path class=\"edge dashed\"").count(), 4);
        assert_eq!(svg.matches("<path class=\"edge\"").count(), 8);
        assert!(svg.contains("<title id=\"picture-title\">a, b &amp; c</title>"), "{svg}");
    }

    /// Most cells of the space can be drawn with few crossings; a poor layout would have dozens.
    #[test]
    fn crossings_are_few() {
        let mut rng = Streams::new(5).rng("cells", 0);
        let mut all = 0;
        for _ in 0..40 {
            let genotype = random_candidate(&mut rng).genotype();
            for graph in graphs(&AnyCell::Darts(genotype)) {
                let placed = laid_out(&graph);
                all += crossings(&placed);
            }
        }
        assert!(all <= 80 * 2, "{all} crossings in 80 cells");
    }
}
