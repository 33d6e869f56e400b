//! Drawings of cells inside a page.

use genas_figure::svg::escaped;
use genas_space::Genotype;

/// Both cells; ids in the drawing begin with `id`.
pub(crate) fn genotype(genotype: &Genotype, _id: &str) -> String {
    format!("<p>{}</p>", escaped(&genotype.to_string()))
}
