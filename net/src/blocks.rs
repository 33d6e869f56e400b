//! A network as a graph of blocks, read from its wiring: what a person wants to see of it at one look.
//!
//! A cell is a block, and so is a chain of layers that nothing enters or leaves between; cells of a stage that follow each
//! other are one block. Costs are those of [`Cost`].

use crate::cost::Cost;
use crate::interpreter::Interpreter;
use crate::layer::{BatchNorm, Conv, FactorizedReduce, Linear, Pool};
use crate::nb201::Nb201Path;
use crate::network::Network;
use crate::supernet::Path;
use std::collections::{BTreeMap, BTreeSet};

/// A part of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its parameters' scope, or what it does if it has none: `cells.0 to cells.3`, `head.branches.1`, `sum`.
    pub name: String,
    /// What it consists of: `4 normal cells`, `3x3 convolution, dilation 12`; may be empty.
    pub what: String,
    /// What comes out: channels, height, width. Of a block that is applied to several maps, of the first.
    pub shape: [usize; 3],
    /// How many maps it is applied to, with the same parameters.
    pub uses: usize,
    /// Trainable parameters.
    pub params: u64,
    /// Multiply-accumulates, of all uses.
    pub macs: u64,
}

/// Blocks and what they read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockGraph {
    /// In the order of computing; the first is the image.
    pub blocks: Vec<Block>,
    /// From and to, each once, in the order of the blocks that are entered.
    pub links: Vec<(usize, usize)>,
}

impl BlockGraph {
    /// The blocks of a network for a square image of that side. Auxiliary heads, which are for training, are left out; a
    /// supernet holds all its operations.
    ///
    /// # Panics
    ///
    /// If the image is too small for the network.
    pub fn of(network: &Network, side: usize) -> Self {
        let shape = [3, side, side];
        match network {
            Network::Supernet(net) => {
                Self::read(shape, &net.reductions(), |i, x| vec![net.forward(i, Path::All, x)])
            }
            Network::Eval(net) => Self::read(shape, &net.reductions(), |i, x| vec![net.forward(i, x)]),
            Network::RetinaNet(net) => Self::read(shape, &net.backbone.reductions(), |i, x| {
                net.forward(i, x).into_iter().flat_map(|level| [level.logits, level.deltas]).collect()
            }),
            Network::DeepLabV3(net) => {
                Self::read(shape, &net.backbone.reductions(), |i, x| vec![net.segment(i, x)])
            }
            Network::Nb201(net) => Self::read(shape, &[], |i, x| vec![net.forward(i, x)]),
            Network::Nb201Supernet(net) => {
                Self::read(shape, &[], |i, x| vec![net.forward(i, Nb201Path::All, x)])
            }
        }
    }

    /// `reductions`: which cells, by their number, halve the size. `forward` gives what the network puts out.
    fn read(
        shape: [usize; 3],
        reductions: &[bool],
        forward: impl FnOnce(&mut Blocks, &Place) -> Vec<Place>,
    ) -> Self {
        let image = Vertex { shape, uses: 1, ..Vertex::default() };
        let mut blocks = Blocks { vertices: vec![image], ..Blocks::default() };
        let outputs = forward(&mut blocks, &Place { shape, vertex: 0 });
        let mut vertices = blocks.vertices;
        drop_unread(&mut vertices, &outputs);
        join_shared(&mut vertices);
        join_chains(&mut vertices);
        join_cells(&mut vertices, reductions);
        finish(vertices, reductions)
    }
}

/// A map: its shape, and what computed it.
#[derive(Clone, Copy, Debug)]
struct Place {
    shape: [usize; 3],
    vertex: usize,
}

/// A layer, or several that became one block.
#[derive(Clone, Debug, Default)]
struct Vertex {
    /// Where its parameters stand.
    scope: String,
    /// Names of layers with products, with their scope.
    layers: Vec<String>,
    /// What it does, in order: convolutions, and what changes a map's size or joins maps.
    parts: Vec<Part>,
    /// What it does if it has no parameters.
    verb: &'static str,
    /// Numbers of the cells that it holds.
    cells: Vec<usize>,
    shape: [usize; 3],
    uses: usize,
    params: u64,
    macs: u64,
    from: BTreeSet<usize>,
    /// An output depends on it.
    needed: bool,
    /// Became a part of another, or is not needed.
    gone: bool,
}

