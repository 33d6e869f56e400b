//! A directed acyclic graph laid out in layers from left to right, with few crossings (Sugiyama, Tagawa and Toda 1981).
//!
//! Between two layers of nodes lies a layer of labels; a long link passes through the layers between as a thread of places
//! that keep other things away from it. So neither node nor label covers a link.

/// Between things above each other.
const GAP: f64 = 14.0;
/// Height that a thread takes in a layer.
const THREAD: f64 = 6.0;
/// Orders that are tried from different beginnings.
const STARTS: u64 = 40;
/// Rounds of improving each.
const ROUNDS: usize = 16;
/// Rounds of moving things to where their neighbours are.
const STRAIGHTENING: usize = 120;

/// A connection of two nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    /// Index of a node.
    pub from: usize,
    /// Index of a node that can be reached from the other, never the other way round.
    pub to: usize,
    /// Width and height of the label, if it has one.
    pub label: Option<[f64; 2]>,
}

/// Where a link runs.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// From the right edge of one node to the left edge of the other.
    pub points: Vec<[f64; 2]>,
    /// Middle of the label.
    pub label: Option<[f64; 2]>,
}

/// Where everything is.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    /// The middle of each node.
    pub nodes: Vec<[f64; 2]>,
    /// One for each link.
    pub routes: Vec<Route>,
    /// Everything lies between 0 and these.
    pub size: [f64; 2],
}

/// A node, a label, or a place of a thread.
#[derive(Clone, Debug)]
struct Item {
    layer: usize,
    size: [f64; 2],
    thread: bool,
    /// Items of the layer before and of the layer behind.
    beside: [Vec<usize>; 2],
}

/// Lays out nodes of the given widths and heights, with so much between layers.
///
/// # Panics
///
/// If the links form a circle.
pub(crate) fn layered(nodes: &[[f64; 2]], links: &[Link], between: f64) -> Placed {
    let ranks = ranks(nodes.len(), links);
    let mut items: Vec<Item> = nodes
        .iter()
        .zip(&ranks)
        .map(|(&size, rank)| Item { layer: 2 * rank, size, thread: false, beside: Default::default() })
        .collect();
    let chains: Vec<Vec<usize>> = links.iter().map(|link| thread(&mut items, link)).collect();
    let order = fewest_crossings(&items);
    let ys = heights(&items, &order);
    let xs = columns(&items, order.len(), between);
    let place = |n: usize| [xs[items[n].layer], ys[n]];
    let bottom = items.iter().zip(&ys).map(|(item, y)| y + item.size[1] / 2.0).fold(0.0, f64::max);
    let right = items.iter().map(|item| xs[item.layer] + item.size[0] / 2.0).fold(0.0, f64::max);
    let routes = links.iter().zip(&chains).map(|(link, chain)| {
        let ([x0, y0], [x1, y1]) = (place(link.from), place(link.to));
        let mut points = vec![[x0 + nodes[link.from][0] / 2.0, y0]];
        points.extend(chain.iter().map(|&n| place(n)));
        points.push([x1 - nodes[link.to][0] / 2.0, y1]);
        Route { points, label: link.label.and_then(|_| chain.last().map(|&n| place(n))) }
    });
    Placed { routes: routes.collect(), nodes: (0..nodes.len()).map(place).collect(), size: [right, bottom] }
}

/// Each node's longest way from a beginning.
fn ranks(n: usize, links: &[Link]) -> Vec<usize> {
    let mut ranks = vec![0; n];
    for round in 0..=n {
        let mut moved = false;
        for link in links {
            if ranks[link.to] <= ranks[link.from] {
                ranks[link.to] = ranks[link.from] + 1;
                moved = true;
            }
        }
        if !moved {
            return ranks;
        }
        assert!(round < n, "links form a circle");
    }
    ranks
}

