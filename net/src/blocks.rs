//! A network as a graph of blocks, read from its wiring: what a person wants to see of it at one look.
//!
//! A cell is a block, and so is a chain of layers that nothing enters or leaves between; cells of a stage that follow each
//! other are one block. Costs are those of [`Cost`].

mod join;

use crate::cost::Cost;
use crate::interpreter::Interpreter;
use crate::layer::{BatchNorm, Conv, FactorizedReduce, Linear, Pool};
use crate::nb201::Nb201Path;
use crate::network::Network;
use crate::supernet::Path;
use join::{drop_unread, join_cells, join_chains, join_shared};
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
mod tests;
