//! Drawings of cells inside a page.

use genas_figure::{AnyCell, NamedCell, cells_inline};
use genas_space::Genotype;

use crate::html::picture;

/// Both cells under a name; ids in the drawing begin with `id`.
pub(crate) fn genotype(genotype: &Genotype, name: &str, id: &str) -> String {
    let cell = NamedCell { name: name.to_owned(), cell: AnyCell::Darts(genotype.clone()) };
    let picture = picture(&format!("Cells of {name}"), &cells_inline(&[cell], id));
    format!("<figure class=\"cells\">\n{picture}</figure>\n")
}
