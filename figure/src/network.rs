//! A network from top to bottom: its blocks, what comes out of them, what they cost.

use std::fmt::Write;

use genas_net::{Block, BlockGraph};

use crate::cell::edge_down;
use crate::layered::{Link, layered};
use crate::svg::{Drawing, escaped, width_of};

const MARGIN: f64 = 16.0;
const HEADING: f64 = 44.0;
/// Height of a line of text.
const LINE: f64 = 17.0;
/// Half of what lies between blocks.
const BETWEEN: f64 = 16.0;
/// Above and below a block's text.
const INSIDE: f64 = 8.0;

/// Draws the blocks with their widths, sizes, strides and costs, as a file of its own.
pub fn network_svg(title: &str, graph: &BlockGraph) -> String {
    drawing(title, graph).document()
}

/// The same as a part of a page that holds [`STYLE`](crate::svg::STYLE) once; ids begin with `id`.
pub fn network_inline(title: &str, graph: &BlockGraph, id: &str) -> String {
    drawing(title, graph).inline(id)
}

fn drawing(title: &str, graph: &BlockGraph) -> Drawing {
    let side = graph.blocks.first().map_or(1, |image| image.shape[1]);
    let texts: Vec<Vec<String>> = graph.blocks.iter().map(|block| lines(block, side)).collect();
    // The layout runs from left to right: width and height are exchanged.
    let size = |lines: &Vec<String>| {
        let width = lines.iter().map(|line| width_of(line)).fold(0.0, f64::max) + 20.0;
        [LINE * lines.len() as f64 + 2.0 * INSIDE, width]
    };
    let sizes: Vec<[f64; 2]> = texts.iter().map(size).collect();
    let links: Vec<Link> = graph.links.iter().map(|&(from, to)| Link { from, to, label: None }).collect();
    let placed = layered(&sizes, &links, BETWEEN);
    let turned = |[x, y]: [f64; 2]| [y + MARGIN, x + MARGIN + HEADING];
    let mut body = String::new();
    let (params, macs) =
        graph.blocks.iter().fold((0, 0), |(params, macs), b| (params + b.params, macs + b.macs));
    let summary = format!("{} parameters, {} multiply-accumulates", counted(params), counted(macs));
    let _ = writeln!(
        body,
        "<text class=\"title\" x=\"{MARGIN}\" y=\"28\">{}</text>\n<text class=\"quiet\" x=\"{MARGIN}\" y=\"48\">{summary}, \
         image of {side}x{side}</text>",
        escaped(title)
    );
    for route in &placed.routes {
        edge_down(&mut body, &route.points.iter().map(|&p| turned(p)).collect::<Vec<_>>());
    }
    let last = graph.blocks.len().saturating_sub(1);
    for (n, (lines, (&place, [height, width]))) in
        texts.iter().zip(placed.nodes.iter().zip(&sizes)).enumerate()
    {
        let [x, y] = turned(place);
        let kind = match n {
            0 => "input",
            n if n == last || !graph.links.iter().any(|link| link.0 == n) => "output",
            n if graph.blocks[n].what.contains("cell") => "node",
            _ => "plain",
        };
        let _ = writeln!(
            body,
            "<g><title>{}</title><rect class=\"box {kind}\" rx=\"6\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\"/>",
            escaped(&pointed(&graph.blocks[n])),
            x - width / 2.0,
            y - height / 2.0
        );
        for (line, text) in lines.iter().enumerate() {
            let class = if line == 0 { "" } else { " class=\"quiet small\"" };
            let _ = writeln!(
                body,
                "<text{class} text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                y - height / 2.0 + INSIDE + LINE * line as f64 + 12.5,
                escaped(text)
            );
        }
        body.push_str("</g>\n");
    }
    let heading = width_of(title).mul_add(1.2, 0.0).max(width_of(&summary) + 150.0);
    Drawing {
        width: placed.size[1].max(heading) + 2.0 * MARGIN,
        height: placed.size[0] + 2.0 * MARGIN + HEADING,
        title: title.to_owned(),
        description: graph
            .blocks
            .iter()
            .map(|b| pointed(b).replace('\n', ", "))
            .collect::<Vec<_>>()
            .join("; "),
        body,
    }
}

/// What stands in a block.
fn lines(block: &Block, side: usize) -> Vec<String> {
    let [channels, height, width] = block.shape;
    let mut lines = vec![block.name.clone()];
    lines.extend((!block.what.is_empty()).then(|| block.what.clone()));
    let mut size = format!("{channels} x {height} x {width}");
    if height > 1 && block.name != "image" {
        // Sizes are rounded up where a stride does not divide them.
        let _ = write!(size, ", stride {}", (side as f64 / height as f64).round());
    }
    if height == 1 && width == 1 {
        size = format!("{channels}");
    }
    lines.push(size);
    lines.extend((block.params > 0).then(|| format!("{} parameters", counted(block.params))));
    lines.extend((block.uses > 1).then(|| format!("shared by {} maps", block.uses)));
    lines
}

/// What a browser shows of a block.
fn pointed(block: &Block) -> String {
    let [channels, height, width] = block.shape;
    let mut text = block.name.clone();
    if !block.what.is_empty() {
        let _ = write!(text, "\n{}", block.what);
    }
    let _ = write!(
        text,
        "\n{channels} x {height} x {width}\n{} parameters\n{} multiply-accumulates",
        block.params, block.macs
    );
    text
}

/// Three digits and a unit: `5.20 M`.
fn counted(number: u64) -> String {
    let (value, unit) = match number {
        0..1_000 => return number.to_string(),
        1_000..1_000_000 => (number as f64 / 1e3, "k"),
        1_000_000..1_000_000_000 => (number as f64 / 1e6, "M"),
        _ => (number as f64 / 1e9, "G"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use genas_net::{EvalNet, Network, NetworkKind};

    #[test]
    fn blocks_stand_below_what_they_read() {
        let genotype = genas_space::zoo::find("GENAS_FLATNESS_CIFAR100").unwrap().genotype();
        let net = EvalNet {
            kind: NetworkKind::ImageNet,
            genotype,
            channels: 46,
            layers: 14,
            classes: 1000,
            auxiliary: false,
        };
        let graph = BlockGraph::of(&Network::Eval(net), 224);
        let svg = network_svg("GeNAS <46>", &graph);
        assert_eq!(svg.matches("class=\"box ").count(), graph.blocks.len());
        assert_eq!(svg.matches("<path class=\"edge").count(), graph.links.len());
        let y = |name: &str| -> f64 {
            let text = svg.split(&format!(">{name}</text>")).next().unwrap();
            text.rsplit_once(" y=\"").unwrap().1.split_once('"').unwrap().0.parse().unwrap()
        };
        assert!(y("image") < y("stem0") && y("stem1") < y("cells.0 to 3") && y("cells.9") < y("classifier"));
        assert!(svg.contains(">736 x 7 x 7, stride 32<") && svg.contains("GeNAS &lt;46&gt;"), "{svg}");
    }

    #[test]
    fn counts_have_units() {
        let numbers = [7, 1_234, 45_678, 5_195_205, 588_000_000, 1_300_000_000];
        assert_eq!(numbers.map(counted), ["7", "1.23 k", "45.7 k", "5.20 M", "588 M", "1.30 G"]);
    }
}