/// Adds a link's places in the layers between its nodes. The label stands just before the node that the link enters.
fn thread(items: &mut Vec<Item>, link: &Link) -> Vec<usize> {
    let (first, last) = (items[link.from].layer + 1, items[link.to].layer);
    let mut before = link.from;
    let mut chain = Vec::with_capacity(last - first);
    for layer in first..last {
        let label = link.label.filter(|_| layer + 1 == last);
        let size = label.unwrap_or([0.0, THREAD]);
        items.push(Item { layer, size, thread: label.is_none(), beside: Default::default() });
        let n = items.len() - 1;
        connect(items, before, n);
        chain.push(n);
        before = n;
    }
    connect(items, before, link.to);
    chain
}

fn connect(items: &mut [Item], left: usize, right: usize) {
    items[left].beside[1].push(right);
    items[right].beside[0].push(left);
}

/// The items of each layer from top to bottom, in the best order that was found.
fn fewest_crossings(items: &[Item]) -> Vec<Vec<usize>> {
    let n_layers = items.iter().map(|item| item.layer + 1).max().unwrap_or(0);
    let mut best: Option<(usize, Vec<Vec<usize>>)> = None;
    for start in 0..STARTS {
        let mut order: Vec<Vec<usize>> = vec![Vec::new(); n_layers];
        (0..items.len()).for_each(|n| order[items[n].layer].push(n));
        if start > 0 {
            // The first keeps the order that it is given; layers of others are mixed, the same way each time.
            let mut mixed = start;
            for layer in &mut order {
                layer.sort_by_cached_key(|_| scrambled(&mut mixed));
            }
        }
        for round in 0..ROUNDS {
            let crossings = improve(items, &mut order, round % 2);
            if best.as_ref().is_none_or(|(fewest, _)| crossings < *fewest) {
                best = Some((crossings, order.clone()));
            }
            if crossings == 0 {
                break;
            }
        }
        if best.as_ref().is_some_and(|(fewest, _)| *fewest == 0) {
            break;
        }
    }
    best.map(|(_, order)| order).unwrap_or_default()
}

