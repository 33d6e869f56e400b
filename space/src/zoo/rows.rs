//! Rows of the GeNAS paper (Tables 2 and 3): those of published cells, and those without a genotype.

use super::{PaperRow, Unpublished};

const fn row(
    search_set: &'static str,
    method: &'static str,
    params_m: f64,
    flops_g: f64,
    top1: f64,
    top5: Option<f64>,
) -> Option<PaperRow> {
    Some(PaperRow { search_set, method, params_m, flops_g, top1, top5 })
}

/// A row of the CIFAR-10 block.
pub(super) const fn c10(
    method: &'static str,
    params_m: f64,
    flops_g: f64,
    top1: f64,
    top5: f64,
) -> Option<PaperRow> {
    row("CIFAR-10", method, params_m, flops_g, top1, Some(top5))
}

/// A row of the CIFAR-10 block that has no top-5 accuracy.
pub(super) const fn c10_top1(
    method: &'static str,
    params_m: f64,
    flops_g: f64,
    top1: f64,
) -> Option<PaperRow> {
    row("CIFAR-10", method, params_m, flops_g, top1, None)
}

/// A row of the CIFAR-100 block.
pub(super) const fn c100(
    method: &'static str,
    params_m: f64,
    flops_g: f64,
    top1: f64,
    top5: f64,
) -> Option<PaperRow> {
    row("CIFAR-100", method, params_m, flops_g, top1, Some(top5))
}

const fn imagenet(
    method: &'static str,
    params_m: f64,
    flops_g: f64,
    top1: f64,
    top5: f64,
) -> Option<PaperRow> {
    row("ImageNet", method, params_m, flops_g, top1, Some(top5))
}

const NO_IMAGENET: &str = "neither the recipe nor the cell of the search on ImageNet was published";
const NO_SWEEP: &str = "the cells of the gamma sweep were not published, except those of Table 2";

pub(super) const UNPUBLISHED: &[Unpublished] = &[
    Unpublished {
        name: "SANAS",
        paper: c10("SANAS", 4.9, 0.55, 75.2, 91.7),
        note: "no public repository was found",
    },
    Unpublished {
        name: "ACCURACY_CIFAR10",
        paper: c10("SPOS (Accuracy)", 5.4, 0.60, 75.32, 92.20),
        note: "GeNAS links a checkpoint, but its code holds no genotype",
    },
    Unpublished {
        name: "ANGLE_CIFAR10",
        paper: c10("RLNAS (Angle)", 5.3, 0.59, 75.70, 92.45),
        note: "not in the code of GeNAS; the nearest cell there is RLDARTS_GT, which is not known to be it",
    },
    Unpublished {
        name: "ACCURACY_FLATNESS_CIFAR10",
        paper: c10("GeNAS (Accuracy + Flatness)", 5.6, 0.61, 75.72, 92.59),
        note: "not in the code of GeNAS",
    },
    Unpublished {
        name: "PDARTS_CIFAR100",
        paper: c100("P-DARTS", 5.1, 0.58, 75.3, 92.5),
        note: "the official repository holds only the CIFAR-10 cell; its issue 37 asks for this one",
    },
    Unpublished {
        name: "ACCURACY_CIFAR100",
        paper: c100("SPOS (Accuracy)", 5.4, 0.60, 75.37, 92.23),
        note: "not in the code of GeNAS",
    },
    Unpublished {
        name: "ACCURACY_FLATNESS_CIFAR100",
        paper: c100("GeNAS (Accuracy + Flatness)", 5.4, 0.60, 75.85, 92.74),
        note: "not in the code of GeNAS",
    },
    Unpublished {
        name: "ANGLE_IMAGENET",
        paper: imagenet("Angle", 5.4, 0.60, 75.09, 92.30),
        note: NO_IMAGENET,
    },
    Unpublished {
        name: "ACCURACY_IMAGENET",
        paper: imagenet("Accuracy", 5.3, 0.58, 74.78, 92.11),
        note: NO_IMAGENET,
    },
    Unpublished {
        name: "FLATNESS_IMAGENET",
        paper: imagenet("Flatness", 5.3, 0.59, 75.49, 92.38),
        note: NO_IMAGENET,
    },
    Unpublished {
        name: "ANGLE_FLATNESS_IMAGENET",
        paper: imagenet("Angle + Flatness", 5.5, 0.60, 75.66, 92.62),
        note: NO_IMAGENET,
    },
    Unpublished {
        name: "ACCURACY_FLATNESS_IMAGENET",
        paper: imagenet("Accuracy + Flatness", 5.3, 0.59, 75.33, 92.41),
        note: NO_IMAGENET,
    },
    Unpublished { name: "GAMMA_SWEEPS_TABLE_8", paper: None, note: NO_SWEEP },
    Unpublished {
        name: "GAMMA_SWEEPS_TABLES_9_AND_10",
        paper: None,
        note: "the cells of these gamma sweeps were not published",
    },
];