/// One of the things that a block does.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// A layer with products.
    Layer(String),
    /// Something else worth saying.
    Other(&'static str),
}

/// The interpreter that finds them.
#[derive(Debug, Default)]
struct Blocks {
    vertices: Vec<Vertex>,
    scope: Vec<String>,
    cost: Cost,
    /// The vertex of each cell.
    cells: BTreeMap<String, usize>,
}

impl Blocks {
    /// The scope of the cell that is being read, and its number.
    fn cell(&self) -> Option<(String, usize)> {
        let is_cell = |part: &String| {
            let number = part.strip_prefix("cells.").or_else(|| part.strip_prefix("residuals."))?;
            number.parse().ok()
        };
        let (depth, number) =
            self.scope.iter().enumerate().find_map(|(n, part)| Some((n, is_cell(part)?)))?;
        Some((self.scope[..=depth].join("."), number))
    }

    /// One more layer. `read` computes shape and cost.
    fn layer(
        &mut self,
        verb: &'static str,
        named: Option<(&str, String)>,
        xs: &[&Place],
        read: impl FnOnce(&mut Cost) -> [usize; 3],
    ) -> Place {
        let before = self.cost.report();
        let shape = read(&mut self.cost);
        let after = self.cost.report();
        let cell = self.cell();
        let existing = cell.as_ref().and_then(|(scope, _)| self.cells.get(scope)).copied();
        let vertex = existing.unwrap_or_else(|| {
            self.vertices.push(Vertex { uses: 1, ..Vertex::default() });
            self.vertices.len() - 1
        });
        let scope = match &cell {
            Some((scope, _)) => scope.clone(),
            None => self.scope.join("."),
        };
        let v = &mut self.vertices[vertex];
        v.from.extend(xs.iter().map(|x| x.vertex).filter(|&from| from != vertex));
        v.params += after.params - before.params;
        v.macs += after.macs - before.macs;
        v.shape = shape;
        if let Some((name, what)) = named {
            let path = if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") };
            v.layers.push(path);
            v.parts.push(Part::Layer(what));
        } else if !matches!(verb, "ReLU" | "BatchNorm" | "sum") {
            v.parts.push(Part::Other(verb));
        }
        v.scope = scope;
        match cell {
            Some((scope, number)) => {
                v.cells = vec![number];
                self.cells.insert(scope, vertex);
            }
            None => v.verb = verb,
        }
        Place { shape, vertex }
    }
}

impl Interpreter for Blocks {
    type Value = Place;

    fn scope<R>(&mut self, name: &str, body: impl FnOnce(&mut Self) -> R) -> R {
        self.scope.push(name.to_owned());
        let mark = self.cost.enter(name);
        let result = body(self);
        self.cost.leave(mark);
        self.scope.pop();
        result
    }

    fn conv(&mut self, name: &str, conv: &Conv, x: &Place) -> Place {
        let [height, width] = conv.kernel;
        let mut what = format!("{height}x{width} convolution");
        if conv.stride != [1, 1] {
            what += &format!(", stride {}", conv.stride[0]);
        }
        if conv.dilation > 1 {
            what += &format!(", dilation {}", conv.dilation);
        }
        self.layer("", Some((name, what)), &[x], |cost| cost.conv(name, conv, &x.shape))
    }

    fn batch_norm(&mut self, name: &str, bn: &BatchNorm, x: &Place) -> Place {
        self.layer("BatchNorm", None, &[x], |cost| cost.batch_norm(name, bn, &x.shape))
    }

    fn relu(&mut self, x: &Place) -> Place {
        self.layer("ReLU", None, &[x], |_| x.shape)
    }

    fn max_pool(&mut self, pool: &Pool, x: &Place) -> Place {
        self.layer("max pooling", None, &[x], |cost| cost.max_pool(pool, &x.shape))
    }

    fn avg_pool(&mut self, pool: &Pool, x: &Place) -> Place {
        self.layer("average pooling", None, &[x], |cost| cost.avg_pool(pool, &x.shape))
    }

    fn sum(&mut self, xs: &[Place]) -> Place {
        self.layer("sum", None, &xs.iter().collect::<Vec<_>>(), |_| xs[0].shape)
    }

