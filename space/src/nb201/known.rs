//! NAS-Bench-201 cells with a name, costs to check networks against, and reading a cell as a user gives
//! it.
//!
//! The best cells are those of the benchmark's 200-epoch test accuracies, mean over its seeds
//! (`nb201_15625.csv`, from the NATS-Bench API).

use serde::Serialize;

use super::cell::{NB201_EDGES, Nb201Cell};
use crate::error::SpaceError;
use crate::zoo::normalise;

/// A cell with a name.
#[derive(Copy, Clone, PartialEq, Debug, Serialize)]
pub struct Nb201Entry {
    /// Its name.
    pub name: &'static str,
    /// The official index.
    pub index: usize,
    /// What it is known for.
    pub note: &'static str,
    /// The architecture string.
    pub arch: &'static str,
}

impl Nb201Entry {
    /// The cell.
    pub fn cell(&self) -> Nb201Cell {
        match self.arch.parse() {
            Ok(cell) => cell,
            // The text is part of the program, and a test reads every one.
            Err(error) => unreachable!("{}: {error}", self.name),
        }
    }
}

const CELLS: &[Nb201Entry] = &[
    Nb201Entry {
        name: "NB201_BEST_CIFAR10",
        index: 6111,
        note: "best on CIFAR-10 with 94.3733 % (73.2200 % on CIFAR-100, 46.7111 % on ImageNet16-120); index 13714 has the same",
        arch: "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|",
    },
    Nb201Entry {
        name: "NB201_BEST_CIFAR10_TIED",
        index: 13714,
        note: "equally good on CIFAR-10 with 94.3733 % (73.0933 % on CIFAR-100, 46.3333 % on ImageNet16-120)",
        arch: "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|",
    },
    Nb201Entry {
        name: "NB201_BEST_CIFAR100",
        index: 9930,
        note: "best on CIFAR-100 with 73.5133 % (94.3633 % on CIFAR-10, 46.3444 % on ImageNet16-120)",
        arch: "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
    },
    Nb201Entry {
        name: "NB201_BEST_IMAGENET16",
        index: 857,
        note: "best on ImageNet16-120 with 47.3111 % (93.9867 % on CIFAR-10, 72.8800 % on CIFAR-100)",
        arch: "|nor_conv_1x1~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
    },
    Nb201Entry {
        name: "NB201_RESNET",
        index: 11472,
        note: "the residual block of the benchmark's paper; 93.9100 % on CIFAR-10",
        arch: "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|",
    },
];

/// Every cell with a name.
pub fn nb201_zoo() -> &'static [Nb201Entry] {
    CELLS
}

/// The cell of that name; case does not count, and `-` or a space stands for `_`.
pub fn find_nb201(name: &str) -> Option<&'static Nb201Entry> {
    CELLS.iter().find(|entry| normalise(entry.name) == normalise(name))
}

/// Reads a cell as a user gives it: an architecture string, its six integers, an official index, or a name.
pub fn parse_nb201(text: &str) -> Result<Nb201Cell, SpaceError> {
    let text = text.trim();
    let integers: Result<Vec<u8>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    if text.contains('|') {
        text.parse()
    } else if let Ok(Ok(integers)) = integers.map(<[u8; NB201_EDGES]>::try_from) {
        Nb201Cell::from_ints(&integers)
    } else if let Ok(index) = text.parse() {
        Nb201Cell::from_index(index)
    } else if let Some(entry) = find_nb201(text) {
        Ok(entry.cell())
    } else {
        let known = CELLS.iter().map(|entry| entry.name).collect();
        Err(SpaceError::UnknownNb201Cell { text: text.to_owned(), known })
    }
}

/// What the benchmark's stand-alone network of a cell costs: width 16, 5 cells per stage.
///
/// Parameters include BatchNorm's; FLOPs are multiply-accumulates of the convolutions, and inputs times
/// outputs plus outputs of the classifier.
#[derive(Copy, Clone, PartialEq, Debug, Serialize)]
pub struct Nb201Cost {
    /// The architecture string.
    pub arch: &'static str,
    /// Parameters with the classes of CIFAR-10, CIFAR-100 and ImageNet16-120.
    pub params: [u64; 3],
    /// FLOPs of CIFAR-10: 10 classes, 32x32 images.
    pub flops_cifar10: u64,
    /// FLOPs of ImageNet16-120: 120 classes, 16x16 images.
    pub flops_imagenet16: u64,
}