/// The next of a series of numbers without visible order (xorshift): pictures are the same each time.
fn scrambled(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// Brings every layer into the order of its neighbours' middles, from one side to the other, and exchanges neighbours while
/// that helps. Returns the crossings that are left.
fn improve(items: &[Item], order: &mut [Vec<usize>], side: usize) -> usize {
    let n = order.len();
    let layers: Vec<usize> =
        if side == 0 { (1..n).collect() } else { (0..n.saturating_sub(1)).rev().collect() };
    for layer in layers {
        let fixed = if side == 0 { layer - 1 } else { layer + 1 };
        let place = places(&order[fixed], items.len());
        let middle = |item: usize, own: usize| {
            let beside = &items[item].beside[side];
            if beside.is_empty() {
                return own as f64;
            }
            beside.iter().map(|&n| place[n] as f64).sum::<f64>() / beside.len() as f64
        };
        let mut keyed: Vec<(f64, usize)> =
            order[layer].iter().enumerate().map(|(own, &item)| (middle(item, own), item)).collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        order[layer] = keyed.into_iter().map(|(_, item)| item).collect();
    }
    let mut crossings = all_crossings(items, order);
    loop {
        let before = crossings;
        for layer in 0..n {
            for position in 1..order[layer].len() {
                let around = |order: &[Vec<usize>]| {
                    (layer.saturating_sub(1)..(layer + 1).min(n - 1))
                        .map(|gap| crossings_in(items, order, gap))
                        .sum::<usize>()
                };
                let old = around(order);
                order[layer].swap(position - 1, position);
                let new = around(order);
                if new < old {
                    crossings -= old - new;
                } else {
                    order[layer].swap(position - 1, position);
                }
            }
        }
        if crossings == before {
            return crossings;
        }
    }
}

/// Where each item of a layer stands in it.
fn places(layer: &[usize], n_items: usize) -> Vec<usize> {
    let mut places = vec![0; n_items];
    layer.iter().enumerate().for_each(|(place, &item)| places[item] = place);
    places
}

fn all_crossings(items: &[Item], order: &[Vec<usize>]) -> usize {
    (0..order.len().saturating_sub(1)).map(|gap| crossings_in(items, order, gap)).sum()
}

/// Crossings between a layer and the next.
fn crossings_in(items: &[Item], order: &[Vec<usize>], gap: usize) -> usize {
    let right = places(&order[gap + 1], items.len());
    let ends: Vec<(usize, usize)> = order[gap]
        .iter()
        .enumerate()
        .flat_map(|(left, &item)| items[item].beside[1].iter().map(move |&to| (left, to)))
        .map(|(left, to)| (left, right[to]))
        .collect();
    let crosses = |a: &(usize, usize), b: &(usize, usize)| a.0 < b.0 && a.1 > b.1;
    ends.iter().map(|a| ends.iter().filter(|b| crosses(a, b)).count()).sum()
}

/// The middle of each item, near its neighbours' and in the order of its layer; threads are pulled straight.
fn heights(items: &[Item], order: &[Vec<usize>]) -> Vec<f64> {
    let mut ys = vec![0.0; items.len()];
    for layer in order {
        let mut y = 0.0;
        for &n in layer {
            ys[n] = y + items[n].size[1] / 2.0;
            y += items[n].size[1] + GAP;
        }
    }
    let weight = |a: usize, b: usize| match (items[a].thread, items[b].thread) {
        (true, true) => 8.0,
        (true, false) | (false, true) => 2.0,
        (false, false) => 1.0,
    };
    for round in 0..STRAIGHTENING {
        let forth = round % 2 == 0;
        for step in 0..order.len() {
            let layer = &order[if forth { step } else { order.len() - 1 - step }];
            let wanted: Vec<(f64, f64)> = layer
                .iter()
                .map(|&n| {
                    let beside = items[n].beside.iter().flatten();
                    let (sum, all) = beside.fold((0.0, 0.0), |(sum, all), &other| {
                        let w = weight(n, other);
                        (sum + w * ys[other], all + w)
                    });
                    if all > 0.0 { (sum / all, all) } else { (ys[n], 0.1) }
                })
                .collect();
            let sizes: Vec<f64> = layer.iter().map(|&n| items[n].size[1]).collect();
            for (&n, y) in layer.iter().zip(nearest_in_order(&wanted, &sizes)) {
                ys[n] = y;
            }
        }
    }
    let top = items.iter().zip(&ys).map(|(item, y)| y - item.size[1] / 2.0).fold(f64::INFINITY, f64::min);
    ys.iter().map(|y| y - top).collect()
}

/// The places nearest to `wanted` (with weights) at which things of these sizes lie below each other: isotonic regression.
fn nearest_in_order(wanted: &[(f64, f64)], sizes: &[f64]) -> Vec<f64> {
    // Without what must lie between, the places only have to grow.
    let mut offsets = Vec::with_capacity(sizes.len());
    let mut offset = 0.0;
    for (n, size) in sizes.iter().enumerate() {
        if n > 0 {
            offset += (sizes[n - 1] + size) / 2.0 + GAP;
        }
        offsets.push(offset);
    }
    let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
    for ((place, weight), offset) in wanted.iter().zip(&offsets) {
        let mut block = (place - offset, *weight, 1);
        while let Some(&(mean, all, count)) = blocks.last().filter(|last| last.0 > block.0) {
            blocks.pop();
            let together = all + block.1;
            block = ((mean * all + block.0 * block.1) / together, together, count + block.2);
        }
        blocks.push(block);
    }
    let means = blocks.into_iter().flat_map(|(mean, _, count)| std::iter::repeat_n(mean, count));
    means.zip(offsets).map(|(mean, offset)| mean + offset).collect()
}

/// The middle of each layer.
fn columns(items: &[Item], n_layers: usize, between: f64) -> Vec<f64> {
    let mut widths = vec![0.0f64; n_layers];
    for item in items {
        widths[item.layer] = widths[item.layer].max(item.size[0]);
    }
    let mut x = 0.0;
    let middle = |width: &f64| {
        let middle = x + width / 2.0;
        x += width + between;
        middle
    };
    widths.iter().map(middle).collect()
}

/// Crossings of the straight pieces of routes; meeting in a place is none.
#[cfg(test)]
pub(crate) fn crossings(placed: &Placed) -> usize {
    let pieces: Vec<[[f64; 2]; 2]> =
        placed.routes.iter().flat_map(|r| r.points.windows(2).map(|w| [w[0], w[1]])).collect();
    let side =
        |[a, b]: [[f64; 2]; 2], c: [f64; 2]| (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
    let crosses = |p: [[f64; 2]; 2], q: [[f64; 2]; 2]| {
        side(p, q[0]) * side(p, q[1]) < -1e-6 && side(q, p[0]) * side(q, p[1]) < -1e-6
    };
    (0..pieces.len()).map(|a| (0..a).filter(|&b| crosses(pieces[a], pieces[b])).count()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(pairs: &[(usize, usize)]) -> Vec<Link> {
        pairs.iter().map(|&(from, to)| Link { from, to, label: Some([60.0, 16.0]) }).collect()
    }

    fn boxes(n: usize) -> Vec<[f64; 2]> {
        vec![[30.0, 24.0]; n]
    }

    #[test]
    fn planar_graphs_have_no_crossings() {
        for pairs in [
            vec![(0, 1), (1, 2), (0, 2)],
            vec![(0, 2), (1, 2), (0, 3), (2, 3), (1, 4), (3, 4), (2, 4)],
            // Given in an order that crosses.
            vec![(0, 5), (1, 4), (2, 3), (3, 6), (4, 6), (5, 6)],
        ] {
            let n = pairs.iter().map(|(_, to)| to + 1).max().unwrap();
            let placed = layered(&boxes(n), &links(&pairs), 16.0);
            assert_eq!(crossings(&placed), 0, "{pairs:?}");
        }
    }

    #[test]
    fn nothing_lies_on_anything() {
        // Every link that four nodes behind two inputs can have, and the same link twice.
        let mut pairs: Vec<(usize, usize)> =
            (2..6).flat_map(|to| (0..to).map(move |from| (from, to))).collect();
        pairs.extend([(0, 5), (2, 6), (3, 6), (4, 6), (5, 6)]);
        let placed = layered(&boxes(7), &links(&pairs), 16.0);
        let nodes = placed.nodes.iter().map(|&middle| (middle, [30.0, 24.0]));
        let labels = placed.routes.iter().map(|r| (r.label.unwrap(), [60.0, 16.0]));
        let all: Vec<([f64; 2], [f64; 2])> = nodes.chain(labels).collect();
        for (n, (a, size_a)) in all.iter().enumerate() {
            for (b, size_b) in &all[..n] {
                let apart =
                    |axis: usize| (a[axis] - b[axis]).abs() >= (size_a[axis] + size_b[axis]) / 2.0 - 1e-6;
                assert!(apart(0) || apart(1), "{a:?} {b:?}");
            }
            for axis in 0..2 {
                assert!(
                    a[axis] - size_a[axis] / 2.0 >= -1e-6
                        && a[axis] + size_a[axis] / 2.0 <= placed.size[axis] + 1e-6
                );
            }
        }
        // Links run from left to right.
        for route in &placed.routes {
            assert!(route.points.windows(2).all(|w| w[0][0] < w[1][0]), "{:?}", route.points);
        }
        // The same each time.
        assert_eq!(layered(&boxes(7), &links(&pairs), 16.0).nodes, placed.nodes);
    }

    #[test]
    fn places_keep_their_order_and_stay_near() {
        let wanted = [(0.0, 1.0), (0.0, 1.0), (100.0, 1.0)];
        let found = nearest_in_order(&wanted, &[10.0, 10.0, 10.0]);
        assert_eq!(found, [-12.0, 12.0, 100.0]);
    }

    #[test]
    #[should_panic(expected = "circle")]
    fn circles_are_refused() {
        layered(&boxes(2), &links(&[(0, 1), (1, 0)]), 16.0);
    }
}