    fn zeros(&mut self, x: &Place) -> Place {
        self.layer("zeros", None, &[x], |_| x.shape)
    }

    fn concat(&mut self, xs: &[Place]) -> Place {
        let shapes: Vec<[usize; 3]> = xs.iter().map(|x| x.shape).collect();
        self.layer("concatenation", None, &xs.iter().collect::<Vec<_>>(), |cost| cost.concat(&shapes))
    }

    fn factorized_reduce(&mut self, reduce: &FactorizedReduce, x: &Place) -> Place {
        let named = Some(("factorized_reduce", "factorized reduction".to_owned()));
        self.layer("", named, &[x], |cost| cost.factorized_reduce(reduce, &x.shape))
    }

    fn upsample(&mut self, x: &Place) -> Place {
        self.layer("upsampling", None, &[x], |cost| cost.upsample(&x.shape))
    }

    /// Only the size of `like` is read.
    fn resize(&mut self, x: &Place, like: &Place, align_corners: bool) -> Place {
        self.layer("resizing", None, &[x], |cost| cost.resize(&x.shape, &like.shape, align_corners))
    }

    fn global_avg_pool(&mut self, x: &Place) -> Place {
        self.layer("mean over pixels", None, &[x], |cost| cost.global_avg_pool(&x.shape))
    }

    fn linear(&mut self, name: &str, linear: &Linear, x: &Place) -> Place {
        let named = Some((name, "fully connected".to_owned()));
        self.layer("", named, &[x], |cost| cost.linear(name, linear, &x.shape))
    }
}

/// Takes out what no output needs, such as maps of a backbone that a head does not read.
fn drop_unread(vertices: &mut [Vertex], outputs: &[Place]) {
    for output in outputs {
        vertices[output.vertex].needed = true;
    }
    for n in (0..vertices.len()).rev() {
        if vertices[n].needed {
            let from = vertices[n].from.clone();
            from.into_iter().for_each(|from| vertices[from].needed = true);
        } else {
            vertices[n].gone = true;
            vertices[n].from.clear();
        }
    }
}

/// Makes `from` a part of `into`; what read it reads `into`.
fn join(vertices: &mut [Vertex], from: usize, into: usize) {
    let taken = std::mem::take(&mut vertices[from]);
    vertices[from].gone = true;
    let v = &mut vertices[into];
    v.params += taken.params;
    v.macs += taken.macs;
    v.cells.extend(taken.cells);
    v.from.extend(taken.from);
    v.from.remove(&into);
    for v in vertices.iter_mut() {
        if v.from.remove(&from) {
            v.from.insert(into);
        }
    }
    vertices[into].from.remove(&into);
}

fn readers(vertices: &[Vertex], of: usize) -> usize {
    vertices.iter().filter(|v| v.from.contains(&of)).count()
}

/// Layers that nothing enters or leaves between become one block.
fn join_chains(vertices: &mut [Vertex]) {
    for n in 2..vertices.len() {
        let Some(&before) = vertices[n].from.first().filter(|_| vertices[n].from.len() == 1) else {
            continue;
        };
        let (first, second) = (&vertices[before], &vertices[n]);
        // What stands behind a cell and has no parameters belongs to it.
        let cells = !second.cells.is_empty() || !first.cells.is_empty() && second.verb != "ReLU";
        let bare = |v: &Vertex| v.layers.is_empty();
        // A sum says more than its name where it stands alone.
        let apart = first.verb == "sum" && bare(first) || first.uses != second.uses;
        let together = first.scope == second.scope || bare(first) || bare(second);
        if before == 0 || cells || apart || !together || readers(vertices, before) != 1 {
            continue;
        }
        // The later takes the earlier in, so that the order stays that of computing.
        let first = vertices[before].clone();
        join(vertices, before, n);
        let v = &mut vertices[n];
        if v.layers.is_empty() {
            v.scope = first.scope;
            v.verb = if v.verb == "ReLU" { first.verb } else { v.verb };
        }
        v.layers.splice(0..0, first.layers);
        v.parts.splice(0..0, first.parts);
    }
}

