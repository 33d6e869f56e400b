//! From layers to blocks: what belongs together becomes one.

use super::{Place, Vertex};
use std::collections::BTreeMap;

/// Takes out what no output needs, such as maps of a backbone that a head does not read.
pub(super) fn drop_unread(vertices: &mut [Vertex], outputs: &[Place]) {
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
pub(super) fn join_chains(vertices: &mut [Vertex]) {
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
pub(super) fn join_shared(vertices: &mut [Vertex]) {
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
pub(super) fn join_cells(vertices: &mut [Vertex], reductions: &[bool]) {
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