/// The check values of spec 01-B, with FLOPs in full where the table rounds to 100.
pub const NB201_COSTS: &[Nb201Cost] = &[
    Nb201Cost {
        arch: "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|",
        params: [1_073_466, 1_079_316, 1_080_616],
        flops_cifar10: 153_272_970,
        flops_imagenet16: 38_325_880,
    },
    Nb201Cost {
        arch: "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
        params: [1_288_506, 1_294_356, 1_295_656],
        flops_cifar10: 184_730_250,
        flops_imagenet16: 46_190_200,
    },
    Nb201Cost {
        arch: "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
        params: [1_531_546, 1_537_396, 1_538_696],
        flops_cifar10: 220_119_690,
        flops_imagenet16: 55_037_560,
    },
    Nb201Cost {
        arch: "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|",
        params: [559_386, 565_236, 566_536],
        flops_cifar10: 78_561_930,
        flops_imagenet16: 19_648_120,
    },
    Nb201Cost {
        arch: "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
        params: [73_306, 79_156, 80_456],
        flops_cifar10: 7_783_050,
        flops_imagenet16: 1_953_400,
    },
    Nb201Cost {
        arch: "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|",
        params: [73_306, 79_156, 80_456],
        flops_cifar10: 7_783_050,
        flops_imagenet16: 1_953_400,
    },
];

/// Parameters of the supernet of width 16 with 5 cells per stage, whose search cells have no affine
/// BatchNorm, for the classes of CIFAR-10, CIFAR-100 and ImageNet16-120 (spec 01-B).
pub const NB201_SUPERNET_PARAMS: [u64; 3] = [1_686_106, 1_691_956, 1_693_256];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nb201::op::Nb201Op;

    #[test]
    fn names_are_found_and_have_their_index() {
        for entry in nb201_zoo() {
            assert_eq!(entry.cell().index(), entry.index, "{}", entry.name);
            assert_eq!(find_nb201(&entry.name.to_lowercase().replace('_', "-")), Some(entry));
            let integers = entry.cell().to_ints().map(|n| n.to_string()).join(", ");
            for text in [entry.name, &format!(" {} ", entry.index), entry.arch, &integers] {
                assert_eq!(parse_nb201(text), Ok(entry.cell()));
            }
        }
        let error = |text: &str| parse_nb201(text).unwrap_err().to_string();
        assert!(error("15625").contains("0 to 15624"));
        assert!(error("DARTS").contains("NB201_BEST_CIFAR10, "));
        assert!(error("|none~0|").contains("1 groups"));
        assert!(error("0,1,2,3,4,5").contains('5') && error("0,1,2,3,4").contains("six integers"));
    }

    /// Parameters and FLOPs of convolutions k x k from `from` to `to` maps with BatchNorm, `side` after.
    struct Sum {
        params: u64,
        flops: u64,
    }

    impl Sum {
        fn conv(&mut self, k: u64, from: u64, to: u64, side: u64, batch_norm: bool, affine: bool) {
            self.params += k * k * from * to + if batch_norm && affine { 2 * to } else { 0 };
            self.flops += k * k * from * to * side * side;
        }
    }

    /// The count of spec 01-B, for the operations on each edge of every cell.
    fn cost(edges: &[&[Nb201Op]], affine: bool, classes: u64, image: u64) -> Sum {
        let mut sum = Sum { params: 0, flops: 0 };
        sum.conv(3, 3, 16, image, true, true);
        for stage in 0..3 {
            let (width, side) = (16 << stage, image >> stage);
            if stage > 0 {
                sum.conv(3, width / 2, width, side, true, true);
                sum.conv(3, width, width, side, true, true);
                sum.conv(1, width / 2, width, side, false, false);
            }
            for op in (0..5).flat_map(|_| edges.iter().copied().flatten()) {
                match op {
                    Nb201Op::NorConv1x1 => sum.conv(1, width, width, side, true, affine),
                    Nb201Op::NorConv3x3 => sum.conv(3, width, width, side, true, affine),
                    _ => {}
                }
            }
        }
        sum.params += 2 * 64 + 64 * classes + classes;
        sum.flops += 64 * classes + classes;
        sum
    }

    #[test]
    fn check_values_follow_from_the_definition() {
        // The FLOPs of spec 01-B in units of 100.
        let rounded = [
            (1_532_730, 383_259),
            (1_847_303, 461_902),
            (2_201_197, 550_376),
            (785_619, 196_481),
            (77_831, 19_534),
            (77_831, 19_534),
        ];
        assert_eq!(NB201_COSTS.len(), rounded.len());
        for (check, (cifar10, imagenet16)) in NB201_COSTS.iter().zip(rounded) {
            let cell: Nb201Cell = check.arch.parse().unwrap();
            let edges = cell.0.each_ref().map(std::slice::from_ref);
            let params = [10, 100, 120].map(|classes| cost(&edges, true, classes, 32).params);
            assert_eq!(params, check.params, "{}", check.arch);
            assert_eq!(cost(&edges, true, 10, 32).flops, check.flops_cifar10, "{}", check.arch);
            assert_eq!(cost(&edges, true, 120, 16).flops, check.flops_imagenet16, "{}", check.arch);
            assert_eq!((check.flops_cifar10 + 50) / 100, cifar10, "{}", check.arch);
            assert_eq!((check.flops_imagenet16 + 50) / 100, imagenet16, "{}", check.arch);
        }
        let supernet = [&Nb201Op::ALL[..]; 6];
        let params = [10, 100, 120].map(|classes| cost(&supernet, false, classes, 32).params);
        assert_eq!(params, NB201_SUPERNET_PARAMS);
    }
}