/// The same layers at several places become one block, with the uses counted: heads that all levels share.
fn join_shared(vertices: &mut [Vertex]) {
    let mut first_of: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for n in 1..vertices.len() {
        if vertices[n].layers.is_empty() || !vertices[n].cells.is_empty() {
            continue;
        }
        let Some(&first) = first_of.get(&vertices[n].layers) else {
            first_of.insert(vertices[n].layers.clone(), n);
            continue;
        };
        join(vertices, n, first);
        vertices[first].uses += 1;
    }
    // What stands behind shared layers is shared too, unless it has layers of its own: ReLUs, and the BatchNorms that each
    // level has for itself. What stands behind those is found in the next round.
    loop {
        let mut behind: BTreeMap<(Vec<usize>, &str), usize> = BTreeMap::new();
        let mut joined = false;
        for n in 1..vertices.len() {
            let v = &vertices[n];
            let shared = !v.from.is_empty() && v.from.iter().all(|&from| vertices[from].uses > 1);
            if v.gone || !v.layers.is_empty() || !shared {
                continue;
            }
            let (key, uses) = ((v.from.iter().copied().collect(), v.verb), v.uses);
            match behind.get(&key).copied() {
                None => {
                    behind.insert(key, n);
                }
                Some(first) => {
                    join(vertices, n, first);
                    vertices[first].uses += uses;
                    joined = true;
                }
            }
        }
        if !joined {
            return;
        }
    }
}

/// Cells that follow each other with the same shape and of the same kind become one block.
fn join_cells(vertices: &mut [Vertex], reductions: &[bool]) {
    let reduction = |v: &Vertex| v.cells.first().is_some_and(|&cell| reductions.get(cell) == Some(&true));
    let mut before: Option<usize> = None;
    for n in 1..vertices.len() {
        if vertices[n].gone || vertices[n].cells.is_empty() {
            continue;
        }
        let kind = |v: &Vertex| (v.shape, reduction(v), v.scope.contains("residuals."));
        if let Some(previous) = before.filter(|&p| kind(&vertices[p]) == kind(&vertices[n]))
            && !reduction(&vertices[n])
        {
            // The order of cells is kept: the earlier come first.
            let own = std::mem::take(&mut vertices[n].cells);
            let scope = vertices[previous].scope.clone();
            join(vertices, previous, n);
            vertices[n].cells.extend(own);
            vertices[n].scope = scope;
        }
        before = Some(n);
    }
}

fn finish(vertices: Vec<Vertex>, reductions: &[bool]) -> BlockGraph {
    let kept: Vec<usize> = (0..vertices.len()).filter(|&n| !vertices[n].gone).collect();
    // In the order of computing: a shared block stands where the last of its uses can be computed.
    let mut order: Vec<usize> = Vec::with_capacity(kept.len());
    while order.len() < kept.len() {
        let ready =
            |n: &&usize| !order.contains(n) && vertices[**n].from.iter().all(|from| order.contains(from));
        match kept.iter().find(ready) {
            Some(&next) => order.push(next),
            None => unreachable!("blocks of a network that can be computed form no circle"),
        }
    }
    let place: BTreeMap<usize, usize> = order.iter().enumerate().map(|(place, &n)| (n, place)).collect();
    let links = order.iter().enumerate().flat_map(|(to, n)| {
        let mut from: Vec<usize> = vertices[*n].from.iter().map(|from| place[from]).collect();
        from.sort_unstable();
        from.into_iter().map(move |from| (from, to))
    });
    let links = links.collect();
    let blocks = order.iter().map(|&n| described(&vertices[n], n == 0, reductions)).collect();
    BlockGraph { blocks, links }
}

fn described(v: &Vertex, image: bool, reductions: &[bool]) -> Block {
    let name = if image {
        "image".to_owned()
    } else if let [first, .., last] = v.cells[..] {
        let base = v.scope.trim_end_matches(|c: char| c.is_ascii_digit());
        format!("{base}{first} to {last}")
    } else if !v.cells.is_empty() {
        v.scope.clone()
    } else {
        match &v.layers[..] {
            [] if v.params > 0 => v.scope.clone(),
            [] => v.verb.to_owned(),
            // `conv` says no more than its scope.
            [layer] => layer.strip_suffix(".conv").unwrap_or(layer).to_owned(),
            _ => v.scope.clone(),
        }
    };
    let what = match v.cells[..] {
        [] if v.params > 0 && v.layers.is_empty() => v.verb.to_owned(),
        [] if v.layers.is_empty() => String::new(),
        [] => in_words(&v.parts),
        [_] if v.scope.contains("residuals.") => "residual block".to_owned(),
        [cell] if reductions.get(cell) == Some(&true) => "reduction cell".to_owned(),
        [_] if reductions.is_empty() => "cell".to_owned(),
        [_] => "normal cell".to_owned(),
        _ if reductions.is_empty() => format!("{} cells", v.cells.len()),
        _ => format!("{} normal cells", v.cells.len()),
    };
    Block { name, what, shape: v.shape, uses: v.uses, params: v.params, macs: v.macs }
}

/// Several layers with products in a row are counted.
fn in_words(parts: &[Part]) -> String {
    let words =
        parts.chunk_by(|a, b| matches!((a, b), (Part::Layer(_), Part::Layer(_)))).map(|run| match run {
            [Part::Layer(layer)] => layer.clone(),
            [Part::Other(verb)] => (*verb).to_owned(),
            layers => format!("{} convolutions", layers.len()),
        });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::Cost;
    use crate::evalnet::{EvalNet, NetworkKind};
    use crate::{AuxiliaryHead, DeepLabV3, Nb201Net, Probability, RetinaNet, Supernet};

    fn backbone(channels: usize) -> EvalNet {
        let genotype = genas_space::zoo::find("DARTS_V2").expect("a published cell").genotype();
        EvalNet { kind: NetworkKind::ImageNet, genotype, channels, layers: 14, classes: 10, auxiliary: false }
    }

    fn detector() -> RetinaNet {
        RetinaNet {
            backbone: backbone(16),
            relu_features: false,
            batch_norm: false,
            channels: 64,
            head_convolutions: 4,
            anchors: 9,
            classes: 5,
        }
    }

    fn segmenter() -> DeepLabV3 {
        DeepLabV3 {
            backbone: backbone(16),
            output_stride: 8,
            exact_dilation: true,
            relu_features: true,
            channels: 32,
            rates: vec![12, 24, 36],
            classes: 11,
            auxiliary: Some(AuxiliaryHead { channels: 16 }),
            dropout: Probability::new(0.1).unwrap(),
            align_corners: false,
        }
    }

    fn names(graph: &BlockGraph) -> Vec<&str> {
        graph.blocks.iter().map(|b| b.name.as_str()).collect()
    }

    fn sources<'a>(graph: &'a BlockGraph, name: &str) -> Vec<&'a str> {
        let names = names(graph);
        let to = names.iter().position(|n| *n == name).unwrap();
        graph.links.iter().filter(|link| link.1 == to).map(|link| names[link.0]).collect()
    }

    #[test]
    fn stages_of_a_classifier() {
        let graph = BlockGraph::of(&Network::Eval(backbone(16)), 224);
        assert_eq!(
            names(&graph),
            [
                "image",
                "stem0",
                "stem1",
                "cells.0 to 3",
                "cells.4",
                "cells.5 to 8",
                "cells.9",
                "cells.10 to 13",
                "classifier"
            ]
        );
        let what: Vec<&str> = graph.blocks.iter().map(|b| b.what.as_str()).collect();
        assert_eq!(what[3..6], ["4 normal cells", "reduction cell", "4 normal cells"]);
        assert_eq!(graph.blocks[3].shape, [64, 28, 28]);
        // The second of its inputs: the cell before the last.
        assert_eq!(sources(&graph, "cells.0 to 3"), ["stem0", "stem1"]);
        assert_eq!(sources(&graph, "cells.5 to 8"), ["cells.0 to 3", "cells.4"]);
    }

    /// Nothing is lost on the way.
    #[test]
    fn costs_are_those_of_the_network() {
        let (detector, segmenter, classifier) = (detector(), segmenter(), backbone(16));
        let supernet = Supernet { channels: 8, layers: 8, classes: 10 };
        let cell = genas_space::nb201::nb201_zoo()[0].cell();
        let nb201 = Nb201Net::benchmark(cell, 10);
        let of = |side: usize, forward: &dyn Fn(&mut Cost, &[usize; 3])| Cost::of([3, side, side], forward);
        for (network, side, cost) in [
            (
                Network::Eval(classifier.clone()),
                224,
                of(224, &|i, x| {
                    classifier.forward(i, x);
                }),
            ),
            (
                Network::RetinaNet(detector.clone()),
                256,
                of(256, &|i, x| {
                    detector.forward(i, x);
                }),
            ),
            (
                Network::DeepLabV3(segmenter.clone()),
                256,
                of(256, &|i, x| {
                    segmenter.segment(i, x);
                }),
            ),
            (
                Network::Supernet(supernet),
                32,
                of(32, &|i, x| {
                    supernet.forward(i, Path::All, x);
                }),
            ),
            (
                Network::Nb201(nb201),
                32,
                of(32, &|i, x| {
                    nb201.forward(i, x);
                }),
            ),
        ] {
            let graph = BlockGraph::of(&network, side);
            assert_eq!(graph.blocks.iter().map(|b| b.params).sum::<u64>(), cost.params, "{network:?}");
            assert_eq!(graph.blocks.iter().map(|b| b.macs).sum::<u64>(), cost.macs, "{network:?}");
            assert!(graph.links.iter().all(|(from, to)| from < to), "{network:?}");
            // All but the outputs is read.
            let unread: Vec<&str> = (0..graph.blocks.len())
                .filter(|n| graph.links.iter().all(|link| link.0 != *n))
                .map(|n| graph.blocks[n].name.as_str())
                .collect();
            let ends = if matches!(network, Network::RetinaNet(_)) { 2 } else { 1 };
            assert_eq!(unread.len(), ends, "{unread:?}");
        }
    }

    #[test]
    fn heads_are_shared_and_branches_are_not() {
        let graph = BlockGraph::of(&Network::RetinaNet(detector()), 256);
        let head = graph.blocks.iter().find(|b| b.name == "head.classes").unwrap();
        assert_eq!((head.uses, head.what.as_str(), head.shape), (5, "5 convolutions", [45, 32, 32]));
        assert_eq!(sources(&graph, "head.classes").len(), 5);
        // BatchNorms of each level do not take the heads apart.
        let normalized = RetinaNet { batch_norm: true, ..detector() };
        let graph = BlockGraph::of(&Network::RetinaNet(normalized.clone()), 256);
        let head = graph.blocks.iter().find(|b| b.name == "head.boxes").unwrap();
        assert_eq!((head.uses, head.what.as_str()), (5, "5 convolutions"));
        let params: u64 = graph.blocks.iter().map(|b| b.params).sum();
        assert_eq!(params, normalized.layout().n_parameters() as u64);
        let graph = BlockGraph::of(&Network::DeepLabV3(segmenter()), 256);
        let branches: Vec<&str> = graph
            .blocks
            .iter()
            .filter(|b| b.name.starts_with("head.branches."))
            .map(|b| b.what.as_str())
            .collect();
        assert_eq!(
            branches,
            [
                "1x1 convolution",
                "3x3 convolution, dilation 12",
                "3x3 convolution, dilation 24",
                "3x3 convolution, dilation 36"
            ]
        );
        assert_eq!(sources(&graph, "head.bottleneck").len(), 5);
        let what = |name: &str| graph.blocks.iter().find(|b| b.name == name).unwrap().what.clone();
        assert_eq!(what("head.image_pool"), "mean over pixels, 1x1 convolution, resizing");
        assert_eq!(what("head.bottleneck"), "concatenation, 3x3 convolution");
        assert_eq!(what("head.classifier"), "1x1 convolution, resizing");
        // Stride 8 to the end.
        assert_eq!(graph.blocks.iter().find(|b| b.name == "backbone.cells.10 to 13").unwrap().shape[1], 32);
    }

    #[test]
    fn nb201_has_three_stages() {
        let cell = genas_space::nb201::nb201_zoo()[0].cell();
        let graph = BlockGraph::of(&Network::Nb201(Nb201Net::benchmark(cell, 10)), 32);
        assert_eq!(
            names(&graph)[1..7],
            ["stem", "cells.0 to 4", "residuals.5", "cells.6 to 10", "residuals.11", "cells.12 to 16"]
        );
    }
}
